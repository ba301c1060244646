//! The operator's log, one line per event, as text or JSON. What people write (names, reasons, messages of admission) is one escaped
//! field, so that no part of it can look like another field or another line.

use std::fmt::{self, Debug};

use clap::ValueEnum;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};

use crate::domain::text::printable;

/// How log lines are written.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A subscriber that writes events to `writer`; `colours` are for a terminal.
pub(crate) fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_target(false)
        .with_writer(writer);
    match format {
        LogFormat::Text => Box::new(builder.fmt_fields(Escaped).finish()),
        LogFormat::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish(),
        ),
    }
}

/// Fields as `name=value`, in quotes wherever the value is more than a word.
struct Escaped;

impl<'w> FormatFields<'w> for Escaped {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line {
            writer,
            begun: false,
            result: Ok(()),
        };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: &str) -> fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            self.writer.write_char(' ')?;
        }
        let word = |c: char| c.is_ascii_alphanumeric() || "-_./:@+".contains(c);
        match field.name() {
            // The message is Signalbox' own text, without values of others.
            "message" => self.writer.write_str(&printable(value)),
            name if !value.is_empty() && value.chars().all(word) => write!(self.writer, "{name}={value}"),
            name => write!(self.writer, "{name}={value:?}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.put(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
    use serde_json::{Value, json};

    use super::*;
    use crate::decide::fixtures::{morning, release, seconds, sit, uat};
    use crate::world::{Behaviour, Script, Where, World};

    const HOSTILE: &str = "done\n2026-11-23T09:00:00Z  INFO promotion moved step=Succeeded says=\"fine\" \u{1b}[2K\r\u{9b}31m\u{202e}\", \"level\":\"ERROR\"}\t{";

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the buffer").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while a Release is backed out by a Decision and withdrawn, each with a hostile reason.
    fn logged(format: LogFormat) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = EnvFilter::new("info");
        let subscriber = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let script = Script {
                rollouts: vec![(
                    Where::at("sit", "ledger"),
                    Behaviour::Ready { after: seconds(60) },
                )],
                ..Script::default()
            };
            let mut world = World::new(morning(), script).expect("the chart's policies");
            world.add_environment(sit()).expect("an environment");
            world.add_environment(uat()).expect("an environment");
            let mut release = release();
            release.metadata.finalizers = None;
            release.spec.environments = vec!["sit".to_owned(), "uat".to_owned()];
            let name = release.metadata.name.clone().expect("a name");
            world.add_release(release).expect("a release");
            world.fill_in();
            world.settle();
            world.verified_since(morning() - seconds(3600));
            let spec = json!({ "release": name, "environment": "sit", "action": "BackOut", "attempt": 1, "by": HOSTILE, "reason": HOSTILE });
            world
                .decide("payments", serde_json::from_value(spec).expect("a spec"))
                .expect("a decision");
            let withdrawn = serde_json::from_value(json!({ "reason": HOSTILE })).expect("a reason");
            let withdraw = |spec: &mut crate::api::ReleaseSpec| spec.withdrawn = withdrawn;
            world
                .edit_release("payments", &name, withdraw)
                .expect("it may be withdrawn");
            for _ in 0..100 {
                world.advance();
            }
            tracing::info_span!("reconcile", release = HOSTILE).in_scope(|| {
                tracing::warn!(error = %HOSTILE, reason = ?HOSTILE, says = HOSTILE, "an Event could not be written");
            });
        });
        let text = String::from_utf8(buffer.0.lock().expect("the buffer").clone()).expect("UTF-8");
        assert!(text.ends_with('\n'), "{text}");
        text.lines().map(str::to_owned).collect()
    }

    /// A JSON object that has no key twice.
    struct Unique(BTreeMap<String, Value>);

    impl<'de> Deserialize<'de> for Unique {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Keys;
            impl<'de> Visitor<'de> for Keys {
                type Value = BTreeMap<String, Value>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut seen = BTreeMap::new();
                    while let Some((key, value)) = map.next_entry::<String, Value>()? {
                        if seen.insert(key.clone(), value).is_some() {
                            return Err(A::Error::custom(format!("{key} is there twice")));
                        }
                    }
                    Ok(seen)
                }
            }
            deserializer.deserialize_map(Keys).map(Unique)
        }
    }

    /// Time, level, and what follows: words, and fields whose values are read back as a JSON string where they are quoted.
    fn parsed(line: &str) -> (String, Vec<String>, Vec<(String, String)>) {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        let (time, rest) = line.split_once(' ').expect("a time");
        time.parse::<jiff::Timestamp>().expect("a time");
        let (level, mut rest) = rest.trim_start().split_once(' ').expect("a level");
        let (mut words, mut fields) = (vec![], vec![]);
        while !rest.is_empty() {
            let end = rest.find(['=', ' ', '{', '}']).unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            let Some(value) = after.strip_prefix('=') else {
                words.extend((!token.is_empty() && token != ":").then(|| token.to_owned()));
                rest = after.get(1..).unwrap_or_default();
                continue;
            };
            let (value, after) = match value.strip_prefix('"') {
                None => value.split_at(value.find([' ', '}']).unwrap_or(value.len())),
                Some(quoted) => {
                    let mut escaped = false;
                    let end = quoted.char_indices().find(|(_, c)| {
                        let ends = *c == '"' && !escaped;
                        escaped = *c == '\\' && !escaped;
                        ends
                    });
                    let (end, _) = end.expect("a closing quote");
                    (&quoted[..end], &quoted[end + 1..])
                }
            };
            fields.push((token.to_owned(), value.to_owned()));
            rest = after;
        }
        (level.to_owned(), words, fields)
    }

    #[test]
    fn a_line_of_text_is_one_event_whatever_people_write() {
        let lines = logged(LogFormat::Text);
        let escaped = HOSTILE.escape_debug().to_string();
        let mut hostile = 0;
        for line in &lines {
            let (level, _, fields) = parsed(line);
            assert!(level == "INFO" || level == "WARN", "{line}");
            hostile += fields
                .iter()
                .filter(|(_, value)| value.contains("done\\n"))
                .count();
            let names: std::collections::BTreeSet<_> = fields.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), fields.len(), "a field is there twice: {line}");
        }
        let (level, words, fields) = parsed(lines.last().expect("a line"));
        assert_eq!(level, "WARN");
        assert_eq!(words.join(" "), "reconcile an Event could not be written");
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["release", "error", "reason", "says"]);
        assert_eq!(fields[1].1.replace("\\'", "'"), escaped.replace("\\'", "'"));
        assert!(
            hostile >= 4,
            "the reason of the withdrawal is a field, too: {lines:#?}"
        );
    }

    #[test]
    fn a_line_of_json_is_one_object_with_no_key_twice() {
        let lines = logged(LogFormat::Json);
        let mut told = false;
        for line in &lines {
            let Unique(fields) = serde_json::from_str(line).expect(line);
            if let Some(span) = fields.get("span") {
                let _: Unique = serde_json::from_str(&span.to_string()).expect(line);
            }
            told |= fields
                .get("says")
                .and_then(Value::as_str)
                .is_some_and(|says| says.contains("done\n"));
            assert!(fields["level"] == "INFO" || fields["level"] == "WARN", "{line}");
        }
        assert!(told, "{lines:#?}");
    }
}
