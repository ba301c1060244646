//! YAML as `kubectl` reads it, with the line of every field.
//!
//! Plain scalars are resolved by the rules of YAML 1.1 as in Go's library for Kubernetes: `on` is a boolean, `010` is eight, a date is a
//! text. If a file meant something else here than in the cluster, the findings about it would be wrong.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Number, Value};

use crate::manifests::pointers::token;

/// Far deeper than any real manifest, and shallow enough for recursion along a value.
const MOST_DEPTH: usize = 64;
/// For one file, including what aliases repeat. The API server accepts three megabytes; a few aliases can expand to more.
const MOST_NODES: usize = 500_000;
/// A text counts as one more node for this many bytes, because an alias repeats them too.
const BYTES_OF_A_NODE: usize = 64;
/// The limit in bytes of all pointers of one file: a long key is part of the pointer of everything below it.
const MOST_POINTERS: usize = 64 << 20;

/// From this number on, Go writes an exponent.
const LEAST_WITH_EXPONENT: f64 = 1e21;

/// One document: its value, and the lines of its fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parsed {
    /// The document as JSON, with aliases expanded.
    pub value: Value,
    /// By JSON pointer. The content of an alias has the line of the alias, and no lines of its own.
    pub lines: HashMap<String, usize>,
    /// JSON pointers of keys that occur twice in one map, with the line of the second.
    pub twice: Vec<(String, usize)>,
}

/// Why a text cannot be read, and the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The line of the problem, from 1.
    pub line: usize,
    /// What is wrong in that line: a message.
    pub why: String,
}

/// All documents of `text` that are not empty.
pub(crate) fn parse(text: &str) -> Result<Vec<Parsed>, Unreadable> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| not_yaml(text, &error))?;
        reader.take(event, span)?;
    }
    Ok(reader.documents)
}

fn not_yaml(text: &str, error: &ScanError) -> Unreadable {
    let line = error.marker().line().max(1);
    let stated = text.lines().nth(line - 1).unwrap_or_default();
    // Of all files that are not YAML, templates are the most frequent, and the parser's reason is the least helpful for them.
    let why = if stated.contains("{{") {
        "Not YAML but a template. Render it first.".to_owned()
    } else {
        format!("Not YAML: {}.", error.kind())
    };
    Unreadable { line, why }
}

#[derive(Default)]
struct Reader {
    documents: Vec<Parsed>,
    lines: HashMap<String, usize>,
    twice: Vec<(String, usize)>,
    open: Vec<Open>,
    /// The JSON pointer of the innermost open node.
    at: String,
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
    /// Nodes that anchors store a copy of; anchors may be nested.
    kept: usize,
    /// Bytes of all pointers.
    pointers: usize,
}

/// A list or a map that has begun.
struct Open {
    held: Held,
    anchor: usize,
    /// Length of the pointer of its parent.
    outside: usize,
    /// How many nodes there were when it began.
    began: usize,
}

