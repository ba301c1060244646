//! Whether manifests make sense, found out without a cluster: what the API server refuses, and what the operator would say.
//!
//! No rule stands here a second time. Schemas and CEL come from the definitions, sentences about a Release from
//! `decide::accepted` and from the checks, those about windows from the calendar. Nothing here has a client or a clock.

mod decisions;
mod environments;
mod policies;
mod releases;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Decision, Environment, GROUP, Release, ReleaseReview};
use crate::decide::facts::{Observed, Setting, Settings, Trust};
use crate::manifests::{Manifest, Manifests, field, pointer};
use policies::Policies;
use schema::Definitions;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The API server would refuse it, or the operator could not promote it.
    Error,
    /// Worth knowing, and no reason to stop.
    Note,
}

/// Something that is said about a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub file: String,
    /// Absent for a file that is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// As the API server writes it, such as `spec.gates[0].name`; empty for the object as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    pub message: String,
}

impl std::fmt::Display for Finding {
    /// `file:line: Kind namespace/name: field: sentence`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.place())?;
        if self.severity == Severity::Note {
            f.write_str(" note:")?;
        }
        write!(f, " {}", self.said())
    }
}

impl Finding {
    /// `file:line:`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}:", self.file),
            None => format!("{}:", self.file),
        }
    }

    /// What is behind the place.
    #[must_use]
    pub fn said(&self) -> String {
        let path = match (self.namespace.as_str(), self.name.as_str()) {
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        };
        let object = [self.kind.as_str(), &path];
        let object: Vec<&str> = object.into_iter().filter(|part| !part.is_empty()).collect();
        let parts = [object.join(" "), self.field.clone(), self.message.clone()];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(": ")
    }
}

/// All that is to be said.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub findings: Vec<Finding>,
    pub files: usize,
    /// Objects of our own kinds.
    pub checked: usize,
    /// Objects of other kinds.
    pub passed_over: usize,
}

impl Report {
    /// Nothing speaks against applying this.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }
}

/// Checks `manifests` as they would be checked at `now`.
///
/// `known` are names of Environments that exist besides those among the manifests. Where none are known and fewer than two
/// stand among the manifests, a name that is not among them is noted, and an error otherwise.
#[must_use]
pub fn lint(manifests: &Manifests, known: &[String], now: Timestamp) -> Report {
    let mut linted = Lint::new(manifests, known, now);
    linted.forms();
    linted.doubles();
    linted.environments();
    linted.releases();
    linted.decisions();
    linted.report()
}

/// Objects of our kinds that have their form.
#[derive(Debug, Default)]
pub struct Forms {
    pub environments: Vec<Environment>,
    pub releases: Vec<Release>,
    pub decisions: Vec<Decision>,
    pub reviews: Vec<ReleaseReview>,
}

/// What stands in `manifests`, and why the API server would not take all of it. No more is asked than that.
#[must_use]
pub fn forms(manifests: &Manifests, now: Timestamp) -> (Forms, Vec<Finding>) {
    fn plain<K: Clone>(typed: Vec<Typed<'_, K>>) -> Vec<K> {
        let objects = typed.into_iter().map(|one| Arc::unwrap_or_clone(one.object));
        objects.collect()
    }
    let mut linted = Lint::new(manifests, &[], now);
    linted.forms();
    linted.doubles();
    let mut forms = Forms {
        environments: plain(std::mem::take(&mut linted.environments)),
        releases: plain(std::mem::take(&mut linted.releases)),
        decisions: plain(std::mem::take(&mut linted.decisions)),
        reviews: plain(std::mem::take(&mut linted.reviews)),
    };
    for release in &mut forms.releases {
        release.metadata.uid = None;
    }
    let mut findings = linted.report().findings;
    findings.retain(|finding| finding.severity == Severity::Error);
    (forms, findings)
}

/// An object of ours that has its form.
struct Typed<'a, K> {
    manifest: &'a Manifest,
    object: Arc<K>,
}

