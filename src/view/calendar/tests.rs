//! What a calendar shows, as text, iCalendar, chart and JSON.

use calcard::icalendar::{ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarProperty};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::api::release::{Forecast, Promotion, State};
use crate::api::{Environment, Release, time};
use crate::decide::fixtures::{at, environment, morning, promotion, release_of, sit};
use crate::view::calendar::{Calendar, Entry, Kind, NoRange, Range, calendar, ics, svg, text};
use crate::view::golden::golden;

fn london() -> TimeZone {
    TimeZone::get("Europe/London").expect("a time zone")
}

fn month(month: &str) -> Range {
    Range::month(month, TimeZone::UTC).expect("a month")
}

/// Production with these windows; no other window opens it.
fn production(windows: Value) -> Environment {
    let spec = json!({ "stage": "Production", "namespace": "{namespace}", "windows": windows });
    environment("production", spec)
}

fn tuesdays() -> Value {
    json!({ "name": "tuesday-evening", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London" })
}

fn year_end() -> Value {
    json!({ "name": "year-end", "kind": "Deny", "from": "2026-12-20T00:00:00Z", "to": "2027-01-04T09:00:00Z" })
}

fn waiting(name: &str, earliest: &str) -> Promotion {
    Promotion {
        forecast: Some(Forecast {
            earliest: Some(time(at(earliest))),
            because: "WindowOpen".to_owned(),
        }),
        ..promotion(name, State::Waiting)
    }
}

fn with(mut release: Release, promotions: Vec<Promotion>) -> Release {
    release.status.get_or_insert_default().environments = promotions;
    release
}

fn december() -> Calendar {
    let mut production = production(json!([tuesdays(), year_end()]));
    production.status = serde_json::from_value(json!({ "occupants": [
        { "namespace": "billing", "release": "billing-2026.11.9", "since": "2026-12-01T19:00:00Z", "state": "Observing" },
    ]}))
    .expect("a status");
    let release = release_of(&json!({ "version": "2026.12.1", "schedule": [
        { "environment": "production", "start": "2026-12-08T18:00:00Z", "end": "2026-12-08T22:00:00Z" },
        { "environment": "sit", "start": "2026-12-02T09:00:00Z" },
    ]}));
    let release = with(
        release,
        vec![
            promotion("sit", State::Waiting),
            waiting("production", "2026-12-08T18:00:00Z"),
        ],
    );
    calendar(
        &[production, sit()],
        &[release],
        &month("2026-12"),
        at("2026-12-01T20:00:00Z"),
    )
}

fn shown(entry: &Entry) -> String {
    let to = entry.to.map_or("?".to_owned(), |to| to.to_string());
    format!("{} {} {to} {}", entry.kind.as_str(), entry.from, entry.what)
}

fn all(calendar: &Calendar) -> Vec<String> {
    calendar.entries.iter().map(shown).collect()
}

#[test]
fn a_month_as_people_read_it() {
    let calendar = december();
    let text = text(&calendar);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    golden("calendar/tests/december.txt", &text);
    golden("calendar/tests/december.ics", &ics(&calendar));
    golden("calendar/tests/december.svg", &svg(&calendar));
    let json = serde_json::to_string_pretty(&calendar).expect("JSON");
    golden("calendar/tests/december.json", &format!("{json}\n"));
}

#[test]
fn what_is_over_or_withdrawn_is_not_planned() {
    let schedule = json!([{ "environment": "production", "start": "2026-12-08T18:00:00Z" }]);
    let planned = |over: Value, state: State| {
        let release = release_of(&json!({ "schedule": schedule.clone() }));
        let mut release = with(
            release,
            vec![Promotion {
                state,
                ..waiting("production", "2026-12-08T18:00:00Z")
            }],
        );
        if !over.is_null() {
            release.spec.withdrawn = Some(serde_json::from_value(over).expect("a reason"));
        }
        let calendar = calendar(&[production(json!([]))], &[release], &month("2026-12"), morning());
        calendar.entries.iter().map(|e| e.kind).collect::<Vec<_>>()
    };
    assert_eq!(
        planned(Value::Null, State::Waiting),
        [Kind::Planned, Kind::Forecast]
    );
    assert_eq!(planned(Value::Null, State::Deploying), [Kind::Planned]);
    assert_eq!(planned(Value::Null, State::Succeeded), []);
    assert_eq!(planned(Value::Null, State::Superseded), []);
    assert_eq!(planned(json!({}), State::Waiting), []);
}

#[test]
fn an_opening_ends_where_a_deny_window_begins() {
    let deny = json!({ "name": "audit", "kind": "Deny", "from": "2026-12-08T20:00:00Z", "to": "2026-12-08T21:00:00Z" });
    let calendar = calendar(
        &[production(json!([tuesdays(), deny]))],
        &[],
        &Range::between(
            at("2026-12-08T00:00:00Z"),
            at("2026-12-09T00:00:00Z"),
            TimeZone::UTC,
        )
        .expect("a day"),
        morning(),
    );
    assert_eq!(
        all(&calendar),
        [
            "Open 2026-12-08T18:00:00Z 2026-12-08T20:00:00Z tuesday-evening",
            "Deny 2026-12-08T20:00:00Z 2026-12-08T21:00:00Z audit",
            "Open 2026-12-08T21:00:00Z 2026-12-08T22:00:00Z tuesday-evening",
        ]
    );
}

/// In London clocks change on 25 October 2026 and on 28 March 2027.
#[test]
fn hours_follow_the_clock_of_the_window() {
    let nightly = json!({ "name": "night", "kind": "Allow", "schedule": "0 22 * * SAT", "duration": "8h", "timeZone": "Europe/London" });
    let weekends = |month: &str| {
        let range = Range::month(month, london()).expect("a month");
        calendar(&[production(json!([nightly.clone()]))], &[], &range, morning())
    };
    let october = weekends("2026-10");
    assert_eq!(
        all(&october)[2..5],
        [
            "Open 2026-10-17T21:00:00Z 2026-10-18T05:00:00Z night",
            "Open 2026-10-24T21:00:00Z 2026-10-25T06:00:00Z night",
            "Open 2026-10-31T22:00:00Z 2026-11-01T06:00:00Z night",
        ]
    );
    let march = weekends("2027-03");
    assert_eq!(
        all(&march)[2..4],
        [
            "Open 2027-03-20T22:00:00Z 2027-03-21T06:00:00Z night",
            "Open 2027-03-27T22:00:00Z 2027-03-28T05:00:00Z night",
        ]
    );
    let text = text(&october);
    assert!(
        text.contains("Sat 2026-10-24 22:00 BST  to 2026-10-25 06:00 GMT"),
        "{text}"
    );
    compare(&october);
    compare(&march);
}

#[test]
fn a_stretch_in_progress_at_the_edge_has_its_own_beginning() {
    let daily = json!({ "name": "daily", "kind": "Allow", "schedule": "0 18 * * *", "duration": "12h", "timeZone": "Etc/UTC" });
    let always = json!({ "name": "always", "kind": "Deny", "schedule": "0 0 * * *", "duration": "24h", "timeZone": "Etc/UTC" });
    let range = Range::between(
        at("2026-12-22T01:00:00Z"),
        at("2026-12-22T02:00:00Z"),
        TimeZone::UTC,
    );
    let shown = |windows: Value| {
        let calendar = calendar(
            &[production(windows)],
            &[],
            range.as_ref().expect("an hour"),
            morning(),
        );
        let earlier: Vec<bool> = calendar.entries.iter().map(|e| e.began_earlier).collect();
        (all(&calendar), earlier)
    };
    assert_eq!(
        shown(json!([daily])),
        (
            vec!["Open 2026-12-21T18:00:00Z 2026-12-22T06:00:00Z daily".to_owned()],
            vec![false]
        )
    );
    assert_eq!(
        shown(json!([year_end()])),
        (
            vec!["Deny 2026-12-20T00:00:00Z 2027-01-04T09:00:00Z year-end".to_owned()],
            vec![false]
        )
    );
    assert_eq!(
        shown(json!([always])),
        (vec!["Deny 2026-12-22T01:00:00Z ? always".to_owned()], vec![true])
    );
}

#[test]
fn an_environment_without_windows_has_a_sentence() {
    let environments = [sit(), production(json!([]))];
    let calendar = calendar(&environments, &[], &month("2026-12"), morning());
    assert_eq!(calendar.entries, []);
    let says: Vec<_> = calendar
        .environments
        .iter()
        .map(|lane| (lane.always_open, &lane.says[..]))
        .collect();
    assert_eq!(
        says,
        [
            (
                true,
                &["No window is listed, and defaultWindow is Open.".to_owned()][..]
            ),
            (
                false,
                &["No Allow window is listed, and defaultWindow is Closed.".to_owned()][..]
            ),
        ]
    );
}

#[test]
fn an_invalid_window_is_named() {
    let broken = json!({ "name": "broken", "kind": "Deny", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Mars/Base" });
    let calendar = calendar(
        &[production(json!([tuesdays(), broken]))],
        &[],
        &month("2026-12"),
        morning(),
    );
    assert_eq!(calendar.entries, [], "the Environment counts as closed");
    let text = text(&calendar);
    assert!(text.contains("Deny window \"broken\" is invalid"), "{text}");
}

#[test]
fn a_range_has_limits() {
    let range = |from: &str, to: &str| Range::between(at(from), at(to), TimeZone::UTC);
    assert!(range("2026-01-01T00:00:00Z", "2027-02-05T00:00:00Z").is_ok());
    assert!(matches!(
        range("2026-01-01T00:00:00Z", "2027-02-05T00:00:01Z"),
        Err(NoRange::TooLong { .. })
    ));
    assert!(matches!(
        range("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        Err(NoRange::Backwards { .. })
    ));
    for wrong in [
        "2026",
        "2026-13",
        "26-12",
        "2026-1",
        "2026-12-01",
        "+026-12",
        "december",
    ] {
        assert_eq!(
            Range::month(wrong, TimeZone::UTC),
            Err(NoRange::NotAMonth(wrong.to_owned()))
        );
    }
    let month = Range::month("2027-03", london()).expect("a month");
    assert_eq!(
        (month.from, month.to),
        (at("2027-03-01T00:00:00Z"), at("2027-03-31T23:00:00Z"))
    );
    assert_eq!(
        Range::month_of(morning(), TimeZone::UTC),
        Range::month("2026-11", TimeZone::UTC)
    );
}

#[test]
fn what_does_not_fit_is_counted() {
    let hourly = json!({ "name": "hourly", "kind": "Allow", "schedule": "0 * * * *", "duration": "30m", "timeZone": "Etc/UTC" });
    let calendar = calendar(&[production(json!([hourly]))], &[], &month("2026-12"), morning());
    assert_eq!((calendar.entries.len(), calendar.left_out), (500, 31 * 24 - 500));
    assert!(text(&calendar).contains("244 later entries are left out"));
    let restless = json!({ "name": "restless", "kind": "Allow", "schedule": "* * * * *", "duration": "30s", "timeZone": "Etc/UTC" });
    let calendar = crate::view::calendar::calendar(
        &[production(json!([restless]))],
        &[],
        &month("2026-12"),
        morning(),
    );
    assert!(
        text(&calendar).contains("too often to be listed"),
        "{}",
        text(&calendar)
    );
}

#[test]
fn long_names_are_cut_and_text_of_people_moves_no_cursor() {
    let mut long = production(json!([tuesdays()]));
    long.metadata.name = Some("a-very-long-name-of-an-environment-that-has-sixty-three-letters".to_owned());
    long.spec.windows[0].name = "w".repeat(63);
    let mut release = with(release_of(&json!({})), vec![]);
    release.spec.environments = vec![long.metadata.name.clone().unwrap_or_default()];
    let mut there = waiting(&release.spec.environments[0], "2026-12-08T18:00:00Z");
    there.forecast.as_mut().expect("a forecast").because = "\u{1b}[31m\rred\n<b>".to_owned();
    let release = with(release, vec![there]);
    let calendar = calendar(&[long], &[release], &month("2026-12"), morning());
    for printed in [text(&calendar), ics(&calendar), svg(&calendar)] {
        assert!(!printed.contains('\u{1b}'), "{printed}");
        assert!(!printed.replace("\r\n", "").contains('\r'), "{printed}");
    }
    assert!(
        text(&calendar).lines().all(|line| line.chars().count() <= 80),
        "{}",
        text(&calendar)
    );
    assert!(
        text(&calendar).contains("a-very-long-na… "),
        "{}",
        text(&calendar)
    );
    assert!(svg(&calendar).contains("&lt;b&gt;"));
}

/// Another library reads the same from the file.
fn compare(calendar: &Calendar) {
    let text = ics(calendar);
    assert!(
        text.split("\r\n")
            .all(|line| line.len() <= 75 && !line.contains('\n')),
        "{text}"
    );
    let read = ICalendar::parse(&text).expect("a calendar");
    let events: Vec<&ICalendarComponent> = read
        .components
        .iter()
        .filter(|c| c.component_type == ICalendarComponentType::VEvent)
        .collect();
    assert_eq!(events.len(), calendar.entries.len());
    let mut uids = std::collections::BTreeSet::new();
    for (event, entry) in events.iter().zip(&calendar.entries) {
        let words = |property: ICalendarProperty| {
            let value = event.property(&property)?.values.first()?;
            value.as_text().map(str::to_owned)
        };
        let instant = |property: ICalendarProperty| {
            let value = event.property(&property)?.values.first()?;
            let read = value.as_partial_date_time()?.to_date_time()?;
            assert_eq!(read.offset.map(|o| o.local_minus_utc()), Some(0), "UTC");
            Timestamp::from_second(read.date_time.and_utc().timestamp()).ok()
        };
        assert_eq!(instant(ICalendarProperty::Dtstart), Some(entry.from));
        assert_eq!(instant(ICalendarProperty::Dtend), entry.drawn_until(calendar));
        assert_eq!(instant(ICalendarProperty::Dtstamp), Some(calendar.now));
        assert_eq!(words(ICalendarProperty::Summary), Some(entry.to_string()));
        assert_eq!(
            words(ICalendarProperty::Categories).as_deref(),
            Some(entry.kind.as_str())
        );
        let description = words(ICalendarProperty::Description).expect("a description");
        assert!(description.starts_with(&entry.because), "{description}");
        assert!(
            uids.insert(event.uid().expect("a UID").to_owned()),
            "one UID each"
        );
    }
}

#[test]
fn another_library_reads_the_same_events() {
    let mut odd = december();
    compare(&odd);
    for entry in &mut odd.entries {
        entry.what = format!(
            "{}, with; odd \\n \"names\": ünïcödé wörds that are folded öfter than once, {}",
            entry.what,
            "é".repeat(90)
        );
        entry.because = "one,\ntwo; three\\ and\n\nfour".to_owned();
    }
    compare(&odd);
}

#[test]
fn an_event_keeps_its_identity() {
    let uids = |calendar: &Calendar| -> Vec<String> {
        ics(calendar)
            .lines()
            .filter(|l| l.starts_with("UID:"))
            .map(str::to_owned)
            .collect()
    };
    let mut later = december();
    let before = uids(&later);
    later.now = at("2026-12-01T21:00:00Z");
    for entry in later.entries.iter_mut().filter(|e| e.kind == Kind::Forecast) {
        entry.from = at("2026-12-15T18:00:00Z");
    }
    assert_eq!(uids(&later), before);
}
