//! `signalbox status`: where Releases are, what each waits for, and since when.

mod environment;
mod mine;
mod options;
mod releases;
mod watching;

use crate::api::Release;
use crate::cli::session::{Listed, Session, list};
use crate::cli::terminal::{Exit, Terminal};

pub(crate) use options::Options;
use releases::show;
pub(crate) use releases::tone;

/// Prints the Releases.
///
/// # Errors
/// A sentence: a Release does not exist, or the cluster cannot be read.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    if let Some(name) = &options.environment {
        return environment::run(session, name, options, terminal).await;
    }
    if options.watch {
        return watching::run(session, options, terminal).await;
    }
    let mut listed: Listed<Release> = list(session, &options.query(session)).await.map_err(|why| {
        let instead = if options.all_namespaces {
            " Without -A, the Releases of one namespace are shown (-n)."
        } else {
            ""
        };
        format!("{why}{instead}")
    })?;
    if options.mine {
        listed.items = mine::mine(session, listed.items, terminal.now).await?;
    }
    let shown = show(session, options, &listed.items, terminal)?;
    terminal.print(&shown)?;
    for unreadable in &listed.unreadable {
        terminal.note(&format!("note: {unreadable}"));
    }
    Ok(if listed.unreadable.is_empty() { 0 } else { 2 })
}
