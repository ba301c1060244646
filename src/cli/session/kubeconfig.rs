//! From kubeconfig files and flags to the address and the credentials of one cluster, by kubectl's rules.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Config;
use kube::config::{AuthInfo, Cluster, ExecAuthCluster, Kubeconfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use super::files::{Files, Variables};
use super::flags::Connection;
use super::proxy::proxy;

/// The cluster that the flags name.
pub(super) struct Stated {
    /// Its address, and the credentials as the kubeconfig states them.
    pub config: Config,
    /// The name of the user. Empty if there is none.
    pub user: String,
    /// The kubeconfig.
    pub files: Files,
}

/// The cluster that the flags name.
///
/// # Errors
/// A sentence: which file, which context, and what to do.
pub(super) fn config(flags: &Connection, variables: Variables<'_>) -> Result<Stated, String> {
    let files = Files::of(flags.kubeconfig.as_deref(), variables);
    let (mut config, user) = match files.read()? {
        Some(kubeconfig) => {
            let chosen = chosen(&kubeconfig, flags, &files)?;
            (stated(&chosen, &files, variables)?, chosen.user_name.to_owned())
        }
        None => (in_pod(flags, &files, variables)?, String::new()),
    };
    if let Some(user) = &flags.impersonate {
        let auth = &mut config.auth_info;
        auth.impersonate = Some(user.clone());
        auth.impersonate_groups = (!flags.groups.is_empty()).then(|| flags.groups.clone());
        auth.impersonate_uid = None;
        auth.impersonate_user_extra = None;
    }
    Ok(Stated { config, user, files })
}

/// The cluster of the pod in which the command runs, as the pod's ServiceAccount.
fn in_pod(flags: &Connection, files: &Files, variables: Variables<'_>) -> Result<Config, String> {
    let none = files.missing();
    if flags.context.is_some() || flags.cluster.is_some() || flags.user.is_some() {
        return Err(format!(
            "{none} Name a kubeconfig with --kubeconfig or $KUBECONFIG."
        ));
    }
    variables("KUBERNETES_SERVICE_HOST")
        .and_then(|_| Config::incluster().ok())
        .ok_or_else(|| {
            format!(
                "{none} This process is not in a pod with a ServiceAccount either. Name a kubeconfig with --kubeconfig or $KUBECONFIG."
            )
        })
}

/// The cluster and the user that the files state.
fn stated(chosen: &Chosen<'_>, files: &Files, variables: Variables<'_>) -> Result<Config, String> {
    let (cluster, name) = (chosen.cluster, chosen.name);
    let at = |what: &str| format!("Kubeconfig {files}: {what}");
    let server = cluster.server.as_deref().unwrap_or_default();
    let url = server.parse::<http::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    });
    let url = url.ok_or_else(|| {
        at(&format!(
            "server {server:?} of cluster {name:?} is not a URL that begins with https:// or http://. Correct the file."
        ))
    })?;
    let mut config = Config::new(url);
    if let Some(namespace) = chosen.namespace.clone().filter(|namespace| !namespace.is_empty()) {
        config.default_namespace = namespace;
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    let authority = data(
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
        "certificate-authority",
    );
    let of_cluster = |wrong: String| at(&format!("{wrong} Correct cluster {name:?}."));
    if let Some(pem) = authority.map_err(of_cluster)? {
        config.root_cert = Some(certificates(&pem, "certificate-authority").map_err(of_cluster)?);
    }
    config.proxy_url = proxy(cluster.proxy_url.as_deref(), &config.cluster_url, variables)?;
    config.auth_info = chosen.user.clone();
    identity(&mut config.auth_info).map_err(|wrong| {
        at(&format!(
            "{wrong} Correct user {:?}, or log in again.",
            chosen.user_name
        ))
    })?;
    if let Some(exec) = &mut config.auth_info.exec
        && exec.provide_cluster_info
    {
        exec.cluster = ExecAuthCluster::try_from(cluster).ok();
    }
    Ok(config)
}

struct Chosen<'a> {
    name: &'a str,
    cluster: &'a Cluster,
    user_name: &'a str,
    user: AuthInfo,
    namespace: Option<String>,
}

