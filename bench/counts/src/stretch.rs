//! Where one stretch of work ends and the next begins.
//!
//! `cargo xtask counts` has callgrind write down what was counted whenever [`ends`] is entered
//! (`--dump-before=idsync_counts::stretch::ends`), on all threads: it is found by its name, so that the program needs to
//! know nothing of valgrind. The lines that the program prints say what the counts are of, in the same order.
#![expect(
    clippy::disallowed_macros,
    reason = "its standard output is what is read by `cargo xtask counts`"
)]

use std::fmt;
use std::hint::black_box;

/// What was done since the stretch before ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// What had to be done before: it is not looked at.
    Before,
    /// Work whose count is compared with a kept figure.
    Kept(&'static str),
    /// Work on so many rows or bytes. There are two of each name, of which the later has more of them: its count shall
    /// not grow faster than they do.
    Growth(&'static str, usize),
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => f.write_str("before"),
            Self::Kept(name) => write!(f, "kept {name}"),
            Self::Growth(name, amount) => write!(f, "growth {amount} {name}"),
        }
    }
}

/// Ends a stretch.
#[inline(never)]
pub fn ends(stretch: &Stretch) {
    println!("{}", black_box(stretch));
}
