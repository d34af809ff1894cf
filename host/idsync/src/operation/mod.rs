//! What can be done with idsync, one function for each: the command line calls them, and an API will.

pub mod directory;
pub mod plugin;
pub mod run;
pub mod sync;
pub mod tenant;
pub mod verify;
