//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Context;
use super::watches::Ready;
use crate::cluster::pulse::{Pulse, QUIET};

/// A loop that has not turned for this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Whether the process does its work.
pub(super) struct Health {
    started: Instant,
    /// Milliseconds after `started` at which the loop last turned; 0 before it first leads.
    last_beat: AtomicU64,
    ready: Ready,
    pulse: Pulse,
}

impl Health {
    pub(super) fn new(ready: Ready, pulse: Pulse) -> Self {
        Self {
            started: Instant::now(),
            last_beat: AtomicU64::new(0),
            ready,
            pulse,
        }
    }

    pub(super) fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_beat.store(now.max(1), Ordering::Relaxed);
    }

    fn hangs(&self, leads: bool) -> bool {
        let beat = Duration::from_millis(self.last_beat.load(Ordering::Relaxed));
        leads && !beat.is_zero() && self.started.elapsed().saturating_sub(beat) > HANGS_AFTER
    }
}

type Shared = (Arc<Health>, Arc<Context>);

pub(super) async fn serve(listener: TcpListener, health: Arc<Health>, context: Arc<Context>) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((health, context));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the health endpoint has ended");
    }
}

async fn healthz(State((health, context)): State<Shared>) -> (StatusCode, &'static str) {
    if health.hangs(context.metrics.leader.get() == 1) {
        (StatusCode::INTERNAL_SERVER_ERROR, "the work loop does not turn\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn readyz(State((health, context)): State<Shared>) -> (StatusCode, String) {
    let left = *health.ready.borrow();
    if left > 0 {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{left} watches have not listed yet\n"),
        );
    }
    if health.hangs(context.metrics.leader.get() == 1) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the work loop does not turn\n".to_owned(),
        );
    }
    let silent = health.pulse.silent(QUIET);
    if !silent.is_empty() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not heard for {} s: {}\n", QUIET.as_secs(), silent.join(", ")),
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
