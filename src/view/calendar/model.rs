//! A calendar as data, from which text, iCalendar and chart are made.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::api::environment::Stage;

/// What is planned in a range of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    /// The time at which it was made (UTC).
    pub now: Timestamp,
    /// Its first instant (UTC).
    pub from: Timestamp,
    /// The instant after its last one (UTC).
    pub to: Timestamp,
    /// The time zone in which its days are shown.
    #[serde(serialize_with = "called")]
    pub time_zone: TimeZone,
    /// The Environments, by stage and name.
    pub environments: Vec<Lane>,
    /// What is planned, by time. Entries of one instant are in the order of the environments.
    pub entries: Vec<Entry>,
    /// How many later entries are left out, because there are too many.
    pub left_out: usize,
}

/// An Environment in a calendar.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    /// Name of the Environment.
    pub name: String,
    /// `spec.stage` of the Environment.
    pub stage: Stage,
    /// Whether it is open at all times. Its calendar has no openings then.
    pub always_open: bool,
    /// What entries do not say: sentences about windows that are missing or invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<String>,
}

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// Releases may enter, by windows alone.
    Open,
    /// A Deny window is active.
    Deny,
    /// A Release is planned to be promoted.
    Planned,
    /// The earliest time at which a Release can enter.
    Forecast,
    /// A Release occupies a target namespace.
    Occupied,
}

/// Something that happens in an Environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Name of the Environment.
    pub environment: String,
    /// What happens.
    pub kind: Kind,
    /// When it begins (UTC).
    pub from: Timestamp,
    /// Whether it began before `from`, longer ago than was searched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub began_earlier: bool,
    /// When it ends (UTC). Absent if it has no end, or none in sight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The time zone in which its times are shown: that of the window, if it has one.
    #[serde(serialize_with = "called")]
    pub time_zone: TimeZone,
    /// Name of the window, `defaultWindow`, or namespace and name of the Release.
    pub what: String,
    /// Why, in a sentence.
    pub because: String,
}

impl Kind {
    /// Every kind, in the order of the definition.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Deny,
        Self::Planned,
        Self::Forecast,
        Self::Occupied,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Deny => "Deny",
            Self::Planned => "Planned",
            Self::Forecast => "Forecast",
            Self::Occupied => "Occupied",
        }
    }
}

impl Entry {
    /// Whether it belongs to an instant rather than to a stretch of time.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        self.to.is_none() && matches!(self.kind, Kind::Planned | Kind::Forecast)
    }

    /// Whether it happens at some time between `from` and `to`.
    pub(crate) fn within(&self, from: Timestamp, to: Timestamp) -> bool {
        if self.is_instant() {
            return from <= self.from && self.from < to;
        }
        self.from < to && self.to.is_none_or(|end| end > from)
    }

    /// Where it is drawn to end: an occupation without an end is known until now, anything else until the end of the calendar.
    #[must_use]
    pub fn drawn_until(&self, calendar: &Calendar) -> Option<Timestamp> {
        if self.is_instant() {
            return None;
        }
        let open = if self.kind == Kind::Occupied {
            calendar.now
        } else {
            calendar.to
        };
        self.to.or((open > self.from).then_some(open))
    }
}

/// A title for one entry.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            environment, what, ..
        } = self;
        match self.kind {
            Kind::Open => write!(f, "{environment} is open: {what}"),
            Kind::Deny => write!(f, "{environment} is closed by the Deny window {what}"),
            Kind::Planned => write!(f, "{environment}: {what} is planned"),
            Kind::Forecast => write!(f, "{environment}: {what} can enter at the earliest"),
            Kind::Occupied => write!(f, "{environment} is occupied by {what}"),
        }
    }
}

/// The name of a time zone as people know it.
pub(crate) fn name_of(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => match zone.to_fixed_offset() {
            Ok(offset) => offset.to_string(),
            Err(_) => "local time".to_owned(),
        },
    }
}

fn called<S: serde::Serializer>(zone: &TimeZone, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&name_of(zone))
}
