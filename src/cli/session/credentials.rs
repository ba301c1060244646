//! Credentials that a file, a command or an identity provider gives, and that expire: each is asked once, and again after it has expired.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, header};
use jiff::{SignedDuration, Timestamp};
use kube::Config;
use kube::client::Body;
use kube::config::ExecConfig;
use tower::{BoxError, Layer, Service};

use super::files::Variables;
use super::kubeconfig::Stated;
use super::oidc::Oidc;
use super::plugin;
use super::token::{MARGIN, NoCredentials, Token};

/// Who gives the token.
pub(super) enum Source {
    /// `tokenFile`. It is read again each minute, as in kubectl.
    File(PathBuf),
    /// `exec`: a command.
    Plugin(Box<ExecConfig>),
    /// `auth-provider` named `oidc`.
    Oidc(Box<Oidc>),
}

impl Source {
    async fn token(&mut self) -> Result<Token, String> {
        match self {
            Self::File(path) => {
                let token = std::fs::read_to_string(&*path).map_err(|e| {
                    format!(
                        "tokenFile {} of the kubeconfig cannot be read: {e}. Log in to the cluster again.",
                        path.display()
                    )
                })?;
                Ok(Token {
                    // kube 5.0.0 sends the line break at the end of the file, too.
                    token: token.trim().to_owned(),
                    until: Some(Timestamp::now() + SignedDuration::from_mins(1)),
                })
            }
            Self::Plugin(exec) => {
                let given = plugin::run(exec).await?;
                let token = given
                    .token
                    .ok_or_else(|| plugin::odd(exec, "has returned no token"))?;
                Ok(Token {
                    token,
                    until: given.until,
                })
            }
            Self::Oidc(oidc) => oidc.token().await,
        }
    }
}

/// The configuration of a client without the credentials that can expire, and those, of which it gets the first.
///
/// # Errors
/// A sentence: who gave no credentials, and what to do.
pub(super) async fn first(
    stated: Stated,
    variables: Variables<'_>,
) -> Result<(Config, Option<Tokens>), String> {
    let Stated {
        mut config,
        user,
        files,
    } = stated;
    let auth = &mut config.auth_info;
    let mut given = None;
    let mut source = if let Some(provider) = auth.auth_provider.take_if(|provider| provider.name == "oidc") {
        Source::Oidc(Box::new(Oidc::new(&provider.config, user, files, variables)?))
    } else if auth.auth_provider.is_some() || auth.username.is_some() || auth.token.is_some() {
        return Ok((config, None));
    } else if let Some(file) = auth.token_file.take() {
        Source::File(file.into())
    } else if let Some(exec) = auth.exec.take() {
        let answer = plugin::run(&exec).await?;
        if let (Some(certificate), Some(key)) = (&answer.certificate, &answer.key) {
            auth.client_certificate_data = Some(STANDARD.encode(certificate));
            auth.client_key_data = Some(STANDARD.encode(key).into());
        }
        let Some(token) = answer.token else {
            return Ok((config, None));
        };
        given = Some(Token {
            token,
            until: answer.until,
        });
        Source::Plugin(Box::new(exec))
    } else {
        return Ok((config, None));
    };
    let token = match given {
        Some(token) => token,
        None => source.token().await?,
    };
    let state = State {
        source: tokio::sync::Mutex::new(source),
        token: Mutex::new(token),
    };
    Ok((config, Some(Tokens(Arc::new(state)))))
}

struct State {
    source: tokio::sync::Mutex<Source>,
    token: Mutex<Token>,
}

impl State {
    /// The header with a token that is still valid.
    fn header(&self) -> Option<Result<HeaderValue, NoCredentials>> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if token
            .until
            .is_some_and(|until| Timestamp::now() + MARGIN >= until)
        {
            return None;
        }
        let header = HeaderValue::try_from(format!("Bearer {}", token.token));
        Some(match header {
            Ok(mut header) => {
                header.set_sensitive(true);
                Ok(header)
            }
            Err(_) => Err(NoCredentials(
                "The bearer token of the kubeconfig's user contains characters that no token contains. Log in to the cluster again."
                    .to_owned(),
            )),
        })
    }

    /// The same, from the source if there is none.
    async fn fresh(self: Arc<Self>) -> Result<HeaderValue, NoCredentials> {
        let mut source = self.source.lock().await;
        if let Some(header) = self.header() {
            return header;
        }
        let token = source.token().await.map_err(NoCredentials)?;
        let header = HeaderValue::try_from(format!("Bearer {}", token.token));
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        // A source may give a token that ends at once. It is used for one request.
        header.map_err(|_| {
            NoCredentials("The new bearer token contains characters that no token contains.".to_owned())
        })
    }
}

/// Adds the token to each request.
#[derive(Clone)]
pub(super) struct Tokens(Arc<State>);

impl<S> Layer<S> for Tokens {
    type Service = Authorized<S>;

    fn layer(&self, inner: S) -> Authorized<S> {
        Authorized {
            inner,
            state: Arc::clone(&self.0),
            renewing: None,
            header: None,
        }
    }
}

type Renewing = Pin<Box<dyn Future<Output = Result<HeaderValue, NoCredentials>> + Send>>;

/// Requests with a token. The token is renewed before a request is accepted.
pub(super) struct Authorized<S> {
    inner: S,
    state: Arc<State>,
    renewing: Option<Renewing>,
    header: Option<Result<HeaderValue, NoCredentials>>,
}

impl<S> Service<Request<Body>> for Authorized<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.renewing.is_none() {
            self.header = self.state.header();
        }
        if self.header.is_none() {
            let state = &self.state;
            let renewing = self
                .renewing
                .get_or_insert_with(|| Box::pin(Arc::clone(state).fresh()));
            let renewed = std::task::ready!(renewing.as_mut().poll(context));
            self.renewing = None;
            self.header = Some(renewed);
        }
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.header.take() {
            Some(Ok(header)) => {
                request.headers_mut().insert(header::AUTHORIZATION, header);
                let answer = self.inner.call(request);
                Box::pin(async move { answer.await.map_err(Into::into) })
            }
            Some(Err(none)) => Box::pin(async move { Err(none.into()) }),
            None => Box::pin(async { Err(NoCredentials("No credentials are ready.".to_owned()).into()) }),
        }
    }
}
