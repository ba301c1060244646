//! What the watch caches show of a target namespace.

use crate::api::environment::Environment;
use crate::api::release::Promotion;
use crate::api::{Release, reasons};
use crate::cache::index::{Index, is_newer};
use crate::cluster::requests::Requests;
use crate::decide::facts::{NamespaceState, Observed, Place, Rival};
use crate::decide::{plan, prestate};
use crate::domain::{readiness, selector};
use crate::observe::observer::Observer;
use crate::observe::targets::pods_of;

impl<C: Requests> Observer<C> {
    /// Which Release holds the namespace, which Releases wait for it, and the health of the targets of `p`.
    pub(crate) fn indexed(&self, o: &Observed, p: &Promotion, namespace: &str) -> Place {
        let index = self.index();
        let mut rivals: Vec<Rival> = index
            .queue(namespace)
            .iter()
            .filter(|(release, _)| release.metadata.uid.as_deref() != Some(o.uid()))
            .filter(|(release, environment)| {
                // An older sibling waits for this Release.
                !(environment == &p.name && is_sibling(release, &o.release) && is_newer(&o.release, release))
            })
            .map(|(release, environment)| Rival::of(release, environment))
            .collect();
        rivals.sort();
        // A Retry finds the targets as the failed attempt left them.
        let looks = p.state.before_entry() && p.attempt == 1;
        let unhealthy = o
            .release
            .spec
            .components
            .iter()
            .filter(|_| looks)
            .filter_map(|c| {
                let kept = index.workload(&c.target.kind, namespace, &c.target.name)?;
                let why = readiness::healthy_before(&kept.object()).err()?;
                Some(format!("{}: {why}", c.target))
            })
            .collect();
        let doubted = looks && p.checks.iter().any(|c| c.reason == reasons::TARGET_UNHEALTHY);
        let targets = o.release.spec.components.iter().map(|c| &c.target);
        let recovered = targets
            .filter(|_| doubted)
            .filter_map(|target| {
                let object = index.workload(&target.kind, namespace, &target.name)?.object();
                let since = readiness::well_since(&object, &pods_of(&index, &object, namespace))?;
                Some((target.to_string(), since))
            })
            .collect();
        let environments = o.environments.iter();
        let led_from_elsewhere = environments
            .filter(|(_, setting)| leads_elsewhere_to(&index, &setting.environment, o.namespace(), namespace))
            .map(|(name, _)| name.clone())
            .collect();
        let claim = index.claim(namespace);
        // A Decision is required there first, and it may be for the older Release.
        let owed = claim.is_some_and(|c| c.unsettled || c.holder_absent);
        let ahead = Some(()).filter(|()| looks && !owed);
        let kept = plan::pre_state_name(o.uid(), &p.name, p.attempt);
        let has_pre_state = index.has_pre_state(&kept);
        let keeps = p.state.before_entry() && !has_pre_state;
        let limit = o.settings.pre_state_limit;
        let kept_in_all = keeps.then(|| index.kept_beyond(o.namespace(), prestate::MOST_BYTES as u64, limit));
        Place {
            has_pre_state,
            kept_in_all: kept_in_all.flatten(),
            ahead: ahead.and_then(|()| index.ahead(&o.release, &p.name)),
            namespace: match index.namespace(namespace) {
                None => NamespaceState::Missing,
                Some(n) if n.terminating => NamespaceState::Terminating,
                Some(_) => NamespaceState::Present,
            },
            claim: index.claim(namespace).cloned(),
            unclaimed: index.unclaimed(namespace, o.uid()),
            led_from_elsewhere,
            rivals,
            unhealthy,
            recovered,
            ..Place::default()
        }
    }
}

/// Whether the Environment maps Releases of another namespace than `own` to `target`.
fn leads_elsewhere_to(index: &Index, environment: &Environment, own: &str, target: &str) -> bool {
    let spec = &environment.spec;
    let from = spec.release_namespace_of(target).filter(|from| *from != own);
    let from = from.and_then(|from| index.namespace(from));
    let asks = |selector| from.is_some_and(|from| selector::selects(selector, &from.labels));
    from.is_some() && spec.release_namespaces.as_ref().is_none_or(asks)
}

fn is_sibling(a: &Release, b: &Release) -> bool {
    (&a.metadata.namespace, &a.spec.product, &a.spec.line)
        == (&b.metadata.namespace, &b.spec.product, &b.spec.line)
}
