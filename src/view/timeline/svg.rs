//! A timeline as a chart: environments over time, closed windows shaded. Plain SVG, which every browser shows.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::api::release::State;
use crate::view::drawing::{LEFT, RIGHT, TOP, WIDTH, escaped, opened};
use crate::view::layout::cut;
use crate::view::timeline::model::{Lane, Leg, Outcome, Step, Timeline, Way};

const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
/// The minimum width of a bar, so that it can be seen.
const THINNEST: f64 = 2.0;
/// The possible distances between ticks, in seconds.
const TICKS: [i64; 16] = [
    1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000, 7_776_000,
];
const MOST_TICKS: i64 = 9;
/// In the order of the legend.
const COLOURS: [(&str, &str); 8] = [
    ("Waiting", "#f2c14e"),
    ("Queued", "#c9a0dc"),
    ("Deploying", "#3f88c5"),
    ("Verifying", "#44a1a0"),
    ("Observing", "#8ecae6"),
    ("Succeeded", "#5fad56"),
    ("BackingOut, BackedOut", "#e07a5f"),
    ("AwaitingDecision, Failed", "#b5172f"),
];

fn colour(state: State) -> Option<&'static str> {
    let index = match state {
        State::Pending | State::Superseded | State::Withdrawn => return None,
        State::Waiting => 0,
        State::Queued => 1,
        State::Deploying => 2,
        State::Verifying => 3,
        State::Observing => 4,
        State::Succeeded => 5,
        State::BackingOut | State::BackedOut => 6,
        State::AwaitingDecision | State::Failed => 7,
    };
    Some(COLOURS[index].1)
}

struct Axis {
    from: Timestamp,
    seconds: f64,
}

impl Axis {
    fn of(timeline: &Timeline) -> Self {
        let played = timeline.to.duration_since(timeline.from).as_secs().max(1);
        Self {
            from: timeline.from,
            // The axis is longer than the simulation, so that final states are visible.
            seconds: played as f64 * 1.08,
        }
    }

