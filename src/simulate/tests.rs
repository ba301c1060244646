//! What holds in the world whatever happens: random histories, small worlds explored to the end, broken rules that must be
//! noticed.

mod exhaustive;
mod histories;
mod history;
mod invariants;
mod mutations;
mod stories;
mod town;
