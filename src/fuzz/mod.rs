//! Unlikely and malicious input. Each target states what must hold for any input. This module defines how many inputs are tried, from
//! which seed, and how long one may take.
//!
//! `SIGNALBOX_FUZZ=100000 cargo test --lib fuzz` is a long run, with another seed each time. An input that fails becomes a row of a
//! table, in the tests of the code that it broke.

mod calendar;
mod expressions;
mod manifests;
mod patches;
mod words;
mod worst;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use serde_json::{Map, Number, Value, json};

/// An input that takes this long hangs: it is printed, and the process ends.
const HUNG: Duration = Duration::from_secs(120);

/// The result of a target for one input.
pub(crate) type Verdict = Result<(), TestCaseError>;

/// Tries `cases` inputs, or as many as `SIGNALBOX_FUZZ` sets. None may panic or take longer than `within`, which is generous: machines are
/// busy, and nothing is optimized.
pub(crate) fn fuzz<S>(cases: u32, within: Duration, inputs: S, holds: impl Fn(S::Value) -> Verdict)
where
    S: Strategy,
    S::Value: Debug,
{
    let asked = std::env::var("SIGNALBOX_FUZZ").ok();
    let asked = asked.map(|cases| cases.parse().expect("SIGNALBOX_FUZZ is a number"));
    let config = Config {
        cases: asked.unwrap_or(cases),
        // Without SIGNALBOX_FUZZ, the test is the same each time.
        rng_seed: if asked.is_some() {
            RngSeed::Random
        } else {
            RngSeed::Fixed(20_261_123)
        },
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let (watched, began) = (Watched::begin(), Instant::now());
    let cases = config.cases;
    let outcome = TestRunner::new(config).run(&inputs, |input| {
        watched.now(format!("{input:?}"));
        let began = Instant::now();
        holds(input)?;
        let took = began.elapsed();
        prop_assert!(took <= within, "took {took:?}, more than {within:?}");
        Ok(())
    });
    match outcome {
        Ok(()) => println!("{cases} inputs in {:.1?}", began.elapsed()),
        Err(TestError::Fail(why, input)) => panic!("{why}\n{}", shown(&format!("{input:#?}"))),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn shown(input: &str) -> String {
    let most = 4000;
    match input.char_indices().nth(most) {
        Some((end, _)) => format!("{}… ({} bytes)", &input[..end], input.len()),
        None => input.to_owned(),
    }
}

/// A watchdog thread: an input that hangs cannot be stopped, but it can be reported.
struct Watched {
    input: Arc<Mutex<(Instant, String)>>,
    over: Arc<AtomicBool>,
}

impl Watched {
    fn begin() -> Self {
        let input = Arc::new(Mutex::new((Instant::now(), String::new())));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, ended) = (Arc::clone(&input), Arc::clone(&over));
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.0.elapsed() > HUNG {
                    eprintln!("this hangs:\n{}", shown(&seen.1));
                    std::process::abort();
                }
            }
        });
        Self { input, over }
    }

    fn now(&self, input: String) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), input);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Texts of `words`, with any characters in between.
pub(crate) fn soup(words: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let word = prop_oneof![
        12 => proptest::sample::select(words).prop_map(str::to_owned),
        2 => "[ -~]{0,6}",
        1 => any::<String>(),
    ];
    proptest::collection::vec(word, 0..most).prop_map(|words| words.concat())
}

/// One word many times, which reveals quadratic time.
pub(crate) fn repeated(words: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let words = proptest::collection::vec(proptest::sample::select(words), 1..3);
    (words, 1..most).prop_map(|(words, times)| words.concat().repeat(times))
}

/// Keys with a meaning for Kubernetes or Signalbox, and others.
fn key() -> impl Strategy<Value = String> {
    let known: &'static [&'static str] = &[
        "a",
        "b",
        "spec",
        "metadata",
        "labels",
        "annotations",
        "name",
        "containers",
        "image",
        "template",
        "data",
        "~",
        "/",
        "~1",
        "a.b",
        "",
        "$patch",
        "0",
        "[0]",
        "ä",
    ];
    prop_oneof![8 => proptest::sample::select(known).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Any JSON value.
pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        any::<String>().prop_map(Value::String),
        key().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// The same without null, as the API server stores objects.
pub(crate) fn json_map() -> impl Strategy<Value = Value> {
    proptest::collection::vec((key(), json_value()), 0..6).prop_map(|pairs| {
        let mut object = Value::Object(pairs.into_iter().collect());
        without_null(&mut object);
        object
    })
}

fn without_null(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(without_null),
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// `original` with some of its values replaced, removed or doubled, as in typical mistakes and worse.
pub(crate) fn mistaken(original: Value) -> impl Strategy<Value = Value> {
    let mistakes = proptest::collection::vec((any::<usize>(), 0..5_u8, json_value()), 1..4);
    mistakes.prop_map(move |mistakes| {
        let mut value = original.clone();
        for (at, how, other) in mistakes {
            let mut places = vec![];
            pointers(&value, String::new(), &mut places);
            let at = places[at % places.len()].clone();
            mistake(&mut value, &at, how, other);
        }
        value
    })
}

fn mistake(value: &mut Value, at: &str, how: u8, other: Value) {
    let Some(place) = value.pointer_mut(at) else {
        return;
    };
    match (how, &mut *place) {
        (0, Value::Array(list)) => list.extend(list.clone()),
        (0 | 1, Value::Object(map)) => {
            map.insert("unheard-of".to_owned(), other);
        }
        (1, Value::Array(list)) => list.push(other),
        (2, Value::Array(list)) => list.clear(),
        (2, Value::Object(map)) => *map = Map::new(),
        (3, Value::String(text)) => *text = text.repeat(200),
        (3, Value::Number(_)) => *place = json!(i64::MIN),
        _ => *place = other,
    }
}

fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                pointers(value, format!("{at}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                pointers(value, format!("{at}/{}", crate::manifests::token(key)), found);
            }
        }
        _ => {}
    }
    found.push(at);
}

/// Every pointer into `value`.
pub(crate) fn all_pointers(value: &Value) -> Vec<String> {
    let mut found = vec![];
    pointers(value, String::new(), &mut found);
    found
}
