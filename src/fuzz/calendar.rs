//! Windows: schedules, zones, durations and instants.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::domain::calendar::{Calendar, DefaultWindow, Opening, When, Window, WindowKind};
use crate::fuzz::{fuzz, repeated, soup};

/// The calendar's own budget limits each question. Without optimization that is slow.
const WITHIN: Duration = Duration::from_secs(20);
const ZONES: &[&str] = &[
    "UTC",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "America/Scoresbysund",
    "Etc/GMT+12",
    "Nowhere/Land",
    "",
    "Local",
    "../../etc/passwd",
    "europe/london",
    "EST5EDT",
];

fn schedule() -> impl Strategy<Value = String> {
    let words = &[
        "*",
        "0",
        "59",
        "23",
        "30",
        "31",
        "12",
        "2",
        "29",
        "7",
        "MON",
        "FRI",
        "JAN",
        "L",
        "W",
        "#",
        "?",
        "/",
        "-",
        ",",
        " ",
        " ",
        "1-5",
        "*/7",
        "60",
        "1#5",
        "FRIL",
        "15W",
        "@daily",
        "-1",
        "99999999999999999999",
    ];
    let minute = proptest::sample::select(&["0", "30", "*", "*/2", "1,2,59", "0-59", "7/13"][..]);
    let hour = proptest::sample::select(&["0", "1", "2", "*", "23", "1-3", "*/5"][..]);
    let day = proptest::sample::select(&["*", "1", "31", "L", "15W", "29", "1-7"][..]);
    let month = proptest::sample::select(&["*", "2", "3,10", "1-11", "JAN"][..]);
    let weekday = proptest::sample::select(&["*", "1-5", "SUN", "5L", "1#5", "7"][..]);
    let fields = (minute, hour, day, month, weekday);
    prop_oneof![
        12 => fields.prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}")),
        4 => soup(words, 16),
        1 => repeated(words, 2000),
    ]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    let years = (1_600_000_000_i64..2_000_000_000, 0..1_000_000_000_i32);
    prop_oneof![
        16 => years.prop_map(|(s, n)| Timestamp::new(s, n).expect("a timestamp")),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        1 => (Timestamp::MIN.as_second()..Timestamp::MAX.as_second())
            .prop_map(|s| Timestamp::from_second(s).expect("a timestamp")),
        // Around the clock changes in London and New York.
        4 => (1_774_740_000_i64..1_774_760_000).prop_map(|s| Timestamp::from_second(s).expect("a timestamp")),
        4 => (1_792_880_000_i64..1_792_900_000).prop_map(|s| Timestamp::from_second(s).expect("a timestamp")),
    ]
}

fn length() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![
        8 => (0..100_000_i64).prop_map(SignedDuration::from_secs),
        2 => (0..720_i64).prop_map(SignedDuration::from_hours),
        1 => Just(SignedDuration::MAX),
        1 => Just(SignedDuration::MIN),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let zone =
        prop_oneof![8 => proptest::sample::select(ZONES).prop_map(str::to_owned), 1 => any::<String>()];
    let recurring =
        (schedule(), length(), zone).prop_map(|(schedule, duration, time_zone)| When::Recurring {
            schedule,
            duration,
            time_zone,
        });
    let once = (instant(), instant()).prop_map(|(from, to)| When::Once { from, to });
    let kind = proptest::sample::select(&[WindowKind::Allow, WindowKind::Deny][..]);
    (kind, prop_oneof![4 => recurring, 1 => once], "[a-z]{1,4}").prop_map(|(kind, when, name)| Window {
        name,
        kind,
        when,
    })
}

fn calendars() -> impl Strategy<Value = (Calendar, Timestamp, SignedDuration)> {
    let default = proptest::sample::select(&[DefaultWindow::Open, DefaultWindow::Closed][..]);
    (
        proptest::collection::vec(window(), 0..6),
        default,
        instant(),
        length(),
    )
        .prop_map(|(windows, default, now, needed)| (Calendar::new(&windows, default), now, needed))
}

#[test]
fn what_a_calendar_promises_holds() {
    fuzz(250, WITHIN, calendars(), |(calendar, now, needed)| {
        let opening = calendar.at(now, needed);
        let earliest = calendar.earliest(now, needed);
        match &opening {
            Opening::Open { until, .. } => {
                prop_assert_eq!(earliest, Some(now), "open is open now");
                prop_assert!(
                    until.is_none_or(|until| until > now),
                    "open until {until:?}, which is over"
                );
            }
            Opening::Closed { next, .. } => {
                prop_assert!(
                    next.is_none_or(|next| next > now),
                    "asked again at {next:?}, which is no later"
                );
                prop_assert!(
                    earliest.is_none_or(|at| at > now),
                    "closed now, and open at {earliest:?}"
                );
            }
        }
        if let Some(at) = earliest.filter(|_| calendar.problems().is_empty()) {
            let then = calendar.at(at, needed);
            prop_assert!(matches!(then, Opening::Open { .. }), "at {at} it is {then:?}");
        }
        Ok(())
    });
}

#[test]
fn what_a_calendar_shows_happens() {
    fuzz(250, WITHIN, calendars(), |(calendar, now, _)| {
        let summary = calendar.summary(now);
        prop_assert!(summary.next_open.is_none_or(|at| at > now), "{summary:?}");
        prop_assert!(summary.next_close.is_none_or(|at| at > now), "{summary:?}");
        if let Some(at) = summary.next_open {
            prop_assert!(
                calendar.summary(at).open,
                "{summary:?}, and then {:?}",
                calendar.summary(at)
            );
        }
        if let Some(at) = summary.next_close {
            prop_assert!(
                !calendar.summary(at).open,
                "{summary:?}, and then {:?}",
                calendar.summary(at)
            );
        }
        Ok(())
    });
}
