//! The pure core: what is to be done, from what was observed. No client and no clock.

pub mod calendar;
