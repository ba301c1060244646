//! What the index answers after objects were put in and removed.

use serde_json::json;

use std::sync::Arc;

use crate::api::Release;
use crate::api::release::State;
use crate::cache::index::*;
use crate::decide::facts::KeptInAll;
use crate::decide::fixtures::{decision, morning, promotion, release_of};

fn release(name: &str, uid: &str, product: &str, version: u64) -> Arc<Release> {
    let mut release = release_of(&json!({ "product": product }));
    release.metadata.name = Some(name.to_owned());
    release.metadata.uid = Some(uid.to_owned());
    release.metadata.resource_version = Some(version.to_string());
    Arc::new(release)
}

#[test]
fn one_created_again_for_another_product_is_no_sibling_of_the_first_ones() {
    let mut index = Index::default();
    let other = release("other", "1", "ledger", 1);
    index.put_release(Arc::clone(&other));
    index.put_release(release("again", "2", "ledger", 2));
    assert_eq!(index.siblings(&other).len(), 1);
    index.put_release(release("again", "3", "cards", 3));
    assert!(index.siblings(&other).is_empty());
    let cards = release("third", "4", "cards", 4);
    assert_eq!(index.siblings(&cards).len(), 1);
}

#[test]
fn a_reject_wakes_whoever_waits_with_its_plan_and_is_found_by_it() {
    let mut index = Index::default();
    let mut waiting = (*release("waiting", "1", "ledger", 1)).clone();
    let mut uat = promotion("uat", State::Waiting);
    uat.plan_hash = "h".to_owned();
    waiting.spec.environments = vec!["uat".to_owned()];
    waiting.status = Some(crate::api::ReleaseStatus {
        environments: vec![uat],
        ..Default::default()
    });
    index.put_environment(Arc::new(crate::decide::fixtures::uat()));
    index.put_release(Arc::new(waiting));
    let over = json!({ "release": "gone", "subject": "board", "role": "board", "planHash": "h" });
    let reject = Arc::new(decision("Reject", "carl", "uat", morning(), over));
    let name = reject.metadata.name.clone().expect("a name");
    let woken = [
        Key::release("payments", "gone"),
        Key::release("payments", "waiting"),
    ];
    assert_eq!(index.put_decision(Arc::clone(&reject)), woken);
    let found: Vec<_> = index.rejects("payments", "h").collect();
    assert_eq!(found, [&reject]);
    assert_eq!(index.rejects("elsewhere", "h").count(), 0);
    assert_eq!(index.remove_decision("payments", &name), woken);
    assert_eq!(index.rejects("payments", "h").count(), 0);
}

#[test]
fn what_is_kept_in_a_namespace_is_counted_and_who_had_no_room_looks_again_when_some_goes() {
    let mut index = Index::default();
    let kept = |name: &str, release: &str, bytes| StoredPreState {
        name: name.to_owned(),
        uid: format!("uid of {name}"),
        namespace: "payments".to_owned(),
        release: release.to_owned(),
        release_uid: format!("uid of {release}"),
        environment: "sit".to_owned(),
        bytes,
    };
    index.put_pre_state(kept("a", "one", 30));
    index.put_pre_state(kept("b", "two", 50));
    // The watch shows it once more.
    index.put_pre_state(kept("b", "two", 50));
    index.put_pre_state(kept("c", "one", 40));
    // v0.1.0 recorded neither its Release's namespace nor its size.
    index.put_pre_state(StoredPreState {
        namespace: String::new(),
        ..kept("d", "old", 0)
    });
    assert_eq!(index.kept_beyond("payments", 10, 130), None);
    let all = KeptInAll {
        bytes: 120,
        by: vec![("one".to_owned(), 70), ("two".to_owned(), 50)],
    };
    assert_eq!(index.kept_beyond("payments", 10, 129), Some(all));
    assert_eq!(index.kept_beyond("cards", 10, 129), None);

    let mut waiting = (*release("waiting", "1", "ledger", 1)).clone();
    let mut sit = promotion("sit", State::Waiting);
    sit.checks = vec![
        serde_json::from_value(json!({
            "name": "TargetsAllowed", "state": "Failed", "reason": "PreStateTooLarge", "message": "no room",
            "since": "2026-11-23T08:00:00Z",
        }))
        .expect("a check"),
    ];
    waiting.spec.environments = vec!["sit".to_owned()];
    waiting.status = Some(crate::api::ReleaseStatus {
        environments: vec![sit],
        ..Default::default()
    });
    index.put_release(Arc::new(waiting));
    index.put_release(release("another", "2", "cards", 2));
    assert_eq!(
        index.remove_pre_state("b", "uid of b"),
        [Key::release("payments", "waiting")]
    );
    assert_eq!(index.kept_beyond("payments", 10, 80), None);
    assert_eq!(
        index.kept_beyond("payments", 10, 79).map(|kept| kept.bytes),
        Some(70)
    );
}

#[test]
fn an_environment_wakes_those_that_lead_where_it_leads_or_led() {
    let mut index = Index::default();
    let leading = |name: &str, to: &str, version: u64| {
        let mut environment = crate::decide::fixtures::sit();
        environment.metadata.name = Some(name.to_owned());
        environment.metadata.uid = Some(name.to_owned());
        environment.metadata.resource_version = Some(version.to_string());
        environment.spec.namespace = to.to_owned();
        Arc::new(environment)
    };
    let woken = |keys: Keys| keys.into_iter().collect::<BTreeSet<Key>>();
    let these = |names: &[&str]| names.iter().map(|name| Key::environment(name)).collect();
    index.put_environment(leading("prod", "{namespace}-prod", 1));
    index.put_environment(leading("uat", "{namespace}-uat", 2));
    let keys = index.put_environment(leading("b", "{namespace}-b-prod", 3));
    assert_eq!(woken(keys), these(&["b", "prod"]));
    let keys = index.put_environment(leading("b", "{namespace}-uat", 4));
    assert_eq!(woken(keys), these(&["b", "prod", "uat"]));
    // Nothing but its status, or a label.
    let keys = index.put_environment(leading("b", "{namespace}-uat", 5));
    assert_eq!(woken(keys), these(&["b"]));
    assert_eq!(woken(index.remove_environment("b")), these(&["uat"]));
}
