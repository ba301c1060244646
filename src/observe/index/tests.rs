use serde_json::json;

use super::*;
use crate::decide::fixtures::release_of;

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
