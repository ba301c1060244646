//! What v0.1.0 has left, read and continued. `tests/crash/upgrade.rs` has made the files by really running it.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::release::{Promotion, STATE_VERSION, State};
use crate::api::{Decision, Environment, Release, ReleaseReview, ReleaseStatus};
use crate::decide::facts::Setting;
use crate::decide::fixtures::{rolled_out, seconds};
use crate::decide::prestate::PreState;
use crate::decide::tests::walk::Walk;
use crate::decide::{only_reworded, plan};
use crate::domain::windows::calendar_of;
use crate::stored::claims;

const ALL: [(&str, State); 5] = [
    ("waiting", State::Waiting),
    ("deploying", State::Deploying),
    ("awaiting-decision", State::AwaitingDecision),
    ("backed-out", State::BackedOut),
    ("succeeded", State::Succeeded),
];

/// Everything in one file.
struct Left(Vec<Value>);

impl Left {
    fn read(name: &str) -> Self {
        let text = match name {
            "waiting" => include_str!("../../../tests/fixtures/v0.1.0/waiting.yaml"),
            "deploying" => include_str!("../../../tests/fixtures/v0.1.0/deploying.yaml"),
            "awaiting-decision" => include_str!("../../../tests/fixtures/v0.1.0/awaiting-decision.yaml"),
            "backed-out" => include_str!("../../../tests/fixtures/v0.1.0/backed-out.yaml"),
            _ => include_str!("../../../tests/fixtures/v0.1.0/succeeded.yaml"),
        };
        let documents = serde_yaml_ng::Deserializer::from_str(text);
        Self(documents.map(|d| Value::deserialize(d).expect("YAML")).collect())
    }

    fn raw(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|o| o["kind"] == kind).collect()
    }

    fn all<K: DeserializeOwned>(&self, kind: &str) -> Vec<K> {
        let raw = self.raw(kind).into_iter();
        raw.map(|o| serde_json::from_value(o.clone()).expect(kind))
            .collect()
    }

    fn one<K: DeserializeOwned>(&self, kind: &str) -> K {
        let mut all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind}");
        all.remove(0)
    }

    /// The last instant in it.
    fn now(&self) -> jiff::Timestamp {
        fn last(value: &Value) -> Option<jiff::Timestamp> {
            match value {
                Value::String(text) => text.parse().ok(),
                Value::Array(list) => list.iter().filter_map(last).max(),
                // What is due is still to come.
                Value::Object(map) => map
                    .iter()
                    .filter(|(k, _)| *k != "dueAt")
                    .filter_map(|(_, v)| last(v))
                    .max(),
                _ => None,
            }
        }
        self.0.iter().filter_map(last).max().expect("an instant") + SignedDuration::from_secs(1)
    }

    /// The same world in memory.
    fn walk(&self) -> Walk {
        let release: Release = self.one("Release");
        let environment: Environment = self.one("Environment");
        let namespace = environment
            .spec
            .target_namespace(release.metadata.namespace.as_deref().expect("a namespace"));
        let mut walk = Walk::of(release);
        walk.now = self.now();
        walk.observed.siblings = vec![];
        let setting = Setting {
            calendar: Arc::new(calendar_of(&environment)),
            environment: Arc::new(environment),
        };
        let name = setting.environment.metadata.name.clone().expect("a name");
        walk.observed.environments = Arc::new([(name, setting)].into());
        walk.observed.decisions = self
            .all::<Decision>("Decision")
            .into_iter()
            .map(Arc::new)
            .collect();
        walk.observed.reviews = self
            .all::<ReleaseReview>("ReleaseReview")
            .into_iter()
            .map(Arc::new)
            .collect();
        walk.objects = [(
            namespace.clone(),
            [("ledger", "Deployment"), ("config", "ConfigMap")]
                .map(|(component, kind)| (component.to_owned(), self.one(kind)))
                .into(),
        )]
        .into();
        let claim = self
            .all::<Lease>("Lease")
            .first()
            .map(|lease| claims::read(lease).expect("a claim"));
        walk.claims = claim.map(|claim| (namespace, claim)).into_iter().collect();
        let kept = self.all::<ControllerRevision>("ControllerRevision").into_iter();
        walk.pre_states = kept
            .map(|kept| {
                let content = serde_json::from_value(kept.data.expect("content").0).expect("a pre-state");
                let metadata = kept.metadata;
                (
                    metadata.name.expect("a name"),
                    (metadata.uid.expect("a uid"), content),
                )
            })
            .collect();
        walk
    }
}

fn environment(walk: &Walk) -> String {
    walk.observed.release.spec.environments[0].clone()
}

fn promotion(walk: &Walk) -> &Promotion {
    walk.promotion(&environment(walk))
}

