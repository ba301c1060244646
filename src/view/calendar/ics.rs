//! A calendar in the format iCalendar (RFC 5545). Every time is an instant in UTC, so no time zone rules of the reader are used.

use icalendar::{Component as _, Event, EventLike as _, Property};
use jiff::Timestamp;

use crate::domain::digest;
use crate::view::calendar::model::{Calendar, Entry, Kind, name_of};
use crate::view::layout::visible;

/// The calendar as iCalendar text.
#[must_use]
pub fn ics(calendar: &Calendar) -> String {
    let mut written = icalendar::Calendar::empty();
    for (key, value) in [
        ("VERSION", "2.0"),
        ("PRODID", "-//signalbox.dev//kubectl-signalbox//EN"),
        ("CALSCALE", "GREGORIAN"),
        ("METHOD", "PUBLISH"),
        ("X-WR-CALNAME", "Signalbox releases"),
    ] {
        written.append_property(Property::new(key, value));
    }
    let said = calendar.environments.iter().flat_map(|lane| {
        let sentences = lane.says.iter();
        sentences.map(move |sentence| format!("{}: {sentence}", lane.name))
    });
    let mut said: Vec<String> = said.collect();
    if calendar.left_out > 0 {
        said.push(format!("{} later entries are left out.", calendar.left_out));
    }
    if !said.is_empty() {
        written.append_property(Property::new("X-WR-CALDESC", lines(&said.join("\n"))));
    }
    for entry in &calendar.entries {
        written.push(event(calendar, entry));
    }
    written.to_string()
}

fn event(calendar: &Calendar, entry: &Entry) -> Event {
    let mut event = Event::new();
    event.uid(&uid(entry));
    event.add_property("DTSTAMP", utc(calendar.now));
    event.add_property("DTSTART", utc(entry.from));
    if let Some(until) = entry.drawn_until(calendar) {
        event.add_property("DTEND", utc(until));
    }
    event.summary(&lines(&entry.to_string()));
    event.description(&lines(&description(entry)));
    event.categories([entry.kind.as_str()]);
    // It takes no time of the reader.
    event.add_property("TRANSP", "TRANSPARENT");
    event.done()
}

fn description(entry: &Entry) -> String {
    let mut text = entry.because.clone();
    if entry.began_earlier {
        text.push_str("\nIt began earlier.");
    }
    if entry.to.is_none() && !entry.is_instant() {
        text.push_str("\nNo end is known.");
    }
    text.push_str(&format!("\nTime zone: {}", name_of(&entry.time_zone)));
    text
}

/// The same for the same entry in the next file, so that a reader replaces it. What a Release intends may move.
fn uid(entry: &Entry) -> String {
    let from = match entry.kind {
        Kind::Open | Kind::Deny => entry.from.to_string(),
        Kind::Planned | Kind::Forecast | Kind::Occupied => String::new(),
    };
    let parts = [entry.kind.as_str(), &entry.environment, &entry.what, &from];
    format!("{}@signalbox.dev", digest::hex(&parts.join("\n"), 32))
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The library escapes line feeds. Other characters that move a cursor would reach the file as they are.
fn lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    lines.join("\n")
}
