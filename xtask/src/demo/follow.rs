//! Watches the Releases and prints each transition as it happens.

use std::collections::HashMap;

use anyhow::{Result, bail};
use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use signalbox::api::Release;
use signalbox::api::release::{ComponentState, State};
use signalbox::view::explain::{Block, Held, InEnvironment, explain};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::show::Screen;

type Seen = HashMap<String, Release>;

/// A watch on the Releases of namespace `payments`, until it is dropped.
pub struct Follower {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    pub fn start(client: Client, screen: Screen) -> Self {
        let (publish, seen) = watch::channel(Seen::new());
        let task = tokio::spawn(async move {
            let releases: Api<Release> = Api::namespaced(client, "payments");
            let changes = watcher(releases, watcher::Config::default())
                .default_backoff()
                .applied_objects();
            let mut changes = std::pin::pin!(changes);
            let mut lines = HashMap::new();
            loop {
                match changes.try_next().await {
                    Ok(Some(release)) => {
                        print(&release, &mut lines, &screen);
                        publish.send_modify(|seen| {
                            seen.insert(release.name_any(), release);
                        });
                    }
                    Ok(None) => return,
                    // The watch restarts by itself. A demo that makes no progress times out.
                    Err(_) => {}
                }
            }
        });
        Self { seen, task }
    }

    /// Waits until a Release is as the demo expects it.
    pub async fn until(
        &mut self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Release) -> bool,
    ) -> Result<Release> {
        let told = |seen: &Seen| {
            seen.get(name)
                .is_some_and(|release| is_so(release) || is_lost(release))
        };
        let in_time = match tokio::time::timeout(PATIENCE, self.seen.wait_for(told)).await {
            Ok(ended) => ended.map(|_| true)?,
            Err(_) => false,
        };
        let seen = self.seen.borrow().get(name).cloned();
        if !in_time {
            let stands = seen.as_ref().map(stands).unwrap_or_default();
            bail!("{name} did not {what} within {} s. {stands}", PATIENCE.as_secs());
        }
        match seen {
            Some(release) if is_so(&release) => Ok(release),
            _ => bail!("{name} did not {what}"),
        }
    }
}

/// The state of each promotion, and why it makes no progress.
fn stands(release: &Release) -> String {
    let environments = explain(release).environments;
    let lines = environments
        .iter()
        .map(|there| format!("{} is {:?}: {}", there.environment, there.state, why(there)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a promotion needs a Decision, which the demo does not make.
fn is_lost(release: &Release) -> bool {
    let mut promotions = release.status.iter().flat_map(|s| &s.environments);
    promotions.any(|p| p.state.is_stuck())
}

fn print(release: &Release, lines: &mut HashMap<(String, String), String>, screen: &Screen) {
    for there in explain(release).environments {
        if there.state == State::Pending {
            continue;
        }
        let line = format!("{:?} {}", there.state, subject(&there));
        let key = (release.name_any(), there.environment.to_owned());
        if lines.get(&key) != Some(&line) {
            lines.insert(key, line);
            screen.transition(there.environment, there.state, &why(&there));
        }
    }
}

/// The part whose change prints another line, unlike a message that only counts seconds.
fn subject(there: &InEnvironment<'_>) -> String {
    match there.state {
        State::Waiting => check(there)
            .map(|held| held.check.name.clone())
            .unwrap_or_default(),
        State::Deploying => components(there),
        _ => String::new(),
    }
}

/// What it waits for, or how it ended.
fn why(there: &InEnvironment<'_>) -> String {
    let said = there.message.map(str::to_owned);
    let observation = there.entered.and_then(|e| e.observation.as_ref());
    match there.state {
        State::Waiting => check(there).map_or("Every check is satisfied.".to_owned(), Held::to_string),
        State::Deploying => components(there),
        State::Verifying => said.unwrap_or_else(|| verifications(there)),
        State::Observing => said
            .or(observation.map(|d| format!("healthy for {d}")))
            .unwrap_or_default(),
        _ => said.unwrap_or_default(),
    }
}

/// The first check that holds it.
fn check<'a>(there: &'a InEnvironment<'_>) -> Option<&'a Held> {
    there.blocks.iter().find_map(Block::check)
}

fn components(there: &InEnvironment<'_>) -> String {
    let of = |ready: bool| {
        let components = there.components.iter();
        components
            .filter(|c| (c.state == ComponentState::Ready) == ready)
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (of(true), of(false)) {
        (ready, open) if ready.is_empty() => open,
        (ready, open) if open.is_empty() => format!("{ready} ready"),
        (ready, open) => format!("{open}; {ready} is ready"),
    }
}

fn verifications(there: &InEnvironment<'_>) -> String {
    let listed = there.entered.iter().flat_map(|e| &e.verification);
    listed.map(|v| v.name.as_str()).collect::<Vec<_>>().join(", ")
}
