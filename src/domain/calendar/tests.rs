//! Calendars as release managers write them, at the instants that are easy to get wrong.

#![allow(clippy::unwrap_used)]

mod dialect;
mod model;
mod refused;

use crate::domain::calendar::*;

const NOTHING: SignedDuration = SignedDuration::ZERO;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn span(text: &str) -> SignedDuration {
    text.parse().unwrap()
}

fn every(name: &str, kind: WindowKind, schedule: &str, duration: &str, zone: &str) -> Window {
    let when = When::Recurring {
        schedule: schedule.to_owned(),
        duration: span(duration),
        time_zone: zone.to_owned(),
    };
    Window {
        name: name.to_owned(),
        kind,
        when,
    }
}

fn allow(schedule: &str, duration: &str, zone: &str) -> Window {
    every("allow", WindowKind::Allow, schedule, duration, zone)
}

fn deny(schedule: &str, duration: &str, zone: &str) -> Window {
    every("deny", WindowKind::Deny, schedule, duration, zone)
}

fn once(name: &str, kind: WindowKind, from: &str, to: &str) -> Window {
    Window {
        name: name.to_owned(),
        kind,
        when: When::Once {
            from: at(from),
            to: at(to),
        },
    }
}

fn year_end() -> Window {
    once(
        "year-end",
        WindowKind::Deny,
        "2026-12-18T00:00:00Z",
        "2027-01-04T00:00:00Z",
    )
}

fn tuesdays() -> Window {
    every(
        "tuesdays",
        WindowKind::Allow,
        "0 18 * * TUE",
        "4h",
        "Europe/London",
    )
}

fn calendar(windows: &[Window]) -> Calendar {
    let calendar = Calendar::new(windows, DefaultWindow::Closed);
    assert_eq!(calendar.problems(), &[]);
    calendar
}

fn open_by_default(windows: &[Window]) -> Calendar {
    Calendar::new(windows, DefaultWindow::Open)
}

fn reason(calendar: &Calendar, now: &str, needed: &str) -> &'static str {
    match calendar.at(at(now), span(needed)) {
        Opening::Open { .. } => "Open",
        Opening::Closed { reason, .. } => reason,
    }
}

/// The first opening (or, with a Deny in an open environment, closing) after `from`, and its end.
fn first(window: Window, from: &str) -> (String, String) {
    let allowing = window.kind == WindowKind::Allow;
    let summary = match allowing {
        true => calendar(&[window]).summary(at(from)),
        false => open_by_default(&[window]).summary(at(from)),
    };
    assert_eq!(summary.open, !allowing);
    let (opens, closes) = (
        summary.next_open.unwrap().to_string(),
        summary.next_close.unwrap().to_string(),
    );
    if allowing {
        (opens, closes)
    } else {
        (closes, opens)
    }
}

#[test]
fn civil_times_are_read_in_the_zone_that_the_window_names() {
    for (zone, starts, ends) in [
        ("UTC", "2026-06-02T18:00:00Z", "2026-06-02T22:00:00Z"),
        ("Europe/London", "2026-06-02T17:00:00Z", "2026-06-02T21:00:00Z"),
        ("America/New_York", "2026-06-02T22:00:00Z", "2026-06-03T02:00:00Z"),
        ("Asia/Kolkata", "2026-06-02T12:30:00Z", "2026-06-02T16:30:00Z"),
        (
            "Australia/Lord_Howe",
            "2026-06-02T07:30:00Z",
            "2026-06-02T11:30:00Z",
        ),
    ] {
        let found = first(allow("0 18 * * TUE", "4h", zone), "2026-06-01T00:00:00Z");
        assert_eq!(found, (starts.to_owned(), ends.to_owned()), "{zone}");
    }
}

