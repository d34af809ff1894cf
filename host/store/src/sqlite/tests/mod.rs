//! Tests of the store on SQLite, through the traits that everything else uses.

mod access;
mod answers;
mod approvals;
mod directories;
mod files;
mod org;
mod plans;
mod properties;
mod recent;
mod runs;
mod stagings;
