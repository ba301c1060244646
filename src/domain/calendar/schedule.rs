//! A five-field schedule, read as robfig/cron v3 `ParseStandard` reads it. Kubernetes reads CronJobs that way, and Argo CD reads its
//! windows that way, except for `@daily` and the like. What cannot mean the same is refused, with a message that says what to write.
//! `L`, `FRIL` and `TUE#1` are refused there. Here they mean what they mean in Quartz, but with names only: Quartz counts weekdays from
//! another day.

use jiff::civil::Date;

/// A schedule that parsed: the days, and on those every one of the hours at every one of the minutes.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// The elements of a field together: at least one of them has a value.
#[derive(Debug, Clone, Default)]
struct Set {
    /// A bit for each value.
    values: u64,
    /// Whether one of them is `*` or `?`, without a step or with step 1. Both day fields must match then.
    star: bool,
    /// The last day of the month.
    last_day: bool,
    /// By weekday from Sunday: one bit each for the first to the fifth of a month, and the lowest bit for the last one.
    of_month: [u8; 7],
}

struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// From `least` on.
    names: &'static [&'static str],
}

const MINUTE: Field = Field::numbered("minute", 0, 59);
const HOUR: Field = Field::numbered("hour", 0, 23);
const DAY: Field = Field::numbered("day of month", 1, 31);
const MONTH: Field = Field {
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    ..Field::numbered("month", 1, 12)
};
const WEEKDAY: Field = Field {
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    ..Field::numbered("day of week", 0, 6)
};

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Why a text is not a schedule, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSchedule {
    #[error("the schedule \"{0}\" is not five fields (minute, hour, day of month, month, day of week)")]
    NotFiveFields(String),
    #[error("the schedule \"{schedule}\" cannot be read: {field} \"{text}\": {why}")]
    Field {
        schedule: String,
        field: &'static str,
        text: String,
        why: Box<NoField>,
    },
    #[error("the schedule \"{0}\" names a time zone: set it in the window's timeZone and remove it here")]
    NamesAZone(String),
    #[error(
        "the schedule \"{0}\" depends on when a process started: write when it begins by the clock, like \
         0 */2 * * * for every second hour"
    )]
    CountsFromAStart(String),
    #[error("the schedule \"{schedule}\" is not one of {known}: write one of them, or five fields")]
    UnknownNickname { schedule: String, known: String },
}

/// Why a text is not a field of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoField {
    #[error("an element of the list is empty: remove the comma, or write * for every {0}")]
    EmptyElement(&'static str),
    #[error("{element} ends before it begins: write {instead}")]
    Backwards { element: String, instead: String },
    #[error("{text} means every {of} and cannot begin a range")]
    EveryBeginsNoRange { text: String, of: &'static str },
    #[error("{text} is the name of a {name}, which belongs in the {place} field; write a {wanted} here")]
    OfAnotherField {
        text: String,
        name: &'static str,
        place: &'static str,
        wanted: String,
    },
    #[error("\"{text}\" is not a {wanted}")]
    NotANumber { text: String, wanted: String },
    #[error("{number} is outside {least} to {most}{sunday}")]
    Outside {
        number: i64,
        least: u8,
        most: u8,
        /// What to write if 7 was meant as Sunday, else empty.
        sunday: &'static str,
    },
    #[error("the weekday nearest to a day (W) is not supported: write the days, like 13-17")]
    NearestWeekday,
    #[error("{0}: number the weekday within the month from #1 to #5, or write the last one like FRIL")]
    WhichOfTheMonth(String),
    #[error(
        "{0}: write the weekday by its name, like TUE#1 or FRIL, because its number is not the same everywhere"
    )]
    WeekdayByNumber(String),
    #[error("\"{0}\" is not a step: write a whole number of at least 1")]
    NotAStep(String),
}

