//! Prometheus metrics. Labels are kinds, states and outcomes, never names of objects, whose number is not bounded.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::api::environment::Stage;
use crate::cache::index::Key;
use crate::decide::facts::Trust;
use crate::observe::Observer;
use crate::reconcile::Ended;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PassLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PromotionLabels {
    stage: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StateLabels {
    state: &'static str,
}

/// Every metric that the operator has.
pub(crate) struct Metrics {
    registry: Registry,
    passes: Family<PassLabels, Counter>,
    durations: Family<KindLabels, Histogram, fn() -> Histogram>,
    promotions: Family<PromotionLabels, Counter>,
    panics: Family<KindLabels, Counter>,
    states: Family<StateLabels, Gauge>,
    policies: Gauge,
    pub(crate) api_errors: Counter,
    pub(crate) leader: Gauge,
}

fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("signalbox");
        let passes = Family::default();
        let durations = Family::<KindLabels, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        let promotions = Family::default();
        let panics: Family<KindLabels, Counter> = Family::default();
        let states = Family::default();
        let api_errors = Counter::<u64, AtomicU64>::default();
        let (leader, policies) = (Gauge::default(), Gauge::default());
        registry.register("reconciles", "Reconciles, by kind and outcome", passes.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of a reconcile",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "promotions",
            "Promotions that finished, by stage and outcome",
            promotions.clone(),
        );
        // Exported from the start, so that an alert on any value but 0 is possible.
        for kind in Key::kinds() {
            drop(panics.get_or_create(&KindLabels { kind }));
        }
        registry.register("panics", "Reconciles that panicked", panics.clone());
        registry.register(
            "promotions_now",
            "Promotions, by their current state",
            states.clone(),
        );
        registry.register(
            "api_errors",
            "Requests to the API server that failed",
            api_errors.clone(),
        );
        registry.register("leader", "1 while this process leads", leader.clone());
        registry.register(
            "policies_vouched",
            "1 while the admission policies match the chart",
            policies.clone(),
        );
        Self {
            registry,
            passes,
            durations,
            promotions,
            panics,
            states,
            policies,
            api_errors,
            leader,
        }
    }
}

/// As in manifests.
fn stage(stage: Stage) -> String {
    serde_json::to_value(stage)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl Metrics {
    pub(crate) fn pass(&self, kind: &'static str, succeeded: bool, took: Duration) {
        let outcome = if succeeded { "success" } else { "error" };
        self.passes.get_or_create(&PassLabels { kind, outcome }).inc();
        self.durations
            .get_or_create(&KindLabels { kind })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn panicked(&self, kind: &'static str) {
        self.panics.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts promotions that have finished.
    pub(crate) fn count(&self, ended: &[Ended]) {
        for promotion in ended {
            let labels = PromotionLabels {
                stage: promotion.stage.map_or_else(String::new, stage),
                outcome: promotion.state.as_str(),
            };
            self.promotions.get_or_create(&labels).inc();
        }
    }

    /// The text that is scraped; cached objects are counted now.
    pub(crate) fn render(&self, observer: &Observer) -> String {
        let mut states: BTreeMap<&'static str, i64> = BTreeMap::new();
        for release in observer.index().releases() {
            for promotion in release.status.iter().flat_map(|s| &s.environments) {
                *states.entry(promotion.state.as_str()).or_default() += 1;
            }
        }
        self.states.clear();
        for (state, count) in states {
            self.states.get_or_create(&StateLabels { state }).set(count);
        }
        let trusted = matches!(observer.trust(), Trust::Verified { .. });
        self.policies.set(i64::from(trusted));
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("Metrics could not be written.");
        }
        text
    }
}