/// One table, a case each.
#[test]
fn a_changed_clock_is_always_read_the_stricter_way() {
    let london = "Europe/London"; // 2026-03-29 01:00Z forward, 2026-10-25 01:00Z back
    let york = "America/New_York"; // 2026-03-08 07:00Z forward, 2026-11-01 06:00Z back
    let howe = "Australia/Lord_Howe"; // 2026-10-03 15:30Z forward, 2026-04-04 15:00Z back, half an hour
    for (zone, schedule, duration, from, allowed, denied) in [
        // A start in the gap is the transition.
        (
            london,
            "30 1 * * *",
            "2h",
            "2026-03-29T00:00:00Z",
            ("01:00", "02:30"),
            ("01:00", "02:30"),
        ),
        (
            york,
            "30 2 * * *",
            "1h",
            "2026-03-08T06:00:00Z",
            ("07:00", "07:30"),
            ("07:00", "07:30"),
        ),
        (
            howe,
            "15 2 * * *",
            "1h",
            "2026-10-03T15:00:00Z",
            ("15:30", "16:15"),
            ("15:30", "16:15"),
        ),
        // So is an end.
        (
            london,
            "0 0 * * *",
            "90m",
            "2026-03-28T23:00:00Z",
            ("00:00", "01:00"),
            ("00:00", "01:00"),
        ),
        // A start in the fold.
        (
            london,
            "30 1 * * *",
            "2h",
            "2026-10-25T00:00:00Z",
            ("01:30", "03:30"),
            ("00:30", "03:30"),
        ),
        (
            york,
            "30 1 * * *",
            "2h",
            "2026-11-01T05:00:00Z",
            ("06:30", "08:30"),
            ("05:30", "08:30"),
        ),
        (
            howe,
            "45 1 * * *",
            "1h",
            "2026-04-04T14:30:00Z",
            ("15:15", "16:15"),
            ("14:45", "16:15"),
        ),
        // An end in the fold.
        (
            london,
            "0 0 * * *",
            "90m",
            "2026-10-24T22:00:00Z",
            ("23:00", "00:30"),
            ("23:00", "01:30"),
        ),
        (
            howe,
            "0 1 * * *",
            "45m",
            "2026-04-04T13:30:00Z",
            ("14:00", "14:45"),
            ("14:00", "15:15"),
        ),
    ] {
        let clock = |(start, end): (String, String)| (start[11..16].to_owned(), end[11..16].to_owned());
        let expected = |(start, end): (&str, &str)| (start.to_owned(), end.to_owned());
        let label = format!("{schedule} {duration} {zone}");
        assert_eq!(
            clock(first(allow(schedule, duration, zone), from)),
            expected(allowed),
            "Allow {label}"
        );
        assert_eq!(
            clock(first(deny(schedule, duration, zone), from)),
            expected(denied),
            "Deny {label}"
        );
    }
}

#[test]
fn an_allow_wholly_inside_a_repeated_hour_opens_nothing_that_day() {
    let (opens, _) = first(
        allow("15 1 * * *", "15m", "Europe/London"),
        "2026-10-24T12:00:00Z",
    );
    assert_eq!(opens, "2026-10-26T01:15:00Z");
}

#[test]
fn a_deny_wholly_inside_a_repeated_hour_holds_in_both_passes_and_between() {
    let found = first(deny("15 1 * * *", "15m", "Europe/London"), "2026-10-24T12:00:00Z");
    assert_eq!(
        found,
        (
            "2026-10-25T00:15:00Z".to_owned(),
            "2026-10-25T01:30:00Z".to_owned()
        )
    );
    let between = open_by_default(&[deny("15 1 * * *", "15m", "Europe/London")]);
    assert_eq!(reason(&between, "2026-10-25T00:40:00Z", "0s"), DENY_WINDOW);
}

#[test]
fn a_window_without_gaps_stays_open_while_the_clock_is_changed() {
    for schedule in ["*/5 * * * *", "*/5 * * * SUN"] {
        let calendar = calendar(&[allow(schedule, "5m", "Europe/London")]);
        assert_eq!(
            reason(&calendar, "2026-10-25T00:31:00Z", "3h"),
            "Open",
            "{schedule}"
        );
        assert_eq!(
            reason(&calendar, "2026-03-29T00:31:00Z", "3h"),
            "Open",
            "{schedule}"
        );
    }
}

#[test]
fn a_window_opens_at_its_start_and_is_closed_at_its_end() {
    let calendar = calendar(&[tuesdays()]);
    for (now, expected) in [
        ("2026-11-24T17:59:59.999999999Z", WINDOW_CLOSED),
        ("2026-11-24T18:00:00Z", "Open"),
        ("2026-11-24T21:59:59.999999999Z", "Open"),
        ("2026-11-24T22:00:00Z", WINDOW_CLOSED),
    ] {
        assert_eq!(reason(&calendar, now, "0s"), expected, "{now}");
    }
}

