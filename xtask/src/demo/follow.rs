//! Watches the Releases and prints each transition as it happens.

use std::collections::HashMap;

use anyhow::{Result, bail};
use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use signalbox::api::Release;
use signalbox::api::release::{CheckState, ComponentState, Promotion, State};
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
                    // The watch begins again by itself; a story that stands still says so in its own time.
                    Err(_) => {}
                }
            }
        });
        Self { seen, task }
    }

    /// Waits until a Release is as the story has it.
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
            bail!("{name} did not {what} within {} s; {stands}", PATIENCE.as_secs());
        }
        match seen {
            Some(release) if is_so(&release) => Ok(release),
            _ => bail!("{name} did not {what}"),
        }
    }
}

/// Where each promotion is, and why it does not move.
fn stands(release: &Release) -> String {
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    let lines = promotions.map(|p| format!("{} is {:?}: {}", p.name, p.state, why(p)));
    lines.collect::<Vec<_>>().join("; ")
}

/// Nothing but a person gets it out of here, and none in this story does.
fn is_lost(release: &Release) -> bool {
    let mut promotions = release.status.iter().flat_map(|s| &s.environments);
    promotions.any(|p| {
        matches!(
            p.state,
            State::AwaitingDecision | State::Failed | State::BackedOut
        )
    })
}

fn print(release: &Release, lines: &mut HashMap<(String, String), String>, screen: &Screen) {
    for promotion in release.status.iter().flat_map(|s| &s.environments) {
        if promotion.state == State::Pending {
            continue;
        }
        let line = format!("{:?} {}", promotion.state, subject(promotion));
        let key = (release.name_any(), promotion.name.clone());
        if lines.get(&key) != Some(&line) {
            lines.insert(key, line);
            screen.transition(&promotion.name, promotion.state, &why(promotion));
        }
    }
}

/// What makes for another line when it changes, unlike a message that merely counts seconds.
fn subject(promotion: &Promotion) -> String {
    match promotion.state {
        State::Waiting => blockers(promotion).next().unwrap_or_default().0,
        State::Deploying => components(promotion),
        _ => String::new(),
    }
}

/// What it waits for, or how it ended.
fn why(promotion: &Promotion) -> String {
    let said = promotion.message.clone();
    let observation = promotion.entered.as_ref().and_then(|e| e.observation.as_ref());
    match promotion.state {
        State::Waiting => match blockers(promotion).next() {
            Some((name, message)) => format!("{name}: {message}"),
            None => "every check is satisfied".to_owned(),
        },
        State::Deploying => components(promotion),
        State::Verifying => said.unwrap_or_else(|| verifications(promotion)),
        State::Observing => said
            .or(observation.map(|d| format!("healthy for {d}")))
            .unwrap_or_default(),
        _ => said.unwrap_or_default(),
    }
}

fn blockers(promotion: &Promotion) -> impl Iterator<Item = (String, String)> {
    promotion
        .checks
        .iter()
        .filter(|check| check.state != CheckState::Satisfied && !check.advisory)
        .map(|check| (check.name.clone(), check.message.clone()))
}

fn components(promotion: &Promotion) -> String {
    let of = |ready: bool| {
        let components = promotion.components.iter();
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

fn verifications(promotion: &Promotion) -> String {
    let listed = promotion.entered.iter().flat_map(|e| &e.verification);
    listed.map(|v| v.name.as_str()).collect::<Vec<_>>().join(", ")
}
