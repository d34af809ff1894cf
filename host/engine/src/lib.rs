//! A run from start to end: lock, mode, reading into staging, plan, guard, apply or hold.

pub mod guard;
pub mod lock;
pub mod mode;