    fn x(&self, at: Timestamp) -> f64 {
        let seconds = at.duration_since(self.from).as_secs_f64();
        let share = (seconds / self.seconds).clamp(0.0, 1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn end(&self) -> f64 {
        WIDTH - RIGHT
    }

    fn ticks(&self) -> (i64, Vec<Timestamp>) {
        let step = TICKS
            .into_iter()
            .find(|step| self.seconds / (*step as f64) <= MOST_TICKS as f64)
            .unwrap_or(self.seconds as i64 / MOST_TICKS + 1);
        let first = (self.from.as_second() + step - 1).div_euclid(step) * step;
        let end = self.from.as_second() + self.seconds as i64;
        let count = usize::try_from((end - first) / step + 1).unwrap_or_default();
        let at = |n: usize| {
            let seconds = SignedDuration::from_secs(step * i64::try_from(n).ok()?);
            Timestamp::from_second(first).ok()?.checked_add(seconds).ok()
        };
        (step, (0..count).filter_map(at).collect())
    }
}

/// A Gantt chart: a band for each environment, with a row for each release.
#[must_use]
pub fn svg(timeline: &Timeline) -> String {
    let axis = Axis::of(timeline);
    let rows: Vec<(&Lane, Vec<(&Way, &Leg)>)> = timeline
        .environments
        .iter()
        .map(|lane| (lane, legs(timeline, &lane.name)))
        .collect();
    let bands: f64 = rows.iter().map(|(_, legs)| band(legs.len()) + 8.0).sum();
    let legend = TOP + bands + 24.0;
    let height = legend + 2.0 * ROW + 12.0;
    let mut out = opened(&title(timeline), height, "closed", ("#eceff1", "#cfd8dc"));
    ticks(&axis, TOP + bands, &mut out);
    let mut y = TOP;
    for (lane, legs) in &rows {
        let tall = band(legs.len());
        background(&axis, lane, y, tall, &mut out);
        for (index, (way, leg)) in legs.iter().enumerate() {
            row(
                &axis,
                way,
                leg,
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

fn title(timeline: &Timeline) -> String {
    let reached = timeline
        .releases
        .iter()
        .filter(|way| way.outcome == Outcome::Reached)
        .count();
    let all = timeline.releases.len();
    let goal = if reached == all {
        "Every release reaches its goal".to_owned()
    } else {
        format!("{reached} of {all} releases reach their goal")
    };
    format!(
        "{goal}, {} to {}",
        timeline.from.strftime("%Y-%m-%d %H:%M:%SZ"),
        timeline.to.strftime("%Y-%m-%d %H:%M:%SZ")
    )
}

fn legs<'a>(timeline: &'a Timeline, environment: &str) -> Vec<(&'a Way, &'a Leg)> {
    let of = |way: &'a Way| {
        let mut legs = way.promotions.iter();
        legs.find(|leg| leg.environment == environment)
            .map(|leg| (way, leg))
    };
    timeline.releases.iter().filter_map(of).collect()
}

fn band(rows: usize) -> f64 {
    rows.max(1) as f64 * ROW
}

fn ticks(axis: &Axis, bottom: f64, out: &mut String) {
    let (step, ticks) = axis.ticks();
    let format = if step >= 86_400 {
        "%Y-%m-%d"
    } else if step >= 60 {
        "%m-%d %H:%M"
    } else {
        "%H:%M:%S"
    };
    for at in ticks {
        let x = axis.x(at);
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{bottom:.1}" stroke="#e0e0e0"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#607d8b">{}</text>"##,
            TOP - 6.0,
            TOP - 12.0,
            at.strftime(format)
        );
    }
}

fn background(axis: &Axis, lane: &Lane, y: f64, tall: f64, out: &mut String) {
    let _ = writeln!(
        out,
        r##"<text x="16" y="{:.1}" font-weight="600">{}</text>"##,
        y + 17.0,
        escaped(&cut(&lane.name, 23))
    );
    for closed in &lane.closed {
        let (from, to) = (axis.x(closed.from), axis.x(closed.to));
        let _ = writeln!(
            out,
            r##"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="{tall:.1}" fill="url(#closed)"><title>{} is closed from {} to {}</title></rect>"##,
            (to - from).max(THINNEST),
            escaped(&lane.name),
            closed.from,
            closed.to
        );
    }
    let _ = writeln!(
        out,
        r##"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="{tall:.1}" fill="none" stroke="#b0bec5"/>"##,
        axis.end() - LEFT
    );
}

fn row(axis: &Axis, way: &Way, leg: &Leg, y: f64, out: &mut String) {
    let mut bars: Vec<(f64, f64, &str, &Step)> = leg
        .steps
        .iter()
        .filter_map(|step| {
            let to = step.to.map_or(axis.end(), |to| axis.x(to));
            Some((axis.x(step.from), to, colour(step.state)?, step))
        })
        .collect();
    // Short bars are drawn last, so that no other bar covers them.
    bars.sort_by_key(|(from, to, ..)| to - from < THINNEST);
    for (from, to, fill, step) in &bars {
        let _ = writeln!(
            out,
            r##"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="{BAR}" rx="2" fill="{fill}"><title>{}</title></rect>"##,
            (to - from).max(THINNEST),
            escaped(&told(way, leg, step))
        );
    }
    if !bars.is_empty() {
        // The label is on the bars, so that every row shows its release.
        let first = leg.steps.iter().find(|step| colour(step.state).is_some());
        let x = first.map_or(LEFT, |step| axis.x(step.from)) + 5.0;
        let (x, anchor) = if x > axis.end() - 200.0 {
            (axis.end() - 5.0, "end")
        } else {
            (x, "start")
        };
        let _ = writeln!(
            out,
            r##"<text x="{x:.1}" y="{:.1}" text-anchor="{anchor}" font-size="11" fill="#102027">{}</text>"##,
            y + 12.0,
            escaped(&cut(&format!("{} {}", way.product, way.version), 41))
        );
    }
}

fn told(way: &Way, leg: &Leg, step: &Step) -> String {
    let until = step.to.map_or(String::new(), |to| format!(" to {to}"));
    let mut text = format!(
        "{}/{} in {}: {} from {}{until}",
        way.namespace,
        way.name,
        leg.environment,
        step.state.as_str(),
        step.from
    );
    for block in &step.blocks {
        text.push('\n');
        text.push_str(&block.to_string());
    }
    if let Some(message) = step.message.as_ref().filter(|_| step.blocks.is_empty()) {
        text.push('\n');
        text.push_str(message);
    }
    text
}

fn key(y: f64, out: &mut String) {
    let mut x = 16.0;
    let mut row = y;
    let all = COLOURS.iter().copied();
    for (name, fill) in all.chain(std::iter::once(("closed to new entries", "url(#closed)"))) {
        let width = 40.0 + 7.0 * name.len() as f64;
        if x + width > WIDTH {
            (x, row) = (16.0, row + ROW);
        }
        let _ = writeln!(
            out,
            r##"<rect x="{x:.1}" y="{row:.1}" width="{BAR}" height="{BAR}" rx="2" fill="{fill}" stroke="#90a4ae" stroke-width="0.5"/><text x="{:.1}" y="{:.1}">{name}</text>"##,
            x + 22.0,
            row + 12.5
        );
        x += width;
    }
}
