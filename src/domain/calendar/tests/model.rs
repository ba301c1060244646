//! The calendar against a naive model that expands every occurrence and tries every minute, on seeded walks
//! through a year; and what a question costs.

use jiff::ToSpan;
use jiff::civil::{DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::domain::calendar::schedule::Schedule;
use crate::domain::calendar::tests::*;

fn varied_calendars() -> Vec<Vec<Window>> {
    let (a, d) = (WindowKind::Allow, WindowKind::Deny);
    vec![
        vec![tuesdays(), year_end()],
        vec![
            every("weekdays", a, "0 9 * * MON-FRI", "8h", "America/New_York"),
            every("nights", a, "30 0 * * *", "3h", "America/New_York"),
            every("lunch", d, "0 12 * * *", "1h", "America/New_York"),
            every("month-end", d, "0 0 28 * *", "96h", "Europe/London"),
        ],
        vec![
            every("halves", a, "0,30 * * * *", "20m", "Australia/Lord_Howe"),
            every("quarters", a, "20,50 * * * *", "5m", "Europe/London"),
            every("small-hours", d, "45 1 * * *", "15m", "Australia/Lord_Howe"),
        ],
        vec![every(
            "small-hours",
            d,
            "0,20,40 1,2 * * *",
            "10m",
            "Europe/London",
        )],
    ]
}

fn default_of(windows: &[Window]) -> DefaultWindow {
    match windows.iter().any(|window| window.kind == WindowKind::Allow) {
        true => DefaultWindow::Closed,
        false => DefaultWindow::Open,
    }
}

/// Every stretch of a window in two years, occurrence by occurrence.
fn stretches(window: &Window) -> Vec<(Timestamp, Timestamp)> {
    let (schedule, duration, zone) = match &window.when {
        When::Once { from, to } => return vec![(*from, *to)],
        When::Recurring {
            schedule,
            duration,
            time_zone,
        } => (schedule, *duration, time_zone),
    };
    let zone = TimeZone::get(zone).unwrap();
    let schedule = Schedule::parse(schedule).unwrap();
    let mut civil: Vec<(DateTime, DateTime)> = Vec::new();
    let days = date(2025, 11, 1)
        .series(1.day())
        .take_while(|day| day.year() <= 2027);
    for day in days.filter(|day| schedule.matches(*day)) {
        for minute in schedule.starts() {
            let start = day.at(0, 0, 0, 0) + SignedDuration::from_mins(i64::from(minute));
            match civil.last_mut() {
                Some(last) if start <= last.1 => last.1 = start + duration,
                _ => civil.push((start, start + duration)),
            }
        }
    }
    let instant = |civil: DateTime, early: bool| {
        let ambiguous = zone.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            // Go back to the last minute that the clock shows.
            AmbiguousOffset::Gap { before, after } => {
                let mut instant = before.to_timestamp(civil).unwrap();
                while zone.to_offset(instant - SignedDuration::from_mins(1)) == after {
                    instant -= SignedDuration::from_mins(1);
                }
                instant
            }
            _ if early => ambiguous.earlier().unwrap(),
            _ => ambiguous.later().unwrap(),
        }
    };
    let denies = window.kind == WindowKind::Deny;
    civil
        .iter()
        .map(|(start, end)| (instant(*start, denies), instant(*end, !denies)))
        .collect()
}

/// Open or not, for each minute of 2026 and January 2027.
fn minutes_open(windows: &[Window], begin: Timestamp, count: usize) -> Vec<bool> {
    let paint = |kind: WindowKind| {
        let mut minutes = vec![false; count];
        for (start, end) in windows
            .iter()
            .filter(|window| window.kind == kind)
            .flat_map(stretches)
        {
            let index = |at: Timestamp| ((at.as_second() - begin.as_second()) / 60).clamp(0, count as i64);
            for minute in index(start)..index(end) {
                minutes[minute as usize] = true;
            }
        }
        minutes
    };
    let default = default_of(windows) == DefaultWindow::Open;
    let (allowed, denied) = (paint(WindowKind::Allow), paint(WindowKind::Deny));
    allowed
        .iter()
        .zip(denied)
        .map(|(allowed, denied)| (*allowed || default) && !denied)
        .collect()
}

/// Knuth's linear congruential generator: the same walk in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as i64) % bound
    }
}

