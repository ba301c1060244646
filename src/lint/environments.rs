//! Environments: references, circles, windows, expressions, and gates that can never be satisfied.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::api::Environment;
use crate::api::environment::{ControlName, DefaultWindow, Enforcement, WindowKind};
use crate::decide::accepted::{circle, circle_sentence};
use crate::decide::expressions;
use crate::domain::calendar::Opening;
use crate::lint::linted::{Lint, Typed};
use crate::manifests::Manifest;

impl Lint<'_> {
    /// What the operator would report about each Environment.
    pub(crate) fn environments(&mut self) {
        let environments: Vec<_> = self
            .environments
            .iter()
            .map(|Typed { manifest, object }| (*manifest, Arc::clone(object)))
            .collect();
        let mut in_circles = BTreeSet::new();
        for (manifest, environment) in &environments {
            self.upstream(manifest, environment, &mut in_circles);
            self.windows(manifest, environment);
            self.expressions(manifest, environment);
            self.soaks(manifest, environment);
        }
    }

    fn upstream(
        &mut self,
        manifest: &Manifest,
        environment: &Environment,
        in_circles: &mut BTreeSet<String>,
    ) {
        let Some(from) = &environment.spec.promotes_from else {
            return;
        };
        for (index, name) in from.environments.iter().enumerate() {
            if self.exists(name) {
                continue;
            }
            let at = format!("/spec/promotesFrom/environments/{index}");
            if !self.all_known() {
                let sentence =
                    format!("Environment {name} is not in the files, so its upstream is not checked.");
                self.note(manifest, &at, sentence);
            } else {
                self.error(manifest, &at, missing("spec.promotesFrom", name));
            }
        }
        let settings = Arc::clone(&self.settings);
        let found = circle(&settings, std::iter::once(manifest.name()));
        // A circle is reported once, at its first member, and not at an Environment that only leads into it.
        if let Some(circle) = found.filter(|circle| circle.first().is_some_and(|n| n == manifest.name()))
            && !circle.iter().any(|name| in_circles.contains(name))
        {
            self.error(manifest, "/spec/promotesFrom", circle_sentence(&circle));
            in_circles.extend(circle);
        }
    }

    fn windows(&mut self, manifest: &Manifest, environment: &Environment) {
        let spec = &environment.spec;
        let Some(setting) = self.settings.get(manifest.name()) else {
            return;
        };
        let calendar = Arc::clone(&setting.calendar);
        for problem in calendar.problems() {
            let index = spec.windows.iter().position(|w| w.name == problem.window);
            let at = index.map_or("/spec/windows".to_owned(), |i| format!("/spec/windows/{i}"));
            self.error(manifest, &at, problem.sentence.clone());
        }
        for note in calendar.notes() {
            let index = spec.windows.iter().position(|w| w.name == note.window);
            let at = index.map_or("/spec/windows".to_owned(), |i| {
                format!("/spec/windows/{i}/schedule")
            });
            self.note(manifest, &at, note.sentence.clone());
        }
        let holds = spec.enforcement(ControlName::WindowOpen) == Enforcement::Required;
        let never = calendar.earliest(self.now, SignedDuration::ZERO).is_none();
        if !(holds && never && calendar.problems().is_empty()) {
            return;
        }
        let Opening::Closed { message, .. } = calendar.at(self.now, SignedDuration::ZERO) else {
            return;
        };
        let allows = spec.windows.iter().any(|w| w.kind == WindowKind::Allow);
        match (allows, spec.default_window) {
            (true, _) => self.error(manifest, "/spec/windows", message),
            // This is the default of the stage, which few expect.
            (false, None) => self.error(
                manifest,
                "/spec/stage",
                format!(
                    "{message} No release can ever enter. List an Allow window, or set defaultWindow: Open."
                ),
            ),
            (false, Some(DefaultWindow::Closed)) => self.note(manifest, "/spec/defaultWindow", message),
            (false, Some(DefaultWindow::Open)) => self.error(manifest, "/spec/windows", message),
        }
    }

    fn expressions(&mut self, manifest: &Manifest, environment: &Environment) {
        for problem in expressions::problems(&environment.spec, expressions::compile) {
            self.error(manifest, &problem.at, problem.sentence);
        }
        for (at, name, text) in expressions::stated(&environment.spec) {
            let constant = expressions::compile(text).ok().and_then(|e| e.constant());
            match constant {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => {
                    let sentence = format!("{name}: passWhen {text:?} is false for every release.");
                    self.error(manifest, &at, sentence);
                }
                Some(Err(why)) => {
                    let sentence = format!("{name}: passWhen {text:?} never holds: {why}.");
                    self.error(manifest, &at, sentence);
                }
            }
        }
    }

    fn soaks(&mut self, manifest: &Manifest, environment: &Environment) {
        for (index, gate) in environment.spec.gates.iter().enumerate() {
            let Some(soak) = &gate.soak else {
                continue;
            };
            let at = format!("/spec/gates/{index}/soak/environment");
            let (there, here) = (&soak.environment, manifest.name());
            if there == here || self.upstream_of(there).contains(here) {
                let sentence = format!(
                    "Gate {} can never be satisfied: no release reaches {there} before it enters {here}.",
                    gate.name
                );
                self.error(manifest, &at, sentence);
            } else if !self.exists(there) {
                if !self.all_known() {
                    let sentence =
                        format!("Environment {there} is not in the files, so this soak is not checked.");
                    self.note(manifest, &at, sentence);
                } else {
                    self.error(manifest, &at, missing("soak", there));
                }
            }
        }
    }

    /// Every Environment that must be passed before `name`.
    fn upstream_of(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            let setting = self.settings.get(&name);
            let from = setting.and_then(|s| s.environment.spec.promotes_from.as_ref());
            for upstream in from.into_iter().flat_map(|from| &from.environments) {
                if found.insert(upstream.clone()) {
                    open.push(upstream.clone());
                }
            }
        }
        found
    }
}

/// In the same words as for a Release.
fn missing(field: &str, name: &str) -> String {
    format!("{field} names {name:?}, but no Environment of that name exists. Create it or correct the name.")
}