impl Schedule {
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(crate) fn parse(schedule: &str) -> Result<Schedule, NoSchedule> {
        let fields: Vec<&str> = written_out(schedule)?.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(NoSchedule::NotFiveFields(schedule.to_owned()));
        };
        let read = |field: Field, text: &str| {
            let set = field.read(text);
            set.map_err(|why| NoSchedule::Field {
                schedule: schedule.to_owned(),
                field: field.name,
                text: text.to_owned(),
                why: Box::new(why),
            })
        };
        Ok(Schedule {
            minutes: read(MINUTE, minute)?,
            hours: read(HOUR, hour)?,
            days: read(DAY, day)?,
            months: read(MONTH, month)?,
            weekdays: read(WEEKDAY, weekday)?,
        })
    }

    /// The starts of a day that matches, in minutes after midnight, ascending; at least one.
    pub(crate) fn starts(&self) -> Vec<u16> {
        (0..24 * 60)
            .filter(|minute| self.hours.has(minute / 60) && self.minutes.has(minute % 60))
            .collect()
    }

    /// Whether it fires in this month, from 1.
    pub(crate) fn matches_month(&self, month: i8) -> bool {
        self.months.has(month.unsigned_abs())
    }

    /// Whether it fires on this day.
    pub(crate) fn matches(&self, date: Date) -> bool {
        let (day, days_in_month) = (date.day().unsigned_abs(), date.days_in_month().unsigned_abs());
        let by_day = self.days.has(day) || (self.days.last_day && day == days_in_month);
        let weekday = date.weekday().to_sunday_zero_offset().unsigned_abs();
        let of_month = self.weekdays.of_month[usize::from(weekday)];
        let nth = 1 << ((day - 1) / 7 + 1);
        let last = u8::from(day + 7 > days_in_month);
        let by_weekday = self.weekdays.has(weekday) || of_month & (nth | last) != 0;
        self.matches_month(date.month()) && self.joined(by_day, by_weekday)
    }

    /// Whether it fires on every day.
    pub(crate) fn is_daily(&self) -> bool {
        let full = |set: &Set, field: &Field| (field.least..=field.most).all(|value| set.has(value));
        full(&self.months, &MONTH) && self.joined(full(&self.days, &DAY), full(&self.weekdays, &WEEKDAY))
    }

    /// If both day fields are restricted, cron fires when either matches, which is easy to miss in `1-7 * TUE`.
    pub(crate) fn takes_either(&self) -> bool {
        !self.days.star && !self.weekdays.star
    }

    fn joined(&self, by_day: bool, by_weekday: bool) -> bool {
        match self.takes_either() {
            true => by_day || by_weekday,
            false => by_day && by_weekday,
        }
    }
}

/// The five fields that a nickname means.
fn written_out(schedule: &str) -> Result<&str, NoSchedule> {
    if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        return Err(NoSchedule::NamesAZone(schedule.to_owned()));
    }
    if schedule.starts_with("@every") {
        return Err(NoSchedule::CountsFromAStart(schedule.to_owned()));
    }
    if !schedule.starts_with('@') {
        return Ok(schedule);
    }
    let known = NICKNAMES.iter().find(|(nickname, _)| *nickname == schedule);
    known.map(|(_, fields)| *fields).ok_or_else(|| {
        let known: Vec<&str> = NICKNAMES.iter().map(|(nickname, _)| *nickname).collect();
        NoSchedule::UnknownNickname {
            schedule: schedule.to_owned(),
            known: known.join(", "),
        }
    })
}

impl Set {
    fn has(&self, value: impl Into<u64>) -> bool {
        self.values >> value.into() & 1 == 1
    }
}

impl Field {
    const fn numbered(name: &'static str, least: u8, most: u8) -> Field {
        Field {
            name,
            least,
            most,
            names: &[],
        }
    }

    fn read(&self, text: &str) -> Result<Set, NoField> {
        let mut set = Set::default();
        for element in text.split(',') {
            if element.is_empty() {
                return Err(NoField::EmptyElement(self.name));
            }
            if !self.read_of_month(element, &mut set)? {
                self.read_range(element, &mut set)?;
            }
        }
        Ok(set)
    }

    /// `*`, `3`, `1-5`, and each with a step. A single value with a step means from there on.
    fn read_range(&self, element: &str, set: &mut Set) -> Result<(), NoField> {
        let (range, step) = match element.split_once('/') {
            Some((range, step)) => (range, Some(step_of(step)?)),
            None => (element, None),
        };
        let (first, last) = if range == "*" || range == "?" {
            set.star |= step.is_none_or(|step| step == 1);
            (self.least, self.most)
        } else if let Some((first, last)) = range.split_once('-') {
            let between = (self.value(first)?, self.value(last)?);
            if between.0 > between.1 {
                return Err(NoField::Backwards {
                    element: element.to_owned(),
                    instead: self.split_up(between.0, between.1, step.is_some()),
                });
            }
            between
        } else {
            let first = self.value(range)?;
            (first, if step.is_some() { self.most } else { first })
        };
        for value in (first..=last).step_by(step.unwrap_or(1)) {
            set.values |= 1 << value;
        }
        Ok(())
    }