enum Held {
    List(Vec<Value>),
    Map {
        map: Map<String, Value>,
        /// Merged by `<<`: keys of the map itself take precedence, whatever the order.
        merged: Map<String, Value>,
        key: Option<String>,
    },
}

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) => {
                (self.lines, self.twice) = (HashMap::new(), Vec::new());
                self.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                let nodes = 1 + text.len() / BYTES_OF_A_NODE;
                if style == ScalarStyle::Plain && tag.is_none() && !self.at_key() && no_number(&text) {
                    let why = format!("{text} is not a number in JSON: put it in quotes if it is a string");
                    return Err(unreadable(line, &why));
                }
                let value = scalar(text, style, tag.as_deref());
                self.node(value, anchor, nodes, line)?;
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (value, nodes) =
                    known.ok_or_else(|| unreadable(line, "an alias refers to a node that contains it"))?;
                self.node(value, 0, nodes, line)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Held::List(Vec::new()), anchor, line)?,
            Event::MappingStart(_, anchor, _) => {
                let held = Held::Map {
                    map: Map::new(),
                    merged: Map::new(),
                    key: None,
                };
                self.begin(held, anchor, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(
            self.open.last().map(|open| &open.held),
            Some(Held::Map { key: None, .. })
        )
    }

    fn begin(&mut self, held: Held, anchor: usize, line: usize) -> Result<(), Unreadable> {
        if self.open.len() >= MOST_DEPTH {
            return Err(unreadable(
                line,
                &format!("nested more than {MOST_DEPTH} levels deep"),
            ));
        }
        let outside = self.at.len();
        self.enter(line)?;
        self.open.push(Open {
            held,
            anchor,
            outside,
            began: self.nodes,
        });
        Ok(())
    }

    /// Sets the pointer to the node that begins, and records its line: a value has the line of its key.
    fn enter(&mut self, line: usize) -> Result<(), Unreadable> {
        match self.open.last().map(|open| &open.held) {
            None => {}
            Some(Held::List(list)) => {
                self.at.push_str(&format!("/{}", list.len()));
                self.lines.insert(self.at.clone(), line);
                return self.pointed(self.at.len(), line);
            }
            Some(Held::Map { key: Some(key), .. }) => {
                self.at.push('/');
                self.at.push_str(&token(key));
            }
            // A key has no pointer of its own.
            Some(Held::Map { key: None, .. }) => return Ok(()),
        }
        self.lines.entry(self.at.clone()).or_insert(line);
        self.pointed(self.at.len(), line)
    }

    /// Counts a pointer that is stored.
    fn pointed(&mut self, bytes: usize, line: usize) -> Result<(), Unreadable> {
        self.pointers += bytes;
        if self.pointers > MOST_POINTERS {
            return Err(unreadable(line, "too large: too many fields below long keys"));
        }
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Unreadable> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        self.at.truncate(open.outside);
        let value = match open.held {
            Held::List(list) => Value::Array(list),
            Held::Map { map, mut merged, .. } => {
                merged.extend(map);
                Value::Object(merged)
            }
        };
        let nodes = self.nodes - open.began + 1;
        self.put(value, open.anchor, nodes, 1, line)
    }

    fn node(&mut self, value: Value, anchor: usize, nodes: usize, line: usize) -> Result<(), Unreadable> {
        let outside = self.at.len();
        self.enter(line)?;
        self.at.truncate(outside);
        self.put(value, anchor, nodes, nodes, line)
    }

    /// Adds a complete node to its parent. It has `nodes` nodes, and `new` of them have not been counted yet.
    fn put(
        &mut self,
        value: Value,
        anchor: usize,
        nodes: usize,
        new: usize,
        line: usize,
    ) -> Result<(), Unreadable> {
        self.nodes += new;
        if anchor > 0 {
            self.kept += nodes;
        }
        if self.nodes + self.kept > MOST_NODES {
            return Err(unreadable(
                line,
                "too large: its aliases expand to more than a cluster accepts",
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), nodes));
        }
        match self.open.last_mut().map(|open| &mut open.held) {
            None if value.is_null() => {}
            None => {
                self.lines.entry(String::new()).or_insert(line);
                self.documents.push(Parsed {
                    value,
                    lines: std::mem::take(&mut self.lines),
                    twice: std::mem::take(&mut self.twice),
                });
            }
            Some(Held::List(list)) => list.push(value),
            Some(Held::Map { map, merged, key }) => match key.take() {
                None => {
                    let named = key_text(value).ok_or_else(|| {
                        unreadable(
                            line,
                            "a key is a list or a map, but must be a string: put {{ … }} in quotes",
                        )
                    })?;
                    let at = format!("{}/{}", self.at, token(&named));
                    if map.contains_key(&named) {
                        self.twice.push((at.clone(), line));
                    }
                    // The line of the key; for duplicate keys that of the last one, which takes effect.
                    self.pointers += at.len();
                    self.lines.insert(at, line);
                    *key = Some(named);
                }
                Some(named) if named == "<<" => {
                    let maps = match value {
                        Value::Array(list) => list,
                        one => vec![one],
                    };
                    for one in maps {
                        let Value::Object(one) = one else {
                            return Err(unreadable(line, "<< merges maps, but this is not a map"));
                        };
                        for (key, value) in one {
                            merged.entry(key).or_insert(value);
                        }
                    }
                }
                Some(named) => {
                    map.insert(named, value);
                }
            },
        }
        Ok(())
    }
}

