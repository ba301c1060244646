//! The reference, the manual pages and the completion are made from the commands.

use clap::CommandFactory;

use crate::cli::manual::{pages, reference};
use crate::cli::{Arguments, completion, described};

#[test]
fn the_reference_in_docs_is_that_of_the_commands() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let made = reference(described());
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    assert_eq!(
        made,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "GOLDEN=write writes it"
    );
}

#[test]
fn each_command_has_a_page_that_names_it() {
    let pages = pages(described()).unwrap();
    assert!(pages.len() > 15, "{}", pages.len());
    for (name, page) in &pages {
        assert!(
            page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
            "{name}"
        );
        assert!(page.contains(&name.replace('-', "\\-")), "{name}: {page}");
    }
}

#[test]
fn kubectl_gets_candidates_and_a_directive() {
    let candidates = |words: &[&str]| {
        completion::for_kubectl(Arguments::command(), words.iter().map(Into::into).collect())
    };
    let text = candidates(&["appr"]);
    assert!(text.starts_with("approve\t"), "{text}");
    assert!(text.ends_with("\n:4\n"), "{text}");
    let text = candidates(&["status", "--out"]);
    assert!(text.starts_with("--output\t"), "{text}");
}
