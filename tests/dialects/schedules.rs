//! Schedules, evaluated by Signalbox and by the libraries of CronJobs and of Argo CD's sync windows.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signalbox::domain::calendar::{Calendar, DefaultWindow, When, Window, WindowKind};

use crate::random::Random;
use crate::{asked, corpus};

const RANDOM: usize = 2000;
/// How far from a clock change a window may start or end at another time than in Argo CD.
const NEAR: SignedDuration = SignedDuration::from_hours(3);

type Stretch = (Timestamp, Timestamp);

fn text<'a>(question: &'a Value, key: &str) -> &'a str {
    question[key].as_str().unwrap()
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// A single window of `kind`, or its error.
fn calendar(question: &Value, kind: WindowKind) -> Result<Calendar, String> {
    let window = Window {
        name: "window".to_owned(),
        kind,
        when: When::Recurring {
            schedule: text(question, "schedule").to_owned(),
            duration: duration(text(question, "duration"))?,
            time_zone: text(question, "zone").to_owned(),
        },
    };
    let calendar = Calendar::new(&[window], DefaultWindow::Open);
    match calendar.problems() {
        [] => Ok(calendar),
        [problem, ..] => Err(problem.sentence.clone()),
    }
}

/// Parsed like the field of an Environment.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || "hms".contains(c));
    let read = text
        .parse()
        .map_err(|error| format!("the duration {text} cannot be read: {error}"));
    if plain {
        read
    } else {
        Err(format!("the duration {text} cannot be read"))
    }
}

/// When the window is active, within the time of the question.
fn stretches(calendar: &Calendar, kind: WindowKind, (from, until): Stretch) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = vec![];
    let mut now = from;
    while now < until {
        let summary = calendar.summary(now);
        let active = summary.open == (kind == WindowKind::Allow);
        let edge = if summary.open {
            summary.next_close
        } else {
            summary.next_open
        };
        let end = edge.unwrap_or(until).min(until);
        assert!(end > now, "the calendar does not advance at {now}");
        if active {
            all.push((now, end));
        }
        now = end;
    }
    all
}

/// The elements of `these` that are not in `those`.
fn without(these: &[Stretch], those: &[Stretch]) -> Vec<Stretch> {
    let mut left = vec![];
    for &(from, until) in these {
        let mut at = from;
        for &(start, end) in those.iter().filter(|(start, end)| *end > from && *start < until) {
            if start > at {
                left.push((at, start));
            }
            at = at.max(end);
        }
        if at < until {
            left.push((at, until));
        }
    }
    left
}

fn changes_near(zone: &str, (from, until): Stretch) -> bool {
    let zone = TimeZone::get(zone).unwrap();
    let next = zone.following(from - NEAR - SignedDuration::from_secs(1)).next();
    next.is_some_and(|change| change.timestamp() <= until + NEAR)
}

/// Extensions of Signalbox: the last day, and a weekday by its number in the month.
fn is_ours(schedule: &str) -> bool {
    schedule.contains(['#', 'L'])
}

#[test]
fn a_schedule_means_what_a_cron_job_makes_of_it_or_is_refused() {
    let mut random = Random::from_environment();
    let mut questions = corpus("schedules.json");
    let written = questions.len();
    assert!(written >= 300);
    questions.extend((0..RANDOM).map(|_| {
        let zone = random.one(&[
            "UTC",
            "Asia/Tokyo",
            "Europe/London",
            "America/New_York",
            "Australia/Lord_Howe",
        ]);
        json!({
            "schedule": random.schedule(), "zone": zone, "duration": random.one(&["1m", "30m", "2h", "26h"]),
            "from": "2027-03-10T00:00:00Z", "until": "2027-04-10T00:00:00Z"
        })
    }));
    let answers = asked("cron", &questions, questions.len());

    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut refusals: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut silent = vec![];
    for (question, answer) in questions.iter().zip(&answers) {
        let schedule = text(question, "schedule");
        let range = (instant(&question["from"]), instant(&question["until"]));
        let refused_there = answer["refused"].is_string();
        let kind = match (calendar(question, WindowKind::Allow), refused_there) {
            (Err(_), true) => "refused by both",
            (Err(why), false) => {
                let why = why.replace(&format!("\"{schedule}\""), "…");
                let texts = refusals.entry(why).or_default();
                if !texts.contains(&schedule.to_owned()) {
                    texts.push(schedule.to_owned());
                }
                "refused here only"
            }
            (Ok(_), true) if is_ours(schedule) => "only ours",
            (Ok(_), true) => {
                silent.push(format!(
                    "{question} is taken here and refused there: {}",
                    answer["refused"]
                ));
                "TAKEN HERE ONLY"
            }
            (Ok(_), false) if answer["active"].is_null() => "no window there",
            (Ok(allow), false) => {
                let deny = calendar(question, WindowKind::Deny).unwrap();
                let theirs: Vec<Stretch> = (answer["active"].as_array().unwrap().iter())
                    .map(|stretch| (instant(&stretch[0]), instant(&stretch[1])))
                    .collect();
                let allowed = stretches(&allow, WindowKind::Allow, range);
                let denied = stretches(&deny, WindowKind::Deny, range);
                let (more, less) = (without(&allowed, &theirs), without(&theirs, &denied));
                if !more.is_empty() || !less.is_empty() {
                    silent.push(format!(
                        "{question}: allowed {more:?} more, denied {less:?} less than there"
                    ));
                }
                let (closed, denied) = (without(&theirs, &allowed), without(&denied, &theirs));
                let stricter: Vec<_> = closed.into_iter().chain(denied).collect();
                let far = stricter
                    .iter()
                    .find(|stretch| !changes_near(text(question, "zone"), **stretch));
                if let Some(stretch) = far {
                    silent.push(format!(
                        "{question}: another answer in {stretch:?}, far from any change of the clock"
                    ));
                }
                if stricter.is_empty() {
                    "the same windows"
                } else {
                    "stricter where clocks change"
                }
            }
        };
        *counted.entry(kind).or_default() += 1;
    }
    println!("{written} schedules and {RANDOM} random ones ({random}): {counted:#?}");
    println!("Refused here only:");
    for (why, schedules) in &refusals {
        println!("{:>5}  {}  {why}", schedules.len(), schedules[0]);
    }
    assert!(
        silent.is_empty(),
        "{} differ:\n{}",
        silent.len(),
        silent.join("\n")
    );
    assert!(counted["the same windows"] > 300, "{counted:#?}");
}
