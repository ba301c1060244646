//! Parses the arguments and runs the command.

use std::io::Write;
use std::process::ExitCode;

use signalbox::cli::{self, Called};

/// Small values are allocated and freed all the time here; the C library's allocator took a third of the CPU time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One thread: the operator mostly waits for the API server, and waking other threads costs more than their work.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match cli::called(std::env::args_os().collect()) {
        Called::Run(arguments) => arguments,
        Called::Complete(candidates) => {
            // The shell may not wait for them. `print!` would panic.
            let _ = std::io::stdout().write_all(candidates.as_bytes());
            return ExitCode::SUCCESS;
        }
        Called::Wrong(usage) => {
            // Requested help goes to standard output. A mistyped argument is bad input and exits with 1; 2 has another meaning here.
            let _ = usage.print();
            return if usage.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli::run(*arguments).await {
        Ok(exit) => ExitCode::from(exit),
        Err(sentence) => {
            let _ = writeln!(std::io::stderr(), "error: {}", cli::harmless(&sentence));
            ExitCode::FAILURE
        }
    }
}
