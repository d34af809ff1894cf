//! Holds a component against the contract by the names of what it imports and exports.

use std::path::Path;

use semver::Version;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::SandboxError;

/// What a plugin exports.
pub(crate) const EXPORT: &str = "idsync:plugin/directory-sync@0.1.0";

/// All that a plugin may import: the world `provider`, and what Rust's standard library asks for besides. A later
/// version that is compatible (semver.org) stands for each.
const IMPORTS: &[&str] = &[
    "idsync:plugin/identity-store@0.1.0",
    "idsync:plugin/key-store@0.1.0",
    "idsync:plugin/log@0.1.0",
    "idsync:plugin/timer@0.1.0",
    "idsync:plugin/types@0.1.0",
    "idsync:plugin/vault@0.1.0",
    "wasi:cli/environment@0.2.0",
    "wasi:cli/exit@0.2.0",
    "wasi:cli/stderr@0.2.0",
    "wasi:cli/stdin@0.2.0",
    "wasi:cli/stdout@0.2.0",
    "wasi:cli/terminal-input@0.2.0",
    "wasi:cli/terminal-output@0.2.0",
    "wasi:cli/terminal-stderr@0.2.0",
    "wasi:cli/terminal-stdin@0.2.0",
    "wasi:cli/terminal-stdout@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.0",
    "wasi:io/error@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:random/insecure-seed@0.2.0",
    "wasi:random/random@0.2.0",
];

/// What a component asks for and gives.
pub(crate) struct Offer {
    /// Its imports, by name.
    pub(crate) imports: Vec<String>,
    /// The contract that it exports: package and version.
    pub(crate) contract: String,
}

/// Refuses a component that imports anything else, or does not export the contract.
pub(crate) fn check(engine: &Engine, component: &Component, path: &Path) -> Result<Offer, SandboxError> {
    let component_type = component.component_type();
    let imports: Vec<String> = component_type
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    let forbidden: Vec<String> = imports
        .iter()
        .filter(|name| !IMPORTS.iter().any(|allowed| serves(allowed, name)))
        .cloned()
        .collect();
    if !forbidden.is_empty() {
        return Err(SandboxError::ForbiddenImport {
            path: path.to_owned(),
            imports: forbidden,
        });
    }
    let exports: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    if let Some(export) = exports.iter().find(|name| serves(EXPORT, name)) {
        return Ok(Offer {
            imports,
            contract: package(export),
        });
    }
    let (found, hint) = what_instead(&exports);
    Err(SandboxError::OtherWorld {
        path: path.to_owned(),
        expected: EXPORT,
        found,
        hint,
    })
}

/// What a component exports in place of the contract, and what to do about it.
fn what_instead(exports: &[&str]) -> (String, &'static str) {
    let (contract, _) = EXPORT.split_once('@').unwrap_or((EXPORT, ""));
    let other_version = exports
        .iter()
        .find(|name| name.split_once('@').is_some_and(|(name, _)| name == contract));
    let build_it = "Build the plugin against the world `provider` of idsync's wit folder.";
    match other_version {
        Some(name) => (
            format!("it exports {name}"),
            "Use a build of the plugin for this version of idsync.",
        ),
        None if exports.is_empty() => ("it exports nothing".to_owned(), build_it),
        None => (format!("it exports {}", exports.join(", ")), build_it),
    }
}

/// The package of an interface, with the version: `a:b@1.0.0` of `a:b/c@1.0.0`.
fn package(interface: &str) -> String {
    let (package, rest) = interface.split_once('/').unwrap_or((interface, ""));
    match rest.split_once('@') {
        Some((_, version)) => format!("{package}@{version}"),
        None => package.to_owned(),
    }
}

/// Whether `offered`, an interface with its version, is what `wanted` asks for: the same interface, in a version that
/// is compatible with it.
fn serves(offered: &str, wanted: &str) -> bool {
    let parse = |name: &str| -> Option<(String, Version)> {
        let (interface, version) = name.split_once('@')?;
        Some((interface.to_owned(), Version::parse(version).ok()?))
    };
    let (Some((offered_interface, offered)), Some((wanted_interface, wanted))) =
        (parse(offered), parse(wanted))
    else {
        return false;
    };
    let is_compatible = if offered.major > 0 {
        offered.major == wanted.major
    } else {
        wanted.major == 0 && offered.minor == wanted.minor
    };
    offered_interface == wanted_interface && is_compatible && wanted.pre.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compatible_version_is_served_and_no_other() {
        let serves_poll = |wanted| serves("wasi:io/poll@0.2.0", wanted);
        assert!(serves_poll("wasi:io/poll@0.2.0"));
        assert!(serves_poll("wasi:io/poll@0.2.12"));
        assert!(!serves_poll("wasi:io/poll@0.3.0"));
        assert!(!serves_poll("wasi:io/poll@0.2.0-rc.1"));
        assert!(!serves_poll("wasi:io/poll"));
        assert!(!serves_poll("wasi:io/streams@0.2.0"));
        assert!(!serves_poll("wasi:io/poll@0.2.0@0.2.0"));
    }

    #[test]
    fn another_version_of_the_contract_is_called_that() {
        let (found, hint) = what_instead(&["idsync:plugin/directory-sync@0.9.0"]);
        assert!(found.ends_with("@0.9.0"), "{found}");
        assert!(hint.starts_with("Use a build"), "{hint}");
        let (found, hint) = what_instead(&["wasi:cli/run@0.2.0"]);
        assert!(found.ends_with("wasi:cli/run@0.2.0"), "{found}");
        assert!(hint.starts_with("Build the plugin against"), "{hint}");
        assert!(what_instead(&[]).0.contains("nothing"));
    }
}
