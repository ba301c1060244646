//! Parse, dispatch.

use std::process::ExitCode;

use clap::Parser;

/// Small values come and go all the time here; the C library's allocator took a third of the CPU time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One thread: the API server is what is waited for, and waking other threads costs more than they do.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match signalbox::cli::run(signalbox::cli::Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}
