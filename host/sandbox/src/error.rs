//! Why a plugin could not be loaded.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use idsync_model::{ErrorKind, Failure, with_causes};

/// Why the sandbox could not be set up, or a plugin not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine could not be made: the pool is larger than what the machine lends.
    #[error("the engine for plugins could not be made")]
    Engine(#[source] wasmtime::Error),
    /// The thread that counts epochs could not be started.
    #[error("the thread that counts the plugins' time could not be started")]
    Ticker(#[source] io::Error),
    /// The host offers something twice: a fault of ours.
    #[error("what plugins are given could not be linked")]
    Linking(#[source] wasmtime::Error),
    /// The folder of compiled plugins could not be opened.
    #[error("the folder of compiled plugins, {}, could not be opened", .folder.display())]
    CacheFolder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file could not be read.
    #[error("the plugin {} could not be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file is larger than any plugin may be.
    #[error(
        "the plugin {} was not loaded because it has more than {} MiB",
        .path.display(), .limit_bytes / (1024 * 1024)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// The file is something else than a component.
    #[error("{} is no plugin: it is {found}", .path.display())]
    NoComponent {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: FileKind,
    },
    /// The compiler refused the component.
    #[error("the plugin {} could not be compiled: {reason}", .path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// The compiler's words.
        reason: String,
    },
    /// The compiler used more than its limits, or crashed.
    #[error(
        "the plugin {} could not be compiled: the compiler was ended by {ended_by}, as happens when a plugin asks too much \
         of it", .path.display()
    )]
    CompilerEnded {
        /// The file.
        path: PathBuf,
        /// The signal, or the limit.
        ended_by: String,
    },
    /// The process that compiles could not be run.
    #[error("the process that compiles plugins, {}, could not be run", .program.display())]
    Compiler {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Compiled code could not be loaded.
    #[error("the compiled code of the plugin {} could not be loaded", .path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// wasmtime's reason.
        #[source]
        source: wasmtime::Error,
    },
    /// The component asks for something that no plugin is given.
    #[error(
        "the plugin {} was refused because it imports {}, which no plugin is given",
        .path.display(), .imports.join(", ")
    )]
    ForbiddenImport {
        /// The file.
        path: PathBuf,
        /// The imports, by their names.
        imports: Vec<String>,
    },
    /// The component was built against another world.
    #[error("the plugin {} was refused because it does not export {expected}: {found}", .path.display())]
    OtherWorld {
        /// The file.
        path: PathBuf,
        /// The export that a plugin of this host has.
        expected: &'static str,
        /// What it exports instead.
        found: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The component's imports or exports have other types than the contract.
    #[error(
        "the plugin {} was refused because it was built against another form of the contract: {reason}", .path.display()
    )]
    Contract {
        /// The file.
        path: PathBuf,
        /// wasmtime's words.
        reason: String,
    },
    /// The component needs more instances, tables or memory than one plugin is given.
    #[error("the plugin {} was refused because it needs more than one plugin is given: {reason}", .path.display())]
    TooDemanding {
        /// The file.
        path: PathBuf,
        /// Which limit, and how far.
        reason: String,
    },
    /// The plugin could not say what it is.
    #[error("the plugin {} could not be asked what it is", .path.display())]
    Describe {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Box<Failure>,
    },
    /// What the plugin says of itself breaks the contract.
    #[error("the plugin {} was refused because its description is wrong: {}", .path.display(), .problems.join("; "))]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<String>,
    },
}

/// What a file is that is no component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A WebAssembly module.
    CoreModule,
    /// The text form of WebAssembly.
    WebAssemblyText,
    /// Other text.
    Text,
    /// Nothing at all.
    Empty,
    /// Something else.
    Other,
}

impl std::fmt::Display for FileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CoreModule => "a WebAssembly module, not a component",
            Self::WebAssemblyText => "WebAssembly in text form",
            Self::Text => "text",
            Self::Empty => "empty",
            Self::Other => "no WebAssembly",
        })
    }
}

impl SandboxError {
    /// The same, as the end of a run or of a command.
    pub fn to_failure(&self) -> Failure {
        let kind = match self {
            Self::Engine(_)
            | Self::Ticker(_)
            | Self::Linking(_)
            | Self::CacheFolder { .. }
            | Self::Compiler { .. }
            | Self::Code { .. }
            | Self::Read { .. } => ErrorKind::Host,
            Self::Describe { source, .. } => source.kind,
            _ => ErrorKind::Plugin,
        };
        Failure::new(kind, "load", with_causes(self), self.hint())
    }

    /// What to do about it.
    pub fn hint(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Engine(_) => "A smaller pool of instances or memory may fit this machine.",
            Self::Ticker(_) => "The limit on threads may be too low: raise it, or run less on this machine.",
            Self::Linking(_) => "This is a fault of idsync: please report it.",
            Self::CacheFolder { .. } => "Make the folder writable for this user.",
            Self::Read { .. } => "Check the path and the permissions.",
            Self::TooLarge { .. } => "Build the plugin in release mode, without debug sections.",
            Self::NoComponent { .. } => "Build the plugin for the target wasm32-wasip2.",
            Self::Compile { .. } => "Build the plugin anew for the target wasm32-wasip2.",
            Self::CompilerEnded { .. } => "Use a plugin from a source that you trust.",
            Self::Compiler { .. } => {
                "Check that the program is still where it was started from, and that this machine has memory and \
                 processes left."
            }
            Self::Code { .. } => {
                "Check that this machine has memory left; then remove the folder of compiled plugins and try again."
            }
            Self::ForbiddenImport { .. } => "Build the plugin with the interfaces in wit/world.wit alone.",
            Self::OtherWorld { hint, .. } => hint,
            Self::Contract { .. } => {
                "Build the plugin against the wit folder of this version of idsync, or use a build that was."
            }
            Self::TooDemanding { .. } => {
                "The limits on plugins are fixed in this version of idsync: report this to the author of the plugin."
            }
            Self::Describe { source, .. } => return Cow::Owned(source.hint.clone()),
            Self::Description { .. } => "Report this to the author of the plugin, with these lines.",
        })
    }
}
