//! Values that look secret are not printed. Both sides of a difference are masked in the same way, so that a change stays visible.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::paths::below;

const MASK: &str = "***";
const CHANGED: &str = "*** (changed)";

/// Names of secrets, with small letters and digits only.
const NAMES: [&str; 24] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "privatekey",
    "apikey",
    "accesskey",
    "accountkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "authkey",
    "masterkey",
    "masterauth",
    "requirepass",
    "authorization",
    "connectionstring",
    "connstring",
    "connstr",
    "cookiekey",
    "keydata",
    "sharedaccess",
];
/// Words that count only as a whole.
const WORDS: [&str; 6] = ["pass", "pwd", "pw", "dsn", "auth", "sig"];
/// Fields of Kubernetes that name a Secret. The name is not secret.
const REFERENCES: [&str; 2] = ["secretName", "secretNamespace"];

/// Masks the live object first, and then the result.
#[derive(Debug, Default)]
pub(crate) struct Masking {
    /// The secrets of the live object by their place.
    before: BTreeMap<String, String>,
    /// The secrets of the object that is masked now by their place.
    now: BTreeMap<String, String>,
    /// How many secrets each place has had: a place may be named twice.
    counts: BTreeMap<String, usize>,
}

impl Masking {
    /// The live object with every secret masked.
    pub(crate) fn live(&mut self, object: &Value) -> Value {
        let masked = self.object(object);
        self.before = std::mem::take(&mut self.now);
        self.counts.clear();
        masked
    }

    /// The result with every secret masked. One that differs from the live object's says so.
    pub(crate) fn result(&mut self, object: &Value) -> Value {
        self.object(object)
    }

    fn object(&mut self, object: &Value) -> Value {
        let Value::Object(fields) = object else {
            return self.value("", object, false);
        };
        let secret = object["kind"] == "Secret";
        let masked = fields.iter().map(|(key, value)| {
            let at = below("", key);
            let all = secret && ["data", "stringData"].contains(&key.as_str());
            let masked = match (value, all) {
                (Value::Object(values), true) => values
                    .iter()
                    .map(|(key, value)| (key.clone(), self.value(&below(&at, key), value, true)))
                    .collect(),
                _ => self.value(&at, value, false),
            };
            (key.clone(), masked)
        });
        masked.collect()
    }

    fn value(&mut self, at: &str, value: &Value, secret: bool) -> Value {
        match value {
            Value::Object(fields) => {
                let named = value["name"].as_str().is_some_and(looks_secret);
                let masked = fields.iter().map(|(key, value)| {
                    let refers = REFERENCES.contains(&key.as_str());
                    let secret = looks_secret(key) && !refers || named && key == "value";
                    (key.clone(), self.value(&below(at, key), value, secret))
                });
                masked.collect()
            }
            Value::Array(list) => {
                let mut flag = false;
                let masked = list.iter().enumerate().map(|(index, element)| {
                    let at = match element["name"].as_str() {
                        Some(name) => format!("{at}[{name}]"),
                        None => format!("{at}/{index}"),
                    };
                    let masked = self.value(&at, element, secret || flag);
                    flag = element.as_str().is_some_and(is_secret_flag);
                    masked
                });
                Value::Array(masked.collect())
            }
            Value::String(text) if text.is_empty() => value.clone(),
            Value::String(text) if secret => Value::from(self.mask(at, text)),
            Value::String(text) => Value::String(self.text(at, text)),
            other => other.clone(),
        }
    }

