//! `notes`: the release notes of one Release, in Markdown.

use crate::api::{Decision, Release, ReleaseReview};
use crate::cli::session::{Connection, Place, Query, Session, records};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::notes::{markdown, notes};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Name of the Release
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    release: String,
    #[command(flatten)]
    place: Place,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        self.place.parts()
    }
}

/// Prints the notes.
///
/// # Errors
/// A sentence: there is no such Release, or the cluster cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let query = Query {
        namespace: Some(&session.namespace),
        ..Query::default()
    };
    let read = records(session, &query).await?;
    read.notes.iter().for_each(|note| terminal.note(note));
    show(
        &options.release,
        &session.namespace,
        &read.releases,
        &read.decisions,
        &read.reviews,
        terminal,
    )
}

/// Prints the notes. `releases` are those of the namespace, or of more namespaces.
///
/// # Errors
/// A sentence: there is no such Release, or the output cannot be written.
fn show(
    name: &str,
    namespace: &str,
    releases: &[Release],
    decisions: &[Decision],
    reviews: &[ReleaseReview],
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let named = |release: &&Release| {
        let metadata = &release.metadata;
        metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_deref() == Some(name)
    };
    let release = releases.iter().find(named);
    let release =
        release.ok_or_else(|| format!("Release {name:?} does not exist in namespace {namespace}."))?;
    let printed = markdown(&notes(release, releases, decisions, reviews));
    terminal.print(&printed)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{morning, release};

    fn printed(name: &str, namespace: &str) -> Result<String, String> {
        let mut output = Vec::new();
        let (mut input, mut errors) = (std::io::empty(), std::io::sink());
        let mut terminal = Terminal::piped(&mut input, &mut output, &mut errors, morning());
        show(name, namespace, &[release()], &[], &[], &mut terminal)?;
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
            let wanted = format!("Release {name:?} does not exist in namespace {namespace}.");
            assert_eq!(printed(name, namespace), Err(wanted));
        }
    }
}