#[test]
fn forecasts_agree_with_trying_every_minute() {
    let begin = at("2026-01-01T00:00:00Z");
    let count = 396 * 24 * 60;
    for windows in varied_calendars() {
        let calendar = Calendar::new(&windows, default_of(&windows));
        let open = minutes_open(&windows, begin, count);
        // The nights on which clocks change, and all other times.
        let mut dice = Dice(7);
        let mut tries: Vec<i64> = (0..60).map(|_| dice.below(365 * 24 * 60)).collect();
        for night in [
            "2026-03-08T06",
            "2026-03-29T00",
            "2026-04-04T13",
            "2026-10-03T14",
            "2026-10-24T23",
        ] {
            let night = at(&format!("{night}:00:00Z"));
            tries.extend((0..20).map(|step| (night.as_second() - begin.as_second()) / 60 + step * 11));
        }
        for minute in tries {
            let now = begin + SignedDuration::from_mins(minute);
            assert_eq!(
                calendar.summary(now).open,
                open[minute as usize],
                "{now} {windows:?}"
            );
            // Asking for more than any opening offers reads the whole horizon, so only some tries do.
            let long = if minute % 16 == 0 { Some(120) } else { None };
            for needed in [0, 4, 9, 24].into_iter().chain(long) {
                let mut run = 0;
                let found = (minute..count as i64).find(|&at| {
                    run = if open[at as usize] { run + 1 } else { 0 };
                    run > needed
                });
                let expected = found.map(|last| begin + SignedDuration::from_mins(last - needed));
                let earliest = calendar.earliest(now, SignedDuration::from_mins(needed));
                if expected.is_some()
                    || earliest.is_none_or(|at| at < begin + SignedDuration::from_hours(396 * 24))
                {
                    assert_eq!(earliest, expected, "{now} {needed}m {windows:?}");
                }
            }
        }
    }
}

/// What two equal answers have in common: everything except the name of an Allow window that is followed by another one.
fn essence(opening: &Opening) -> (&'static str, String, Option<Timestamp>) {
    match opening {
        Opening::Open { until, .. } => ("Open", String::new(), *until),
        Opening::Closed {
            reason,
            message,
            next,
        } => (reason, message.clone(), *next),
    }
}

#[test]
fn an_answer_holds_until_its_next_edge_and_changes_there() {
    let mut dice = Dice(11);
    for windows in varied_calendars() {
        let calendar = Calendar::new(&windows, default_of(&windows));
        for needed in [NOTHING, span("7m"), span("25m")] {
            let mut now = at("2026-01-01T00:00:00Z");
            while now < at("2027-01-01T00:00:00Z") {
                let answer = essence(&calendar.at(now, needed));
                let Some(next) = answer.2 else { break };
                assert!(next > now, "{now} {answer:?}");
                if answer.0 == WINDOW_TOO_SHORT {
                    break;
                }
                let seconds = next.as_second() - now.as_second();
                for offset in [dice.below(seconds), seconds - 1] {
                    let between = now + SignedDuration::from_secs(offset);
                    assert_eq!(essence(&calendar.at(between, needed)), answer, "{between}");
                }
                let after = essence(&calendar.at(next, needed));
                assert_ne!((after.0, after.1), (answer.0, answer.1), "{now} to {next}");
                // Some edges are hit exactly, others are skipped.
                now = next + SignedDuration::from_hours(dice.below(2) * dice.below(60));
            }
        }
    }
}

/// `cargo test --release -- --ignored --nocapture questions` prints what one question costs.
#[test]
#[ignore = "a measurement"]
fn questions_of_64_windows_are_quick() {
    let zones = [
        "Europe/London",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
    ];
    let kinds = [
        WindowKind::Allow,
        WindowKind::Allow,
        WindowKind::Allow,
        WindowKind::Deny,
    ];
    let daily: Vec<_> = (0..64)
        .map(|i| {
            every(
                &i.to_string(),
                kinds[i / 4 % 4],
                &format!("{} {} * * 1-5", i % 60, i % 24),
                "2h",
                zones[i % 4],
            )
        })
        .collect();
    let minutes: Vec<_> = (0..64)
        .map(|i| {
            every(
                &i.to_string(),
                WindowKind::Allow,
                "*/2 * * * 1-5",
                "30s",
                zones[i % 4],
            )
        })
        .collect();
    let long: Vec<_> = (0..64)
        .map(|i| {
            every(
                &i.to_string(),
                WindowKind::Allow,
                "* * * 1-11 *",
                "720h",
                zones[i % 4],
            )
        })
        .collect();
    for (name, windows) in [("daily", daily), ("every other minute", minutes), ("long", long)] {
        let calendar = calendar(&windows);
        for (needed, times) in [("25m", 200), ("40h", 3)] {
            let now = |i: i32| at("2026-01-01T00:00:00Z") + SignedDuration::from_hours(i64::from(i) * 37);
            let began = std::time::Instant::now();
            (0..times).for_each(|i| _ = std::hint::black_box(calendar.at(now(i), span(needed))));
            let asked = began.elapsed() / times as u32;
            let began = std::time::Instant::now();
            (0..times).for_each(|i| _ = std::hint::black_box(calendar.earliest(now(i), span(needed))));
            println!(
                "{name}, {needed}: at {asked:?}, earliest {:?}",
                began.elapsed() / times as u32
            );
        }
    }
}
