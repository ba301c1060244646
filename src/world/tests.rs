//! What holds in the world whatever happens: random histories, small worlds explored to the end, and broken rules that must be
//! noticed.

mod exhaustive;
mod histories;
mod history;
mod invariants;
mod kinds;
mod mutations;
mod seam;
mod step;
mod stories;
mod town;
