//! YAML with comments. Every value goes through the serializer.

use serde::Serialize;
use serde_yaml_ng::Value;

use crate::domain::text::printable;
use crate::view::yaml::yaml;

/// Characters of a line of comment.
const WIDTH: usize = 110;

/// What people read first in a map.
const FIRST: [&str; 8] = [
    "apiVersion",
    "apiGroup",
    "apiGroups",
    "kind",
    "name",
    "metadata",
    "resources",
    "resourceNames",
];

/// The text of a file.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// The text that was written.
    pub(crate) fn text(self) -> String {
        self.text
    }

    /// A comment, wrapped.
    pub(crate) fn comment(&mut self, indent: usize, words: &str) {
        let mut line = String::new();
        for word in printable(words).split(' ') {
            if !line.is_empty() && indent + line.chars().count() + word.chars().count() > WIDTH {
                self.line(indent, &format!("#{line}"));
                line.clear();
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(indent, &format!("#{line}"));
    }

    /// The beginning of another document.
    pub(crate) fn next(&mut self) {
        self.line(0, "---");
    }

    /// A map or list as YAML.
    pub(crate) fn yaml(&mut self, indent: usize, value: &impl Serialize) -> Result<(), serde_yaml_ng::Error> {
        for line in yaml(&ordered(value)?)?.lines() {
            self.line(indent, line);
        }
        Ok(())
    }

    /// The same as a comment, to be used by removing the signs.
    pub(crate) fn example(
        &mut self,
        indent: usize,
        value: &impl Serialize,
    ) -> Result<(), serde_yaml_ng::Error> {
        for line in yaml(&ordered(value)?)?.lines() {
            self.line(indent, &format!("# {line}"));
        }
        Ok(())
    }

    /// A key whose value follows.
    pub(crate) fn key(&mut self, indent: usize, key: &'static str) {
        self.line(indent, &format!("{key}:"));
    }

    fn line(&mut self, indent: usize, line: &str) {
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// `value` with the keys of every map in the order in which people read them.
fn ordered(value: &impl Serialize) -> Result<Value, serde_yaml_ng::Error> {
    fn sort(value: Value) -> Value {
        match value {
            Value::Mapping(map) => {
                let rank = |key: &Value| FIRST.iter().position(|first| key.as_str() == Some(first));
                let mut fields: Vec<(Value, Value)> =
                    map.into_iter().map(|(key, value)| (key, sort(value))).collect();
                fields.sort_by_key(|(key, _)| rank(key).unwrap_or(FIRST.len()));
                Value::Mapping(fields.into_iter().collect())
            }
            Value::Sequence(list) => Value::Sequence(list.into_iter().map(sort).collect()),
            other => other,
        }
    }
    serde_yaml_ng::to_value(value).map(sort)
}
