//! The checked objects, in the forms that rules need, and the findings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

use crate::api::{Decision, Environment, GROUP, Kind, Release, ReleaseReview};
use crate::decide::facts::{Observed, Setting, Settings, Trust};
use crate::lint::finding::{Finding, Report, Severity};
use crate::lint::policies::Policies;
use crate::lint::schema::Definitions;
use crate::manifests::{Manifest, Manifests, field, pointer};

/// An object of ours that fits its schema.
pub(crate) struct Typed<'a, K> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) object: Arc<K>,
}

/// What is known about the manifests, and the findings.
pub(crate) struct Lint<'a> {
    pub(crate) manifests: &'a Manifests,
    pub(crate) known: BTreeSet<&'a str>,
    pub(crate) now: Timestamp,
    /// With the position of the manifest, which they are finally sorted by.
    pub(crate) findings: Vec<(usize, Finding)>,
    pub(crate) checked: usize,
    pub(crate) environments: Vec<Typed<'a, Environment>>,
    pub(crate) releases: Vec<Typed<'a, Release>>,
    pub(crate) decisions: Vec<Typed<'a, Decision>>,
    pub(crate) reviews: Vec<Typed<'a, ReleaseReview>>,
    /// The same Environments, as rules see them.
    pub(crate) settings: Arc<BTreeMap<String, Setting>>,
}

impl<'a> Lint<'a> {
    /// Nothing is checked yet.
    pub(crate) fn new(manifests: &'a Manifests, known: &'a [String], now: Timestamp) -> Self {
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

    /// Adds an error at the JSON pointer `at`.
    pub(crate) fn error(&mut self, manifest: &Manifest, at: &str, message: impl Into<String>) {
        self.find(Severity::Error, manifest, at, message.into());
    }

    /// Adds a note at the JSON pointer `at`.
    pub(crate) fn note(&mut self, manifest: &Manifest, at: &str, message: impl Into<String>) {
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

    /// Whether there is a finding at, above or below the field.
    pub(crate) fn refused(&self, manifest: &Manifest, at: &str) -> bool {
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

    /// What the API server reports about each object by itself.
    pub(crate) fn forms(&mut self) {
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
            if version != "v1alpha1" {
                let sentence = format!("{GROUP} has no version {version}. Write {GROUP}/v1alpha1.");
                self.error(manifest, "/apiVersion", sentence);
                continue;
            }
            let known = Kind::named(manifest.kind());
            let known = known.and_then(|kind| Some((kind, definitions.judge(kind, &manifest.value)?)));
            let Some((kind, judged)) = known else {
                let mut kinds = Kind::ALL.map(Kind::name);
                kinds.sort_unstable();
                let (kind, kinds) = (manifest.kind(), kinds.join(", "));
                let sentence = format!("{GROUP}/v1alpha1 has no kind {kind:?}. Its kinds are {kinds}.");
                self.error(manifest, "/kind", sentence);
                continue;
            };
            for refusal in judged.refusals {
                self.error(manifest, &refusal.at, refusal.sentence);
            }
            for at in manifest.stated_twice() {
                let called = field(&manifest.value, at);
                self.error(manifest, at, format!("duplicate field \"{called}\""));
            }
            for (called, sentence) in policies.judge(kind.plural(), &judged.object) {
                self.error(manifest, &pointer(&manifest.value, &called), sentence);
            }
            if manifest.value.get("status").is_some() {
                let sentence =
                    "The operator writes status, and the API server ignores it in a manifest. Remove it.";
                self.note(manifest, "/status", sentence);
            }
            let object = judged.object;
            match kind {
                Kind::Environment => self.environments.extend(typed(manifest, object)),
                Kind::Release => self.releases.extend(typed(manifest, object)),
                Kind::Decision => self.decisions.extend(typed(manifest, object)),
                Kind::ReleaseReview => self.reviews.extend(typed(manifest, object)),
            }
        }
        for (index, release) in self.releases.iter_mut().enumerate() {
            // Of two Releases in the files, the first one counts as the older one.
            Arc::make_mut(&mut release.object).metadata.uid = Some(format!("{index:09}"));
        }
        self.settings = Arc::new(
            self.environments
                .iter()
                .map(|environment| {
                    let setting = Setting {
                        environment: Arc::clone(&environment.object),
                        calendar: Arc::new(crate::domain::windows::calendar_of(&environment.object)),
                    };
                    (environment.manifest.name().to_owned(), setting)
                })
                .collect(),
        );
    }

    /// Objects that are defined twice.
    pub(crate) fn doubles(&mut self) {
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
                    "{} {} is already defined at {}:{}. The later definition would replace it.",
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

    /// Whether all Environments are known: a single one in the files may be only one of many.
    pub(crate) fn all_known(&self) -> bool {
        !self.known.is_empty() || self.environments.len() > 1
    }

    /// Whether an Environment of this name is in the files, or known.
    pub(crate) fn exists(&self, environment: &str) -> bool {
        self.known.contains(environment) || self.settings.contains_key(environment)
    }

    /// A Release and its siblings, as rules see them, without a cluster.
    pub(crate) fn observed(&self, release: &Arc<Release>, siblings: Vec<Arc<Release>>) -> Observed {
        Observed {
            seed: String::new(),
            release: Arc::clone(release),
            settings: Arc::new(Settings {
                operator_namespace: String::new(),
                watch_namespaces: vec![],
                deployer: String::new(),
                require_consent: false,
                health_grace: SignedDuration::ZERO,
                inconclusive_after: SignedDuration::ZERO,
                policy_settle: SignedDuration::ZERO,
                pre_state_limit: 64 << 20,
            }),
            environments: Arc::clone(&self.settings),
            plan_hashes: Arc::default(),
            surplus: Vec::new(),
            siblings,
            decisions: Vec::new(),
            reviews: Vec::new(),
            trust: Trust::Verified {
                decisions_since: Timestamp::MIN,
                requests_since: Timestamp::MIN,
            },
            namespace_labels: BTreeMap::new(),
            places: BTreeMap::new(),
            pre_states: Vec::new(),
            remembered: Vec::new(),
            altered: BTreeMap::new(),
            own_claims: Vec::new(),
        }
    }

    /// All findings, in the order of the files.
    pub(crate) fn report(mut self) -> Report {
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

/// An object that does not fit its schema cannot be checked further. The reason has been reported.
fn typed<K: DeserializeOwned>(manifest: &Manifest, object: serde_json::Value) -> Option<Typed<'_, K>> {
    let object = serde_json::from_value(object).ok()?;
    Some(Typed {
        manifest,
        object: Arc::new(object),
    })
}
