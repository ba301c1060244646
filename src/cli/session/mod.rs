//! A session with the API server: who the user is, which cluster, which namespace. Every command that reads or writes a cluster has one.

mod credentials;
mod failure;
mod files;
mod flags;
mod kubeconfig;
mod listing;
mod oidc;
mod pause;
mod plugin;
mod proxy;
#[cfg(test)]
mod tests;
mod token;

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::{Api, Client};

use crate::api::GROUP;
use crate::decide::consent::is_label;
use files::Variables;

pub(crate) use failure::failed;
pub(crate) use flags::{Connection, Place};
pub(crate) use listing::{Listed, Query, decisions, get, list, reach, records};
pub(crate) use pause::Pause;

/// The field manager of what people write with this command line.
pub(crate) const FIELD_MANAGER: &str = "kubectl-signalbox";

/// A connection to one cluster as one user.
pub(crate) struct Session {
    /// Sends requests as the user.
    pub client: Client,
    /// The namespace of the flag, of the context, or `default`.
    pub namespace: String,
    /// How messages name the API server: its address, and the proxy.
    pub server: String,
}

/// A right that a command asks about before it acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    /// The verb, such as `approve`.
    pub verb: String,
    /// The resource of the API group `signalbox.dev`, such as `environments`.
    pub resource: String,
    /// The subresource: for `approve`, the role. Empty if there is none.
    pub subresource: String,
    /// The namespace in which the right applies.
    pub namespace: String,
    /// The name of the object. Empty for any.
    pub name: String,
}

impl Session {
    /// Connects: reads the kubeconfig, gets credentials, and prepares a client. No request is sent to the API server yet.
    ///
    /// # Errors
    /// A sentence: which file, which context, and what to do.
    pub async fn open(connection: &Connection, namespace: Option<&str>) -> Result<Self, String> {
        Self::within(connection, namespace, &|name| std::env::var_os(name)).await
    }

    /// The same with these environment variables.
    async fn within(
        connection: &Connection,
        namespace: Option<&str>,
        variables: Variables<'_>,
    ) -> Result<Self, String> {
        if let Some(name) = namespace
            && !is_label(name)
        {
            return Err(format!(
                "--namespace {name:?} is not the name of a namespace: lower-case letters, digits and dashes, with a letter or digit at both ends."
            ));
        }
        // The provider is installed once per process. An earlier call installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stated = kubeconfig::config(connection, variables)?;
        let (mut config, tokens) = credentials::first(stated, variables).await?;
        let flags::Timeout(limit) = connection.request_timeout;
        config.connect_timeout = Some(limit.unwrap_or(Duration::from_secs(10)));
        config.read_timeout = limit;
        // Otherwise the time between two requests counts, too.
        config.reset_reader_on_write = true;
        // A person waits for the answer: the error of the first try is better than a late one.
        config.default_retry = false;
        config.headers.push((
            http::header::USER_AGENT,
            http::HeaderValue::from_static(concat!("kubectl-signalbox/", env!("CARGO_PKG_VERSION"))),
        ));
        let server = config.cluster_url.to_string();
        let mut server = server.trim_end_matches('/').to_owned();
        if let Some(proxy) = &config.proxy_url {
            server = format!("{server} (through the proxy {})", proxy::shown(proxy));
        }
        let default = config.default_namespace.clone();
        let prepared = ClientBuilder::try_from(config).map_err(|e| {
            format!(
                "Cannot prepare the connection to {server}: {}. Correct the kubeconfig.",
                failure::causes(&e)
            )
        })?;
        let client = match tokens {
            Some(tokens) => prepared.with_layer(&tokens).build(),
            None => prepared.build(),
        };
        Ok(Self {
            client,
            namespace: namespace.map_or(default, str::to_owned),
            server,
        })
    }

    /// The user name that the API server has authenticated.
    ///
    /// # Errors
    /// The API server does not say who the user is.
    pub async fn user(&self) -> Result<String, String> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = reviews
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .map_err(|e| failed(&self.server, "Cannot ask the API server who you are", &e))?;
        let user = review.status.and_then(|status| status.user_info);
        user.and_then(|user| user.username).ok_or_else(|| {
            "The API server did not say who you are: SelfSubjectReview has no userInfo.username.".to_owned()
        })
    }

    /// Whether the user has `right`, as the API server's authorizers answer.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn may(&self, right: &Right) -> Result<bool, String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    verb: text(&right.verb),
                    resource: text(&right.resource),
                    subresource: text(&right.subresource),
                    namespace: text(&right.namespace),
                    name: text(&right.name),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(|e| failed(&self.server, "Cannot ask the API server for your rights", &e))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
