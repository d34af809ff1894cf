//! Tests of the store on SQLite, through the traits that everything else uses.

mod access;
mod directories;
mod dropping;
mod files;
mod leases;
mod org;
mod plans;
mod properties;
mod resuming;
mod runs;
mod schedules;
mod stagings;