fn lossless<K: DeserializeOwned + Serialize>(raw: &Value) {
    let read: K = serde_json::from_value(raw.clone()).expect("it fits its type");
    assert_eq!(&json!(read), raw);
}

#[test]
fn what_v0_1_0_has_written_is_read_without_loss() {
    for (name, state) in ALL {
        let left = Left::read(name);
        let release: Release = left.one("Release");
        lossless::<crate::api::ReleaseStatus>(&left.raw("Release")[0]["status"]);
        lossless::<crate::api::EnvironmentStatus>(&left.raw("Environment")[0]["status"]);
        let status = release.status.as_ref().expect("a status");
        assert_eq!(status.state_version, Some(STATE_VERSION), "{name}");
        assert_eq!(status.environments[0].state, state, "{name}");
        for kept in left.raw("ControllerRevision") {
            lossless::<PreState>(&kept["data"]);
        }
        let entered = status.environments[0].entered.is_some();
        assert_eq!(
            left.raw("ControllerRevision").len(),
            usize::from(entered),
            "{name}"
        );
    }
}

#[test]
fn hashes_and_names_of_v0_1_0_come_out_the_same() {
    for (name, _) in ALL {
        let left = Left::read(name);
        let walk = left.walk();
        let (release, p) = (&walk.observed.release, promotion(&walk));
        let namespace = walk.objects.keys().next().map(String::as_str);
        assert_eq!(
            plan::hash(release, &p.name, namespace, p.attempt),
            p.plan_hash,
            "{name}"
        );
        let own = plan::pre_state_name(walk.observed.uid(), &p.name, p.attempt);
        for (kept, (_, content)) in &walk.pre_states {
            assert_eq!((kept, &content.plan_hash), (&own, &p.plan_hash), "{name}");
        }
        for (namespace, claim) in &walk.claims {
            assert_eq!(claim.name, plan::claim_name(namespace), "{name}");
            assert_eq!(
                claim.holder,
                Some(walk.observed.holder(&p.name, p.attempt)),
                "{name}"
            );
        }
    }
}

/// Another version writes nothing only because its texts differ, once a Release is finished. One that waits has its texts written once.
#[test]
fn what_v0_1_0_has_left_at_rest_stays_at_rest() {
    for (name, _) in ALL {
        let mut walk = Left::read(name).walk();
        let (before, state) = (promotion(&walk).since.clone(), promotion(&walk).state);
        walk.settle();
        let once = ["status: -".to_owned()];
        let written = if state.is_over() { &[][..] } else { &once[..] };
        assert_eq!(walk.written(), written, "{name}");
        assert_eq!(
            (&promotion(&walk).since, promotion(&walk).state),
            (&before, state),
            "{name}"
        );
        walk.settle();
        assert_eq!(walk.written(), Vec::<String>::new(), "{name}");
    }
}

/// The same Release, which says where it comes from: v0.1.0 gave it the same hash.
fn with_source(name: &str) -> Walk {
    let mut walk = Left::read(name).walk();
    let source = json!({ "revision": "4f2c9e1", "notesURL": "https://example.com/notes" });
    walk.release().spec.source = Some(serde_json::from_value(source).expect("a source"));
    walk
}

#[test]
fn what_has_entered_with_a_source_under_v0_1_0_goes_on() {
    for (name, state) in ALL.into_iter().filter(|(_, state)| !state.before_entry()) {
        let mut walk = with_source(name);
        let before = promotion(&walk).clone();
        walk.settle();
        assert_eq!(walk.written().is_empty(), state.is_over(), "{name}");
        assert_eq!(promotion(&walk), &before, "{name}");
    }
    let mut walk = with_source("deploying");
    rolls_out(&mut walk);
    assert_eq!(promotion(&walk).state, State::Succeeded, "{:#?}", walk.log);
}

#[test]
fn what_waits_with_a_source_needs_its_approvals_again() {
    let mut walk = with_source("waiting");
    let before = promotion(&walk).plan_hash.clone();
    walk.settle();
    let p = promotion(&walk);
    assert_ne!(p.plan_hash, before);
    let board = p
        .checks
        .iter()
        .find(|c| c.message.contains("0 of 2"))
        .expect("the board");
    assert!(
        board.message.contains("not that of the current plan"),
        "{}",
        board.message
    );
    let hash = p.plan_hash.clone();
    for by in ["bob@example.com", "carol@example.com"] {
        let mut again = (*walk.observed.decisions[0]).clone();
        again.metadata.uid = Some(by.to_owned());
        again.metadata.creation_timestamp = Some(crate::api::time(walk.now));
        (again.spec.by, again.spec.plan_hash) = (by.to_owned(), Some(hash.clone()));
        walk.decides(again);
    }
    walk.later(seconds(1)).settle();
    assert_eq!(promotion(&walk).state, State::Succeeded, "{:#?}", walk.log);
}

