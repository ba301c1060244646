//! Every Signalbox kind can be added to the world, and is shown there.

use std::collections::BTreeSet;

use serde_json::json;

use crate::api::{Decision, DecisionSpec, Kind, ReleaseReview, ReleaseReviewSpec};
use crate::decide::fixtures::{morning, release, sit};
use crate::world::changes::Change;
use crate::world::{Script, World};

const HOME: &str = "payments";

/// Adds an object of the kind.
fn put_in(world: &mut World, kind: Kind) {
    let added = match kind {
        Kind::Release => world.add_release(release()),
        Kind::Environment => world.add_environment(sit()),
        Kind::Decision => {
            let spec = json!({ "release": "a", "environment": "sit", "action": "Retry", "attempt": 1, "by": "alice" });
            let spec: DecisionSpec = serde_json::from_value(spec).expect("a spec");
            let mut decision = Decision::new("a", spec);
            decision.metadata.namespace = Some(HOME.to_owned());
            world.add_decision(decision)
        }
        Kind::ReleaseReview => {
            let spec = json!({ "release": "a", "reviewer": "carol" });
            let spec: ReleaseReviewSpec = serde_json::from_value(spec).expect("a spec");
            let mut review = ReleaseReview::new("a", spec);
            review.metadata.namespace = Some(HOME.to_owned());
            world.add_review(review)
        }
    };
    added.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
}

/// The Signalbox kind of the change.
fn kind_of(change: &Change) -> Option<Kind> {
    Kind::ALL.get(change.stream()).copied()
}

#[test]
fn each_is_shown_by_its_watch_and_to_whoever_begins_to_watch() {
    for kind in Kind::ALL {
        let mut world = World::new(morning(), Script::default()).expect("the chart's policies");
        put_in(&mut world, kind);
        let objects = world.objects();
        let shown = |changes: &[Change]| -> BTreeSet<Kind> { changes.iter().filter_map(kind_of).collect() };
        let watched: Vec<Change> = objects.streams.iter().flatten().cloned().collect();
        assert_eq!(shown(&watched), BTreeSet::from([kind]));
        assert_eq!(shown(&objects.everything()), BTreeSet::from([kind]));
    }
}