#[test]
fn a_window_lasts_over_midnight_and_over_days() {
    for (schedule, duration, inside, after) in [
        (
            "0 22 * * MON",
            "4h",
            "2026-06-02T01:59:59Z",
            "2026-06-02T02:00:00Z",
        ),
        (
            "0 22 * * MON",
            "36h",
            "2026-06-03T09:59:59Z",
            "2026-06-03T10:00:00Z",
        ),
        (
            "0 22 1 6 *",
            "720h",
            "2026-07-01T21:59:59Z",
            "2026-07-01T22:00:00Z",
        ),
    ] {
        let calendar = calendar(&[allow(schedule, duration, "UTC")]);
        assert_eq!(reason(&calendar, inside, "0s"), "Open", "{schedule} {duration}");
        assert_eq!(
            reason(&calendar, after, "0s"),
            WINDOW_CLOSED,
            "{schedule} {duration}"
        );
    }
}

#[test]
fn entry_ends_early_enough_for_what_is_needed() {
    let calendar = calendar(&[tuesdays()]);
    let open = Opening::Open {
        because: "tuesdays".to_owned(),
        until: Some(at("2026-11-24T21:35:00Z")),
    };
    assert_eq!(calendar.at(at("2026-11-24T21:34:59Z"), span("25m")), open);
    let closing = Opening::Closed {
        reason: WINDOW_CLOSING,
        message: "Allow window \"tuesdays\" closes at 2026-11-24 22:00 GMT (Europe/London), too soon for the \
                  25m that the release needs. Entry is possible from 2026-12-01 18:00 GMT (Europe/London), in \
                  window \"tuesdays\"."
            .to_owned(),
        next: Some(at("2026-11-24T22:00:00Z")),
    };
    assert_eq!(calendar.at(at("2026-11-24T21:35:00Z"), span("25m")), closing);
}

#[test]
fn a_closed_window_says_when_it_opens_in_its_own_zone() {
    let closed = Opening::Closed {
        reason: WINDOW_CLOSED,
        message: "Allow window \"tuesdays\" is closed. Entry is possible from 2026-06-02 18:00 BST \
                  (Europe/London), in window \"tuesdays\"."
            .to_owned(),
        next: Some(at("2026-06-02T17:00:00Z")),
    };
    assert_eq!(
        calendar(&[tuesdays()]).at(at("2026-06-01T12:00:00Z"), span("25m")),
        closed
    );
}

#[test]
fn needing_longer_than_any_opening_is_said_rather_than_waited_for() {
    for needed in ["4h", "5h"] {
        let calendar = calendar(&[tuesdays()]);
        for now in ["2026-11-23T12:00:00Z", "2026-11-24T18:00:00Z"] {
            assert_eq!(reason(&calendar, now, needed), WINDOW_TOO_SHORT);
            assert_eq!(calendar.earliest(at(now), span(needed)), None);
        }
    }
}

#[test]
fn windows_back_to_back_count_as_one_stretch() {
    let evening = every("evening", WindowKind::Allow, "0 18 * * *", "2h", "UTC");
    let night = every("night", WindowKind::Allow, "0 20 * * *", "2h", "UTC");
    let calendar = calendar(&[evening, night]);
    let open = Opening::Open {
        because: "evening".to_owned(),
        until: Some(at("2026-06-01T19:00:00Z")),
    };
    assert_eq!(calendar.at(at("2026-06-01T18:00:00Z"), span("3h")), open);
}

#[test]
fn a_coming_deny_ends_an_open_stretch() {
    let lunch = every("lunch", WindowKind::Deny, "0 12 * * *", "1h", "UTC");
    let calendar = open_by_default(&[lunch]);
    assert_eq!(reason(&calendar, "2026-06-01T10:59:59Z", "1h"), "Open");
    assert_eq!(reason(&calendar, "2026-06-01T11:00:00Z", "1h"), WINDOW_CLOSING);
    assert_eq!(
        calendar.earliest(at("2026-06-01T11:00:00Z"), span("1h")),
        Some(at("2026-06-01T13:00:00Z"))
    );
}

#[test]
fn a_deny_across_the_year_end_wins_over_an_open_window() {
    let calendar = calendar(&[tuesdays(), year_end()]);
    let denied = Opening::Closed {
        reason: DENY_WINDOW,
        message:
            "Deny window \"year-end\" is active until 2027-01-04 00:00 UTC. Entry is possible from 2027-01-05 \
                  18:00 GMT (Europe/London), in window \"tuesdays\"."
                .to_owned(),
        next: Some(at("2027-01-04T00:00:00Z")),
    };
    assert_eq!(calendar.at(at("2026-12-29T19:00:00Z"), span("25m")), denied);
    assert_eq!(reason(&calendar, "2027-01-04T00:00:00Z", "25m"), WINDOW_CLOSED);
    let summary = Summary {
        open: false,
        because: "year-end".to_owned(),
        next_open: Some(at("2027-01-05T18:00:00Z")),
        next_close: Some(at("2027-01-05T22:00:00Z")),
    };
    assert_eq!(calendar.summary(at("2026-12-29T19:00:00Z")), summary);
}

