//! No message is parsed.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

/// A name that suggests a message, followed by a method that reads text; other methods may come between.
const READS: &str = concat!(
    r"\b(?:\w+_)?(?:messages?|reasons?|notes?|sentences?|says|said|told|why|because|blocks?|troubles?|drift|not_counted|causes?|errors?)",
    r"(?:\(\))?(?:\s*\??\s*\.\s*\w+\([^()]*\))*\??\s*\.\s*",
    r"(?:starts_with|ends_with|r?split\w*|contains|strip_\w+|trim_\w+|r?matches|r?find)\s*\(",
);

/// The exceptions: the file, the names whose text is parsed, and why.
const FOREIGN: [(&str, &str, &str); 5] = [
    (
        "src/cli/session/failure.rs",
        "said",
        "the API server's: no field of its Status has the message of an admission policy without the policy's name",
    ),
    (
        "src/cluster/request_error.rs",
        "message said",
        "the API server's: no field of its Status says whether an authorizer or admission refused",
    ),
    (
        "src/cluster/sent.rs",
        "said",
        "serde_json's: the position, which its error has as numbers, is removed from the end",
    ),
    (
        "src/domain/cel/parse.rs",
        "cause",
        "the CEL parser's, which has no other form",
    ),
    (
        "src/domain/text.rs",
        "said",
        "any text: a full stop is removed where our own sentence continues, and nothing is decided by it",
    ),
];

/// Every source that goes into the operator, by its path: without tests and comments.
fn sources() -> Vec<(String, String)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![home.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let called = path.strip_prefix(home).expect("below home").display().to_string();
            let of_tests = [
                "/tests",
                "/fuzz",
                "/fixtures",
                "/house",
                "/gitops.rs",
                "src/kinds.rs",
            ];
            if of_tests.iter().any(|part| called.contains(part)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if called.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                found.push((called, production(&text)));
            }
        }
    }
    found
}

/// A source up to the tests in it, without its comments.
fn production(text: &str) -> String {
    let tests =
        Regex::new(r"(?m)^#\[cfg\(test\)\]\n(?:#\[.*\]\n)*(?:pub\(crate\) )?mod \w+ \{").expect("a pattern");
    let end = tests.find(text).map_or(text.len(), |tests| tests.start());
    let lines = text[..end].lines().map(|line| match line.find("//") {
        Some(comment) => &line[..comment],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// File and line, and the name whose text is parsed.
fn read_back(sources: &[(String, String)]) -> Vec<(String, usize, String)> {
    let reads = Regex::new(READS).expect("a pattern");
    let mut found = Vec::new();
    for (path, text) in sources {
        for read in reads.find_iter(text) {
            let line = text[..read.start()].lines().count();
            let name = read.as_str().split(|c: char| !c.is_alphanumeric() && c != '_');
            found.push((
                path.clone(),
                line,
                name.into_iter().next().unwrap_or_default().to_owned(),
            ));
        }
    }
    found
}

#[test]
fn no_sentence_is_read_back() {
    let sources = sources();
    assert!(sources.len() > 150, "{} sources were found", sources.len());
    let mut used = BTreeSet::new();
    let mut own = Vec::new();
    for (path, line, name) in read_back(&sources) {
        let foreign = FOREIGN
            .iter()
            .find(|(file, names, _)| *file == path && names.split(' ').any(|listed| listed == name));
        match foreign {
            Some((file, ..)) => drop(used.insert(*file)),
            None => own.push(format!("{path}:{line}: {name}")),
        }
    }
    assert_eq!(own, Vec::<String>::new(), "make what they say a field or an enum");
    let listed: BTreeSet<&str> = FOREIGN.iter().map(|(file, ..)| *file).collect();
    assert_eq!(used, listed, "what reads no text any more is not listed");
}

#[test]
fn a_sentence_that_is_read_back_is_seen() {
    for (text, seen) in [
        (
            "matches!(&trouble, Passing(why) if why.starts_with(\"the pass\"))",
            true,
        ),
        ("let head = block.split(\": \").next();", true),
        (
            "check\n    .message\n    .as_deref()?\n    .contains(\"x\")",
            true,
        ),
        ("p.says()\n.unwrap_or_default()\n.strip_prefix(\"x\")", true),
        ("last_error.trim_end_matches(':')", true),
        ("// why.contains(\"x\")", false),
        ("name.starts_with(\"x\")", false),
        ("reasons.iter().map(|r| r.word)", false),
        (
            "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    why.contains(\"x\")",
            false,
        ),
    ] {
        let found = read_back(&[("a".to_owned(), production(text))]);
        assert_eq!(!found.is_empty(), seen, "{text}: {found:?}");
    }
}

/// The text of a log line is its field `message`, as JSON: a field of that name would stand in it a second time.
#[test]
fn no_log_line_has_two_messages() {
    let lines = Regex::new(r"(?s)tracing::(?:trace|debug|info|warn|error)!\(.*?\);").expect("a pattern");
    let field = Regex::new(r"[(,]\s*[%?]?message\s*[,=]").expect("a pattern");
    let mut seen = 0;
    for (path, text) in sources() {
        for line in lines.find_iter(&text) {
            seen += 1;
            assert!(
                !field.is_match(line.as_str()),
                "{path}: name the field `says`: {}",
                line.as_str()
            );
        }
    }
    assert!(seen > 30, "{seen} log lines were found");
}
