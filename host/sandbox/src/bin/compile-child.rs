//! The process that compiles, alone: the tests of this package use it. In the product `idsync` is its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(idsync_sandbox::COMPILE_ARG) {
        idsync_sandbox::compile_child_main(args)
    } else {
        ExitCode::FAILURE
    }
}
