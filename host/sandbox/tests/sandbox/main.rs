//! Runs real components, most of them hostile, in a real sandbox.

mod hostile;
mod loading;
mod support;
mod working;
