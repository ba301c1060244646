//! What the README shows is what the commands print.

use super::signalbox;

/// The commands of the README whose output it shows, by the name in `<!-- output: name -->`; their words end at the end of the
/// console block.
#[test]
fn the_readme_shows_what_is_printed() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut readme = std::fs::read_to_string(&path).unwrap();
    for name in ["lint", "simulate"] {
        let (begin, end) = (
            format!("<!-- output: {name} -->\n```text\n"),
            format!("```\n<!-- /output: {name} -->"),
        );
        let at = readme.find(&begin).unwrap();
        let console = readme[..at].rfind("```console\n$ cargo run -- ").unwrap();
        let command = &readme[console..at];
        let command = command.split_once("cargo run -- ").unwrap().1;
        let command = command.split_once("\n```").unwrap().0.replace("\\\n", " ");
        let words: Vec<&str> = command.split_whitespace().collect();
        let (exit, printed) = signalbox(&words, "");
        assert!(exit.is_ok(), "{command}: {exit:?}");
        let from = at + begin.len();
        let to = from + readme[from..].find(&end).unwrap();
        if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
            readme.replace_range(from..to, &printed);
            std::fs::write(&path, &readme).unwrap();
        } else {
            assert_eq!(printed, readme[from..to], "{command}");
        }
    }
}
