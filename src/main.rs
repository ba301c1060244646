//! Parse, dispatch.

use std::process::ExitCode;

use clap::Parser;

/// Small values come and go all the time here; the C library's allocator took a third of the CPU time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One thread: the API server is what is waited for, and waking other threads costs more than they do.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match signalbox::cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Help is asked for, and goes to standard output. What was mistyped is bad input; 2 means something else here.
            let _ = usage.print();
            return if usage.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match signalbox::cli::run(arguments).await {
        Ok(exit) => ExitCode::from(exit),
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}
