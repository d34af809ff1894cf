//! What each source file must have, and must not hold.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;

/// Folders that hold nothing of ours.
const NOT_OURS: &[&str] = &["target", "dist", "wit/deps"];

/// Past this many lines a file probably has a second subject.
const LONG_FILE_LINES: usize = 500;

/// Texts that belong to one machine. Put together here, so that this file does not hold them.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/"),
    concat!("/wo", "rk/"),
    concat!("C:\\", "Users"),
];

/// Every file of the repository, relative to its root.
pub fn list(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(root.join(&folder)).with_context(|| format!("listing {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
            let path = folder.join(entry.file_name());
            let kind = entry
                .file_type()
                .with_context(|| format!("looking at {}", path.display()))?;
            if kind.is_file() && entry.file_name() != ".git" {
                files.push(path);
            } else if kind.is_dir() && !is_left_out(&path) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_left_out(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_string_lossy());
    NOT_OURS.iter().any(|ours| folder == Path::new(ours))
        || name.is_some_and(|name| name.starts_with('.') && name != ".ci" && name != ".cargo")
}

/// Looks at one file.
pub fn check(file: &Path, text: &str) -> Vec<Finding> {
    let finding = |line, text: String| Finding {
        file: file.to_owned(),
        line,
        text,
    };
    let mut findings = Vec::new();
    if let Some(problem) = head_problem(file, text) {
        findings.push(finding(1, problem));
    }
    if file.file_name().is_some_and(|name| name == "Cargo.lock") {
        return findings;
    }
    for (line, number) in text.lines().zip(1..) {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| holds_path(line, path)) {
            findings.push(finding(
                number,
                format!("`{path}` is a path of one machine: take it out"),
            ));
        }
        if let Some(word) = unowned(line) {
            findings.push(finding(
                number,
                format!("a {word} without an owner: write {word}(name) or do it"),
            ));
        }
    }
    findings
}

/// A path counts where it begins: what follows a letter, a digit or a dot is part of something longer, such as a URL.
fn holds_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')'))
    })
}

/// A file that is longer than one subject needs.
pub fn length_warning(file: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let is_code = file.extension().is_some_and(|e| e == "rs");
    (is_code && lines > LONG_FILE_LINES)
        .then(|| format!("{}: {lines} lines; what is its second subject?", file.display()))
}

/// What is wrong with the head comment of a file, where its kind must have one.
fn head_problem(file: &Path, text: &str) -> Option<String> {
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_script = first.starts_with("#!") && !first.starts_with("#![");
    if is_script {
        first = lines.next().unwrap_or_default();
    }
    let extension = file.extension().map(|extension| extension.to_string_lossy());
    let markers: &[&str] = match extension.as_deref() {
        Some("rs") => &["//! ", "// "],
        Some("wit") => &["/// ", "// "],
        Some("sql") => &["-- "],
        Some("md") => &["# "],
        Some("py" | "sh" | "yml" | "yaml") => &["# ", "\"\"\""],
        Some("toml") if name == "deny.toml" || name == "clippy.toml" => &["# "],
        _ if is_script => &["# "],
        _ => return None,
    };
    let subject = markers.iter().find_map(|marker| first.strip_prefix(marker));
    match subject {
        None => Some(format!(
            "no head comment: begin with `{}` and a line or two on what the file is about",
            markers[0].trim_end()
        )),
        Some(subject) if subject.trim().len() < 4 || subject.trim() == "(subject)" => {
            Some("the head comment does not say what the file is about".to_owned())
        }
        Some(_) => None,
    }
}

/// The word that marks work left undone, where no owner follows it.
fn unowned(line: &str) -> Option<&'static str> {
    ["TODO", "FIXME", "XXX"].into_iter().find(|word| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + word.len()..];
            let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                && after.starts_with([':', ' ', '.'])
                || after.is_empty();
            is_word && before != Some('"') && before != Some('`')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str, text: &str) -> usize {
        check(Path::new(file), text).len()
    }

    #[test]
    fn a_source_file_begins_with_its_subject() {
        assert_eq!(problems("a.rs", "//! What is here.\nfn a() {}\n"), 0);
        assert_eq!(problems("a.rs", "fn a() {}\n"), 1);
        assert_eq!(problems("a.rs", "//! (subject)\n"), 1);
        assert_eq!(problems("a.sql", "-- What is here.\nSELECT 1;\n"), 0);
        assert_eq!(problems("run", "#!/usr/bin/env bash\n# What is here.\n"), 0);
        assert_eq!(problems("run", "#!/usr/bin/env bash\nset -e\n"), 1);
        assert_eq!(problems("a.json", "{}"), 0);
    }

    #[test]
    fn undone_work_has_an_owner() {
        let marked = concat!("//! Head.\n// TO", "DO: later\n");
        assert_eq!(problems("a.rs", marked), 1);
        assert_eq!(problems("a.rs", "//! Head.\n// TODO(ada): later\n"), 0);
    }

    #[test]
    fn a_path_of_one_machine_is_found_where_it_begins() {
        let path = concat!("//! Head.\nlet a = \"/ho", "me/ada/idsync\";\n");
        assert_eq!(problems("a.rs", path), 1);
        let url = concat!("//! Head.\nlet a = \"https://example.com/ho", "me/ada\";\n");
        assert_eq!(problems("a.rs", url), 0);
    }

    #[test]
    fn a_long_file_is_pointed_out() {
        let text = "//! Head.\n".repeat(501);
        assert!(length_warning(Path::new("a.rs"), &text).is_some());
        assert!(length_warning(Path::new("a.md"), &text).is_none());
    }
}