    fn mask(&mut self, at: &str, secret: &str) -> &'static str {
        let count = self.counts.entry(at.to_owned()).or_default();
        *count += 1;
        let place = format!("{at} {count}");
        let changed = self.before.get(&place).is_some_and(|before| before != secret);
        self.now.insert(place, secret.to_owned());
        if changed { CHANGED } else { MASK }
    }

    /// A text that may contain secrets, as a file in a ConfigMap does.
    fn text(&mut self, at: &str, text: &str) -> String {
        let text = self.blocks(at, text);
        let mut masked: Vec<String> = Vec::new();
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let (shown, block) = self.assigned(at, line);
            let shown = self.web_tokens(at, &shown);
            masked.push(self.addresses(at, &shown));
            if !block {
                continue;
            }
            let mut inside: Vec<&str> = Vec::new();
            while let Some(next) = lines.next_if(|next| next.trim().is_empty() || indent(next) > indent(line))
            {
                inside.push(next);
            }
            let secret = inside.join("\n");
            masked.push(" ".repeat(indent(line) + 2) + self.mask(&format!("{at} block"), &secret));
        }
        masked.join("\n")
    }

    /// Keys and certificates in PEM.
    fn blocks(&mut self, at: &str, text: &str) -> String {
        const BEGIN: &str = "-----BEGIN ";
        const END: &str = "-----END ";
        let (mut shown, mut rest) = (String::new(), text);
        while let Some((before, body)) = rest.split_once(BEGIN) {
            let end = body
                .split_once(END)
                .and_then(|(_, after)| after.split_once("-----"));
            let after = end.map_or("", |(_, after)| after);
            let secret = &body[..body.len() - after.len()];
            shown.push_str(before);
            shown.push_str(self.mask(&format!("{at} pem"), secret));
            rest = after;
        }
        shown + rest
    }

    /// JSON Web Tokens.
    fn web_tokens(&mut self, at: &str, line: &str) -> String {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let (mut shown, mut rest) = (String::new(), line);
        while let Some(begin) = rest.find("eyJ") {
            let (before, token) = rest.split_at(begin);
            let end = token.find(|c| !part(c)).unwrap_or(token.len());
            let (token, after) = token.split_at(end);
            shown.push_str(before);
            let is_token = token.matches('.').count() >= 2;
            shown.push_str(if is_token {
                self.mask(&format!("{at} jwt"), token)
            } else {
                token
            });
            rest = after;
        }
        shown + rest
    }

    /// Passwords in URLs.
    fn addresses(&mut self, at: &str, line: &str) -> String {
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
        let (mut shown, mut rest) = (String::new(), line);
        while let Some((before, address)) = rest.split_once("://") {
            shown.push_str(before);
            shown.push_str("://");
            let (address, after) = address.split_at(address.find(ends).unwrap_or(address.len()));
            // A password may contain an @ itself.
            let secret = address.rsplit_once('@').and_then(|(user, host)| {
                let named = user.split_once(':').filter(|(_, password)| !password.is_empty());
                // A token may stand alone before the host.
                let alone = (user.len() >= 16).then_some(("", user));
                let (user, password) = named.or(alone)?;
                Some((user, password, host))
            });
            match secret {
                Some((user, password, host)) => {
                    let mask = self.mask(&format!("{at} url {user}"), password);
                    let colon = if user.is_empty() { "" } else { ":" };
                    shown.push_str(&format!("{user}{colon}{mask}@{host}"));
                }
                None => shown.push_str(address),
            }
            rest = after;
        }
        shown + rest
    }

    /// Values after a name that looks secret, as in `password=…`, `password: …`, `"password": "…"`, `<password>…` or `--password …`.
    /// An unquoted value ends with the line, or where a shell would begin the next command. Whether a block of further lines is the value.
    fn assigned(&mut self, at: &str, line: &str) -> (String, bool) {
        let (mut shown, mut rest, mut first) = (String::new(), line, true);
        while let Some(begin) = rest.find(of_name) {
            let (before, name) = rest.split_at(begin);
            let (name, after) = name.split_at(name.find(|c| !of_name(c)).unwrap_or(name.len()));
            shown.push_str(before);
            shown.push_str(name);
            rest = after;
            let alone = std::mem::take(&mut first) || name.starts_with('-');
            let Some(value) = looks_secret(name).then(|| value_of(after, alone)).flatten() else {
                continue;
            };
            shown.push_str(&after[..after.len() - value.len()]);
            if value.starts_with(['|', '>']) && value[1..].trim().len() <= 2 {
                return (shown + value, true);
            }
            let (quote, secret, left) = extent(value);
            shown.push_str(quote);
            if !secret.is_empty() {
                shown.push_str(self.mask(&format!("{at} {name}"), secret));
            }
            rest = left;
        }
        (shown + rest, false)
    }
}

/// Whether the value of a key of a map would be masked.
#[must_use]
pub fn shows_secrets(key: &str, value: &Value) -> bool {
    let object = serde_json::json!({ "data": { key: value } });
    Masking::default().live(&object) != object
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// What is assigned to a name, if `after` it something is. `alone`: the name may be followed by a blank only.
fn value_of(after: &str, alone: bool) -> Option<&str> {
    let blank = |c: char| matches!(c, ' ' | '\t');
    let unquoted = after.trim_start_matches(['"', '\'', ']']);
    let sign = unquoted.trim_start_matches(blank);
    let value = sign.trim_start_matches([':', '=', '>', ' ', '\t']);
    let separated = sign.starts_with([':', '=', '>']) || alone && unquoted.starts_with(blank);
    (separated && !value.is_empty()).then_some(value)
}

/// Where a shell would begin the next command: it must be seen. A sign between letters belongs to the value.
fn command(value: &str) -> usize {
    let signs = value.match_indices([';', '|', '&']);
    let ends = signs.filter(|(at, sign)| {
        let (before, after) = (&value[..*at], &value[at + sign.len()..]);
        let apart = |c: char| c.is_whitespace() || matches!(c, '|' | '&');
        before.ends_with(char::is_whitespace) || after.starts_with(apart)
    });
    ends.map(|(at, _)| value[..at].trim_end().len())
        .next()
        .unwrap_or(value.len())
}

/// The opening quote, the value in it, and what follows.
fn extent(value: &str) -> (&str, &str, &str) {
    let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) else {
        let end = value.find('<').unwrap_or(value.len()).min(command(value));
        return ("", &value[..end], &value[end..]);
    };
    let mut escaped = false;
    let inside = &value[1..];
    let end = inside.find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let end = end.unwrap_or(inside.len());
    (&value[..1], &inside[..end], &inside[end..])
}

/// `--password`, whose value is the next argument.
fn is_secret_flag(argument: &str) -> bool {
    argument.starts_with('-') && argument.chars().all(of_name) && looks_secret(argument)
}

/// Whether values of this name are not to be printed.
fn looks_secret(name: &str) -> bool {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    let joined: String = letters.flat_map(char::to_lowercase).collect();
    let mut words = words(name);
    NAMES.iter().any(|secret| joined.contains(secret)) || words.any(|word| WORDS.contains(&word.as_str()))
}

/// The words of a name in camel case, or with signs between them, in small letters.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || before.is_lowercase() && c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.into_iter()
}
