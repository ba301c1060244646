//! The pure rung: whole promotions walked through `decide` alone, and tables for what it derives.

mod asks;
mod deciding;
mod derived;
mod edges;
mod environment;
mod histories;
mod latching;
mod manifest;
mod occupancy;
mod promoting;
mod purity;
mod telling;
mod unsettled;
mod upgrade;
mod walk;
