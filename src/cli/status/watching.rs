//! `status --watch`: the table is drawn again whenever something changes.

use futures::{StreamExt, TryStreamExt};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::signal::unix::{SignalKind, signal};

use super::mine;
use super::options::Options;
use super::releases::show;
use crate::api::Release;
use crate::cli::format::Format;
use crate::cli::session::{Listed, Pause, Session, failed, list};
use crate::cli::terminal::{Exit, Terminal};
use crate::view::layout::visible;

/// Moves the cursor to the top and clears what is below.
const HOME: &str = "\x1b[H\x1b[J";
/// Another screen without a cursor, so that the terminal is as before afterwards.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Draws until Ctrl-C.
///
/// # Errors
/// A sentence: the cluster cannot be read.
pub(super) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    if !matches!(options.output, Format::Table | Format::Wide) {
        return Err(
            "--watch needs the format table or wide. `wait -o json` follows a Release for programs."
                .to_owned(),
        );
    }
    let cannot = |e: std::io::Error| format!("Cannot listen for signals: {e}.");
    let mut terminated = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(cannot)?;
    let ended = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
        }
    };
    if terminal.redraws {
        terminal.print(ENTER)?;
    }
    let drawn = tokio::select! {
        drawn = draw(session, options, terminal) => drawn,
        _ = ended => Ok(()),
    };
    if terminal.redraws {
        terminal.print(LEAVE)?;
    }
    terminal.output.flush().or_else(crate::cli::output::ended)?;
    drawn.map(|()| 0)
}

async fn draw(session: &Session, options: &Options, terminal: &mut Terminal<'_>) -> Result<(), String> {
    let mut last = String::new();
    let mut pause = Pause::default();
    loop {
        // A watch ends now and then. The list is then read again.
        let mut listed: Listed<Release> = match list(session, &options.query(session)).await {
            Ok(listed) => listed,
            // Something was drawn: the API server may only be restarting.
            Err(_) if !last.is_empty() => {
                pause.next().await;
                continue;
            }
            Err(why) => return Err(why),
        };
        if !once(session, options, &listed, &mut last, terminal).await? {
            return Ok(());
        }
        let version = listed.resource_version.clone();
        if let Ok(events) = events(session, options, &version).await {
            pause.begins();
            if !follow(session, options, &mut listed, events, &mut last, terminal).await? {
                return Ok(());
            }
        }
        pause.next().await;
    }
}

/// Draws each change until the watch ends. `false` if the reader of the output has gone.
async fn follow(
    session: &Session,
    options: &Options,
    listed: &mut Listed<Release>,
    events: impl futures::Stream<Item = kube::Result<WatchEvent<Release>>>,
    last: &mut String,
    terminal: &mut Terminal<'_>,
) -> Result<bool, String> {
    let mut events = std::pin::pin!(events);
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(10));
    tick.tick().await;
    loop {
        tokio::select! {
            event = events.try_next() => {
                let Ok(Some(event)) = event else { return Ok(true) };
                if !merge(&mut listed.items, event) {
                    return Ok(true);
                }
                // One change of an operator often comes with others: they are drawn together.
                while let Some(Ok(Some(event))) = futures::FutureExt::now_or_never(events.try_next()) {
                    merge(&mut listed.items, event);
                }
            },
            // Ages grow. A pipe gets only what changed.
            _ = tick.tick(), if terminal.redraws => {}
        }
        if !once(session, options, listed, last, terminal).await? {
            return Ok(false);
        }
    }
}

async fn events(
    session: &Session,
    options: &Options,
    version: &str,
) -> Result<impl futures::Stream<Item = kube::Result<WatchEvent<Release>>>, String> {
    let query = options.query(session);
    let api: Api<Release> = match query.namespace {
        Some(namespace) => Api::namespaced(session.client.clone(), namespace),
        None => Api::all(session.client.clone()),
    };
    let mut parameters = WatchParams::default();
    if !query.labels.is_empty() {
        parameters = parameters.labels(query.labels);
    }
    if !query.fields.is_empty() {
        parameters = parameters.fields(&query.fields);
    }
    let stream = api.watch(&parameters, version).await;
    stream
        .map(StreamExt::boxed)
        .map_err(|e| failed(&session.server, "Cannot watch releases", &e))
}

/// Adds what the event says. `false` if the list must be read again.
fn merge(releases: &mut Vec<Release>, event: WatchEvent<Release>) -> bool {
    let key = |release: &Release| (release.namespace(), release.name_any());
    match event {
        WatchEvent::Added(release) | WatchEvent::Modified(release) => {
            match releases.binary_search_by_key(&key(&release), key) {
                Ok(at) => releases[at] = release,
                Err(at) => releases.insert(at, release),
            }
            true
        }
        WatchEvent::Deleted(release) => {
            releases.retain(|other| key(other) != key(&release));
            true
        }
        WatchEvent::Bookmark(_) => true,
        WatchEvent::Error(_) => false,
    }
}

/// Draws the table, unless it is the same as before. `false` if no one reads the output any more.
async fn once(
    session: &Session,
    options: &Options,
    listed: &Listed<Release>,
    last: &mut String,
    terminal: &mut Terminal<'_>,
) -> Result<bool, String> {
    if terminal.redraws {
        terminal.width = crate::cli::terminal::width();
    }
    terminal.now = jiff::Timestamp::now();
    let releases = &listed.items;
    let mut shown = if options.mine {
        show(
            session,
            options,
            &mine::mine(session, releases.to_vec(), terminal.now).await?,
            terminal,
        )?
    } else {
        show(session, options, releases, terminal)?
    };
    for note in listed.notes() {
        shown.push_str(&visible(&note));
        shown.push('\n');
    }
    if shown == *last {
        return Ok(true);
    }
    if terminal.redraws {
        terminal.print(HOME)?;
    } else if !last.is_empty() {
        terminal.print("\n")?;
    }
    terminal.print(&shown)?;
    let flushed = terminal.output.flush();
    let read = flushed.is_ok();
    flushed.or_else(crate::cli::output::ended)?;
    *last = shown;
    Ok(read)
}
