//! Parse, dispatch.

use std::process::ExitCode;

use clap::Parser;

/// A pass makes and drops many small values: a third of its time went to the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match signalbox::cli::run(signalbox::cli::Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}
