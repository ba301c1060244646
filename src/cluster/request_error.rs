//! One error type for requests, whichever library reports the error.

use kube::core::Status;

use crate::api::reasons;

/// What went wrong with a request, as far as callers have to distinguish it.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// 404.
    #[error("not found")]
    NotFound,
    /// 409: a stale resourceVersion or uid.
    #[error("{0}")]
    Conflict(String),
    /// 409 on a create.
    #[error("already exists")]
    AlreadyExists,
    /// 403 of an authorizer, which RBAC is: the user lacks the right.
    #[error("{0}")]
    Forbidden(String),
    /// 403 of admission: a policy, a webhook or a quota refuses this object, in its own words.
    #[error("{0}")]
    Denied(String),
    /// 400 and 422: the object is not valid.
    #[error("{0}")]
    Invalid(String),
    /// Every temporary error: timeouts, 429, 5xx, a broken connection.
    #[error("{0}")]
    Passing(String),
    /// The reconcile panicked: not the error of a request, and retried like [`Self::Passing`].
    #[error("the reconcile panicked: {0}")]
    Panicked(String),
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => status.into(),
            other => Self::Passing(other.to_string()),
        }
    }
}

impl From<Box<Status>> for RequestError {
    fn from(status: Box<Status>) -> Self {
        let message = status.message.clone();
        match status.code {
            404 => Self::NotFound,
            409 if status.reason == "AlreadyExists" => Self::AlreadyExists,
            409 => Self::Conflict(message),
            403 if !lacks_a_right(&message) => Self::Denied(message),
            401 | 403 => Self::Forbidden(message),
            400 | 422 | 413 | 415 => Self::Invalid(message),
            _ => Self::Passing(message),
        }
    }
}

/// Whether a 403 is from the authorizer. This is the only sentence of the API server that is parsed, because no field of its `Status`
/// has the fact: authorizers and admission plugins create it with the same `NewForbidden`, with the same code, `reason: Forbidden` and
/// `details` (group, resource, name). `details.causes` is set if a ValidatingAdmissionPolicy refused, and empty if a quota or a
/// webhook did. The authorizer's sentence has one form, `… is forbidden: User "…" cannot …`; admission names a policy, a quota or a
/// webhook first. A check of the right instead would cost a request, and would show the rights at that later time.
fn lacks_a_right(message: &str) -> bool {
    let said = match message.split_once("forbidden: ") {
        Some((_, said)) => said,
        None => message,
    };
    // A front proxy that answers itself uses no fixed form.
    let bare = message.is_empty() || message.eq_ignore_ascii_case("forbidden");
    bare || said
        .strip_prefix("User \"")
        .is_some_and(|rest| rest.contains("\" cannot "))
}

/// What went wrong with `verb` of `target`: a reason of [`reasons`], and a clause, without a full stop, that ends with the API server's text.
#[must_use]
pub fn said(target: &impl std::fmt::Display, verb: &str, trouble: &RequestError) -> (&'static str, String) {
    match trouble {
        RequestError::Forbidden(why) => (
            reasons::NOT_PERMITTED,
            format!("the deployer may not {verb} {target}: {why}"),
        ),
        RequestError::Denied(why) | RequestError::Invalid(why) => (
            reasons::PATCH_REFUSED,
            format!("the API server refused to {verb} {target}: {why}"),
        ),
        other => (
            reasons::UNREADABLE,
            format!("the request to {verb} {target} failed: {other}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, message: &str) -> RequestError {
        let status = Status {
            code,
            message: message.to_owned(),
            reason: "Forbidden".to_owned(),
            ..Status::default()
        };
        Box::new(status).into()
    }

    #[test]
    fn a_403_of_rbac_is_told_from_one_of_admission() {
        for (message, rbac) in [
            (
                r#"deployments.apps "ledger" is forbidden: User "system:serviceaccount:a:d" cannot patch resource "deployments" in API group "apps" in the namespace "a""#,
                true,
            ),
            (
                r#"users "x" is forbidden: User "signalbox" cannot impersonate resource "users" in API group "" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "x" not found"#,
                true,
            ),
            (r#"forbidden: User "system:anonymous" cannot get path "/""#, true),
            ("Forbidden", true),
            ("", true),
            (
                r#"deployments.apps "ledger" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'freeze' denied request: change freeze: ask the platform team"#,
                false,
            ),
            (
                r#"configmaps "extra" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"#,
                false,
            ),
            (
                r#"admission webhook "w.example.com" denied the request: User "bob" cannot do this"#,
                false,
            ),
            (
                r#"pods "a" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'x' denied request: is forbidden: User "x" cannot patch"#,
                false,
            ),
        ] {
            let trouble = answered(403, message);
            assert_eq!(matches!(trouble, RequestError::Forbidden(_)), rbac, "{message}");
            assert_eq!(matches!(trouble, RequestError::Denied(_)), !rbac, "{message}");
        }
        assert!(matches!(answered(422, "no"), RequestError::Invalid(_)));
    }
}
