//! One recurring window: a five-field cron schedule, a duration and a time zone. Occurrences are expanded
//! and merged in civil time, and only the edges of the merged stretches are mapped to instants.
//! No clock, and every search is bounded.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::domain::calendar::schedule::{NoSchedule, Schedule};
use crate::domain::calendar::window::{HORIZON_DAYS, Span, WindowKind};

const MINUTES_PER_DAY: i64 = 24 * 60;
const LONGEST: SignedDuration = SignedDuration::from_hours(720);
/// The Gregorian pairing of dates and weekdays repeats after 28 years, or 40 across a year such as 2100, so a
/// schedule that does not fire in this time never fires.
const MONTHS_SEARCHED: usize = 40 * 12;
/// A fold of an hour holds at most 30 separate stretches. Only schedules that fire in folds alone skip more, and without
/// this bound they would be followed forever.
const STRETCHES_SKIPPED: usize = 256;

/// Why a window counts as closed: a clause for its author, after the window's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it begins at {from}, which is not before its end at {to}")]
    Backwards { from: Timestamp, to: Timestamp },
    #[error("the duration {0:#} is outside 1s to 720h")]
    Duration(SignedDuration),
    #[error("the time zone \"{name}\" is unknown; write {instead}")]
    UnknownZone { name: String, instead: String },
    #[error(transparent)]
    Schedule(#[from] NoSchedule),
    #[error("the schedule \"{0}\" never fires")]
    NeverFires(String),
}

/// A recurring window that parsed. All civil arithmetic has whole-minute starts, because cron has them.
#[derive(Debug, Clone)]
pub(crate) struct Recurrence {
    schedule: Schedule,
    duration: SignedDuration,
    zone: TimeZone,
    /// Starts on a matching day, in minutes after midnight, ascending. Never empty, because a field without a value does not parse.
    starts: Vec<u16>,
    /// For each start, the index of the last start on the same day that its run reaches.
    run_ends: Vec<u16>,
    /// Every day matches and each occurrence runs into the next: there are no edges at all.
    endless: bool,
}

/// An occurrence: its date, and which of the day's starts it is.
#[derive(Clone, Copy)]
struct Occurrence(Date, usize);

/// Occurrences that touch or overlap in civil time, as one.
struct Stretch {
    /// `None` if it was already in progress where the search began.
    start: Option<DateTime>,
    /// `None` if it lasts beyond the horizon.
    end: Option<DateTime>,
}

/// Which instant a civil time means if the clock shows it twice.
#[derive(Clone, Copy)]
enum Pass {
    First,
    Second,
}

impl Recurrence {
    /// # Errors
    /// Why the window counts as closed.
    pub(crate) fn parse(text: &str, duration: SignedDuration, zone: &str) -> Result<Recurrence, Unusable> {
        if duration < SignedDuration::from_secs(1) || duration > LONGEST {
            return Err(Unusable::Duration(duration));
        }
        let zone = known_zone(zone)?;
        let schedule = Schedule::parse(text)?;
        let starts = schedule.starts();
        let recurrence = Recurrence {
            run_ends: run_ends(&starts, duration),
            endless: schedule.is_daily() && runs_into_the_next_day(&starts, duration),
            schedule,
            duration,
            zone,
            starts,
        };
        if recurrence
            .next_after(DateTime::constant(2000, 1, 1, 0, 0, 0, 0))
            .is_none()
        {
            return Err(Unusable::NeverFires(text.to_owned()));
        }
        Ok(recurrence)
    }

    /// The zone in which its schedule is read.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// When its occurrences start.
    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Whether the window is active at `now`, and the next instant at which that changes.
    ///
    /// Both mappings are monotone, so the first stretch in civil order whose mapped end lies after `now` decides.
    pub(crate) fn span(&self, now: Timestamp, kind: WindowKind) -> Span {
        if self.endless {
            return Span {
                active: true,
                until: None,
            };
        }
        let mut next = self.first_near(now);
        for _ in 0..STRETCHES_SKIPPED {
            let Some(stretch) = next else {
                return Span {
                    active: false,
                    until: None,
                };
            };
            let start = stretch
                .start
                .map_or(Some(now), |start| self.start_instant(start, kind));
            let end = stretch.end.and_then(|end| self.end_instant(end, kind));
            let Some(start) = start else {
                return Span {
                    active: false,
                    until: None,
                };
            };
            if end.is_none_or(|end| end > now && end > start) {
                return match start <= now {
                    true => Span {
                        active: true,
                        until: end,
                    },
                    false => Span {
                        active: false,
                        until: Some(start),
                    },
                };
            }
            next = stretch.end.and_then(|end| self.stretch_after(end));
        }
        // The next search starts where this one stopped.
        let until = next
            .and_then(|stretch| stretch.start)
            .and_then(|start| self.start_instant(start, kind));
        Span { active: false, until }
    }

    /// The first stretch in civil time that can matter at `now`. Where the clock shows `now`'s time twice, a
    /// stretch that ended earlier by the clock may still last, so the search begins before the repeated range.
    fn first_near(&self, now: Timestamp) -> Option<Stretch> {
        let shown = self.zone.to_datetime(now);
        let from = match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Fold { before, after } => {
                let repeated = i64::from(before.seconds()) - i64::from(after.seconds());
                shown.saturating_sub(SignedDuration::from_secs(repeated))
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => shown,
        };
        // All occurrences are equally long, so the latest to begin is the last to end.
        if let Some(latest) = self.latest_until(from)
            && self.end_of(latest).is_some_and(|end| end > from)
        {
            return Some(Stretch {
                start: None,
                end: self.merged_end(latest),
            });
        }
        self.stretch_after(from)
    }

