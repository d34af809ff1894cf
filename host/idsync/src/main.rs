//! The `idsync` binary: hands over to the command line, and nothing else.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Pages of SQLite, bodies and rows come and go on all threads, where the C library's allocator asks the system for each
/// few of them. SQLite's own calls come here too (feature `override`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    // Compiling a plugin is done by this binary in a process of its own, which limits itself before all else.
    if let Some(first) = arguments.nth(1)
        && first == idsync::COMPILE_ARG
    {
        return idsync::compile_child_main(arguments.map(|argument| argument.to_string_lossy().into_owned()));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            idsync::cli::note(format!("error: the runtime could not be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let exit_code = runtime.block_on(idsync::cli::run(std::env::args_os().collect()));
    // What a second signal interrupted is not waited for.
    runtime.shutdown_background();
    ExitCode::from(exit_code)
}
