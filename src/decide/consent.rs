//! Whether a target namespace admits Releases. Its owner consents with an annotation on the Namespace or on the deployer's ServiceAccount in
//! it. A user who may edit that ServiceAccount is an admin of the namespace, so consent is theirs to give.

use std::collections::BTreeMap;

use crate::api::ACCEPT;

/// Bytes of an annotation that are read.
const MOST_BYTES: usize = 4096;
/// Bytes of an entry that a message quotes.
const MOST_QUOTED: usize = 80;

/// The entries of one annotation, or why it does not parse. An annotation that does not parse admits no Release: what a wrong entry was
/// meant to be must not be guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepts(Result<Vec<Entry>, Slip>);

/// Why an annotation cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Slip {
    #[error("it has {0} bytes, but at most {MOST_BYTES} are allowed; list fewer entries")]
    TooLong(usize),
    #[error("it has an empty entry; remove the extra comma")]
    Empty,
    /// Quoted, shortened if it is long.
    #[error(
        "entry {0:?} must be the name of a Release namespace (payments), a Release namespace with an Environment (payments/production), or * \
         for all Releases"
    )]
    Entry(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// `*`
    Anybody,
    /// A Release namespace, through any Environment.
    Namespace(String),
    /// A Release namespace, through that Environment alone.
    Environment(String, String),
}

impl Accepts {
    /// The annotation, if there is one.
    #[must_use]
    pub fn read(annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        annotations?.get(ACCEPT).map(|text| Self(parse(text)))
    }

    /// Whether Releases of `namespace` may enter here through `environment`.
    #[must_use]
    pub fn admits(&self, namespace: &str, environment: &str) -> bool {
        self.0.iter().flatten().any(|entry| match entry {
            Entry::Anybody => true,
            Entry::Namespace(from) => from == namespace,
            Entry::Environment(from, by) => from == namespace && by == environment,
        })
    }
}

/// Entries are separated by commas or blanks. An empty annotation admits no Release; nothing between two commas is a mistake.
fn parse(text: &str) -> Result<Vec<Entry>, Slip> {
    if text.len() > MOST_BYTES {
        return Err(Slip::TooLong(text.len()));
    }
    if text.trim().is_empty() {
        return Ok(vec![]);
    }
    let mut entries = Vec::new();
    for part in text.split(',') {
        if part.trim().is_empty() {
            return Err(Slip::Empty);
        }
        for word in part.split_whitespace() {
            entries.push(entry(word)?);
        }
    }
    Ok(entries)
}

fn entry(word: &str) -> Result<Entry, Slip> {
    let namespace_of = |name: &str| is_label(name).then(|| name.to_owned());
    let read = match word.split_once('/') {
        None if word == "*" => Some(Entry::Anybody),
        None => namespace_of(word).map(Entry::Namespace),
        Some((namespace, environment)) => namespace_of(namespace)
            .filter(|_| is_subdomain(environment))
            .map(|namespace| Entry::Environment(namespace, environment.to_owned())),
    };
    read.ok_or_else(|| {
        let mut quoted = word;
        while quoted.len() > MOST_QUOTED {
            quoted = quoted
                .char_indices()
                .next_back()
                .map_or("", |(end, _)| &quoted[..end]);
        }
        Slip::Entry(quoted.to_owned())
    })
}

/// Whether it can be the name of a namespace.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}

/// Whether it can be the name of an Environment.
fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// What is to enter, and where.
#[derive(Clone, Copy, Debug)]
pub struct Entering<'a> {
    /// The namespace of the Release.
    pub release_namespace: &'a str,
    /// Name of the Environment through which it enters.
    pub environment: &'a str,
    /// Name of the target namespace.
    pub target: &'a str,
    /// Name of the ServiceAccount in the target namespace that the operator impersonates.
    pub deployer: &'a str,
}

/// The target namespace does not admit it: why, and what its owner can do. A complete message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotAccepted {
    message: String,
    command: String,
}

impl NotAccepted {
    /// The command with which its owner consents.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }
}

