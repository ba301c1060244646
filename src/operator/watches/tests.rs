//! What watches deliver, and what is kept of it.

use serde_json::json;

use crate::api::release::Because;
use crate::decide::fixtures;
use crate::domain::patches::MOST_BYTES;
use crate::operator::dispatch;
use crate::operator::watches::*;

#[tokio::test]
async fn a_release_that_is_too_large_is_not_held_until_it_is_corrected_or_goes() {
    let context = dispatch::tests::context();
    let known = context.observer.knowledge();
    let shown = |version: u64, bytes: usize, goes: bool| {
        let mut release = fixtures::release();
        release.metadata.resource_version = Some(version.to_string());
        release.metadata.generation = Some(3);
        release.metadata.deletion_timestamp = goes.then(|| crate::api::time(fixtures::morning()));
        release.spec.components[0].patch = Some(json!({ "data": { "k": "x".repeat(bytes) } }));
        let text = serde_json::to_string(&release).expect("JSON");
        put_release(known, &serde_json::from_str(&text).expect("a Release"));
    };
    let release = fixtures::release();
    let (namespace, name) = ("payments", release.metadata.name.clone().expect("a name"));
    let index = || known.index();

    shown(5, MOST_BYTES, false);
    let said = index()
        .unreadable(namespace, &name)
        .cloned()
        .expect("it is recorded");
    assert_eq!(
        (said.reason, said.generation),
        (reasons::PATCHES_TOO_LARGE, Some(3))
    );
    assert!(said.message.contains("at most 256 KiB"), "{}", said.message);
    assert_eq!(index().release(namespace, &name), None);

    shown(6, 1000, false);
    assert_eq!(index().unreadable(namespace, &name), None);
    assert!(index().release(namespace, &name).is_some());

    shown(7, MOST_BYTES, false);
    assert!(index().unreadable(namespace, &name).is_some());
    shown(8, MOST_BYTES, true);
    assert_eq!(index().unreadable(namespace, &name), None);
    assert!(index().release(namespace, &name).is_some());
}

#[tokio::test]
async fn a_release_that_is_too_large_can_be_withdrawn_and_is_held_without_its_patches() {
    let context = dispatch::tests::context();
    let known = context.observer.knowledge();
    let mut release = fixtures::release();
    release.spec.components[0].patch = Some(json!({ "data": { "k": "x".repeat(MOST_BYTES) } }));
    release.spec.components[0].replace = vec!["/data".to_owned()];
    let (namespace, name) = ("payments", release.metadata.name.clone().expect("a name"));
    for (version, withdrawn) in [("5", None), ("6", Some(Because::default()))] {
        release.metadata.resource_version = Some(version.to_owned());
        release.spec.withdrawn = withdrawn;
        let text = serde_json::to_string(&release).expect("JSON");
        put_release(known, &serde_json::from_str(&text).expect("a Release"));
        let is_held = known.index().release(namespace, &name).is_some();
        assert_eq!(is_held, release.spec.withdrawn.is_some());
    }
    assert_eq!(known.index().unreadable(namespace, &name), None);
    let whole = known.index().whole(namespace, &name).expect("it is held");
    assert!(whole.spec.withdrawn.is_some());
    let component = &whole.spec.components[0];
    assert_eq!((&component.patch, component.replace.len()), (&None, 0));
}

#[tokio::test]
async fn a_leaders_lease_that_was_deleted_is_shown_as_nobodys() {
    let context = dispatch::tests::context();
    let mut shown = context.observer.knowledge().leader();
    let mut followed = Followed::<Lease> {
        context,
        known: HashMap::new(),
        listed: None,
        synced: None,
        put: put_claim,
        remove: remove_claim,
    };
    let lease = || -> Sent<Lease> {
        let lease = r#"{ "metadata": { "name": "signalbox", "namespace": "home", "uid": "1" }, "spec": { "holderIdentity": "one" } }"#;
        serde_json::from_str(lease).expect("a Lease")
    };
    // Seen to be deleted, or missed, and no longer in the list.
    for gone in [vec![Event::Delete(lease())], vec![Event::Init, Event::InitDone]] {
        followed.event(Event::Apply(lease()));
        assert_eq!(shown.borrow_and_update().as_deref(), Some("one"));
        for event in gone {
            followed.event(event);
        }
        assert_eq!(*shown.borrow_and_update(), None);
    }
}
