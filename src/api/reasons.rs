//! Reasons that stand on conditions, checks and Events: one word, one meaning, everywhere.
