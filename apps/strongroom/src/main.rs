//! The program. Which of its command lines it is depends on the name it is called by.

use std::process::ExitCode;

use strongroom::cli::exit::Exit;
use strongroom::cli::failure::Failure;

/// A request makes a hundred small allocations, which this makes cheap.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = strongroom_sys::harden() {
        let failure = Failure::new(format!("cannot turn core dumps off: {error}"));
        let _ = failure.write(&mut std::io::stderr());
        return Exit::Failed.into();
    }
    // Whoever installed one before us, it is this one: no other is compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    strongroom::cli::main(std::env::args_os().collect()).into()
}