struct Lint<'a> {
    manifests: &'a Manifests,
    known: BTreeSet<&'a str>,
    now: Timestamp,
    /// With the position of the manifest, by which they are sorted in the end.
    findings: Vec<(usize, Finding)>,
    checked: usize,
    environments: Vec<Typed<'a, Environment>>,
    releases: Vec<Typed<'a, Release>>,
    decisions: Vec<Typed<'a, Decision>>,
    reviews: Vec<Typed<'a, ReleaseReview>>,
    /// The same, as decisions see them.
    settings: Arc<BTreeMap<String, Setting>>,
}

impl<'a> Lint<'a> {
    fn new(manifests: &'a Manifests, known: &'a [String], now: Timestamp) -> Self {
        Self {
            manifests,
            known: known.iter().map(String::as_str).collect(),
            now,
            findings: Vec::new(),
            checked: 0,
            environments: Vec::new(),
            releases: Vec::new(),
            decisions: Vec::new(),
            reviews: Vec::new(),
            settings: Arc::default(),
        }
    }

    fn error(&mut self, manifest: &Manifest, at: &str, message: impl Into<String>) {
        self.find(Severity::Error, manifest, at, message.into());
    }

    fn note(&mut self, manifest: &Manifest, at: &str, message: impl Into<String>) {
        self.find(Severity::Note, manifest, at, message.into());
    }

    fn find(&mut self, severity: Severity, manifest: &Manifest, at: &str, message: String) {
        let position = self
            .manifests
            .objects
            .iter()
            .position(|other| std::ptr::eq(other, manifest))
            .unwrap_or(usize::MAX);
        let finding = Finding {
            severity,
            file: manifest.file().to_owned(),
            line: Some(manifest.line(at)),
            kind: manifest.kind().to_owned(),
            namespace: manifest.namespace().to_owned(),
            name: manifest.name().to_owned(),
            field: field(&manifest.value, at),
            message,
        };
        self.findings.push((position, finding));
    }

    /// Whether something was found at, above or below the field.
    fn refused(&self, manifest: &Manifest, at: &str) -> bool {
        let called = field(&manifest.value, at);
        let within = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.findings.iter().any(|(_, f)| {
            f.file == manifest.file()
                && f.name == manifest.name()
                && f.namespace == manifest.namespace()
                && f.kind == manifest.kind()
                && !f.field.is_empty()
                && (within(&f.field, &called) || within(&called, &f.field))
        })
    }

    /// What the API server says of each object by itself.
    fn forms(&mut self) {
        let (definitions, policies) = (Definitions::new(), Policies::new());
        let manifests = self.manifests;
        for manifest in &manifests.objects {
            let Some((group, version)) = manifest.api_version().split_once('/') else {
                continue;
            };
            if group != GROUP {
                continue;
            }
            self.checked += 1;
            let kind = manifest.kind();
            if version != "v1alpha1" {
                let sentence = format!("{GROUP} has no version {version}: write {GROUP}/v1alpha1");
                self.error(manifest, "/apiVersion", sentence);
                continue;
            }
            let Some(judged) = definitions.judge(kind, &manifest.value) else {
                let kinds = definitions.kinds().join(", ");
                self.error(
                    manifest,
                    "/kind",
                    format!("{GROUP}/v1alpha1 has no kind {kind:?}: it has {kinds}"),
                );
                continue;
            };
            for refusal in judged.refusals {
                self.error(manifest, &refusal.at, refusal.sentence);
            }
            for at in manifest.stated_twice() {
                let called = field(&manifest.value, at);
                self.error(manifest, at, format!("duplicate field \"{called}\""));
            }
            let plural = definitions.plural(kind).unwrap_or_default();
            for (called, sentence) in policies.judge(plural, &judged.object) {
                self.error(manifest, &pointer(&manifest.value, &called), sentence);
            }
            if manifest.value.get("status").is_some() {
                let sentence =
                    "status is what the operator reports: the API server drops what a manifest says there";
                self.note(manifest, "/status", sentence);
            }
            let object = judged.object;
            match kind {
                "Environment" => self.environments.extend(typed(manifest, object)),
                "Release" => self.releases.extend(typed(manifest, object)),
                "Decision" => self.decisions.extend(typed(manifest, object)),
                _ => self.reviews.extend(typed(manifest, object)),
            }
        }
        for (index, release) in self.releases.iter_mut().enumerate() {
            // Of two that stand in files, the one that stands first is the older one.
            Arc::make_mut(&mut release.object).metadata.uid = Some(format!("{index:09}"));
        }
        self.settings = Arc::new(
            self.environments
                .iter()
                .map(|environment| {
                    let setting = Setting {
                        environment: Arc::clone(&environment.object),
                        calendar: Arc::new(crate::observe::calendar_of(&environment.object)),
                    };
                    (environment.manifest.name().to_owned(), setting)
                })
                .collect(),
        );
    }

