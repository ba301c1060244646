//! `/healthz`, `/readyz` and `/metrics`.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tower::ServiceExt;

use crate::cluster::pulse::QUIET;
use crate::operator::context::Context;
use crate::operator::health::Health;

type Shared = (Arc<Health>, Arc<Context>);

/// Limits for a client. A scraper or a probe sends a head of a few hundred bytes immediately, and reads the answer.
#[derive(Clone, Copy)]
struct Limits {
    /// How long the head of a request may take from the start of the connection.
    head: Duration,
    /// How long a connection may take in all: its one request and the answer.
    connection: Duration,
    /// How many connections are open at the same time.
    connections: usize,
}

const LIMITS: Limits = Limits {
    head: Duration::from_secs(5),
    connection: Duration::from_secs(15),
    connections: 64,
};
/// Bytes of a request's head. It is the least that hyper reads.
const LONGEST_HEAD: usize = 8 * 1024;
/// The pause after a connection could not be accepted, for example without free file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>, context: Arc<Context>) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((health, context));
    answer(listener, router, LIMITS).await;
}

/// A connection that is open.
struct Open {
    task: AbortHandle,
    /// Its request has arrived and is being answered.
    asked: Arc<AtomicBool>,
}

/// Answers one request a connection. If all connections are in use, the one that has been silent for longest is closed: no client
/// can block the kubelet's probes with open connections that send nothing.
async fn answer(listener: TcpListener, router: Router, limits: Limits) {
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "A connection could not be accepted.");
                // A connection that the client has closed costs nothing; any other error lasts.
                if !matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
                ) {
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
                continue;
            }
        };
        open.retain(|connection| !connection.task.is_finished());
        if open.len() >= limits.connections {
            let silent = open.iter().position(|o| !o.asked.load(Ordering::Relaxed));
            match silent.and_then(|place| open.remove(place)) {
                Some(silent) => silent.task.abort(),
                // All connections are being answered: a new one is refused by closing it.
                None => continue,
            }
        }
        let asked = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(connection(stream, router.clone(), Arc::clone(&asked), limits));
        open.push_back(Open {
            task: task.abort_handle(),
            asked,
        });
    }
}

async fn connection(stream: TcpStream, router: Router, asked: Arc<AtomicBool>, limits: Limits) {
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        router.clone().oneshot(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // The operator does not act on how a connection ends.
    let _ = tokio::time::timeout(limits.connection, served).await;
}

async fn healthz(State((health, context)): State<Shared>) -> (StatusCode, &'static str) {
    if health.hangs(context.metrics.leader.get() == 1) {
        (StatusCode::INTERNAL_SERVER_ERROR, "The work loop is stuck.\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn readyz(State((health, context)): State<Shared>) -> (StatusCode, String) {
    let left = *health.ready.borrow();
    if left > 0 {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{left} watches have not finished their first list.\n"),
        );
    }
    if health.hangs(context.metrics.leader.get() == 1) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "The work loop is stuck.\n".to_owned(),
        );
    }
    let silent = health.pulse.silent(QUIET);
    if !silent.is_empty() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "No answer for {} s on watches: {}.\n",
                QUIET.as_secs(),
                silent.join(", ")
            ),
        );
    }
    (StatusCode::OK, "ok\n".to_owned())
}

async fn metrics(State((_, context)): State<Shared>) -> impl IntoResponse {
    let text = context.metrics.render(&context.observer);
    (
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    use crate::operator::http::*;

    const SOON: Duration = Duration::from_secs(20);

    async fn served(limits: Limits) -> SocketAddr {
        served_and_told(limits, Arc::new(Semaphore::new(0))).await
    }

    /// `asked` gets a permit for each request whose answer never comes.
    async fn served_and_told(limits: Limits, asked: Arc<Semaphore>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let never = async move || {
            asked.add_permits(1);
            std::future::pending::<&str>().await
        };
        let router = Router::new()
            .route("/", get(async || "ok\n"))
            .route("/never", get(never));
        tokio::spawn(answer(listener, router, limits));
        address
    }

    async fn open(address: SocketAddr, says: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(says).await.expect("written");
        stream
    }

    /// Everything received until the connection is closed.
    async fn answered(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        // Closing what has not been read resets the connection: that is an end, too.
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut text))
            .await
            .expect("closed");
        String::from_utf8(text).expect("UTF-8")
    }

    const PROBE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn who_is_silent_gives_way_to_a_probe() {
        let limits = Limits {
            head: SOON * 2,
            connection: SOON * 2,
            ..LIMITS
        };
        let address = served(limits).await;
        let mut silent = vec![];
        for _ in 0..limits.connections {
            silent.push(open(address, b"GET /").await);
        }
        let text = answered(open(address, PROBE).await).await;
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("ok\n"),
            "{text}"
        );
        assert_eq!(answered(silent.remove(0)).await, "", "the oldest had to go");
    }

    #[tokio::test]
    async fn where_everybody_is_being_answered_whoever_comes_is_refused() {
        let limits = Limits {
            connections: 2,
            connection: SOON * 2,
            ..LIMITS
        };
        let asked = Arc::new(Semaphore::new(0));
        let address = served_and_told(limits, Arc::clone(&asked)).await;
        let mut waiting = vec![];
        for _ in 0..limits.connections {
            waiting.push(open(address, b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await);
            asked.acquire().await.expect("open").forget();
        }
        assert_eq!(answered(open(address, PROBE).await).await, "");
        waiting.clear();
    }

    #[tokio::test]
    async fn a_head_that_is_late_or_too_long_and_an_answer_that_nobody_takes_end_the_connection() {
        let short = Duration::from_millis(100);
        let address = served(Limits {
            head: short,
            ..LIMITS
        })
        .await;
        assert_eq!(
            answered(open(address, b"GET / HTTP/1.1\r\nHost:").await).await,
            ""
        );
        assert_eq!(answered(open(address, b"").await).await, "");
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(LONGEST_HEAD));
        let text = answered(open(address, long.as_bytes()).await).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 431 "), "{text}");
        let address = served(Limits {
            connection: short,
            ..LIMITS
        })
        .await;
        let never = open(address, b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(answered(never).await, "");
    }
}