/// Whether the target namespace admits it: by either annotation or, where neither object has one, unless consent is `required`.
///
/// # Errors
/// [`NotAccepted`].
pub fn judge(
    entering: Entering<'_>,
    of_namespace: Option<&Accepts>,
    of_deployer: Option<&Accepts>,
    required: bool,
) -> Result<(), NotAccepted> {
    let Entering {
        release_namespace,
        environment,
        target,
        deployer,
    } = entering;
    let mut stated = of_namespace.into_iter().chain(of_deployer);
    if stated.any(|accepts| accepts.admits(release_namespace, environment)) {
        return Ok(());
    }
    let refused = format!(
        "Namespace {target} does not accept Releases of namespace {release_namespace} through Environment {environment}"
    );
    let entry = format!("{release_namespace}/{environment}");
    let objects = [
        (
            of_namespace,
            format!("Namespace {target}"),
            format!("kubectl edit namespace {target}"),
        ),
        (
            of_deployer,
            format!("ServiceAccount {deployer} in {target}"),
            format!("kubectl --namespace {target} edit serviceaccount {deployer}"),
        ),
    ];
    let mut unreadable = objects
        .iter()
        .filter_map(|(accepts, object, command)| match accepts {
            Some(Accepts(Err(why))) => Some((why, object, command)),
            _ => None,
        });
    if let Some((why, object, command)) = unreadable.next() {
        return Err(NotAccepted {
            message: format!(
                "{refused}: the annotation {ACCEPT} of {object} cannot be read, so it accepts no Release: {why}. Correct it with `{command}`."
            ),
            command: command.clone(),
        });
    }
    // An admin of the namespace may edit the ServiceAccount, but rarely the Namespace.
    let [namespace, account] = objects;
    if account.0.is_none() {
        if namespace.0.is_none() && !required {
            return Ok(());
        }
        let command =
            format!("kubectl --namespace {target} annotate serviceaccount {deployer} {ACCEPT}={entry}");
        return Err(NotAccepted {
            message: format!(
                "{refused}: neither the Namespace nor its ServiceAccount {deployer} lists {entry} in the annotation {ACCEPT}. To consent, \
                 the owner of the namespace runs `{command}`."
            ),
            command,
        });
    }
    Err(NotAccepted {
        message: format!(
            "{refused}: the annotation {ACCEPT} of {} does not list {entry}. To consent, the owner of the namespace adds it with `{}`.",
            account.1, account.2
        ),
        command: account.2,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> Accepts {
        Accepts::read(Some(&BTreeMap::from([(ACCEPT.to_owned(), text.to_owned())]))).expect("an annotation")
    }

    const ENTERING: Entering<'static> = Entering {
        release_namespace: "payments",
        environment: "production",
        target: "payments-prod",
        deployer: "signalbox-deployer",
    };

    #[test]
    fn an_entry_admits_whom_it_names_and_nobody_else() {
        for (text, namespace, environment, admitted) in [
            ("payments", "payments", "production", true),
            ("payments", "payments", "uat", true),
            ("payments", "payments-b", "uat", false),
            ("payments/production", "payments", "production", true),
            ("payments/production", "payments", "uat", false),
            ("payments/production", "ledgers", "production", false),
            ("*", "anyone", "anything", true),
            (
                "ledgers, payments/uat\n payments/production",
                "payments",
                "production",
                true,
            ),
            (
                "ledgers payments/eu.production",
                "payments",
                "eu.production",
                true,
            ),
            ("ledgers,payments", "payments", "x", true),
            ("", "payments", "production", false),
            (" ", "payments", "production", false),
        ] {
            let accepts = accepts(text);
            assert_eq!(
                accepts.admits(namespace, environment),
                admitted,
                "{text:?} for {namespace}/{environment}"
            );
            assert!(accepts.0.is_ok(), "{text:?}");
        }
        assert_eq!(Accepts::read(None), None);
        assert_eq!(Accepts::read(Some(&BTreeMap::new())), None);
    }

    #[test]
    fn an_annotation_that_does_not_parse_admits_nobody_and_names_the_entry() {
        let long = format!("payments,{}", "x".repeat(5000));
        let wide = format!("payments,{}", "ä".repeat(200));
        for (text, says) in [
            ("payments,,uat", "an empty entry"),
            ("payments,", "an empty entry"),
            (",payments", "an empty entry"),
            ("payments,a/b/c", "entry \"a/b/c\" must be"),
            ("payments,a/", "entry \"a/\" must be"),
            ("payments,/b", "entry \"/b\" must be"),
            ("payments,a//b", "entry \"a//b\" must be"),
            ("payments,*/production", "entry \"*/production\" must be"),
            ("payments,payments/*", "entry \"payments/*\" must be"),
            ("payments,Ledgers", "entry \"Ledgers\" must be"),
            ("payments,-a", "entry \"-a\" must be"),
            ("payments;ledgers", "entry \"payments;ledgers\" must be"),
            ("payments,a\u{7}", "entry \"a\\u{7}\" must be"),
            (&long, "it has 5009 bytes, but at most 4096 are allowed"),
            (&wide, "must be the name of a Release namespace"),
        ] {
            let accepts = accepts(text);
            assert!(!accepts.admits("payments", "production"), "{text:?}");
            let why = judge(ENTERING, None, Some(&accepts), false).expect_err("no Release is admitted");
            let why = why.to_string();
            assert!(
                why.contains("annotation signalbox.dev/accept of ServiceAccount signalbox-deployer in payments-prod cannot be read"),
                "{why}"
            );
            assert!(why.contains(says), "{text:?}: {why}");
            assert!(why.len() < 1000, "{why}");
        }
    }

    #[test]
    fn either_annotation_is_consent_and_without_both_the_setting_decides() {
        let (yes, no, bad) = (accepts("payments"), accepts("ledgers"), accepts("a//b"));
        let judged = |namespace, account, required| judge(ENTERING, namespace, account, required);
        for required in [true, false] {
            for (namespace, account) in [
                (Some(&yes), None),
                (None, Some(&yes)),
                (Some(&no), Some(&yes)),
                (Some(&yes), Some(&bad)),
                (Some(&bad), Some(&yes)),
            ] {
                assert_eq!(judged(namespace, account, required), Ok(()));
            }
            for (namespace, account) in [
                (Some(&no), None),
                (None, Some(&no)),
                (Some(&no), Some(&no)),
                (Some(&bad), None),
                (Some(&no), Some(&bad)),
            ] {
                assert!(
                    judged(namespace, account, required).is_err(),
                    "{namespace:?} {account:?}"
                );
            }
        }
        assert_eq!(judged(None, None, false), Ok(()));
        let said =
            |judged: Result<(), NotAccepted>| judged.map_err(|e| (e.to_string(), e.command().to_owned()));
        assert_eq!(
            said(judged(None, None, true)),
            Err((
                "Namespace payments-prod does not accept Releases of namespace payments through Environment production: neither the \
                 Namespace nor its ServiceAccount signalbox-deployer lists payments/production in the annotation \
                 signalbox.dev/accept. To consent, the owner of the namespace runs `kubectl --namespace payments-prod annotate \
                 serviceaccount signalbox-deployer signalbox.dev/accept=payments/production`."
                    .to_owned(),
                "kubectl --namespace payments-prod annotate serviceaccount signalbox-deployer signalbox.dev/accept=payments/production"
                    .to_owned()
            ))
        );
        assert_eq!(
            said(judged(None, Some(&no), true)),
            Err((
                "Namespace payments-prod does not accept Releases of namespace payments through Environment production: the annotation \
                 signalbox.dev/accept of ServiceAccount signalbox-deployer in payments-prod does not list payments/production. To \
                 consent, the owner of the namespace adds it with `kubectl --namespace payments-prod edit serviceaccount \
                 signalbox-deployer`."
                    .to_owned(),
                "kubectl --namespace payments-prod edit serviceaccount signalbox-deployer".to_owned()
            ))
        );
    }
}
