//! A calendar as text, at most eighty columns wide: a letter for each day, then what happens in each Environment.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use crate::view::calendar::model::{Calendar, Entry, Kind, Lane, name_of};
use crate::view::layout::{columns, cut, line};

const WIDTH: usize = 80;
/// The width of the names beside the days: 31 days take two columns each.
const NAMES: usize = 16;
const LEGEND: &str =
    "o open for some time, D closed by a Deny window, . closed, P planned, F earliest entry of a release";

/// The calendar as text.
#[must_use]
pub fn text(calendar: &Calendar) -> String {
    let mut text = String::new();
    line(&mut text, WIDTH, 0, &head(calendar));
    if calendar.environments.is_empty() {
        line(&mut text, WIDTH, 0, "There is no Environment.");
        return text;
    }
    text.push('\n');
    for month in months(calendar) {
        overview(calendar, month, &mut text);
    }
    line(&mut text, WIDTH, 0, LEGEND);
    for lane in &calendar.environments {
        agenda(calendar, lane, &mut text);
    }
    if calendar.left_out > 0 {
        let said = format!(
            "{} later entries are left out, also in the overview: choose a shorter range, or one environment.",
            calendar.left_out
        );
        text.push('\n');
        line(&mut text, WIDTH, 0, &said);
    }
    text
}

fn head(calendar: &Calendar) -> String {
    let zone = name_of(&calendar.time_zone);
    let shown = |at: Timestamp| at.to_zoned(calendar.time_zone.clone()).strftime("%Y-%m-%d %H:%M");
    let zones: BTreeSet<String> = calendar.entries.iter().map(|e| name_of(&e.time_zone)).collect();
    let others: Vec<String> = zones.into_iter().filter(|other| *other != zone).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(
            " Times of windows are in their own time zone: {}.",
            others.join(", ")
        )
    };
    format!(
        "From {} to {}, days in {zone}.{others}",
        shown(calendar.from),
        shown(calendar.to)
    )
}

/// The first days of the months.
fn months(calendar: &Calendar) -> Vec<Date> {
    let day = |at: Timestamp| calendar.time_zone.to_datetime(at).date();
    let last = day(calendar.to - 1.nanosecond());
    let mut month = day(calendar.from).first_of_month();
    let mut found = Vec::new();
    while month <= last {
        found.push(month);
        match month.checked_add(1.month()) {
            Ok(next) => month = next,
            Err(_) => break,
        }
    }
    found
}

fn days(month: Date) -> impl Iterator<Item = Date> {
    month
        .series(1.day())
        .take(usize::from(month.days_in_month().unsigned_abs()))
}

fn overview(calendar: &Calendar, month: Date, text: &mut String) {
    // The number of each Monday.
    let mut numbers = String::new();
    let mut weekdays = String::new();
    for date in days(month) {
        let shown = if date.weekday() == jiff::civil::Weekday::Monday {
            format!("{:>2}", date.day())
        } else {
            "  ".to_owned()
        };
        numbers.push_str(&shown);
        let letter = date.strftime("%a").to_string();
        let _ = write!(weekdays, " {}", letter.chars().next().unwrap_or(' '));
    }
    let title = month.strftime("%B %Y").to_string();
    let _ = writeln!(text, "{title:NAMES$}{}", numbers.trim_end());
    let _ = writeln!(text, "{:NAMES$}{weekdays}", "");
    for lane in &calendar.environments {
        let letters: String = days(month)
            .flat_map(|date| [' ', letter(calendar, lane, date)])
            .collect();
        let _ = writeln!(
            text,
            "{:NAMES$}{}",
            cut(&lane.name, NAMES - 1),
            letters.trim_end()
        );
    }
    text.push('\n');
}

/// What matters most to who plans a release on that day.
fn letter(calendar: &Calendar, lane: &Lane, date: Date) -> char {
    let begin = |date: Date| {
        date.to_zoned(calendar.time_zone.clone())
            .map(|zoned| zoned.timestamp())
    };
    let next = date.tomorrow().and_then(begin);
    let (Ok(from), Ok(to)) = (begin(date), next) else {
        return ' ';
    };
    let (from, to) = (from.max(calendar.from), to.min(calendar.to));
    if from >= to {
        return ' ';
    }
    let kinds: BTreeSet<Kind> = calendar
        .entries
        .iter()
        .filter(|entry| entry.environment == lane.name && entry.within(from, to))
        .map(|entry| entry.kind)
        .collect();
    let has = |kind| kinds.contains(&kind);
    if has(Kind::Planned) {
        'P'
    } else if has(Kind::Forecast) {
        'F'
    } else if has(Kind::Open) || lane.always_open {
        'o'
    } else if has(Kind::Deny) {
        'D'
    } else {
        '.'
    }
}

fn agenda(calendar: &Calendar, lane: &Lane, text: &mut String) {
    text.push('\n');
    line(text, WIDTH, 0, &lane.name);
    for sentence in &lane.says {
        line(text, WIDTH, 2, sentence);
    }
    let entries: Vec<&Entry> = calendar
        .entries
        .iter()
        .filter(|e| e.environment == lane.name)
        .collect();
    if entries.is_empty() && !lane.always_open && lane.says.is_empty() {
        line(text, WIDTH, 2, "Its windows do not open or close in this range.");
    }
    let when: Vec<(String, String)> = entries.iter().map(|entry| when(entry)).collect();
    let wide = when
        .iter()
        .map(|(_, to)| to.chars().count())
        .max()
        .unwrap_or_default();
    // Two blanks between columns, and two before the first one.
    let room = WIDTH.saturating_sub(2 + 20 + 2 + wide + 2 + 8 + 2).max(8);
    let mut shown = Vec::new();
    for (entry, (from, to)) in entries.iter().zip(when) {
        shown.push([from, to, entry.kind.as_str().to_owned(), cut(&entry.what, room)]);
    }
    columns(text, &shown);
    for entry in entries
        .iter()
        .filter(|e| !matches!(e.kind, Kind::Open | Kind::Deny))
    {
        line(text, WIDTH, 2, &format!("{}: {}", entry.what, entry.because));
    }
}

/// Begin and end of an entry. An end on the same day has no date.
fn when(entry: &Entry) -> (String, String) {
    let from = entry.from.to_zoned(entry.time_zone.clone());
    let begin = if entry.began_earlier {
        "before".to_owned()
    } else {
        from.strftime("%a %Y-%m-%d %H:%M").to_string()
    };
    let Some(to) = entry.to else {
        let zone = from.strftime("%Z");
        let end = match entry.kind {
            _ if entry.is_instant() => format!("{zone}"),
            _ => format!("{zone}, end unknown"),
        };
        return (begin, end);
    };
    let to = to.to_zoned(entry.time_zone.clone());
    // One abbreviation is enough unless the clock has changed in between.
    let changed = from.strftime("%Z").to_string() != to.strftime("%Z").to_string();
    let begin = if changed && !entry.began_earlier {
        format!("{begin} {}", from.strftime("%Z"))
    } else {
        begin
    };
    let end = if from.date() == to.date() && !entry.began_earlier {
        to.strftime("to %H:%M %Z")
    } else {
        to.strftime("to %Y-%m-%d %H:%M %Z")
    };
    (begin, end.to_string())
}
