//! (subject)
fn main() {}
