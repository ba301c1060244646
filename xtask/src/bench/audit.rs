//! The operator's requests, from the API server's audit log. Requests on behalf of a deployer are its requests, too: the log
//! records the authenticated user and the impersonated one separately.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::control_plane::ControlPlane;
use crate::operator::{RELEASE, username};

use super::fleet::Name;

/// The class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Write,
    Read,
    DryRun,
    Review,
    Event,
    Leadership,
    /// Watches end every 30 s and are restarted, whatever there is to watch.
    Watch,
}

impl Class {
    /// Whether such requests are periodic, and not caused by a release.
    fn by_the_clock(self) -> bool {
        matches!(self, Self::Leadership | Self::Watch)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    user: User,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    object_ref: Option<ObjectRef>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

struct Request {
    class: Class,
    at: Timestamp,
    /// Verb and resource.
    what: String,
    namespace: String,
    name: String,
}

/// The operator's requests so far.
pub struct Audit {
    path: PathBuf,
    read: RefCell<Read>,
}

#[derive(Default)]
struct Read {
    offset: u64,
    requests: Vec<Request>,
}

impl Audit {
    pub fn of(cluster: &ControlPlane) -> Result<Self> {
        Ok(Self {
            path: cluster.audit_log().context("the cluster has no audit log")?,
            read: RefCell::default(),
        })
    }

    /// The number of requests of each class since then.
    pub fn count(&self, since: Timestamp) -> Result<HashMap<Class, usize>> {
        self.catch_up()?;
        let mut counts = HashMap::new();
        for request in self.read.borrow().requests.iter().filter(|r| r.at >= since) {
            *counts.entry(request.class).or_default() += 1;
        }
        Ok(counts)
    }

    /// The number of requests of each kind since then, without those of leader election.
    pub fn kinds(&self, since: Timestamp) -> Result<BTreeMap<String, usize>> {
        self.catch_up()?;
        let mut counts = BTreeMap::new();
        let read = self.read.borrow();
        for request in read
            .requests
            .iter()
            .filter(|r| r.at >= since && !r.class.by_the_clock())
        {
            *counts
                .entry(format!("{:?} {}", request.class, request.what))
                .or_default() += 1;
        }
        Ok(counts)
    }

    /// Waits until only periodic requests have been sent for a while.
    pub async fn silence(&self, length: Duration) -> Result<()> {
        let length = jiff::SignedDuration::try_from(length)?;
        let began = Timestamp::now();
        loop {
            self.catch_up()?;
            let last = {
                let read = self.read.borrow();
                let asked = read.requests.iter().filter(|r| !r.class.by_the_clock());
                asked.map(|r| r.at).max().unwrap_or(began).max(began)
            };
            if Timestamp::now().duration_since(last) >= length {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// When the operator first wrote for a Release at or after an instant.
    pub async fn first_write(&self, release: &Name, since: Timestamp) -> Result<Timestamp> {
        let claim = claim(&release.first_target);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while std::time::Instant::now() < deadline {
            self.catch_up()?;
            let found = self
                .read
                .borrow()
                .requests
                .iter()
                .filter(|r| r.class == Class::Write && r.at >= since)
                .filter(|r| {
                    r.namespace == release.namespace || r.namespace == release.first_target || r.name == claim
                })
                .map(|r| r.at)
                .min();
            if let Some(at) = found {
                return Ok(at);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!(
            "the operator wrote nothing for {} in {} within 60 s",
            release.name,
            release.namespace
        )
    }

    fn catch_up(&self) -> Result<()> {
        let mut read = self.read.borrow_mut();
        let mut file = BufReader::new(File::open(&self.path)?);
        file.seek(SeekFrom::Start(read.offset))?;
        let operator = username();
        let mut line = String::new();
        // A line without its end is still being written.
        while file.read_line(&mut line)? > 0 && line.ends_with('\n') {
            read.offset += line.len() as u64;
            if line.contains(&operator) {
                let entry: Entry = serde_json::from_str(&line).context("the audit log cannot be read")?;
                if entry.user.username == operator {
                    read.requests.push(request(entry));
                }
            }
            line.clear();
        }
        Ok(())
    }
}

fn request(entry: Entry) -> Request {
    let object = entry.object_ref.unwrap_or_default();
    let class = match (object.api_group.as_str(), object.resource.as_str()) {
        ("coordination.k8s.io", "leases") if object.name == RELEASE => Class::Leadership,
        ("authorization.k8s.io" | "authentication.k8s.io", _) => Class::Review,
        (_, "events") => Class::Event,
        _ if entry.verb == "watch" => Class::Watch,
        _ if ["get", "list"].contains(&entry.verb.as_str()) => Class::Read,
        _ if entry.uri.contains("dryRun=") => Class::DryRun,
        _ => Class::Write,
    };
    let part = if object.subresource.is_empty() {
        String::new()
    } else {
        format!("/{}", object.subresource)
    };
    Request {
        class,
        at: entry.request_received_timestamp,
        what: format!("{} {}{part}", entry.verb, object.resource),
        namespace: object.namespace,
        name: object.name,
    }
}

/// The name of the Lease that locks a target namespace.
fn claim(namespace: &str) -> String {
    let hash = Sha256::digest(namespace);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("claim-{hash}")
}