    /// Objects that stand twice.
    fn doubles(&mut self) {
        let manifests = self.manifests;
        let mut first: BTreeMap<(&str, &str, &str), &Manifest> = BTreeMap::new();
        for manifest in &manifests.objects {
            let ours = manifest.api_version().starts_with(&format!("{GROUP}/"));
            if !ours || manifest.name().is_empty() {
                continue;
            }
            let key = (manifest.kind(), manifest.namespace(), manifest.name());
            if let Some(other) = first.get(&key) {
                let sentence = format!(
                    "{} {} stands in {}:{} already: the later one would replace it",
                    manifest.kind(),
                    manifest.path(),
                    other.file(),
                    other.line("")
                );
                self.error(manifest, "/metadata/name", sentence);
            } else {
                first.insert(key, manifest);
            }
        }
    }

    /// Whether the files say which Environments there are: one alone may have been taken out of many.
    fn all_known(&self) -> bool {
        !self.known.is_empty() || self.environments.len() > 1
    }

    fn exists(&self, environment: &str) -> bool {
        self.known.contains(environment) || self.settings.contains_key(environment)
    }

    /// A Release and what stands beside it, as decisions see them; of a cluster nothing is known.
    fn observed(&self, release: &Arc<Release>, siblings: Vec<Arc<Release>>) -> Observed {
        Observed {
            release: Arc::clone(release),
            settings: Arc::new(Settings {
                operator_namespace: String::new(),
                deployer: String::new(),
                health_grace: SignedDuration::ZERO,
                inconclusive_after: SignedDuration::ZERO,
                policy_settle: SignedDuration::ZERO,
            }),
            environments: Arc::clone(&self.settings),
            plan_hashes: Arc::default(),
            siblings,
            decisions: Vec::new(),
            reviews: Vec::new(),
            trust: Trust::Vouched {
                decisions_since: Timestamp::MIN,
                requests_since: Timestamp::MIN,
            },
            namespace_labels: BTreeMap::new(),
            places: BTreeMap::new(),
            pre_states: Vec::new(),
            own_claims: Vec::new(),
        }
    }

    fn report(mut self) -> Report {
        self.findings
            .sort_by_key(|(position, finding)| (*position, finding.line));
        let unreadable = self.manifests.unreadable.iter().map(|file| Finding {
            severity: Severity::Error,
            file: file.file.clone(),
            line: file.line,
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
            field: String::new(),
            message: file.why.clone(),
        });
        let mut findings: Vec<Finding> = unreadable.collect();
        findings.extend(self.findings.into_iter().map(|(_, finding)| finding));
        Report {
            findings,
            files: self.manifests.files,
            checked: self.checked,
            passed_over: self.manifests.objects.len() - self.checked,
        }
    }
}

/// What has no form cannot be looked into; why has been said.
fn typed<K: DeserializeOwned>(manifest: &Manifest, object: serde_json::Value) -> Option<Typed<'_, K>> {
    let object = serde_json::from_value(object).ok()?;
    Some(Typed {
        manifest,
        object: Arc::new(object),
    })
}
