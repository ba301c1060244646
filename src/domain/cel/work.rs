//! What an evaluation may cost, counted the same on every machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use crate::domain::cel::failure::Failure;
use crate::domain::cel::pattern::compiled;

/// Steps of one evaluation, of some tens of nanoseconds each: a tenth of a second in a release build.
const MOST: u64 = 2_000_000;
/// Steps for all constants of a text together. Constants that need more are evaluated with the rest.
const MOST_TO_COMPILE: u64 = 100_000;
/// Bytes of text that count as one step.
const BYTES_A_STEP: usize = 16;

/// The steps that are left, and cached work.
pub(crate) struct Work {
    left: u64,
    patterns: BTreeMap<Arc<str>, Regex>,
}

/// To compile a pattern: a millisecond at the worst, and it may take a quarter of a megabyte.
const STEPS_A_PATTERN: usize = 10_000;

impl Work {
    /// For one evaluation.
    pub(crate) fn new() -> Self {
        Self::of(MOST)
    }

    /// For the constant parts of a text, at compile time.
    pub(crate) fn to_compile() -> Self {
        Self::of(MOST_TO_COMPILE)
    }

    fn of(left: u64) -> Self {
        Self {
            left,
            patterns: BTreeMap::new(),
        }
    }

    /// Counts `steps`.
    ///
    /// # Errors
    /// [`Failure::Spent`]: no more are left.
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Failure> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(steps).ok_or(Failure::Spent)?;
        Ok(())
    }

    /// Counts `bytes` of text that are read or written.
    pub(crate) fn spend_text(&mut self, bytes: usize) -> Result<(), Failure> {
        self.spend(bytes / BYTES_A_STEP + 1)
    }

    /// `text`, compiled once in an evaluation.
    pub(crate) fn pattern(&mut self, text: &Arc<str>) -> Result<Regex, Failure> {
        self.spend(1)?;
        if let Some(known) = self.patterns.get(text) {
            return Ok(known.clone());
        }
        self.spend(STEPS_A_PATTERN)?;
        self.spend_text(text.len())?;
        let compiled = compiled(text)?;
        self.patterns.insert(Arc::clone(text), compiled.clone());
        Ok(compiled)
    }
}
