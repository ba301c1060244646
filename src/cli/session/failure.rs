//! What the API server or the connection to it answered, as a sentence that says what to do.

use std::error::Error;

use kube::core::Status;

use crate::api::GROUP;
use crate::api::release::sentence;

/// `what` failed: a clause such as `Cannot list releases`, completed by the cause and by what to do.
#[must_use]
pub(crate) fn failed(server: &str, what: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => answered(what, status),
        kube::Error::Auth(_) => format!(
            "{what}: no credentials for {server}: {}. Log in to the cluster again.",
            causes(error)
        ),
        kube::Error::SerdeError(e) => format!(
            "{what}: the API server's answer is not what version {} of this command expects: {e}. \
             Use the version of the operator: `kubectl signalbox version` shows both.",
            env!("CARGO_PKG_VERSION")
        ),
        other => format!(
            "{what}: the API server {server} cannot be reached: {}. Check the context, the network and proxy-url.",
            causes(other)
        ),
    }
}

fn answered(what: &str, status: &Status) -> String {
    let said = sentence(&status.message);
    let said = ours(&said);
    match status.code {
        401 => format!(
            "{what}: the API server does not accept your credentials (401): they may have expired. Log in to the cluster again."
        ),
        // A missing definition is answered without details of an object.
        404 if said.is_empty() || status.details.as_ref().is_none_or(|d| d.name.is_empty()) => format!(
            "{what}: the cluster has no {GROUP} definitions in the version v1alpha1. Install Signalbox, or check the context."
        ),
        403 if said.is_empty() => format!("{what}: the API server forbids it (403)."),
        _ => format!("{what}: {said}"),
    }
}

/// What a policy of ours said: its message is complete, and the name that the API server generated before it refused means nothing to
/// people. The policies of others are named.
fn ours(said: &str) -> &str {
    let policy = said.split_once(" is forbidden: ValidatingAdmissionPolicy 'signalbox-");
    let denied = policy.and_then(|(_, policy)| policy.split_once("' denied request: "));
    denied.map_or(said, |(_, message)| message)
}

/// The error and its causes, without the names of the library's types and without repetition.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let wrapper = [
            "ServiceError:",
            "HyperError:",
            "client error (Connect)",
            "AuthError:",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if !wrapper && !parts.iter().any(|known| known.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.is_empty() {
        return error.to_string();
    }
    // The first one often repeats its cause.
    let last = parts.last().cloned().unwrap_or_default();
    if parts.len() > 1 && parts[0].contains(&last) {
        parts.truncate(1);
    }
    parts.join(": ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_ours_speaks_for_itself_and_others_are_named() {
        let denied = |policy: &str| {
            format!(
                "decisions.signalbox.dev \"a-x7f\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied \
                 request: spec.by is \"a\", but you are \"b\"."
            )
        };
        assert_eq!(
            ours(&denied("signalbox-decision")),
            "spec.by is \"a\", but you are \"b\"."
        );
        for other in [denied("freeze"), "User \"a\" cannot create resource.".to_owned()] {
            assert_eq!(ours(&other), other);
        }
    }
}
