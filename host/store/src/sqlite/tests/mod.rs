//! Tests of the store on SQLite, through the traits that everything else uses.

mod access;
mod directories;
mod files;
mod org;
mod plans;
mod properties;
mod runs;
mod stagings;