    fn value(&self, text: &str) -> Result<u8, NoField> {
        let (least, most) = (self.least, self.most);
        if let Some(value) = self.named(text) {
            return Ok(value);
        }
        if text == "*" || text == "?" {
            return Err(NoField::EveryBeginsNoRange {
                text: text.to_owned(),
                of: self.name,
            });
        }
        for (other, place) in [(&MONTH, "fourth"), (&WEEKDAY, "fifth")] {
            if other.named(text).is_some() {
                return Err(NoField::OfAnotherField {
                    text: text.to_owned(),
                    name: other.name,
                    place,
                    wanted: self.numbers(),
                });
            }
        }
        let Some(number) = number(text) else {
            return Err(NoField::NotANumber {
                text: text.to_owned(),
                wanted: self.numbers(),
            });
        };
        let sunday = if self.name == WEEKDAY.name && number == 7 {
            ": write 0 or SUN for Sunday"
        } else {
            ""
        };
        let value = u8::try_from(number).ok().filter(|n| (least..=most).contains(n));
        value.ok_or(NoField::Outside {
            number,
            least,
            most,
            sunday,
        })
    }

    fn named(&self, text: &str) -> Option<u8> {
        let values = self.least..=self.most;
        let mut named = values.zip(self.names);
        named
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(value, _)| value)
    }

    /// "number from 0 to 6 or a name from SUN to SAT".
    fn numbers(&self) -> String {
        let (least, most) = (self.least, self.most);
        match self.names {
            [first, .., last] => format!("number from {least} to {most} or a name from {first} to {last}"),
            _ => format!("number from {least} to {most}"),
        }
    }

    /// What to write instead of a range from `first` to a smaller `last`.
    fn split_up(&self, first: u8, last: u8, steps: bool) -> String {
        if steps {
            return "the values, with commas".to_owned();
        }
        let shown = |value: u8| match self.names.get(usize::from(value - self.least)) {
            Some(name) => (*name).to_owned(),
            None => value.to_string(),
        };
        let range = |from: u8, to: u8| match from == to {
            true => shown(from),
            false => format!("{}-{}", shown(from), shown(to)),
        };
        let (before, after) = (range(first, self.most), range(self.least, last));
        format!("{before},{after}")
    }

    /// Reads what robfig does not have: `L`, `FRIL` and `TUE#1`. Returns whether the element was one of them.
    fn read_of_month(&self, element: &str, set: &mut Set) -> Result<bool, NoField> {
        let upper = element.to_ascii_uppercase();
        if self.name == DAY.name {
            if upper.ends_with('W') {
                return Err(NoField::NearestWeekday);
            }
            set.last_day |= upper == "L";
            return Ok(upper == "L");
        }
        if self.name != WEEKDAY.name {
            return Ok(false);
        }
        let (weekday, bit) = if let Some((weekday, which)) = upper.split_once('#') {
            let which = number(which).filter(|which| (1..=5).contains(which));
            let which = which.ok_or_else(|| NoField::WhichOfTheMonth(element.to_owned()))?;
            (weekday, 1 << which)
        } else if let Some(weekday) = upper.strip_suffix('L') {
            (weekday, 1)
        } else {
            return Ok(false);
        };
        let Some(named) = self.named(weekday) else {
            return Err(NoField::WeekdayByNumber(element.to_owned()));
        };
        set.of_month[usize::from(named)] |= bit;
        Ok(true)
    }
}

fn step_of(text: &str) -> Result<usize, NoField> {
    let step = number(text).filter(|step| *step > 0);
    let step = step.and_then(|step| usize::try_from(step).ok());
    step.ok_or_else(|| NoField::NotAStep(text.to_owned()))
}

/// Only digits, within the range of Go's `int`: no sign and no underscore.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
