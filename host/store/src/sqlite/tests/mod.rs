//! Tests of the store on SQLite, through the traits that everything else uses.

mod access;
mod answers;
mod approvals;
mod backup;
mod directories;
mod dropping;
mod feed;
mod feed_properties;
mod feed_renewal;
mod files;
mod leases;
mod org;
mod people;
mod plans;
mod properties;
mod purge;
mod recent;
mod resuming;
mod rotation;
mod runs;
mod schedules;
mod small;
mod stagings;
mod standing;
