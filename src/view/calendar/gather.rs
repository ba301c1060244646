//! The calendar of Environments and Releases.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::api::environment::{DefaultWindow, Environment};
use crate::api::release::Planned;
use crate::api::{Release, Time};
use crate::domain::calendar::{Opening, Stretch};
use crate::domain::windows::calendar_of;
use crate::view::calendar::model::{Calendar, Entry, Kind, Lane};
use crate::view::calendar::range::Range;

/// How many entries a calendar has. More cannot be read.
const MOST_ENTRIES: usize = 500;

/// What happens in these Environments within `range`.
///
/// Planned times and forecasts are those of promotions that have not finished, and that the Release still intends.
#[must_use]
pub fn calendar(
    environments: &[Environment],
    releases: &[Release],
    range: &Range,
    now: Timestamp,
) -> Calendar {
    let mut sorted: Vec<&Environment> = environments.iter().collect();
    sorted.sort_by_key(|environment| (environment.spec.stage, name(environment)));
    let (mut lanes, mut entries) = (Vec::new(), Vec::new());
    for environment in sorted {
        lanes.push(windows(environment, range, now, &mut entries));
        for release in releases {
            intended(environment, release, &range.zone, &mut entries);
        }
        occupied(environment, range, now, &mut entries);
    }
    entries.retain(|entry| entry.within(range.from, range.to));
    // Stable: the order of the environments remains.
    entries.sort_by_key(|entry| entry.from);
    let left_out = entries.len().saturating_sub(MOST_ENTRIES);
    entries.truncate(MOST_ENTRIES);
    Calendar {
        now,
        from: range.from,
        to: range.to,
        time_zone: range.zone.clone(),
        environments: lanes,
        entries,
        left_out,
    }
}

fn name(environment: &Environment) -> &str {
    environment.metadata.name.as_deref().unwrap_or_default()
}

/// The windows, as entries. What no entry says is in the lane.
fn windows(environment: &Environment, range: &Range, now: Timestamp, entries: &mut Vec<Entry>) -> Lane {
    let calendar = calendar_of(environment);
    let open = environment.spec.default_window() == DefaultWindow::Open;
    let mut lane = Lane {
        name: name(environment).to_owned(),
        stage: environment.spec.stage,
        always_open: environment.spec.windows.is_empty() && open,
        says: calendar.problems().iter().map(|p| p.sentence.clone()).collect(),
    };
    if environment.spec.windows.is_empty() {
        lane.says
            .push(match calendar.at(now, jiff::SignedDuration::ZERO) {
                Opening::Open { .. } => "No window is listed, and defaultWindow is Open.".to_owned(),
                Opening::Closed { message, .. } => message,
            });
        return lane;
    }
    let openings = calendar.openings(range.from, range.to);
    let denials = calendar.denials(range.from, range.to);
    if openings.cut_short || denials.cut_short {
        lane.says.push(
            "Its windows open and close too often to be listed to the end: choose a shorter range."
                .to_owned(),
        );
    }
    let entry = |kind, stretch: Stretch| {
        let because = match (kind, &stretch.window) {
            (Kind::Deny, _) => "A Deny window outweighs every Allow window.".to_owned(),
            (_, Some(allow)) => format!("Allow window \"{allow}\" is open, and no Deny window is active."),
            (_, None) => "No Deny window is active, and defaultWindow is Open.".to_owned(),
        };
        Entry {
            environment: lane.name.clone(),
            kind,
            from: stretch.from,
            began_earlier: stretch.began_earlier,
            to: stretch.to,
            time_zone: if stretch.window.is_some() {
                stretch.zone
            } else {
                range.zone.clone()
            },
            what: stretch.window.unwrap_or_else(|| "defaultWindow".to_owned()),
            because,
        }
    };
    entries.extend(openings.all.into_iter().map(|stretch| entry(Kind::Open, stretch)));
    entries.extend(denials.all.into_iter().map(|stretch| entry(Kind::Deny, stretch)));
    lane
}

/// What `release` plans and foresees in `environment`.
fn intended(environment: &Environment, release: &Release, zone: &TimeZone, entries: &mut Vec<Entry>) {
    let promotion = release.promotion(name(environment));
    let before_entry = promotion.is_none_or(|p| p.state.before_entry());
    let finished = promotion.is_some_and(|p| p.state.has_ended());
    let withdrawn = release.spec.withdrawn.is_some() && before_entry;
    let listed = release.spec.environments.iter().any(|e| e == name(environment));
    if finished || withdrawn || !listed {
        return;
    }
    let entry = |kind, from: Timestamp, to, because: String| Entry {
        environment: name(environment).to_owned(),
        kind,
        from,
        began_earlier: false,
        to,
        time_zone: zone.clone(),
        what: path(release),
        because,
    };
    if let Some(planned) = release.planned(name(environment))
        && let Some((from, to, because)) = spelled(planned)
    {
        entries.push(entry(Kind::Planned, from, to, because.to_owned()));
    }
    let forecast = promotion
        .filter(|_| before_entry)
        .and_then(|p| p.forecast.as_ref());
    if let Some(forecast) = forecast
        && let Some(Time(earliest)) = forecast.earliest
    {
        let because = format!(
            "{} is the check that is satisfied last. Approvals are assumed to be given immediately.",
            forecast.because
        );
        entries.push(entry(Kind::Forecast, earliest, None, because));
    }
}

fn spelled(planned: &Planned) -> Option<(Timestamp, Option<Timestamp>, &'static str)> {
    let instant = |time: &Option<Time>| time.as_ref().map(|t| t.0);
    match (instant(&planned.start), instant(&planned.end)) {
        (Some(start), Some(end)) if start < end => Some((start, Some(end), "Planned start and end.")),
        (Some(start), _) => Some((start, None, "Planned start. No end is planned.")),
        (None, Some(end)) => Some((end, None, "Planned end. No start is planned.")),
        (None, None) => None,
    }
}

/// What occupies target namespaces now. When that ends is not known.
fn occupied(environment: &Environment, range: &Range, now: Timestamp, entries: &mut Vec<Entry>) {
    if now < range.from {
        return;
    }
    let occupants = environment.status.iter().flat_map(|status| &status.occupants);
    entries.extend(occupants.map(|occupant| Entry {
        environment: name(environment).to_owned(),
        kind: Kind::Occupied,
        from: occupant.since.as_ref().map_or(now, |since| since.0),
        began_earlier: occupant.since.is_none(),
        to: None,
        time_zone: range.zone.clone(),
        what: format!("{}/{}", occupant.namespace, occupant.release),
        because: format!("It is {} there.", occupant.state),
    }));
}

fn path(release: &Release) -> String {
    let metadata = &release.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}
