//! The one setting that is checked without a request: the host that serves the document.

/// The canonical form of a host, and what was mended; or what is wrong with it.
pub fn normalize_host(entered: &str) -> Result<(String, Option<String>), String> {
    let text = entered.trim().to_lowercase();
    let text = text.strip_prefix("https://").unwrap_or(&text);
    let host = text.strip_suffix('/').unwrap_or(text);
    let is_host = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
    if !is_host {
        return Err(format!(
            "`{entered}` is not the name of a host: write it like directory.example.com"
        ));
    }
    let note = (host != entered).then(|| format!("host was entered as `{entered}` and is kept as `{host}`"));
    Ok((host.to_owned(), note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_url_is_mended_and_a_path_is_refused() {
        let mended = normalize_host("https://Directory.example.com/").unwrap();
        assert_eq!(mended.0, "directory.example.com");
        assert!(mended.1.is_some());
        assert!(normalize_host("directory.example.com").unwrap().1.is_none());
        assert!(normalize_host("directory.example.com/people").is_err());
        assert!(normalize_host("").is_err());
    }
}
