//! What can be done with idsync, one function for each: the command line calls them, and an API will.

pub mod backup;
pub mod changes;
pub mod directory;
pub mod held;
mod holder;
pub mod keys;
pub mod plugin;
pub mod run;
pub mod settings;
pub mod sync;
pub mod tenant;
pub mod verify;
pub mod view;
