//! The arrows run one way: what decides has no client, no clock, no randomness and no surroundings.

use std::path::Path;

/// Assembled, so that this file may name them.
const FORBIDDEN: [(&str, &str); 10] = [
    ("kube::", "Client"),
    ("kube::", "client"),
    ("kube::", "runtime"),
    ("kube::", "Api"),
    ("tok", "io"),
    ("Timestamp::", "now"),
    ("Zoned::", "now"),
    ("System", "Time"),
    ("std::", "env"),
    ("std::", "fs"),
];

fn sources(under: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(under).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests/purity.rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            // Tests may read files.
            let text = text.split("\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn what_decides_knows_no_client_no_clock_and_no_surroundings() {
    let mut found = Vec::new();
    for room in ["src/decide", "src/domain", "src/api"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(room), &mut found);
    }
    // What evaluates CEL does so on threads, with a deadline; decide gets the answers.
    found.retain(|(path, _)| !path.contains("/domain/cel/"));
    assert!(found.len() > 30, "the sources were not found");
    let mut impure = Vec::new();
    for (path, text) in &found {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (one, two) in FORBIDDEN {
                if code.contains(&format!("{one}{two}")) {
                    impure.push(format!("{path}:{}: {one}{two}", number + 1));
                }
            }
        }
    }
    assert_eq!(impure, Vec::<String>::new());
}
