//! Rules for all sources, checked on their text: which module may import which, and that no message is parsed.

mod imports;
mod sentences;
