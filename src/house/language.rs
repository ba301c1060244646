//! Plain English: turns that the project does not use, in anything that people read.

use std::path::{Path, PathBuf};

use regex::Regex;

/// What is not written, as a pattern, and what to write.
const BANNED: [(&str, &str); 11] = [
    ("nobody", "no one, or a passive"),
    ("somebody", "another user, or a passive"),
    ("whoever", "the user who, anyone who"),
    ("mend(?:s|ed|ing)?", "fix, correct"),
    ("vouch(?:es|ed|ing)?", "verify the author of"),
    ("(?:stands?|stood) there", "is, runs, exists"),
    ("in vain", "without success"),
    ("makes? sense", "is valid"),
    ("anew", "again"),
    ("under way", "in progress"),
    ("(?:goes|go|went|going) well", "succeeds"),
];

/// Files and folders of the repository in which people read.
const READ: [&str; 14] = [
    "src",
    "tests",
    "xtask",
    "charts",
    "crds",
    "docs",
    "examples",
    "findings",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Dockerfile",
    "Cargo.toml",
];

/// What others have written, and this list.
const NOT_READ: [&str; 4] = [
    "tests/fixtures",
    "tests/dialects/corpus",
    "xtask/target",
    "src/house/language.rs",
];

const ENDINGS: [&str; 10] = [
    "rs", "md", "yaml", "txt", "sh", "toml", "tpl", "go", "json", "svg",
];

/// The section of the reference that explains words may name any.
const GLOSSARY: &str = "\n## Glossary\n";

fn files(home: &Path) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> = READ.iter().map(|called| home.join(called)).collect();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        let called = path.strip_prefix(home).expect("below home");
        if NOT_READ.iter().any(|other| called.starts_with(other)) {
            continue;
        }
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let ending = path.extension().and_then(|ending| ending.to_str());
            let is_text = ending.is_none_or(|ending| ENDINGS.contains(&ending));
            found.extend(is_text.then_some(path));
        }
    }
    found
}

/// `text` without its glossary, whose lines are left empty.
fn outside_the_glossary(text: &str) -> String {
    let Some(begin) = text.find(GLOSSARY) else {
        return text.to_owned();
    };
    let after = begin + GLOSSARY.len() - 1;
    let end = text[after..].find("\n## ").map_or(text.len(), |end| after + end);
    let lines = text[begin..end].matches('\n').count();
    format!("{}{}{}", &text[..begin], "\n".repeat(lines), &text[end..])
}

/// Line and turn. A turn may be broken over two lines, of a comment, too.
fn banned(text: &str) -> Vec<(usize, String)> {
    let all: Vec<&str> = BANNED.iter().map(|(turn, _)| *turn).collect();
    let turns = Regex::new(&format!(r"(?i)\b(?:{})\b", all.join("|"))).expect("a pattern");
    let margin = Regex::new(r"^\s*(?://[/!]?|#)?\s*").expect("a pattern");
    let mut joined = String::new();
    let mut begins = Vec::new();
    for line in outside_the_glossary(text).lines() {
        begins.push(joined.len());
        joined.push_str(margin.replace(line, "").trim_end_matches('\\').trim_end());
        joined.push(' ');
    }
    let line = |at: usize| begins.partition_point(|begin| *begin <= at);
    turns
        .find_iter(&joined)
        .map(|found| (line(found.start()), found.as_str().to_owned()))
        .collect()
}

#[test]
fn what_people_read_is_plain_english() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files(home);
    assert!(files.len() > 400, "{} files were found", files.len());
    let mut found = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("text");
        let called = path.strip_prefix(home).expect("below home").display();
        found.extend(
            banned(&text)
                .into_iter()
                .map(|(line, turn)| format!("{called}:{line}: {turn}")),
        );
    }
    assert!(
        found.is_empty(),
        "{} banned turns; write instead: {BANNED:#?}\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_banned_turn_is_seen() {
    for (text, seen) in [
        ("and Nobody decides", true),
        ("what stood there before", true),
        ("It is mended.", true),
        ("/// goes\n/// well", true),
        ("\"stands \\\n   there\"", true),
        ("fn nobody_decided() and NotVouchedFor", false),
        ("an amendment", false),
        ("# A\n## Glossary\nnobody\n## B\n", false),
        ("# A\n## Glossary\n## B\nnobody\n", true),
    ] {
        assert_eq!(!banned(text).is_empty(), seen, "{text}");
    }
    assert_eq!(
        banned("# A\n## Glossary\n\n## B\nanew\n"),
        [(5, "anew".to_owned())]
    );
}
