//! An Environment's windows as a calendar.

use jiff::SignedDuration;

use crate::api::GoDuration;
use crate::api::environment::{DefaultWindow, Environment, WindowKind};
use crate::domain::calendar::{self, Calendar};

/// An Environment's windows, parsed.
#[must_use]
pub fn calendar_of(environment: &Environment) -> Calendar {
    let windows: Vec<calendar::Window> = environment
        .spec
        .windows
        .iter()
        .map(|w| calendar::Window {
            name: w.name.clone(),
            kind: match w.kind {
                WindowKind::Allow => calendar::WindowKind::Allow,
                WindowKind::Deny => calendar::WindowKind::Deny,
            },
            when: match (&w.from, &w.to) {
                (Some(from), Some(to)) => calendar::When::Once {
                    from: from.0,
                    to: to.0,
                },
                _ => calendar::When::Recurring {
                    schedule: w.schedule.clone().unwrap_or_default(),
                    duration: w.duration.as_ref().map_or(SignedDuration::ZERO, GoDuration::get),
                    time_zone: w.time_zone.clone().unwrap_or_default(),
                },
            },
        })
        .collect();
    let default = match environment.spec.default_window() {
        DefaultWindow::Open => calendar::DefaultWindow::Open,
        DefaultWindow::Closed => calendar::DefaultWindow::Closed,
    };
    Calendar::new(&windows, default)
}
