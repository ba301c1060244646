//! The README shows what the commands print.

use std::sync::LazyLock;

use regex::Regex;

use crate::api::Kind;
use crate::cli::tests::signalbox;

/// Two tests may write the README.
static README: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The commands of the README whose output it shows, by the name in `<!-- output: name -->`; their words end at the end of the
/// console block.
#[test]
fn the_readme_shows_what_is_printed() {
    let _alone = README.lock().unwrap();
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

/// Commands of the plugin whose output README.md and docs show: `<!-- output: plugin-… -->` follows a console block with the command.
/// Bob runs them, in the cluster of `cluster/`.
#[test]
fn the_documents_show_what_the_plugin_prints() {
    let _alone = README.lock().unwrap();
    let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut blocks = 0;
    for name in ["README.md", "docs/pipelines.md"] {
        let path = home.join(name);
        let mut text = std::fs::read_to_string(&path).unwrap();
        let mut at = 0;
        while let Some(found) = text[at..].find("<!-- output: plugin-") {
            blocks += 1;
            let begin = at + found;
            let console = text[..begin].rfind("$ kubectl signalbox ").unwrap();
            let command = text[console..begin].split_once("\n```").unwrap().0;
            let command = command
                .trim_start_matches("$ kubectl signalbox ")
                .replace("\\\n", " ");
            let from = begin + text[begin..].find("```text\n").unwrap() + "```text\n".len();
            let to = from + text[from..].find("```\n<!-- /output: plugin-").unwrap();
            let printed = super::people::documented(&command);
            if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
                text.replace_range(from..to, &printed);
                std::fs::write(&path, &text).unwrap();
            } else {
                assert_eq!(printed, text[from..to], "{name}: {command}");
            }
            at = from + printed.len();
        }
    }
    assert!(blocks >= 4, "{blocks} blocks were found");
}

/// Every file below `folder` that people read, or that prints what people read.
fn texts(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| ["md", "yaml", "txt", "rs", "sh", "tpl"].iter().any(|e| *e == end))
        {
            found.push(path);
        }
    }
}

/// Words of `line` by which a command of kubectl names one of our kinds, and which another operator's kind may have, too: then
/// kubectl shows that one's objects.
fn ambiguous(line: &str) -> Option<String> {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        let kinds = Kind::ALL.map(|kind| format!("{}?", kind.plural())).join("|");
        Regex::new(&format!(r"kubectl\b[^`#|]*[\s,]({kinds})([\s/,`.]|$)")).unwrap()
    });
    // The plugin names Releases and Environments without their kinds.
    if line.contains("kubectl signalbox") {
        return None;
    }
    let found = NAMED.captures(line)?;
    let whole = line[found.get(1).unwrap().start()..].split_whitespace().next()?;
    (!whole.contains(".signalbox.dev")).then(|| whole.to_owned())
}

#[test]
fn a_command_names_our_kinds_so_that_they_cannot_be_taken_for_anothers() {
    assert_eq!(
        ambiguous("$ kubectl -n a get releases -o wide").as_deref(),
        Some("releases")
    );
    assert_eq!(ambiguous("kubectl get env,releases").as_deref(), Some("releases"));
    assert_eq!(
        ambiguous("`kubectl wait release/a`").as_deref(),
        Some("release/a`")
    );
    assert_eq!(
        ambiguous("`kubectl explain release.spec` has").as_deref(),
        Some("release.spec`")
    );
    assert_eq!(ambiguous("kubectl delete releases.signalbox.dev --all"), None);
    assert_eq!(ambiguous("kubectl get rel   # all releases there are"), None);

    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["docs", "examples", "charts", "src", "xtask/src"] {
        texts(&root.join(folder), &mut paths);
    }
    let mut wrong = Vec::new();
    for path in paths.iter().filter(|path| !path.ends_with("cli/tests/readme.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().enumerate();
        wrong.extend(
            lines.filter_map(|(n, line)| Some(format!("{}:{}: {}", path.display(), n + 1, ambiguous(line)?))),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}
