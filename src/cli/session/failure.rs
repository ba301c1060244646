//! What the API server or the connection to it answered, as a sentence that says what to do.

use std::error::Error;
use std::io::ErrorKind;

use kube::core::Status;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use serde_json::error::Category;

use super::token::NoCredentials;
use crate::api::GROUP;
use crate::api::release::sentence;

/// `what` failed: a clause such as `Cannot list releases`, completed by the cause and by what to do.
#[must_use]
pub(crate) fn failed(server: &str, what: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => answered(server, what, status),
        kube::Error::SerdeError(e) => format!("{what}: {}", unread(server, e)),
        kube::Error::FromUtf8(_) => format!("{what}: {}", page(server, 200)),
        kube::Error::Auth(_) => format!(
            "{what}: no credentials for {server}: {}. Log in to the cluster again.",
            causes(error)
        ),
        other => {
            if let Some(none) = find::<NoCredentials>(other) {
                return format!("{what}: {none}");
            }
            format!("{what}: {}", reached(&format!("API server {server}"), other))
        }
    }
}

fn answered(server: &str, what: &str, status: &Status) -> String {
    // Something between here and the API server, such as a proxy, answers in HTML, and kube puts the whole page into the message.
    let body: &str = &status.message;
    if body.trim_start().starts_with('<') {
        return format!("{what}: {}", page(server, status.code));
    }
    let said = sentence(&status.message);
    let said = ours(&said);
    match status.code {
        // kube reads every JSON object as a Status. One of a proxy has no code.
        0 => format!(
            "{what}: {server} answers with an error, not as an API server: it may be a proxy. Check server and proxy-url in the kubeconfig, and log in to the cluster again."
        ),
        401 => format!(
            "{what}: the API server {server} does not accept your credentials (401): they may have expired. Log in to the cluster again."
        ),
        // A missing definition is answered without details of an object.
        404 if said.is_empty() || status.details.as_ref().is_none_or(|d| d.name.is_empty()) => format!(
            "{what}: the cluster of {server} has no {GROUP} definitions in the version v1alpha1. Install Signalbox, or check the context."
        ),
        403 if said.is_empty() => {
            format!("{what}: the API server {server} forbids it (403). Ask an administrator for the right.")
        }
        // The policies of admission list causes, and say themselves what to do.
        403 if status.details.as_ref().is_none_or(|d| d.causes.is_empty()) => {
            format!("{what}: {said} Ask an administrator for the right.")
        }
        code if said.is_empty() => {
            format!("{what}: the API server {server} answers with the status {code}, and does not say why.")
        }
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

fn page(server: &str, code: u16) -> String {
    format!(
        "{server} answers with a page, not as an API server ({code}): it may be a proxy, or the page of a login. Check server and proxy-url in the kubeconfig, and log in to the cluster again."
    )
}

fn unread(server: &str, error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Syntax if error.line() <= 1 && error.column() <= 1 => page(server, 200),
        Category::Eof | Category::Io => {
            format!(
                "the answer of the API server {server} is not complete. Try again, and check the network and proxy-url."
            )
        }
        Category::Syntax => format!(
            "the answer of the API server {server} is not JSON: {error}. Check the network and proxy-url."
        ),
        Category::Data => format!(
            "the API server's answer is not what version {} of this command expects: {error}. \
             Use the version of the operator: `kubectl signalbox version` shows both.",
            env!("CARGO_PKG_VERSION")
        ),
    }
}

/// Why `peer`, such as `API server https://127.0.0.1:6443`, was not reached.
pub(super) fn reached(peer: &str, error: &(dyn Error + 'static)) -> String {
    if let Some(tls) = find::<rustls::Error>(error) {
        return refused(peer, tls);
    }
    let texts = chain(error).map(ToString::to_string);
    for text in texts {
        // These types of the library are not public.
        if text == "dns error" {
            return format!(
                "the host name of the {peer} is unknown. Check server in the kubeconfig, the network and the VPN."
            );
        }
        let of_proxy = text
            .strip_prefix("tunnel error: ")
            .or_else(|| text.strip_prefix("SOCKS error: "));
        match of_proxy {
            None | Some("io error establishing tunnel" | "io error during SOCKS handshake") => {}
            Some("failed to create underlying connection") => {
                return format!(
                    "the proxy for the {peer} cannot be reached. Check proxy-url in the kubeconfig, $HTTPS_PROXY and $NO_PROXY."
                );
            }
            Some(why) => {
                return format!(
                    "the proxy does not connect to the {peer}: {why}. Check proxy-url in the kubeconfig, $HTTPS_PROXY and $NO_PROXY."
                );
            }
        }
    }
    let kind = chain(error).find_map(|e| e.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
    match kind {
        Some(ErrorKind::ConnectionRefused) => {
            format!(
                "the connection to the {peer} is refused. Check that it runs, the context, and server and proxy-url in the kubeconfig."
            )
        }
        Some(ErrorKind::TimedOut) => {
            format!(
                "the {peer} has not answered in time. Check the network and the VPN, or use a longer --request-timeout."
            )
        }
        _ if find::<hyper::Error>(error).is_some_and(|e| e.is_parse() || e.is_incomplete_message()) => {
            format!(
                "the {peer} does not answer in HTTP. Check server in the kubeconfig: an address that begins with http:// may have to begin with https://."
            )
        }
        _ => format!(
            "the {peer} cannot be reached: {}. Check the context, the network and proxy-url.",
            causes(error)
        ),
    }
}

/// What TLS says about the peer, or the peer about the client's certificate.
fn refused(peer: &str, tls: &rustls::Error) -> String {
    let certificate = |what: &str| format!("the certificate of the {peer} {what}");
    match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => certificate(
            "is not signed by a certificate authority that you trust. Check certificate-authority of the cluster in the kubeconfig, and the context.",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => certificate(
            "is for another name. Check server in the kubeconfig, or set tls-server-name to a name of the certificate.",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => certificate(
            "has expired. Ask an administrator of the cluster to renew it, and check the clock of this machine.",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => certificate("is not valid yet. Check the clock of this machine."),
        rustls::Error::InvalidCertificate(other) => certificate(&format!(
            "cannot be accepted: {other}. Ask an administrator of the cluster."
        )),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => format!(
            "the {peer} does not answer in TLS. Check server in the kubeconfig: an address that begins with https:// may have to begin with http://."
        ),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied,
        ) => format!(
            "the {peer} requires a client certificate, and does not accept that of the kubeconfig's user. Log in to the cluster again."
        ),
        other => {
            format!("no TLS connection to the {peer}: {other}. Check the context, the network and proxy-url.")
        }
    }
}

/// The error, its cause, the cause of that, and so on.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An io::Error hides the error that it contains, and shows the cause of that.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

/// The causes of the error, from the last that wraps another to the first, without repetition and without the names of the library's
/// types.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    // A wrapper ends with the text of what it wraps, or says nothing about the cause.
    let wrapper = |text: &String| text.starts_with("client error") || text.starts_with("ServiceError: ");
    let mut parts: Vec<String> = Vec::new();
    while let Some(text) = texts.pop() {
        let known = parts.last().is_some_and(|inner| text.contains(inner.as_str()));
        if parts.is_empty() || !(known || wrapper(&text)) {
            parts.push(text);
        }
    }
    parts.reverse();
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
