//! A calendar as a chart: environments over days. Plain SVG, which every browser shows.

use std::fmt::Write as _;

use jiff::civil::{Date, Weekday};
use jiff::{Timestamp, ToSpan};

use crate::view::calendar::model::{Calendar, Entry, Kind, Lane, name_of};
use crate::view::drawing::{LEFT, RIGHT, TOP, WIDTH, escaped, opened};
use crate::view::layout::cut;

const ROW: f64 = 22.0;
const BAR: f64 = 14.0;
/// The minimum width of a bar, so that it can be seen.
const THINNEST: f64 = 3.0;
/// Up to this number of days, each has its number.
const MOST_NUMBERS: usize = 62;

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Open => "#b7e1b0",
        Kind::Deny => "url(#denied)",
        Kind::Planned => "#3f88c5",
        Kind::Forecast => "#f2c14e",
        Kind::Occupied => "#c9a0dc",
    }
}

/// A lane for each environment. Openings and denials fill it; what Releases do has a row each.
#[must_use]
pub fn svg(calendar: &Calendar) -> String {
    let lanes: Vec<(&Lane, Vec<&Entry>, Vec<&Entry>)> = calendar
        .environments
        .iter()
        .map(|lane| {
            let entries = calendar.entries.iter().filter(|e| e.environment == lane.name);
            let (windows, releases) = entries.partition(|e| matches!(e.kind, Kind::Open | Kind::Deny));
            (lane, windows, releases)
        })
        .collect();
    let bands: f64 = lanes.iter().map(|(.., rows)| band(rows.len()) + 8.0).sum();
    let legend = TOP + bands + 20.0;
    let height = legend + 2.0 * ROW;
    let mut out = opened(&title(calendar), height, "denied", ("#f7d9d4", "#e07a5f"));
    axis(calendar, TOP + bands, &mut out);
    let mut y = TOP;
    for (lane, windows, releases) in &lanes {
        let tall = band(releases.len());
        background(calendar, lane, windows, (y, tall), &mut out);
        for (index, entry) in releases.iter().enumerate() {
            row(
                calendar,
                entry,
                y + index as f64 * ROW + (ROW - BAR) / 2.0,
                &mut out,
            );
        }
        y += tall + 8.0;
    }
    key(legend, &mut out);
    out.push_str("</svg>\n");
    out
}

fn title(calendar: &Calendar) -> String {
    let shown = |at: Timestamp| at.to_zoned(calendar.time_zone.clone()).strftime("%Y-%m-%d");
    let more = match calendar.left_out {
        0 => String::new(),
        n => format!(", without {n} later entries"),
    };
    format!(
        "Releases from {} until {}, days in {}{more}",
        shown(calendar.from),
        shown(calendar.to),
        name_of(&calendar.time_zone)
    )
}

fn band(rows: usize) -> f64 {
    rows.max(1) as f64 * ROW
}

fn x(calendar: &Calendar, at: Timestamp) -> f64 {
    let whole = calendar.to.duration_since(calendar.from).as_secs_f64();
    let share = at.duration_since(calendar.from).as_secs_f64() / whole.max(1.0);
    LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

/// A line at the beginning of each day, or of each Monday if there are many.
fn axis(calendar: &Calendar, bottom: f64, out: &mut String) {
    let zone = &calendar.time_zone;
    let first = zone.to_datetime(calendar.from).date();
    let end = zone.to_datetime(calendar.to).date();
    let days: Vec<Date> = first.series(1.day()).take_while(|day| *day <= end).collect();
    let each = days.len() <= MOST_NUMBERS;
    for day in days {
        let Ok(begin) = day.to_zoned(zone.clone()) else {
            continue;
        };
        let monday = day.weekday() == Weekday::Monday;
        let at = begin.timestamp();
        if at < calendar.from || at >= calendar.to || !(each || monday) {
            continue;
        }
        let x = x(calendar, at);
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{bottom:.1}" stroke="{}"/>"##,
            TOP - 6.0,
            if monday { "#b0bec5" } else { "#eceff1" }
        );
        let label = match each {
            true => day.strftime("%-d"),
            false if day.day() <= 7 => day.strftime("%b"),
            false => continue,
        };
        let _ = writeln!(
            out,
            r##"<text x="{x:.1}" y="{:.1}" fill="#607d8b">{label}</text>"##,
            TOP - 12.0
        );
    }
}

fn background(calendar: &Calendar, lane: &Lane, windows: &[&Entry], (y, tall): (f64, f64), out: &mut String) {
    let _ = writeln!(
        out,
        r##"<text x="16" y="{:.1}" font-weight="600">{}<title>{}</title></text>"##,
        y + 15.0,
        escaped(&cut(&lane.name, 23)),
        escaped(
            &std::iter::once(&lane.name)
                .chain(&lane.says)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        )
    );
    if lane.always_open {
        let _ = writeln!(
            out,
            r##"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="{tall:.1}" fill="{}"/>"##,
            WIDTH - RIGHT - LEFT,
            colour(Kind::Open)
        );
    }
    // Deny windows are drawn last: they outweigh the others.
    for kind in [Kind::Open, Kind::Deny] {
        for entry in windows.iter().filter(|entry| entry.kind == kind) {
            bar(calendar, entry, (y, tall), out);
        }
    }
    let _ = writeln!(
        out,
        r##"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="{tall:.1}" fill="none" stroke="#b0bec5"/>"##,
        WIDTH - RIGHT - LEFT
    );
}

fn bar(calendar: &Calendar, entry: &Entry, (y, tall): (f64, f64), out: &mut String) {
    let from = x(calendar, entry.from);
    let to = entry.drawn_until(calendar).map_or(from, |to| x(calendar, to));
    let _ = writeln!(
        out,
        r##"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="{tall:.1}" fill="{}"><title>{}</title></rect>"##,
        (to - from).max(THINNEST),
        colour(entry.kind),
        escaped(&told(entry))
    );
}

fn row(calendar: &Calendar, entry: &Entry, y: f64, out: &mut String) {
    bar(calendar, entry, (y, BAR), out);
    let x = x(calendar, entry.from) + 5.0;
    let (x, anchor) = if x > WIDTH - 260.0 {
        (x - 8.0, "end")
    } else {
        (x, "start")
    };
    let _ = writeln!(
        out,
        r##"<text x="{x:.1}" y="{:.1}" text-anchor="{anchor}" font-size="11" fill="#102027">{}</text>"##,
        y + 11.0,
        escaped(&cut(&entry.what, 41))
    );
}

fn told(entry: &Entry) -> String {
    let shown = |at: Timestamp| {
        let at = at.to_zoned(entry.time_zone.clone());
        at.strftime("%Y-%m-%d %H:%M %Z").to_string()
    };
    let from = if entry.began_earlier {
        format!("before {}", shown(entry.from))
    } else {
        shown(entry.from)
    };
    let until = entry.to.map_or(String::new(), |to| format!(" to {}", shown(to)));
    format!("{entry}\n{from}{until}\n{}", entry.because)
}

fn key(y: f64, out: &mut String) {
    let mut x = 16.0;
    for kind in Kind::ALL {
        let name = kind.as_str();
        let _ = writeln!(
            out,
            r##"<rect x="{x:.1}" y="{y:.1}" width="{BAR}" height="{BAR}" fill="{}" stroke="#90a4ae" stroke-width="0.5"/><text x="{:.1}" y="{:.1}">{name}</text>"##,
            colour(kind),
            x + 20.0,
            y + 11.5
        );
        x += 40.0 + 8.0 * name.len() as f64;
    }
}
