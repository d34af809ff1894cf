//! `idsync serve`: the scheduler, and an HTTP listener that says how it fares.

mod health;
mod http;
mod metrics;
