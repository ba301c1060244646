//! What holds of all sources, read from them: who imports whom, that no sentence is read back, and that people read plain English.

mod imports;
mod language;
mod sentences;
