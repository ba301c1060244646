//! Through which proxy requests reach the API server, by kubectl's rules.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::files::Variables;

/// The proxy for requests to `server`. As in kubectl, `proxy-url` always applies; without it, $HTTPS_PROXY or $HTTP_PROXY applies,
/// unless $NO_PROXY names the host of the API server. kube 5.0.0 compares $NO_PROXY with the host of the proxy instead.
pub(super) fn proxy(
    own: Option<&str>,
    server: &Uri,
    variables: Variables<'_>,
) -> Result<Option<Uri>, String> {
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        return url(own, "proxy-url of the kubeconfig").map(Some);
    }
    let set = |names: [&'static str; 2]| {
        let values = names
            .into_iter()
            .filter_map(|name| Some((name, variables(name)?.into_string().ok()?)));
        values.into_iter().find(|(_, value)| !value.is_empty())
    };
    let Some((name, value)) = set(match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    }) else {
        return Ok(None);
    };
    let (_, none) = set(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if direct(server, &none) {
        return Ok(None);
    }
    let value = if value.contains("://") {
        value
    } else {
        format!("http://{value}")
    };
    url(&value, &format!("${name}")).map(Some)
}

/// Whether no proxy of the environment applies: the API server is on this machine, or $NO_PROXY names it.
fn direct(server: &Uri, none: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    if host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return true;
    }
    let port = server
        .port_u16()
        .unwrap_or(if server.scheme_str() == Some("http") {
            80
        } else {
            443
        });
    // Go knows more forms than the matcher: a port, and a first dot or `*.` that excludes the domain itself.
    let entries = none.split(',').map(str::trim).filter_map(|entry| {
        let entry = match entry.rsplit_once(':') {
            Some((name, number)) if !name.contains(':') => {
                if number.parse() != Ok(port) {
                    return None;
                }
                name
            }
            _ => entry,
        };
        let entry = if entry.starts_with("*.") {
            &entry[1..]
        } else {
            entry
        };
        (entry.strip_prefix('.') != Some(host)).then_some(entry)
    });
    let none = entries.collect::<Vec<_>>().join(",");
    let matcher = Matcher::builder().all("http://proxy.invalid").no(none).build();
    matcher.intercept(server).is_none()
}

fn url(text: &str, what: &str) -> Result<Uri, String> {
    // An error must not show the password that the URL may contain.
    let wrong = || {
        format!(
            "{what} is not a URL that begins with http://, https:// or socks5:// and names a host. Correct it."
        )
    };
    // Both names of the protocol let the proxy resolve the host.
    let text = text.replacen("socks5h://", "socks5://", 1);
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https" | "socks5") || uri.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if scheme == "socks5" && uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(format!(
            "{what} has a user and a password, which are not supported for socks5://. Use a proxy without them."
        ));
    }
    Ok(uri)
}

/// A proxy as messages name it: without user and password.
pub(super) fn shown(proxy: &Uri) -> String {
    let authority = proxy
        .authority()
        .map(http::uri::Authority::as_str)
        .unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}", proxy.scheme_str().unwrap_or("http"))
}
