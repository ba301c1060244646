//! Releases: whether the operator would accept the manifest, and which checks it could never satisfy without a change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::api::environment::ControlName;
use crate::api::release::{CheckState, Promotion, State};
use crate::api::{ON_DELETE, Release, reasons};
use crate::decide::expressions::{self, NoAnswer};
use crate::decide::facts::{Inspected, Inspection, NamespaceState, Observed, Place, Setting};
use crate::decide::rules::subject::Subject;
use crate::decide::{accepted, plan, rules};
use crate::domain::cel::Expression;
use crate::domain::patches;
use crate::domain::readiness::Was;
use crate::domain::version::Version;
use crate::lint::linted::{Lint, Typed};
use crate::manifests::Manifest;
use crate::view::explain::Held;

impl Lint<'_> {
    /// What the operator would report about each Release.
    pub(crate) fn releases(&mut self) {
        let releases: Vec<_> = self
            .releases
            .iter()
            .map(|Typed { manifest, object }| (*manifest, Arc::clone(object)))
            .collect();
        let mut products: HashMap<_, Vec<Arc<Release>>> = HashMap::new();
        for (_, release) in &releases {
            products
                .entry(product(release))
                .or_default()
                .push(Arc::clone(release));
        }
        let compiled = self.compiled();
        for (manifest, release) in &releases {
            let siblings = products.get(&product(release)).cloned().unwrap_or_default();
            let siblings = siblings
                .into_iter()
                .filter(|s| !Arc::ptr_eq(s, release))
                .collect();
            let observed = self.observed(release, siblings);
            self.acceptance(manifest, &observed);
            self.misread(manifest, &observed);
            self.checks(manifest, observed, &compiled);
            self.traps(manifest, release);
            self.statements(manifest, release);
        }
    }

    fn acceptance(&mut self, manifest: &Manifest, observed: &Observed) {
        let mut strangers = Vec::new();
        for problem in accepted::judge(observed).problems {
            let accepted::Problem { reason, at, sentence } = problem;
            if reason == reasons::UNKNOWN_ENVIRONMENT {
                let name = manifest.value.pointer(&at).and_then(|name| name.as_str());
                let name = name.unwrap_or_default();
                if self.exists(name) {
                    continue;
                }
                if !self.all_known() {
                    strangers.push(name.to_owned());
                    continue;
                }
            }
            // An object that the API server refuses never reaches the operator, and both would report the same problem.
            if reason == reasons::INVALID && self.refused(manifest, &at) {
                continue;
            }
            self.error(manifest, &at, sentence);
        }
        if !strangers.is_empty() {
            let sentence = format!(
                "{} not in the files, so order, gates and windows are not checked. Add the Environments, or name them with --known-environments to check the names.",
                are(&strangers)
            );
            self.note(manifest, "/spec/environments", sentence);
        }
    }

    /// A pre-release that users may expect to come after the version with the same numbers.
    fn misread(&mut self, manifest: &Manifest, observed: &Observed) {
        let Ok(ours) = observed.release.spec.version.parse::<Version>() else {
            return;
        };
        let siblings = observed.siblings.iter();
        let versions = siblings.filter_map(|s| s.spec.version.parse::<Version>().ok());
        let said: Vec<String> = versions.filter_map(|v| ours.misread_as_newer_than(&v)).collect();
        if let Some(sentence) = said.into_iter().next() {
            self.note(manifest, "/spec/version", format!("{sentence}."));
        }
    }

    /// Every expression gate of every Environment, compiled once.
    fn compiled(&self) -> BTreeMap<String, Vec<(String, Expression)>> {
        let of = |setting: &Setting| {
            let stated = setting.environment.spec.gates.iter();
            stated
                .filter_map(|gate| {
                    let text = &gate.expression.as_ref()?.pass_when;
                    let compiled = expressions::compile(text).ok()?;
                    // An expression that never holds is reported for the Environment.
                    let usable = compiled.constant().is_none();
                    usable.then(|| (gate.name.clone(), compiled))
                })
                .collect()
        };
        let settings = self.settings.iter();
        settings
            .map(|(name, setting)| (name.clone(), of(setting)))
            .collect()
    }

    fn checks(
        &mut self,
        manifest: &Manifest,
        mut observed: Observed,
        compiled: &BTreeMap<String, Vec<(String, Expression)>>,
    ) {
        let labels = self.namespace_labels(observed.namespace());
        observed.namespace_labels = labels.clone().unwrap_or_default();
        let settings = Arc::clone(&self.settings);
        let release = Arc::clone(&observed.release);
        for (index, name) in release.spec.environments.iter().enumerate() {
            let Some(setting) = settings.get(name) else {
                continue;
            };
            let mut setting = setting.clone();
            if labels.is_none() {
                // The labels of a Namespace that is not in the files are not known.
                Arc::make_mut(&mut setting.environment).spec.release_namespaces = None;
            }
            let mut place = place(&release);
            let gates = compiled.get(name).map(Vec::as_slice).unwrap_or_default();
            if !gates.is_empty() {
                let (seen, environment) = (
                    expressions::release_value(&release),
                    expressions::environment_value(&setting.environment),
                );
                let evaluated = gates.iter().map(|(gate, expression)| {
                    let answer = expression.evaluate(&seen, &environment);
                    (gate.clone(), answer.map_err(NoAnswer::from))
                });
                place.expressions = evaluated.collect();
            }
            let target = setting.environment.spec.target_namespace(observed.namespace());
            place.led_from_elsewhere = self.led_from_elsewhere(observed.namespace(), &target);
            let promotion = Promotion {
                name: name.clone(),
                state: State::Waiting,
                attempt: 1,
                plan_hash: plan::hash(&release, name, Some(&target), 1),
                ..Promotion::default()
            };
            let subject = Subject {
                observed: &observed,
                setting: &setting,
                promotion: &promotion,
                place: &place,
                now: self.now,
                gate: None,
                prior: None,
                probing: false,
            };
            for check in rules::evaluate(&subject).checks {
                let too_short = check.reason == reasons::WINDOW_TOO_SHORT;
                let said = reasons::find(&check.reason).is_some_and(|reason| reason.last)
                    && place
                        .expressions
                        .get(&check.name)
                        .is_none_or(|_| check.state != CheckState::Satisfied);
                if check.advisory || !(said || too_short) {
                    continue;
                }
                let at = match check.reason.as_str() {
                    reasons::KIND_NOT_ALLOWED | reasons::TEMPLATE_TARGETED | reasons::IMAGE_NOT_PINNED => {
                        "/spec/components".to_owned()
                    }
                    reasons::PLAN_INCOMPLETE if check.name == ControlName::BackoutPlanDocumented.as_str() => {
                        "/spec/backoutPlan".to_owned()
                    }
                    reasons::PLAN_INCOMPLETE => "/spec/deploymentPlan".to_owned(),
                    _ => format!("/spec/environments/{index}"),
                };
                let sentence = format!("Blocked in {name}: {}", Held::from(&check));
                self.error(manifest, &at, sentence);
            }
        }
    }

    /// Statements of a component that would not work on the target, as far as the files show.
    fn statements(&mut self, manifest: &Manifest, release: &Release) {
        for (c, component) in release.spec.components.iter().enumerate() {
            let here = format!("/spec/components/{c}");
            for (index, pointer) in component.remove.iter().enumerate() {
                if let Some(sentence) = patches::position("remove", pointer) {
                    let sentence = format!("Component {}: {sentence}.", component.name);
                    self.error(manifest, &format!("{here}/remove/{index}"), sentence);
                }
            }
            let target = patches::Target::from(&component.target);
            let base = component.patch.iter();
            let base = base.map(|patch| (format!("{here}/patch"), patch));
            let overrides = component.overrides.iter().enumerate();
            let overrides = overrides.map(|(n, over)| (format!("{here}/overrides/{n}/patch"), &over.patch));
            for (under, patch) in base.chain(overrides) {
                let created = component.patch.as_ref().is_some_and(|base| {
                    patches::names_in_full(target.api_version, target.kind, target.name, base)
                });
                let sticks = patches::states_irreversible(&target, patch);
                for (at, sentence) in sticks.into_iter().filter(|_| !created) {
                    let sentence = format!("Component {}: {sentence}.", component.name);
                    self.error(manifest, &format!("{under}{at}"), sentence);
                }
                let among_files = self.target(&component.target);
                for (at, sentence) in patches::undefined(target.kind, patch, among_files) {
                    let sentence = format!("Component {}: {sentence}.", component.name);
                    self.note(manifest, &format!("{under}{at}"), sentence);
                }
            }
        }
    }

    /// The target, if the files have exactly one such object. In several namespaces it may differ.
    fn target(&self, target: &crate::api::release::Target) -> Option<&serde_json::Value> {
        let mut objects = self.manifests.objects.iter().filter(|o| {
            o.api_version() == target.api_version && o.kind() == target.kind && o.name() == target.name
        });
        let first = objects.next()?;
        objects.next().is_none().then_some(&first.value)
    }

    /// Environments that lead Releases of other namespaces in the files to `target`.
    fn led_from_elsewhere(&self, own: &str, target: &str) -> Vec<String> {
        let namespaces = self
            .releases
            .iter()
            .filter_map(|r| r.object.metadata.namespace.as_deref());
        let others: Vec<&str> = namespaces.filter(|namespace| *namespace != own).collect();
        let leads = |setting: &Setting| {
            let from = setting.environment.spec.release_namespace_of(target);
            from.is_some_and(|from| others.contains(&from))
        };
        let settings = self.settings.iter();
        settings
            .filter(|(_, setting)| leads(setting))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Labels of a Namespace in the files.
    fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        let mut objects = self.manifests.objects.iter();
        let namespace =
            objects.find(|o| o.api_version() == "v1" && o.kind() == "Namespace" && o.name() == name)?;
        let labels = namespace.value.pointer("/metadata/labels");
        let labels = labels.and_then(|labels| serde_json::from_value(labels.clone()).ok());
        Some(labels.unwrap_or_default())
    }

    /// Settings that do not mean what they look like.
    fn traps(&mut self, manifest: &Manifest, release: &Release) {
        for field in ["hold", "withdrawn"] {
            let at = format!("/spec/{field}");
            if manifest
                .value
                .pointer(&at)
                .is_some_and(serde_json::Value::is_null)
            {
                let sentence = format!("Null counts as absent. Write {field}: {{}} to set it.");
                self.note(manifest, &at, sentence);
            }
        }
        let annotations = release.metadata.annotations.as_ref();
        if let Some(value) = annotations
            .and_then(|a| a.get(ON_DELETE))
            .filter(|v| *v != "BackOut")
        {
            let at = format!("/metadata/annotations/{}", crate::manifests::token(ON_DELETE));
            let sentence = format!("{value:?} has no effect. The only valid value is BackOut.");
            self.note(manifest, &at, sentence);
        }
        let listed = |name: &String| release.spec.environments.contains(name);
        let held = release
            .spec
            .hold
            .iter()
            .flat_map(|hold| &hold.environments)
            .enumerate();
        for (index, name) in held.filter(|(_, name)| !listed(name)) {
            let at = format!("/spec/hold/environments/{index}");
            self.note(
                manifest,
                &at,
                format!("{name:?} is not listed in spec.environments."),
            );
        }
        let schedule = release.spec.schedule.iter().enumerate();
        for (index, planned) in schedule.filter(|(_, planned)| !listed(&planned.environment)) {
            let at = format!("/spec/schedule/{index}/environment");
            let sentence = format!("{:?} is not listed in spec.environments.", planned.environment);
            self.note(manifest, &at, sentence);
        }
        for (c, component) in release.spec.components.iter().enumerate() {
            let overrides = component.overrides.iter().enumerate();
            for (index, over) in overrides.filter(|(_, over)| !listed(&over.environment)) {
                let at = format!("/spec/components/{c}/overrides/{index}/environment");
                let sentence = format!("{:?} is not listed in spec.environments.", over.environment);
                self.note(manifest, &at, sentence);
            }
        }
    }
}

fn product(release: &Release) -> (Option<String>, String, String) {
    let spec = &release.spec;
    (
        release.metadata.namespace.clone(),
        spec.product.clone(),
        spec.line.clone(),
    )
}

/// A healthy target namespace in which the stated images would run.
fn place(release: &Release) -> Place {
    let components = release.spec.components.iter().map(|component| Inspected {
        name: component.name.clone(),
        refusal: None,
        note: None,
        uid: None,
        resource_version: None,
        changes: Vec::new(),
        was: Was::default(),
        restarted_for: None,
        result: None,
        ours: None,
        images_before: Vec::new(),
        images_after: component.image_pairs(),
    });
    Place {
        namespace: NamespaceState::Present,
        inspection: Some(Arc::new(Inspection {
            refusal: None,
            components: components.collect(),
            size: 0,
            again_at: None,
        })),
        ..Place::default()
    }
}

fn are(names: &[String]) -> String {
    match names {
        [one] => format!("{one} is"),
        many => format!("{} are", many.join(", ")),
    }
}
