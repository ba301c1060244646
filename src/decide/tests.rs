//! The pure rung: whole promotions walked through `decide` alone, and tables for what it derives.

mod deciding;
mod derived;
mod environment;
mod histories;
mod manifest;
mod promoting;
mod purity;
mod unsettled;
mod upgrade;
mod walk;
