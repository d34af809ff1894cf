//! What the bench prints.
#![expect(clippy::disallowed_macros, reason = "this is the bench's output module")]

/// A line of the result: standard output.
pub fn line(text: &str) {
    println!("{text}");
}

/// What is being done, and what went wrong: standard error.
pub fn note(text: &str) {
    eprintln!("{text}");
}
