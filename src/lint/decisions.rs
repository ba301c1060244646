//! Decisions and reviews: whether they would count, if the Release that they name is in the files.

use std::sync::Arc;

use crate::api::release::{Promotion, State};
use crate::api::{Action, Decision, Release};
use crate::decide::facts::Place;
use crate::decide::rules::subject::Subject;
use crate::decide::trust::may_be_one_person;
use crate::decide::{plan, rules};
use crate::lint::linted::{Lint, Typed};
use crate::manifests::Manifest;

impl Lint<'_> {
    /// What the operator would report about each Decision and review.
    pub(crate) fn decisions(&mut self) {
        let decisions: Vec<_> = self
            .decisions
            .iter()
            .map(|Typed { manifest, object }| (*manifest, Arc::clone(object)))
            .collect();
        for (manifest, decision) in decisions {
            if let Some(release) = self.release(manifest.namespace(), &decision.spec.release) {
                self.decision(manifest, &decision, &release);
            }
        }
        let reviews: Vec<_> = self
            .reviews
            .iter()
            .map(|Typed { manifest, object }| (*manifest, Arc::clone(object)))
            .collect();
        for (manifest, review) in reviews {
            let Some(release) = self.release(manifest.namespace(), &review.spec.release) else {
                continue;
            };
            if may_be_one_person(&review.spec.reviewer, &release.spec.requested_by) {
                let sentence = format!(
                    "The review by {0} does not count: {0} requested this release.",
                    review.spec.reviewer
                );
                self.error(manifest, "/spec/reviewer", sentence);
            }
        }
    }

    fn release(&self, namespace: &str, name: &str) -> Option<Arc<Release>> {
        let mut releases = self.releases.iter();
        let found = releases.find(|r| r.manifest.namespace() == namespace && r.manifest.name() == name)?;
        Some(Arc::clone(&found.object))
    }

    fn decision(&mut self, manifest: &Manifest, decision: &Decision, release: &Arc<Release>) {
        let spec = &decision.spec;
        if !release.spec.environments.contains(&spec.environment) {
            let sentence = format!(
                "Release {} does not list {:?} in spec.environments.",
                spec.release, spec.environment
            );
            self.error(manifest, "/spec/environment", sentence);
            return;
        }
        let answers = matches!(spec.action, Action::Approve | Action::Reject);
        let settings = Arc::clone(&self.settings);
        let Some(setting) = settings.get(&spec.environment).filter(|_| answers) else {
            return;
        };
        let gates = &setting.environment.spec.gates;
        let subject = spec.subject.as_deref().unwrap_or_default();
        let approvals = gates.iter().filter_map(|g| Some((g, g.approval.as_ref()?)));
        let Some((gate, approval)) = approvals.clone().find(|(g, _)| g.name == subject) else {
            let names: Vec<&str> = approvals.map(|(g, _)| g.name.as_str()).collect();
            let has = if names.is_empty() {
                "It has no approval gates.".to_owned()
            } else {
                format!("Its approval gates are {}.", names.join(", "))
            };
            let sentence = format!(
                "Environment {} has no approval gate {subject:?}. {has}",
                spec.environment
            );
            self.error(manifest, "/spec/subject", sentence);
            return;
        };
        let namespace = setting.environment.spec.target_namespace(manifest.namespace());
        let hash = plan::hash(release, &spec.environment, Some(&namespace), 1);
        if spec.plan_hash.as_deref() != Some(&hash) {
            let sentence = format!(
                "The plan hash of the Release in the files (attempt 1) is {hash}, which is not the hash stated here. Use it if the Decision is \
                 for that plan."
            );
            self.note(manifest, "/spec/planHash", sentence);
        }
        let mut counted = decision.clone();
        counted.spec.plan_hash = Some(hash.clone());
        counted.metadata.creation_timestamp = Some(crate::api::time(self.now));
        let observed = self.observed(release, Vec::new());
        let promotion = Promotion {
            name: spec.environment.clone(),
            state: State::Waiting,
            attempt: 1,
            plan_hash: hash,
            ..Promotion::default()
        };
        let subject = Subject {
            observed: &observed,
            setting,
            promotion: &promotion,
            place: &Place::default(),
            now: self.now,
            gate: Some(gate),
            prior: None,
            probing: false,
        };
        if let Some(why) = rules::approval_doubt(&subject, approval, &counted) {
            let at = if spec.role.as_deref() == Some(&approval.role) {
                "/spec/by"
            } else {
                "/spec/role"
            };
            let sentence = format!("{} by {} does not count: {why}.", spec.action.as_str(), spec.by);
            self.error(manifest, at, sentence);
        }
    }
}
