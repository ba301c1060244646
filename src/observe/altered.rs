//! Workloads that run other images than a promotion applied, according to the watch caches.

use std::collections::BTreeMap;

use crate::api::Release;
use crate::api::release::{Component, Promotion, State};
use crate::cache::index::Index;
use crate::decide::facts::Altered;
use crate::decide::{rules, standing};

/// Environments in which this Release Succeeded and where other images than the stated ones run now, according to the watch
/// of the workloads. Where a newer release has changed the targets since, that release reports it.
pub(crate) fn altered(index: &Index, release: &Release) -> BTreeMap<String, Altered> {
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    // Nothing to compare with: this is so in most reconciles.
    if promotions.clone().all(|p| p.state != State::Succeeded) {
        return BTreeMap::new();
    }
    let siblings = index.siblings(release);
    let stands = promotions
        .filter(|p| p.state == State::Succeeded)
        .filter(|p| !siblings.iter().any(|s| has_changed(s, &p.name, p)));
    let said = stands.filter_map(|p| Some((p.name.clone(), altered_in(index, release, p)?)));
    said.collect()
}

/// Whether that sibling has changed targets there since `p` Succeeded.
fn has_changed(sibling: &Release, environment: &str, p: &Promotion) -> bool {
    sibling.promotion(environment).is_some_and(|theirs| {
        let later = theirs.started_at.is_some() && theirs.started_at >= p.finished_at;
        theirs.state.under_way() || (theirs.entered.is_some() && later && theirs.state != State::BackedOut)
    })
}

fn altered_in(index: &Index, release: &Release, p: &Promotion) -> Option<Altered> {
    let components = release.spec.components.iter();
    let mut altered = components.filter_map(|component| altered_component(index, p, component));
    altered.next()
}

/// The component, if it runs other images than were applied.
pub(crate) fn altered_component(index: &Index, p: &Promotion, component: &Component) -> Option<Altered> {
    let namespace = &p.entered.as_ref()?.target_namespace;
    let target = &component.target;
    let to = p
        .components
        .iter()
        .find(|c| c.name == component.name)?
        .to
        .as_deref()?;
    let Some(live) = index.workload(&target.kind, namespace, &target.name) else {
        return index.is_gone(&target.kind, namespace).then(|| Altered {
            component: component.name.clone(),
            says: format!("{target} in {} was deleted", p.name),
            by: None,
        });
    };
    let stated: Vec<String> = component.images.iter().map(|i| i.container.clone()).collect();
    let runs = rules::images_text(live.images(), &stated);
    if rules::same_images(runs.as_deref(), Some(to)) {
        return None;
    }
    let object = live.object();
    let by = standing::last_manager(&object);
    Some(Altered {
        component: component.name.clone(),
        says: format!(
            "{target} in {} runs {} instead of {to}{}",
            p.name,
            runs.as_deref().unwrap_or("no image"),
            standing::last_writer(&object)
        ),
        by,
    })
}
