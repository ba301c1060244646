//! From kubeconfig files and flags to the address and the credentials of one cluster, by kubectl's rules.

use std::path::{Path, PathBuf};

use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::flags::Connection;

/// The cluster that the flags name.
///
/// # Errors
/// A sentence: which file, which context, and what to do.
pub(crate) async fn config(flags: &Connection) -> Result<Config, String> {
    let files = files(flags.kubeconfig.as_deref());
    let Some(kubeconfig) = read(&files)? else {
        if flags.context.is_some() || flags.cluster.is_some() || flags.user.is_some() {
            return Err(format!("{} Name a kubeconfig with --kubeconfig.", none(&files)));
        }
        let mut config = Config::incluster().map_err(|_| {
            format!(
                "{} This process is not in a pod with a ServiceAccount either. Name a kubeconfig with --kubeconfig or $KUBECONFIG.",
                none(&files)
            )
        })?;
        impersonate(&mut config.auth_info, flags);
        return Ok(config);
    };
    chosen(&kubeconfig, flags, &files)?;
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let own_proxy = cluster_proxy(&kubeconfig, flags);
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|e| wrong(&files, &e))?;
    config.proxy_url = proxy(own_proxy, &config.cluster_url)?;
    impersonate(&mut config.auth_info, flags);
    Ok(config)
}

/// The file of the flag, else those of $KUBECONFIG, else the default one.
fn files(flag: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = flag {
        return vec![path.to_owned()];
    }
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&listed)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    let home = std::env::home_dir().unwrap_or_default();
    vec![home.join(".kube").join("config")]
}

fn named(files: &[PathBuf]) -> String {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    files.join(", ")
}

fn none(files: &[PathBuf]) -> String {
    format!("No kubeconfig found: {} does not exist.", named(files))
}

/// All files, merged: the first one that states a value wins. `None` if none exists. As in kubectl, one of several may be missing.
fn read(files: &[PathBuf]) -> Result<Option<Kubeconfig>, String> {
    let mut merged: Option<Kubeconfig> = None;
    for file in files {
        if !file.exists() {
            continue;
        }
        let at = |e: KubeconfigError| format!("Kubeconfig {} cannot be read: {e}.", file.display());
        let next = Kubeconfig::read_from(file).map_err(at)?;
        merged = Some(match merged {
            Some(before) => before.merge(next).map_err(at)?,
            None => next,
        });
    }
    Ok(merged)
}

/// Whether context, cluster and user exist. kube would replace a user that does not exist by none.
fn chosen(kubeconfig: &Kubeconfig, flags: &Connection, files: &[PathBuf]) -> Result<(), String> {
    let at = named(files);
    let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
    let choice = if contexts.is_empty() {
        "It has no contexts: log in to a cluster first.".to_owned()
    } else {
        format!("Use --context with one of: {}.", contexts.join(", "))
    };
    let current = kubeconfig
        .current_context
        .as_deref()
        .filter(|name| !name.is_empty());
    let Some(context) = flags.context.as_deref().or(current) else {
        return Err(format!(
            "Kubeconfig {at} names no current-context. {choice} kubectl config use-context NAME sets it."
        ));
    };
    let Some(found) = kubeconfig.contexts.iter().find(|c| c.name == context) else {
        return Err(format!(
            "Kubeconfig {at} has no context named {context:?}. {choice}"
        ));
    };
    let found = found.context.clone().unwrap_or_default();
    let cluster = flags.cluster.as_deref().unwrap_or(&found.cluster);
    if !kubeconfig.clusters.iter().any(|c| c.name == cluster) {
        return Err(format!(
            "Kubeconfig {at} has no cluster named {cluster:?}, which {} names. Correct the kubeconfig, or use --cluster.",
            if flags.cluster.is_some() {
                "--cluster".to_owned()
            } else {
                format!("its context {context:?}")
            }
        ));
    }
    let user = flags
        .user
        .as_deref()
        .or(found.user.as_deref())
        .unwrap_or_default();
    if !user.is_empty() && !kubeconfig.auth_infos.iter().any(|u| u.name == user) {
        return Err(format!(
            "Kubeconfig {at} has no user named {user:?}, which {} names. Correct the kubeconfig, or use --user.",
            if flags.user.is_some() {
                "--user".to_owned()
            } else {
                format!("its context {context:?}")
            }
        ));
    }
    Ok(())
}

fn wrong(files: &[PathBuf], error: &KubeconfigError) -> String {
    format!("Kubeconfig {}: {}.", named(files), super::failure::causes(error))
}

fn impersonate(auth: &mut AuthInfo, flags: &Connection) {
    if let Some(user) = &flags.impersonate {
        auth.impersonate = Some(user.clone());
        auth.impersonate_groups = (!flags.groups.is_empty()).then(|| flags.groups.clone());
        auth.impersonate_uid = None;
        auth.impersonate_user_extra = None;
    }
}

/// `proxy-url` of the cluster.
fn cluster_proxy(kubeconfig: &Kubeconfig, flags: &Connection) -> Option<String> {
    let context = flags.context.as_ref().or(kubeconfig.current_context.as_ref())?;
    let context = kubeconfig.contexts.iter().find(|c| c.name == *context)?;
    let name = flags
        .cluster
        .as_ref()
        .or(context.context.as_ref().map(|c| &c.cluster))?;
    let cluster = kubeconfig.clusters.iter().find(|c| c.name == *name)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.clone()?;
    (!proxy.is_empty()).then_some(proxy)
}

/// The proxy for requests to `server`. As in kubectl, `proxy-url` always applies; without it, $HTTPS_PROXY applies unless $NO_PROXY
/// names the host of the API server. kube 5.0.0 compares $NO_PROXY with the host of the proxy instead.
fn proxy(own: Option<String>, server: &http::Uri) -> Result<Option<http::Uri>, String> {
    if let Some(own) = own {
        let uri = own
            .parse()
            .map_err(|e| format!("proxy-url {own:?} of the kubeconfig is not a URL: {e}."))?;
        return Ok(Some(uri));
    }
    // Go never sends requests to this machine through a proxy of the environment.
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if here || Matcher::from_env().intercept(server).is_none() {
        return Ok(None);
    }
    // The matcher takes the user and the password out of the URL. The client needs them.
    let names = match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let variables = names
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let Some((name, value)) = variables.into_iter().find(|(_, value)| !value.is_empty()) else {
        return Ok(None);
    };
    let url = if value.contains("://") {
        value
    } else {
        format!("http://{value}")
    };
    let uri = url.parse().map_err(|e| format!("${name} is not a URL: {e}."))?;
    Ok(Some(uri))
}