#[test]
fn a_recurring_deny_reaches_back_over_the_new_year() {
    let calendar = open_by_default(&[deny("0 0 18 12 *", "720h", "Europe/London")]);
    assert_eq!(reason(&calendar, "2027-01-16T23:59:59Z", "0s"), DENY_WINDOW);
    assert_eq!(reason(&calendar, "2027-01-17T00:00:00Z", "0s"), "Open");
}

#[test]
fn without_allow_windows_the_default_rules() {
    let now = at("2026-06-01T12:00:00Z");
    assert!(matches!(
        open_by_default(&[]).at(now, NOTHING),
        Opening::Open { until: None, .. }
    ));
    let Opening::Closed { reason, next, .. } = calendar(&[]).at(now, NOTHING) else {
        panic!("it is open")
    };
    assert_eq!((reason, next), (WINDOW_CLOSED, None));
    assert_eq!(calendar(&[]).summary(now).because, "defaultWindow");
}

#[test]
fn what_cannot_be_read_is_named_and_counts_as_closed() {
    for (window, expected) in [
        (
            allow("0 18 * * TUE", "4h", "London"),
            "write a name like Europe/London",
        ),
        (allow("0 18 * *", "4h", "UTC"), "is not five fields"),
        (allow("0 0 18 * * TUE", "4h", "UTC"), "is not five fields"),
        (
            allow("@every 1h", "4h", "UTC"),
            "depends on when a process started",
        ),
        (allow(", 9 * * *", "4h", "UTC"), "an element of the list is empty"),
        (allow("0 , * * *", "4h", "UTC"), "an element of the list is empty"),
        (allow("0 25 * * *", "4h", "UTC"), "cannot be read"),
        (allow("0 0 30 2 *", "4h", "UTC"), "never fires"),
        (allow("0 18 * * *", "0s", "UTC"), "outside 1s to 720h"),
        (allow("0 18 * * *", "720h 1s", "UTC"), "outside 1s to 720h"),
        (
            once(
                "o",
                WindowKind::Allow,
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:00Z",
            ),
            "not before",
        ),
    ] {
        let denying = Window {
            kind: WindowKind::Deny,
            ..window.clone()
        };
        for window in [window, denying] {
            let calendar = open_by_default(std::slice::from_ref(&window));
            let [problem] = calendar.problems() else {
                panic!("{window:?} has no problem")
            };
            assert!(problem.sentence.contains(expected), "{}", problem.sentence);
            assert_eq!(reason(&calendar, "2026-06-02T19:00:00Z", "0s"), WINDOW_INVALID);
            assert_eq!(calendar.earliest(at("2026-06-02T19:00:00Z"), NOTHING), None);
        }
    }
}

#[test]
fn an_unreadable_allow_leaves_the_others_to_decide() {
    let calendar = open_by_default(&[allow("nonsense", "1h", "UTC"), tuesdays()]);
    assert_eq!(reason(&calendar, "2026-11-24T19:00:00Z", "0s"), "Open");
    assert_eq!(reason(&calendar, "2026-11-25T19:00:00Z", "0s"), WINDOW_CLOSED);
}

#[test]
fn a_leap_day_fires_but_a_forecast_ends_at_its_horizon() {
    let calendar = calendar(&[allow("0 0 29 2 *", "1h", "UTC")]);
    assert_eq!(calendar.earliest(at("2026-06-01T00:00:00Z"), NOTHING), None);
    assert_eq!(
        calendar.earliest(at("2027-06-01T00:00:00Z"), NOTHING),
        Some(at("2028-02-29T00:00:00Z"))
    );
}

#[test]
fn instants_at_the_ends_of_time_are_answered_too() {
    let calendar = calendar(&[tuesdays(), year_end()]);
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert!(matches!(calendar.at(now, span("1h")), Opening::Closed { .. }));
        calendar.summary(now);
        calendar.earliest(now, SignedDuration::MAX);
    }
}
