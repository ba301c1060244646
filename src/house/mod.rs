//! What holds of all sources, read from them: who imports whom, and that no sentence is read back.

mod imports;
mod sentences;
