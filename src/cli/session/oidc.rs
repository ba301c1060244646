//! The user's identity token of an OIDC provider (`auth-provider`), renewed by kubectl's rules.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Request, Uri, header};
use jiff::Timestamp;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::failure::reached;
use super::files::{Files, Variables};
use super::proxy::proxy;
use super::token::{MARGIN, Token};

/// What the kubeconfig states about the provider.
pub(super) struct Oidc {
    settings: BTreeMap<String, String>,
    proxy: Option<Uri>,
    issuer: Option<Uri>,
    user: String,
    files: Files,
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

#[derive(Deserialize)]
struct Discovered {
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Answer {
    id_token: Option<String>,
    refresh_token: Option<String>,
}

const AGAIN: &str = "Log in to the cluster again.";

impl Oidc {
    /// The provider of `auth-provider.config`.
    ///
    /// # Errors
    /// A sentence: a URL of a proxy is not one.
    pub fn new(
        config: &HashMap<String, String>,
        user: String,
        files: Files,
        variables: Variables<'_>,
    ) -> Result<Self, String> {
        let settings: BTreeMap<String, String> = config
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let issuer = settings.get("idp-issuer-url");
        let issuer = issuer.and_then(|url| url.trim_end_matches('/').parse::<Uri>().ok());
        let proxy = match &issuer {
            Some(issuer) => proxy(None, issuer, variables)?,
            None => None,
        };
        Ok(Self {
            settings,
            proxy,
            issuer,
            user,
            files,
        })
    }

    fn setting(&self, name: &str) -> Result<&str, String> {
        self.settings.get(name).map(String::as_str).ok_or_else(|| {
            format!(
                "The kubeconfig's user has an OIDC identity token that has expired, and no {name}, so that it cannot be renewed. {AGAIN}"
            )
        })
    }

    /// The token of the kubeconfig while it is valid, and then a new one.
    ///
    /// # Errors
    /// A sentence: what is missing, or what the provider answered.
    pub async fn token(&mut self) -> Result<Token, String> {
        if let Some(token) = self.settings.get("id-token")
            && let Some(until) = expiry(token)
            && until > Timestamp::now() + MARGIN
        {
            return Ok(Token {
                token: token.clone(),
                until: Some(until),
            });
        }
        let answer = self.renewed().await?;
        let token = answer.id_token.ok_or_else(|| {
            format!("The identity provider has answered without an identity token. {AGAIN}")
        })?;
        let mut changed = vec![("id-token", token.as_str())];
        changed.extend(
            answer
                .refresh_token
                .as_deref()
                .map(|refresh| ("refresh-token", refresh)),
        );
        for (name, value) in &changed {
            self.settings.insert((*name).to_owned(), (*value).to_owned());
        }
        // A kubeconfig that cannot be written, such as a mounted one, is no reason to refuse the token.
        let _ = self.files.keep(&self.user, &changed);
        Ok(Token {
            until: expiry(&token),
            token,
        })
    }

    async fn renewed(&self) -> Result<Answer, String> {
        let refresh = self.setting("refresh-token")?;
        let id = self.setting("client-id")?;
        let name = self.setting("idp-issuer-url")?;
        let issuer = self.issuer.clone().ok_or_else(|| {
            format!("idp-issuer-url {name:?} of the kubeconfig's user is not a URL. Correct it.")
        })?;
        let client = self.client(issuer.clone())?;
        let said = |error: kube::Error| match error {
            kube::Error::Api(_) => {
                format!(
                    "The identity provider {name} does not renew the identity token of the kubeconfig's user. {AGAIN}"
                )
            }
            kube::Error::SerdeError(_) => {
                format!(
                    "{name} does not answer as an OIDC provider. Correct idp-issuer-url of the kubeconfig's user."
                )
            }
            other => format!(
                "The identity token of the kubeconfig's user has expired, and cannot be renewed: {}",
                reached(&format!("identity provider {name}"), &other)
            ),
        };
        let get = Request::get(format!(
            "{}/.well-known/openid-configuration",
            issuer.path().trim_end_matches('/')
        ));
        let get = get
            .body(Vec::new())
            .map_err(|e| format!("idp-issuer-url {name:?}: {e}."))?;
        let found: Discovered = client.request(get).await.map_err(said)?;
        let endpoint: Uri = found
            .token_endpoint
            .parse()
            .map_err(|_| format!("{name} names a token endpoint that is not a URL. {AGAIN}"))?;
        let client = self.client(endpoint.clone())?;
        let secret = self.settings.get("client-secret").map_or("", String::as_str);
        let form = |pairs: &[(&str, &str)]| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(pairs);
            form.finish()
        };
        let request = |basic: bool| {
            let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
            let mut post = Request::post(endpoint.path_and_query().map_or("/", |path| path.as_str()))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            if basic {
                let both = STANDARD.encode(format!("{id}:{secret}"));
                post = post.header(header::AUTHORIZATION, format!("Basic {both}"));
            } else {
                pairs.push(("client_id", id));
                if !secret.is_empty() {
                    pairs.push(("client_secret", secret));
                }
            }
            post.body(form(&pairs).into_bytes())
                .map_err(|e| format!("idp-issuer-url {name:?}: {e}."))
        };
        // A client without a secret is public, and named in the form. Others are named in the header, or where that is refused, in the form.
        if !secret.is_empty()
            && let Ok(answer) = client.request(request(true)?).await
        {
            return Ok(answer);
        }
        client.request(request(false)?).await.map_err(said)
    }

    fn client(&self, url: Uri) -> Result<Client, String> {
        let mut origin = url.into_parts();
        origin.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        let origin =
            Uri::from_parts(origin).map_err(|e| format!("The URL of the identity provider: {e}."))?;
        let mut config = Config::new(origin);
        config.proxy_url.clone_from(&self.proxy);
        config.default_retry = false;
        config.read_timeout = Some(std::time::Duration::from_secs(30));
        let wrong = "idp-certificate-authority of the kubeconfig's user contains no certificate that can be read. Correct it.";
        let pem = match (
            self.settings.get("idp-certificate-authority-data"),
            self.settings.get("idp-certificate-authority"),
        ) {
            (Some(data), _) => Some(STANDARD.decode(data).map_err(|_| wrong)?),
            (None, Some(file)) => Some(std::fs::read(file).map_err(|_| wrong)?),
            (None, None) => None,
        };
        if let Some(pem) = pem {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            config.root_cert = Some(read.map_err(|_| wrong)?.into_iter().map(|c| c.to_vec()).collect());
        }
        Client::try_from(config).map_err(|e| {
            format!(
                "The identity provider cannot be asked: {}.",
                super::failure::causes(&e)
            )
        })
    }
}

/// When an identity token expires. `None` if it does not say so.
fn expiry(token: &str) -> Option<Timestamp> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "a time in whole seconds")]
    Timestamp::from_second(claims.exp as i64).ok()
}
