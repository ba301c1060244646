//! What holds for all sources, read from them: which file imports which, how long they are, that no sentence is parsed back, and that
//! people read plain English.

mod imports;
mod language;
mod lengths;
mod sentences;