/// Context, cluster and user. kube would replace a user that does not exist by none.
fn chosen<'a>(
    kubeconfig: &'a Kubeconfig,
    flags: &'a Connection,
    files: &Files,
) -> Result<Chosen<'a>, String> {
    let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
    let context = match flags.context.as_deref().or(kubeconfig.current_context.as_deref()) {
        Some(name) => {
            let found = kubeconfig.contexts.iter().find(|c| c.name == name);
            let found = found.ok_or_else(|| {
                let choice = choice("--context", "contexts", &contexts);
                format!("Kubeconfig {files} has no context named {name:?}. {choice}")
            })?;
            found.context.as_ref()
        }
        // The flags say everything that a context would.
        None if flags.cluster.is_some() => None,
        None => {
            let choice = choice("--context", "contexts", &contexts);
            return Err(format!(
                "Kubeconfig {files} names no current-context. {choice} `kubectl config use-context` sets it."
            ));
        }
    };
    let clusters: Vec<&str> = kubeconfig.clusters.iter().map(|c| c.name.as_str()).collect();
    let name = flags
        .cluster
        .as_deref()
        .or(context.map(|context| context.cluster.as_str()))
        .unwrap_or_default();
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|c| c.name == name)
        .and_then(|c| c.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| {
        let choice = choice("--cluster", "clusters", &clusters);
        format!("Kubeconfig {files} has no cluster named {name:?}. {choice}")
    })?;
    let users: Vec<&str> = kubeconfig.auth_infos.iter().map(|u| u.name.as_str()).collect();
    let user_name = flags
        .user
        .as_deref()
        .or(context.and_then(|context| context.user.as_deref()))
        .unwrap_or_default();
    let user = kubeconfig.auth_infos.iter().find(|u| u.name == user_name);
    if user.is_none() && !user_name.is_empty() {
        let choice = choice("--user", "users", &users);
        return Err(format!(
            "Kubeconfig {files} has no user named {user_name:?}. {choice}"
        ));
    }
    Ok(Chosen {
        name,
        cluster,
        user_name,
        user: user.and_then(|user| user.auth_info.clone()).unwrap_or_default(),
        namespace: context.and_then(|context| context.namespace.clone()),
    })
}

fn choice(flag: &str, many: &str, names: &[&str]) -> String {
    if names.is_empty() {
        format!("It has no {many}: log in to a cluster first.")
    } else {
        format!("Use {flag} with one of: {}.", names.join(", "))
    }
}

/// The client certificate and its key, checked, as data. Empty fields are none.
fn identity(auth: &mut AuthInfo) -> Result<(), String> {
    auth.token = auth
        .token
        .take()
        .filter(|token| !token.expose_secret().is_empty());
    auth.username = auth.username.take().filter(|name| !name.is_empty());
    auth.token_file = auth.token_file.take().filter(|file| !file.ends_with('/'));
    let certificate = data(
        auth.client_certificate_data.as_deref(),
        auth.client_certificate.as_deref(),
        "client-certificate",
    )?;
    let key = auth.client_key_data.take();
    let key = key.as_ref().map(ExposeSecret::expose_secret);
    let key = data(key, auth.client_key.as_deref(), "client-key")?;
    auth.client_certificate = None;
    auth.client_certificate_data = None;
    auth.client_key = None;
    match (certificate, key) {
        (None, None) => Ok(()),
        (Some(_), None) => Err("client-certificate is there, but client-key is missing.".to_owned()),
        (None, Some(_)) => Err("client-key is there, but client-certificate is missing.".to_owned()),
        (Some(certificate), Some(key)) => {
            certificates(&certificate, "client-certificate")?;
            PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
                "client-key contains no private key in PEM format, PKCS #8, PKCS #1 or SEC 1, without a password.".to_owned()
            })?;
            auth.client_certificate_data = Some(STANDARD.encode(certificate));
            auth.client_key_data = Some(STANDARD.encode(key).into());
            Ok(())
        }
    }
}

/// The bytes of a field `…-data`, which wins, or of the file that the field without `-data` names. An empty field is none.
fn data(data: Option<&str>, file: Option<&str>, field: &str) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let bytes = STANDARD.decode(data);
        return bytes
            .map(Some)
            .map_err(|_| format!("{field}-data is not base64."));
    }
    // kube 5.0.0 makes an empty path that of the folder.
    let Some(file) = file.filter(|file| !file.is_empty() && !file.ends_with('/')) else {
        return Ok(None);
    };
    let bytes = std::fs::read(file);
    bytes
        .map(Some)
        .map_err(|e| format!("{field} {file} cannot be read: {e}."))
}

fn certificates(pem: &[u8], field: &str) -> Result<Vec<Vec<u8>>, String> {
    let none = || format!("{field} contains no certificate in PEM format.");
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read: Vec<Vec<u8>> = read
        .map_err(|_| none())?
        .into_iter()
        .map(|c| c.to_vec())
        .collect();
    if read.is_empty() { Err(none()) } else { Ok(read) }
}
