//! The world itself, and what holds in it whatever happens.

mod stories;
