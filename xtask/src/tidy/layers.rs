//! Which crate must not know what: imports run downwards only (ARCHITECTURE.md says why for each).

use std::path::Path;

use super::Finding;
use crate::workspace::Workspace;

/// One crate and what must be absent from it.
struct Layer {
    /// Its folder.
    folder: &'static str,
    /// Packages that its code must neither depend on nor name. A `*` at the end stands for any rest.
    absent: &'static [&'static str],
}

/// The layers, top to bottom. Packages that only a layer's tests use are not counted.
const LAYERS: &[Layer] = &[
    Layer {
        folder: "host/idsync",
        absent: &["rusqlite*", "wasmtime*", "wit-bindgen", "plugin-okta"],
    },
    Layer {
        folder: "host/engine",
        absent: &[
            "idsync",
            "idsync-capability",
            "idsync-sandbox",
            "plugin-okta",
            "rusqlite*",
            "wasmtime*",
            "hyper*",
            "http",
            "http-body*",
            "axum",
            "rustls",
            "clap*",
            "jsonwebtoken",
            "rsa",
        ],
    },
    Layer {
        folder: "host/sandbox",
        absent: &[
            "idsync",
            "idsync-engine",
            "idsync-store",
            "plugin-okta",
            "rusqlite*",
            "clap*",
            "axum",
        ],
    },
    Layer {
        folder: "host/capability",
        absent: &[
            "idsync",
            "idsync-engine",
            "idsync-sandbox",
            "plugin-okta",
            "rusqlite*",
            "clap*",
            "axum",
        ],
    },
    Layer {
        folder: "host/store",
        absent: &[
            "idsync",
            "idsync-capability",
            "idsync-engine",
            "idsync-sandbox",
            "plugin-okta",
            "wasmtime*",
            "wit-bindgen",
            "hyper*",
            "http",
            "http-body*",
            "axum",
            "rustls",
            "clap*",
            "jsonwebtoken",
            "rsa",
            "chacha20poly1305",
        ],
    },
    Layer {
        folder: "host/model",
        absent: &[
            "idsync",
            "idsync-*",
            "plugin-okta",
            "rusqlite*",
            "wasmtime*",
            "wit-bindgen",
            "hyper*",
            "http",
            "http-body*",
            "axum",
            "tokio",
            "rustls",
            "clap*",
            "jsonwebtoken",
            "rsa",
            "tracing*",
        ],
    },
    Layer {
        folder: "plugin-okta",
        absent: &[
            "idsync",
            "idsync-*",
            "okta-sim",
            "rusqlite*",
            "wasmtime*",
            "tokio*",
            "reqwest",
            "hyper*",
        ],
    },
    Layer {
        folder: "tests/sim",
        absent: &["idsync", "idsync-*", "plugin-okta", "wasmtime*", "rusqlite*"],
    },
];

/// Checks what each crate depends on.
pub fn check_manifests(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for layer in LAYERS {
        for package in workspace
            .packages
            .iter()
            .filter(|p| p.folder == Path::new(layer.folder))
        {
            for dependency in package.dependencies.iter().filter(|name| layer.rules_out(name)) {
                findings.push(Finding {
                    file: package.folder.join("Cargo.toml"),
                    line: 0,
                    text: format!(
                        "{} must not know `{dependency}` (see ARCHITECTURE.md)",
                        layer.folder
                    ),
                });
            }
        }
    }
    findings
}

/// Checks what the code of a crate names, also what another crate hands on.
pub fn check_source(file: &Path, text: &str) -> Vec<Finding> {
    let Some(layer) = LAYERS
        .iter()
        .find(|layer| file.starts_with(Path::new(layer.folder).join("src")))
    else {
        return Vec::new();
    };
    if is_for_tests(file) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, number) in code_lines(text) {
        // `idsync::` is the WIT package in the bindings; that the crate of this name is absent, the manifests show.
        let named = first_path_segments(line).filter(|name| *name != "idsync");
        for name in named.filter(|name| layer.rules_out(&name.replace('_', "-"))) {
            findings.push(Finding {
                file: file.to_owned(),
                line: number,
                text: format!("{} must not know `{name}` (see ARCHITECTURE.md)", layer.folder),
            });
        }
        if layer.folder.starts_with("host/") && names_a_provider(line) {
            findings.push(Finding {
                file: file.to_owned(),
                line: number,
                text: "the host knows no provider by name: what is Okta's belongs into plugin-okta"
                    .to_owned(),
            });
        }
    }
    findings
}

impl Layer {
    fn rules_out(&self, package: &str) -> bool {
        self.absent.iter().any(|absent| match absent.strip_suffix('*') {
            Some(start) => package.starts_with(start),
            None => package == *absent,
        })
    }
}

/// A module that only tests compile: `tests.rs`, `…_tests.rs`, or what lies in a folder `tests`.
fn is_for_tests(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests")
        || file
            .file_stem()
            .is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

/// The lines that are code: no comments, and nothing of the tests at a file's end.
fn code_lines(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.lines()
        .zip(1..)
        .take_while(|(line, _)| line.trim_end() != "#[cfg(test)]")
        .filter(|(line, _)| !line.trim_start().starts_with("//"))
}

/// The names that begin a path: `a` of `a::b::c`.
fn first_path_segments(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("::").filter_map(|(at, _)| {
        let before = &line[..at];
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |last| {
                last + before[last..].chars().next().map_or(1, char::len_utf8)
            });
        let is_first = !before[..start].ends_with("::");
        (is_first && start < at).then(|| &before[start..])
    })
}

/// Whether code decides something by a provider's word. Examples in texts may name one.
fn names_a_provider(line: &str) -> bool {
    line.to_ascii_lowercase().contains("\"okta\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str, code: &str) -> Vec<String> {
        check_source(Path::new(file), code)
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn a_layer_names_nothing_that_is_absent_from_it() {
        assert_eq!(
            problems("host/engine/src/apply.rs", "use idsync_store::Store;").len(),
            0
        );
        assert_eq!(
            problems("host/engine/src/apply.rs", "use rusqlite::Connection;").len(),
            1
        );
        assert_eq!(
            problems("host/engine/src/apply.rs", "let e = idsync_sandbox::Error;").len(),
            1
        );
        assert_eq!(
            problems("host/idsync/src/main.rs", "use idsync_sandbox::wasmtime::Engine;").len(),
            0
        );
        assert_eq!(
            problems("host/idsync/src/main.rs", "x(wasmtime::Engine::new())").len(),
            1
        );
    }

    #[test]
    fn comments_and_tests_may_name_what_they_like() {
        assert_eq!(
            problems("host/store/src/lib.rs", "/// Unlike wasmtime::Store.").len(),
            0
        );
        assert_eq!(
            problems("host/store/src/sqlite/tests/org.rs", "let a = \"okta\";").len(),
            0
        );
        let tests = "fn a() {}\n#[cfg(test)]\nmod tests { use hyper::Request; }";
        assert_eq!(problems("host/store/src/lib.rs", tests).len(), 0);
    }

    #[test]
    fn the_host_knows_no_provider() {
        assert_eq!(
            problems("host/idsync/src/main.rs", "if provider == \"okta\" {").len(),
            1
        );
        assert_eq!(
            problems("plugin-okta/src/lib.rs", "const ID: &str = \"okta\";").len(),
            0
        );
    }
}
