//! `notes`: the release notes of one Release, in Markdown.

use crate::api::{Decision, Release, ReleaseReview};
use crate::cli::output::ended;
use crate::cli::terminal::{Exit, Terminal};
use crate::view::notes::{markdown, notes};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Name of the Release
    #[arg(value_name = "RELEASE")]
    pub(crate) release: String,
}

/// Prints the notes. `releases` are those of the namespace, or of more namespaces.
///
/// # Errors
/// A sentence: there is no such Release, or the output cannot be written.
pub(crate) fn run(
    options: &Options,
    namespace: &str,
    releases: &[Release],
    decisions: &[Decision],
    reviews: &[ReleaseReview],
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let name = &options.release;
    let named = |release: &&Release| {
        let metadata = &release.metadata;
        metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_ref() == Some(name)
    };
    let release = releases.iter().find(named);
    let release = release.ok_or_else(|| format!("There is no Release {name} in namespace {namespace}."))?;
    let printed = markdown(&notes(release, releases, decisions, reviews));
    terminal.output.write_all(printed.as_bytes()).or_else(ended)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{morning, release};

    fn printed(name: &str, namespace: &str) -> Result<String, String> {
        let options = Options {
            release: name.to_owned(),
        };
        let mut output = Vec::new();
        let mut terminal = Terminal {
            input: &mut std::io::empty(),
            output: &mut output,
            colour: false,
            now: morning(),
        };
        run(&options, namespace, &[release()], &[], &[], &mut terminal)?;
        Ok(String::from_utf8(output).expect("text"))
    }

    #[test]
    fn the_release_is_found_by_name_and_namespace() {
        let notes = printed("payments-2026.11.1", "payments").expect("notes");
        assert!(notes.starts_with("# payments 2026.11.1\n"), "{notes}");
        for (name, namespace) in [
            ("payments-2026.11.2", "payments"),
            ("payments-2026.11.1", "billing"),
        ] {
            let wanted = format!("There is no Release {name} in namespace {namespace}.");
            assert_eq!(printed(name, namespace), Err(wanted));
        }
    }
}