#[test]
fn an_approval_given_to_v0_1_0_still_counts() {
    let mut walk = Left::read("waiting").walk();
    let mut second = (*walk.observed.decisions[0]).clone();
    second.metadata.name = Some("board-says-yes-too".to_owned());
    second.metadata.uid = Some("second".to_owned());
    second.metadata.creation_timestamp = Some(crate::api::time(walk.now));
    second.spec.by = "carol@example.com".to_owned();
    walk.decides(second);
    walk.later(seconds(1)).settle();
    assert_eq!(promotion(&walk).state, State::Succeeded, "{:#?}", walk.log);
    let patches = walk.log.iter().filter(|line| line.starts_with("patch ")).count();
    assert_eq!(patches, 1);
}

#[test]
fn a_promotion_that_v0_1_0_has_begun_is_finished() {
    let mut walk = Left::read("deploying").walk();
    rolls_out(&mut walk);
    assert_eq!(promotion(&walk).state, State::Succeeded, "{:#?}", walk.log);
    assert!(
        walk.log.iter().all(|line| !line.starts_with("patch ")),
        "{:#?}",
        walk.log
    );
    assert!(walk.claims.is_empty());
}

fn rolls_out(walk: &mut Walk) {
    let ledger = walk
        .objects
        .values_mut()
        .next()
        .and_then(|objects| objects.get_mut("ledger"))
        .expect("a ledger");
    *ledger = rolled_out(ledger.take());
    walk.later(seconds(1)).settle();
}

fn decided(walk: &mut Walk, action: &str) {
    let (release, attempt) = (walk.observed.name().to_owned(), promotion(walk).attempt);
    let spec = json!({ "release": release, "environment": environment(walk), "action": action,
                       "by": "bob@example.com", "attempt": attempt });
    let owner = json!([{ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release", "name": release, "uid": walk.observed.uid() }]);
    let metadata = json!({ "name": "now", "namespace": walk.observed.namespace(), "uid": "now",
                           "creationTimestamp": crate::api::time(walk.now), "ownerReferences": owner });
    let decision = json!({ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Decision", "metadata": metadata, "spec": spec });
    walk.decides(serde_json::from_value(decision).expect("a Decision"));
    walk.later(seconds(1)).settle();
}

#[test]
fn what_v0_1_0_has_changed_is_put_back() {
    let before = Left::read("waiting").walk();
    for left in ["awaiting-decision", "succeeded"] {
        let mut walk = Left::read(left).walk();
        decided(&mut walk, "BackOut");
        assert_eq!(
            promotion(&walk).state,
            State::BackedOut,
            "{left}: {:#?}",
            walk.log
        );
        let stands = |walk: &Walk, at: &str| {
            walk.objects
                .values()
                .next()
                .and_then(|o| o["ledger"].pointer(at).cloned())
        };
        let image = "/spec/template/spec/containers/0/image";
        assert_eq!(stands(&walk, image), stands(&before, image));
        let config = walk.objects.values().next().map(|o| o["config"]["data"].clone());
        assert_eq!(config, Some(json!({ "FEATURE_X": "off", "OLD_KEY": "old" })));
        assert!(walk.claims.is_empty());
    }
}

#[test]
fn what_v0_1_0_has_backed_out_is_tried_again() {
    let mut walk = Left::read("backed-out").walk();
    decided(&mut walk, "Retry");
    let p = promotion(&walk);
    assert_eq!((p.state, p.attempt), (State::Succeeded, 2), "{:#?}", walk.log);
}

#[test]
fn what_people_were_asked_about_for_weeks_is_not_ended_without_them() {
    let mut walk = Left::read("awaiting-decision").walk();
    walk.settle();
    walk.later(SignedDuration::from_hours(480)).settle();
    assert_eq!(promotion(&walk).state, State::AwaitingDecision);
}

#[test]
fn only_a_valid_release_at_rest_keeps_the_words_that_it_has() {
    let mut walk = Left::read("succeeded").walk();
    let was = walk.release().status.clone().expect("a status");
    let reworded = |edit: &dyn Fn(&mut ReleaseStatus)| {
        let (mut was, mut is) = (was.clone(), was.clone());
        edit(&mut was);
        edit(&mut is);
        for condition in &mut is.conditions {
            condition.message.push('!');
        }
        only_reworded(&was, &is)
    };
    assert!(reworded(&|_| ()));
    assert!(
        !reworded(&|status| status.conditions[0].status = "False".to_owned()),
        "not accepted"
    );
    assert!(
        !reworded(&|status| status.environments[0].state = State::Waiting),
        "not at rest"
    );
    let mut is = was.clone();
    is.conditions[1].reason = "BackedOut".to_owned();
    assert!(!only_reworded(&was, &is), "another reason");
}