fn unreadable(line: usize, why: &str) -> Unreadable {
    Unreadable {
        line,
        why: format!("Not YAML that Kubernetes reads: {why}."),
    }
}

/// Keys are strings in JSON.
fn key_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => Some("null".to_owned()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match tag.and_then(Tag::core_suffix) {
        Some("str" | "binary" | "timestamp") => Value::String(text.into_owned()),
        Some("bool" | "int" | "float" | "null") => plain(&text),
        _ if style == ScalarStyle::Plain && tag.is_none() => plain(&text),
        _ => Value::String(text.into_owned()),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let first = text.chars().next()?;
    if !(first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(integer) = integer(&digits) {
        return Some(integer);
    }
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let stated = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && all_digits(e)
    });
    let decimal =
        all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && stated;
    let double: f64 = digits.parse().ok().filter(|_| decimal)?;
    // `kubectl` sends a whole number without a point, and the API server reads a number without a point as an integer, if it fits.
    let whole = double.fract() == 0.0 && double.abs() < LEAST_WITH_EXPONENT;
    let sent = whole.then(|| format!("{double:.0}"));
    match sent.and_then(|sent| sent.parse::<i64>().ok()) {
        Some(integer) => Some(integer.into()),
        None => Number::from_f64(double),
    }
}

