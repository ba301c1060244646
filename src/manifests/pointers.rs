//! JSON pointers (RFC 6901), and fields as users and the API server write them.

use serde_json::Value;

/// One step of a JSON pointer (RFC 6901).
#[must_use]
pub fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A JSON pointer into `value` as users and the API server write it: `spec.gates[0].name`.
#[must_use]
pub fn field(value: &Value, at: &str) -> String {
    let mut text = String::new();
    let mut here = Some(value);
    for token in at.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        match here {
            Some(Value::Array(list)) => {
                text.push_str(&format!("[{key}]"));
                here = key.parse().ok().and_then(|index: usize| list.get(index));
            }
            other => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&key);
                here = other.and_then(|value| value.get(&key));
            }
        }
    }
    text
}

/// The JSON pointer of what the API server calls `field` of `value`. Keys may contain dots, so `value` is needed to split it.
#[must_use]
pub fn pointer(value: &Value, field: &str) -> String {
    let (mut at, mut here, mut rest) = (String::new(), Some(value), field);
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some((index, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            at.push_str(&format!("/{index}"));
            here = here.and_then(|h| h.get(index.parse::<usize>().ok()?));
            rest = after;
            continue;
        }
        let ends = |key: &&String| {
            rest.strip_prefix(key.as_str())
                .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
        };
        let known = here
            .and_then(Value::as_object)
            .and_then(|map| map.keys().filter(ends).max_by_key(|key| key.len()));
        // An unclosed bracket is part of a key, like any other character.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let unknown = || rest[first..].find(['.', '[']).map_or(rest.len(), |at| first + at);
        let end = known
            .filter(|key| !key.is_empty())
            .map_or_else(unknown, String::len);
        let (key, after) = rest.split_at(end);
        at.push('/');
        at.push_str(&token(key));
        here = here.and_then(|h| h.get(key));
        rest = after;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_written_as_the_api_server_writes_them() {
        let value = json!({ "spec": { "gates": [{ "name": "a" }], "labels": { "a.b/c": [1] } } });
        for (at, text) in [
            ("", ""),
            ("/spec", "spec"),
            ("/spec/gates/0/name", "spec.gates[0].name"),
            ("/spec/labels/a.b~1c/0", "spec.labels.a.b/c[0]"),
            ("/spec/gates/0/job/template", "spec.gates[0].job.template"),
        ] {
            assert_eq!(field(&value, at), text);
            assert_eq!(pointer(&value, text), at);
        }
    }

    #[test]
    fn what_is_no_field_is_some_pointer() {
        let value = json!({ "": { "[": 1 }, "[": 2 });
        for (text, at) in [
            ("[", "/["),
            ("a[", "/a/["),
            ("..", "/."),
            ("[]", "/"),
            ("]", "/]"),
            ("a.[b", "/a/[b"),
        ] {
            assert_eq!(pointer(&value, text), at, "{text}");
        }
    }
}
