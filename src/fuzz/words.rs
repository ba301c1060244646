//! Short texts with a grammar: durations, versions, JSON pointers, images.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use crate::api::GoDuration;
use crate::domain::patches::{self, lint_remove};
use crate::domain::paths::{below, get, tokens};
use crate::domain::version::Version;
use crate::fuzz::{all_pointers, fuzz, json_value, repeated, soup};
use crate::manifests::{field, pointer};

const QUICK: Duration = Duration::from_secs(2);

#[test]
fn durations_are_what_they_say() {
    let words = &[
        "1",
        "0",
        "9",
        "720",
        "h",
        "m",
        "s",
        "-",
        ".",
        "999999999999999999999",
        "٣",
    ];
    let texts = prop_oneof![soup(words, 8), repeated(words, 20_000)];
    fuzz(1000, QUICK, texts, |text| {
        let Ok(duration) = text.parse::<GoDuration>() else {
            return Ok(());
        };
        let seconds = duration.get().as_secs();
        prop_assert!((1..=720 * 3600).contains(&seconds), "{text}");
        prop_assert_eq!(duration.to_string(), text.clone(), "people read what they wrote");
        let shortest = GoDuration::from_secs(seconds);
        prop_assert_eq!(
            shortest.to_string().parse::<GoDuration>().map(|d| d.get()).ok(),
            Some(duration.get())
        );
        Ok(())
    });
}

#[test]
fn versions_are_ordered_and_read_back() {
    let words = &[
        "0",
        "1",
        "10",
        "999999999",
        ".",
        "-",
        "rc",
        "01",
        "a",
        "+",
        "4294967296",
    ];
    let text = || prop_oneof![8 => soup(words, 8), 1 => repeated(words, 5000)];
    fuzz(1000, QUICK, (text(), text(), text()), |texts| {
        let read = |text: &str| text.parse::<Version>().ok();
        if let Some(version) = read(&texts.0) {
            prop_assert_eq!(version.to_string(), texts.0.clone());
        }
        if let (Some(a), Some(b), Some(c)) = (read(&texts.0), read(&texts.1), read(&texts.2)) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert!(!(a <= b && b <= c) || a <= c, "{texts:?}");
        }
        Ok(())
    });
}

#[test]
fn pointers_lead_where_they_were_made_for() {
    fuzz(
        1000,
        QUICK,
        proptest::collection::vec(any::<String>(), 1..6),
        |keys| {
            let at = keys.iter().fold(String::new(), |at, key| below(&at, key));
            prop_assert_eq!(tokens(&at).collect::<Vec<_>>(), keys.clone());
            let value = keys
                .iter()
                .rev()
                .fold(json!(7), |inner, key| json!({ key: inner }));
            prop_assert_eq!(get(&value, &at), Some(&json!(7)));
            prop_assert_eq!(value.pointer(&at), Some(&json!(7)));
            Ok(())
        },
    );
}

#[test]
fn any_text_may_be_asked_for_as_a_pointer() {
    let words = &[
        "/",
        "~",
        "~0",
        "~1",
        "a",
        "spec",
        "0",
        "[0]",
        "[",
        "]",
        ".",
        "spec/a",
        "metadata/labels",
        "$",
    ];
    let texts = prop_oneof![8 => soup(words, 12), 1 => repeated(words, 3000)];
    fuzz(500, QUICK, (json_value(), texts), |(value, text)| {
        let _ = (get(&value, &text), field(&value, &text), pointer(&value, &text));
        let _ = (patches::by_key(&text, &value), patches::position("remove", &text));
        let _ = lint_remove(&[text.clone(), text]);
        Ok(())
    });
}

/// If no key contains a separator, the API server's notation is equivalent to a pointer.
#[test]
fn a_field_and_its_pointer_are_one() {
    fuzz(500, QUICK, json_value(), |value| {
        for at in all_pointers(&value) {
            let plain = |key: String| !key.is_empty() && !key.contains(['.', '[', ']', '~']);
            if tokens(&at).all(plain) {
                prop_assert_eq!(pointer(&value, &field(&value, &at)), at);
            }
        }
        Ok(())
    });
}

#[test]
fn an_image_is_pinned_by_what_looks_like_a_digest() {
    let hex = "1111111111111111111111111111111111111111111111111111111111111111";
    let words: &[&str] = &["registry/a", ":", "@", "sha256:", hex, "f", "@sha256:", "é"];
    fuzz(
        1000,
        QUICK,
        soup(Box::leak(words.to_vec().into_boxed_slice()), 6),
        |image| {
            if let Some(digest) = patches::digest(&image) {
                prop_assert!(image.ends_with(digest) && digest.len() == 7 + 64);
            }
            Ok(())
        },
    );
}
