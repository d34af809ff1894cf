//! What the tasks print.
#![expect(clippy::disallowed_macros, reason = "this is xtask's output module")]

/// A line for the reader or the next program: standard output.
pub fn line(text: &str) {
    println!("{text}");
}

/// What is being done now.
pub fn step(text: &str) {
    eprintln!("==> {text}");
}

/// Something that does not stop the task.
pub fn warning(text: &str) {
    eprintln!("warning: {text}");
}

/// Why the task failed.
pub fn error(text: &str) {
    eprintln!("error: {text}");
}