/// Numbers that YAML has and JSON does not; `kubectl` refuses them.
fn no_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// As Go's `ParseInt` with base 0.
fn integer(digits: &str) -> Option<Number> {
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, rest) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if rest.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(rest, radix).ok()?;
    if negative {
        let least = 0i64.checked_sub_unsigned(magnitude)?;
        Some(least.into())
    } else {
        Some(magnitude.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(text: &str) -> Parsed {
        let mut documents = parse(text).unwrap();
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    #[test]
    fn words_and_numbers_are_what_kubectl_takes_them_for() {
        for (text, value) in [
            ("on", json!(true)),
            ("Off", json!(false)),
            ("y", json!(true)),
            ("NO", json!(false)),
            ("\"on\"", json!("on")),
            ("~", json!(null)),
            ("1", json!(1)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("010", json!(8)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("08", json!(8)),
            ("2026.11", json!(2026.11)),
            ("1e3", json!(1000)),
            ("1.0", json!(1)),
            ("-2.0", json!(-2)),
            ("-0.0", json!(0)),
            ("2.50e1", json!(25)),
            ("9223372036854775807.0", json!(9_223_372_036_854_775_808.0)),
            ("1e18", json!(1_000_000_000_000_000_000_i64)),
            ("1e20", json!(1e20)),
            ("1e21", json!(1e21)),
            ("1.5e-7", json!(1.5e-7)),
            ("1e999", json!("1e999")),
            ("\".inf\"", json!(".inf")),
            ("inf", json!("inf")),
            ("-.nan", json!("-.nan")),
            (".5", json!(0.5)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("9007199254740993", json!(9_007_199_254_740_993_i64)),
            ("2026.11.1", json!("2026.11.1")),
            ("2026-12-18T00:00:00Z", json!("2026-12-18T00:00:00Z")),
            ("0 18 * * TUE", json!("0 18 * * TUE")),
            ("1h30m", json!("1h30m")),
            ("1.", json!(1)),
            ("+-1", json!("+-1")),
            ("!!str 1", json!("1")),
            ("!!int \"1\"", json!(1)),
        ] {
            let text = format!("a: {text}\n");
            assert_eq!(only(&text).value, json!({ "a": value }), "{text}");
        }
    }

    #[test]
    fn every_field_has_the_line_of_its_key_and_every_item_the_line_it_begins_in() {
        let parsed = only("# a comment\na:\n  b: 1\n  c:\n  - x: 1\n    u: 2\n  - {z: 3,\n     w/v: 4}\n");
        let line = |at: &str| parsed.lines.get(at).copied();
        for (at, wanted) in [
            ("", 2),
            ("/a", 2),
            ("/a/b", 3),
            ("/a/c", 4),
            ("/a/c/0", 5),
            ("/a/c/0/x", 5),
            ("/a/c/0/u", 6),
            ("/a/c/1", 7),
            ("/a/c/1/z", 7),
            ("/a/c/1/w~1v", 8),
        ] {
            assert_eq!(line(at), Some(wanted), "{at}");
        }
    }

    #[test]
    fn documents_that_say_nothing_are_passed_over_and_the_others_keep_their_lines() {
        let documents = parse("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n").unwrap();
        let values: Vec<_> = documents.iter().map(|d| d.value.clone()).collect();
        assert_eq!(values, [json!({ "a": 1 }), json!({ "b": 2 })]);
        assert_eq!(documents[1].lines["/b"], 7);
    }

    #[test]
    fn aliases_and_merges_are_what_they_name() {
        let parsed = only("x: &x {a: 1, b: 2}\nu: *x\nz:\n  b: 3\n  <<: *x\n");
        assert_eq!(
            parsed.value,
            json!({ "x": { "a": 1, "b": 2 }, "u": { "a": 1, "b": 2 }, "z": { "a": 1, "b": 3 } })
        );
    }

    #[test]
    fn a_key_that_is_a_number_is_what_json_would_call_it() {
        let parsed = only("1.0: a\n.inf: b\n1e3: c\n");
        assert_eq!(parsed.value, json!({ "1": "a", ".inf": "b", "1000": "c" }));
    }

    #[test]
    fn a_key_that_stands_twice_is_named_and_the_last_counts() {
        let parsed = only("a:\n  b: 1\n  b: 2\n");
        assert_eq!(parsed.value, json!({ "a": { "b": 2 } }));
        assert_eq!(parsed.twice, [("/a/b".to_owned(), 3)]);
        assert_eq!(parsed.lines["/a/b"], 3);
    }

    #[test]
    fn what_cannot_be_read_says_why_and_in_which_line() {
        let nested = format!("a: {}{}", "[".repeat(70), "]".repeat(70));
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let alias = format!("*a{}, ", n - 1).repeat(10);
            laughs.push_str(&format!("a{n}: &a{n} [{}]\n", alias.trim_end_matches(", ")));
        }
        // One alias is one node, but it may repeat a text of any length.
        let repeated = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(100_000),
            ["*a"; 1000].join(", ")
        );
        // Each anchor stores a copy of everything that the anchors within it store.
        let anchors: String = (0..60).map(|n| format!("&a{n} [")).collect();
        let within = format!("a:\n  {anchors}{}{}\n", "1, ".repeat(20_000), "]".repeat(60));
        // A pointer contains all keys above it.
        let below = format!(
            "? {}\n:\n- [1]\n- [{}]\n",
            "k".repeat(100_000),
            "1, ".repeat(1000)
        );
        for (text, line, why) in [
            ("a: 1\nb: [1, 2\nc: 3\n", 3, "Not YAML: "),
            ("a: 1\n  b: 2\n", 2, "Not YAML: "),
            (
                "a:\n{{- if .Values.x }}\nb: 1\n",
                2,
                "Not YAML but a template. Render it first.",
            ),
            ("a: *missing\n", 1, "Not YAML: "),
            (&nested, 1, "nested more than 64 levels deep"),
            (&laughs, 6, "too large"),
            (&repeated, 2, "too large"),
            (&within, 2, "too large"),
            (&below, 4, "too large"),
            ("? [a]\n: 1\n", 1, "a key is a list or a map"),
            (
                "a: 1\nb: .inf\n",
                2,
                ".inf is not a number in JSON: put it in quotes if it is a string",
            ),
            ("a: [1, -.INF]\n", 1, "-.INF is not a number in JSON"),
            ("a:\n- .NaN\n", 2, ".NaN is not a number in JSON"),
        ] {
            let unreadable = parse(text).expect_err(text);
            assert!(unreadable.why.contains(why), "{text:.40}: {}", unreadable.why);
            assert_eq!(unreadable.line, line, "{text:.40}: {}", unreadable.why);
        }
    }
}
