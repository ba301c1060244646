//! CEL of environment owners. An expression that costs too much is stopped with an error.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::{Environment, Release};
use crate::decide::expressions::{compile, environment_value, release_value};
use crate::decide::fixtures;
use crate::fuzz::{fuzz, json_map, repeated, soup};

/// A second of work without optimization, one more step, and a busy machine.
const WITHIN: Duration = Duration::from_secs(20);

const WORDS: &[&str] = &[
    "release",
    "environment",
    ".spec",
    ".components",
    ".metadata.name",
    "[0]",
    ".all(a, ",
    ".exists(b, ",
    ".map(c, ",
    ".filter(d, ",
    "a",
    "b",
    "c",
    ".name",
    ".patch",
    ".images",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "'",
    "\"",
    "'x'",
    "1",
    "0",
    "-",
    "9223372036854775807",
    "1.5e300",
    "true",
    "null",
    " + ",
    " * ",
    " / ",
    " % ",
    " == ",
    " != ",
    " && ",
    " || ",
    " in ",
    " ? ",
    " : ",
    "!",
    ".size()",
    ".matches('a*')",
    ".replace('', 'xx')",
    ".split('')",
    ".join(',')",
    ".format([1])",
    "has(",
    "string(",
    "duration('1h')",
    "timestamp('x')",
    "sets.contains(",
    "lists.range(",
    "math.least(",
    "optional.of(",
    "?.",
    "b'x'",
    "r'x'",
    "'''",
    "//",
    "\\",
    "@",
    "ip('1.1.1.1')",
    "cidr(",
    "url(",
    "semver(",
    "quantity(",
    ".lowerAscii()",
    ".reverse()",
    ".distinct()",
    ".sort()",
    ".flatten()",
    ".slice(0, 9)",
    ".substring(1)",
    ".charAt(0)",
];

static ENVIRONMENT: LazyLock<Value> = LazyLock::new(|| environment_value(&fixtures::production()));

/// As many components as allowed, each with the content `inside`.
fn large(inside: Value) -> Value {
    let mut release: Release = fixtures::release();
    let component = release.spec.components[0].clone();
    release.spec.components = (0..64)
        .map(|n| {
            let mut component = component.clone();
            component.name = format!("component-{n}");
            component.patch = Some(inside.clone());
            component
        })
        .collect();
    release_value(&release)
}

fn answered(text: &str, release: &Value) -> Result<Option<Result<bool, String>>, TestCaseError> {
    let Ok(expression) = compile(text) else {
        return Ok(None);
    };
    let answer = expression
        .evaluate(release, &ENVIRONMENT)
        .map_err(|why| why.to_string());
    if let Err(why) = &answer {
        prop_assert!(
            !why.is_empty() && why.chars().count() < 700,
            "{} characters",
            why.chars().count()
        );
        prop_assert!(!why.contains('\n'), "{why}");
    }
    Ok(Some(answer))
}

#[test]
fn any_text_is_an_expression_or_is_refused() {
    let texts = prop_oneof![10 => soup(WORDS, 14), 2 => repeated(WORDS, 300), 1 => any::<String>()];
    let release = release_value(&fixtures::release());
    fuzz(300, WITHIN, texts, |text| answered(&text, &release).map(drop));
}

/// Valid expressions that are as costly as the length limit of a text allows.
fn costly() -> impl Strategy<Value = String> {
    let lists = proptest::sample::select(
        &[
            "release.spec.components",
            "release.spec.components.map(x, release)",
            "release.spec.components[0].patch.data.list",
            "(release.spec.components + release.spec.components)",
            "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.split('')",
            "release.spec.components[0].patch.data.text.split('')",
        ][..],
    );
    let steps = proptest::sample::select(
        &[
            "release == release",
            "release in [release, release, release]",
            "release.spec.components[0].patch.data.text.matches('(\\\\w{90}){90}')",
            "release.spec.components[0].patch.data.text.matches('(a|aa)*b')",
            "release.spec.components[0].patch.data.text.replace('', release.spec.components[0].patch.data.text).size() > 0",
            "release.spec.components[0].patch.data.text.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa').size() > 0",
            "sets.contains(release.spec.components, release.spec.components)",
            "sets.equivalent(release.spec.components[0].patch.data.list, release.spec.components[1].patch.data.list)",
            "release.spec.components.map(z, release.spec.components).size() > 0",
            "release.spec.components[0].patch.data.list.distinct().size() > 0",
            "[release, release, release, release, release, release, release, release].size() == 8",
            "(release.spec.components[0].patch.data.text + release.spec.components[0].patch.data.text).size() > 0",
            "[[release.spec.components, release.spec.components], [release.spec.components]].flatten().size() > 0",
            "'%s%s%s%s'.format([release, release, release, release]).size() > 0",
            "release.spec.components[0].patch.data.list.join(release.spec.components[0].patch.data.text).size() > 0",
            "release.spec.components[0].patch.data.text.findAll('a').size() > 0",
            "true",
        ][..],
    );
    let macros = proptest::sample::select(&["all", "exists", "exists_one", "map", "filter"][..]);
    let bodies = proptest::collection::vec(steps, 1..12).prop_map(|steps| steps.join(" && "));
    (
        lists.clone(),
        lists,
        macros.clone(),
        macros,
        bodies,
        any::<bool>(),
    )
        .prop_map(|(one, two, outer, inner, body, nested)| {
            let inside = if nested {
                format!("{two}.{inner}(b, {body}) == true")
            } else {
                body
            };
            format!("{one}.{outer}(a, {inside}) == true")
        })
}

/// Inputs of different sizes: small, many values, one long text.
fn inside() -> impl Strategy<Value = Value> {
    let list = |values: usize| json!((0..values).map(|n| n.to_string()).collect::<Vec<_>>());
    prop_oneof![
        Just(json!({ "data": { "list": list(3), "text": "aaaa" } })),
        Just(json!({ "data": { "list": list(1000), "text": "aaaa" } })),
        Just(json!({ "data": { "list": list(10), "text": "a".repeat(20_000) } })),
        Just(json!({ "data": { "list": list(5000), "text": "a" } })),
        json_map(),
    ]
}

#[test]
fn what_costs_too_much_is_stopped() {
    fuzz(6, WITHIN, (costly(), inside()), |(text, inside)| {
        if text.len() > 1024 {
            return Ok(());
        }
        answered(&text, &large(inside)).map(drop)
    });
}

#[test]
fn what_is_cheap_says_the_same_each_time() {
    let texts = soup(
        &[
            "release",
            ".spec",
            ".version",
            "'2'",
            " == ",
            " != ",
            "1",
            ".size()",
            " && ",
            "true",
            ".contains('2')",
        ],
        8,
    );
    let release = release_value(&fixtures::release());
    fuzz(150, WITHIN, texts, |text| {
        prop_assert_eq!(answered(&text, &release)?, answered(&text, &release)?);
        Ok(())
    });
}

/// Any Environment can be converted to the value that expressions see.
#[test]
fn any_environment_can_be_looked_at() {
    let environment = serde_json::to_value(fixtures::production()).expect("an Environment");
    let expression = compile("environment.spec.windows.size() >= 0").expect("it compiles");
    fuzz(100, WITHIN, super::mistaken(environment), |value| {
        let Ok(environment) = serde_json::from_value::<Environment>(value) else {
            return Ok(());
        };
        let answer = expression.evaluate(&json!({}), &environment_value(&environment));
        prop_assert_eq!(answer, Ok(true));
        Ok(())
    });
}