    fn stretch_after(&self, civil: DateTime) -> Option<Stretch> {
        let first = self.next_after(civil)?;
        Some(Stretch {
            start: Some(self.start_of(first)),
            end: self.merged_end(first),
        })
    }

    /// Where the stretch that begins with this occurrence ends; `None` beyond the horizon.
    fn merged_end(&self, first: Occurrence) -> Option<DateTime> {
        let mut last = self.end_of_run(first);
        let mut end = self.end_of(last)?;
        let horizon = end.checked_add(HORIZON_DAYS.days()).ok()?;
        while let Some(later) = self.latest_until(end)
            && self.start_of(later) > self.start_of(last)
        {
            last = self.end_of_run(later);
            end = self.end_of(last)?;
            if end > horizon {
                return None;
            }
        }
        Some(end)
    }

    fn end_of_run(&self, Occurrence(date, index): Occurrence) -> Occurrence {
        Occurrence(date, usize::from(self.run_ends[index]))
    }

    fn start_of(&self, Occurrence(date, index): Occurrence) -> DateTime {
        let minute = self.starts[index];
        // Below 24 and 60 by construction, so the casts are lossless.
        date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0)
    }

    fn end_of(&self, occurrence: Occurrence) -> Option<DateTime> {
        self.start_of(occurrence).checked_add(self.duration).ok()
    }

    /// The latest occurrence that begins at or before `civil`, among those recent enough to last until then.
    fn latest_until(&self, civil: DateTime) -> Option<Occurrence> {
        let mut date = civil.date();
        let begun = self.begun_by(civil);
        if begun > 0 && self.schedule.matches(date) {
            return Some(Occurrence(date, begun - 1));
        }
        for _ in 0..=self.duration.as_hours() / 24 {
            date = date.yesterday().ok()?;
            if self.schedule.matches(date) {
                return Some(Occurrence(date, self.starts.len() - 1));
            }
        }
        None
    }

    /// The first occurrence that begins after `civil`.
    fn next_after(&self, civil: DateTime) -> Option<Occurrence> {
        let begun = self.begun_by(civil);
        let mut date = civil.date();
        if begun < self.starts.len() && self.schedule.matches(date) {
            return Some(Occurrence(date, begun));
        }
        date = date.tomorrow().ok()?;
        for _ in 0..MONTHS_SEARCHED {
            let month = date.month();
            if !self.schedule.matches_month(month) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            while date.month() == month {
                if self.schedule.matches(date) {
                    return Some(Occurrence(date, 0));
                }
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    /// How many of the day's starts lie at or before this time of day.
    fn begun_by(&self, civil: DateTime) -> usize {
        let minute = u16::from(civil.hour().unsigned_abs()) * 60 + u16::from(civil.minute().unsigned_abs());
        self.starts.partition_point(|&start| start <= minute)
    }

    /// The stricter reading of a start (docs/reference.md, "Environment"): a Deny begins early, an Allow late.
    fn start_instant(&self, civil: DateTime, kind: WindowKind) -> Option<Timestamp> {
        self.instant(
            civil,
            if kind == WindowKind::Deny {
                Pass::First
            } else {
                Pass::Second
            },
        )
    }

    /// The stricter reading of an end: a Deny ends late, an Allow early.
    fn end_instant(&self, civil: DateTime, kind: WindowKind) -> Option<Timestamp> {
        self.instant(
            civil,
            if kind == WindowKind::Deny {
                Pass::Second
            } else {
                Pass::First
            },
        )
    }

    /// A time that the clock skips means the transition. RFC 5545 would drop it.
    fn instant(&self, civil: DateTime, pass: Pass) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, after } => match pass {
                Pass::First => before.to_timestamp(civil).ok(),
                Pass::Second => after.to_timestamp(civil).ok(),
            },
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset, a time in the gap is just before the transition.
                let before_gap = after.to_timestamp(civil).ok()?;
                self.zone
                    .following(before_gap)
                    .next()
                    .map(|transition| transition.timestamp())
            }
        }
    }
}

fn known_zone(name: &str) -> Result<TimeZone, Unusable> {
    let unknown = |instead: &str| Unusable::UnknownZone {
        name: name.to_owned(),
        instead: instead.to_owned(),
    };
    match TimeZone::get(name) {
        // Kubernetes matches the name case-sensitively.
        Ok(zone) if zone.iana_name() == Some(name) => Ok(zone),
        Ok(zone) if !zone.is_unknown() => Err(unknown(zone.iana_name().unwrap_or_default())),
        _ => Err(unknown("a name like Europe/London")),
    }
}

/// Adjacent occurrences count as one, so a start exactly at the previous end continues the run.
fn run_ends(starts: &[u16], duration: SignedDuration) -> Vec<u16> {
    let mut ends = vec![0; starts.len()];
    for index in (0..starts.len()).rev() {
        let continues = starts
            .get(index + 1)
            .is_some_and(|next| SignedDuration::from_mins(i64::from(next - starts[index])) <= duration);
        // At most 1,440 starts a day, so the index fits.
        ends[index] = if continues { ends[index + 1] } else { index as u16 };
    }
    ends
}

/// Whether each start of a day lasts until the next one, and the last until the first of the next day.
fn runs_into_the_next_day(starts: &[u16], duration: SignedDuration) -> bool {
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else {
        return false;
    };
    let overnight = SignedDuration::from_mins(MINUTES_PER_DAY + i64::from(*first) - i64::from(*last));
    let by_day = starts
        .windows(2)
        .all(|pair| SignedDuration::from_mins(i64::from(pair[1] - pair[0])) <= duration);
    by_day && overnight <= duration
}
