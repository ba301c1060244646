//! No file and no function is longer than one sitting.

use std::path::{Path, PathBuf};

/// Lines of a file, unless its head says why it is long.
const MOST_OF_A_FILE: usize = 700;
/// Lines of a function of the operator. Tests are tables.
const MOST_OF_A_FUNCTION: usize = 80;
const REASON: &str = "//! It is long because";

fn files(home: &Path) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> = ["src", "tests", "xtask/src"]
        .map(|folder| home.join(folder))
        .to_vec();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// Name and lines of each function of a formatted source, outside the tests in it.
fn functions(text: &str) -> Vec<(String, usize)> {
    let tests = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines: Vec<&str> = text[..tests].lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let (margin, code) = line.split_at(line.len() - line.trim_start().len());
        let Some((before, rest)) = code.split_once("fn ") else {
            continue;
        };
        let qualifiers = ["", "pub", "const", "async", "unsafe"];
        let is_function = before
            .split_whitespace()
            .all(|word| qualifiers.contains(&word) || word.starts_with("pub("));
        if !is_function {
            continue;
        }
        let closes = format!("{margin}}}");
        let body = lines[at..].iter().position(|line| *line == closes);
        // A declaration without a body ends before anything at its margin does.
        let declared = lines[at..].iter().position(|line| {
            line.starts_with(margin) && line.ends_with(';') && !line[margin.len()..].starts_with(' ')
        });
        let Some(body) = body.filter(|body| declared.is_none_or(|declared| *body < declared)) else {
            continue;
        };
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), body + 1));
    }
    found
}

#[test]
fn no_file_is_longer_than_one_sitting() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long = Vec::new();
    for path in files(home) {
        let text = std::fs::read_to_string(&path).expect("a source");
        let lines = text.lines().count();
        if lines > MOST_OF_A_FILE && !text.contains(REASON) {
            long.push(format!("{}: {lines}", path.display()));
        }
    }
    assert!(
        long.is_empty(),
        "split them, or say why at their heads ({REASON} …): {long:#?}"
    );
}

#[test]
fn no_function_of_the_operator_is_longer_than_a_screen() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut long, mut seen) = (Vec::new(), 0);
    for path in files(home) {
        let called = path.strip_prefix(home).expect("below home").display().to_string();
        if !called.starts_with("src") || called.contains("tests") || called.contains("fixtures") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        for (name, lines) in functions(&text) {
            seen += 1;
            if lines > MOST_OF_A_FUNCTION {
                long.push(format!("{called}: {name}: {lines}"));
            }
        }
    }
    assert!(seen > 1000, "{seen} functions were found");
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn a_function_is_as_long_as_it_is() {
    let text = "trait A {\n    fn declared(&self);\n    fn a(&self) {\n        b();\n    }\n}\npub(crate) async fn c<T>(\n    d: T,\n) {\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 3), ("c".to_owned(), 4)]);
}
