//! What the tests are written with: a host, the real binary with a data directory of its own; an org, simulated; and
//! a directory that connects the two.

mod directory;
mod feed;
mod host;
mod org;
mod report;
mod server;
mod service;

pub use directory::Directory;
pub use feed::Copy;
pub use host::{Failure, Host, Running, copy_folder, plugin, test_plugin};
pub use org::Org;
pub use report::{Export, Report, Verification};
pub use server::WebServer;
