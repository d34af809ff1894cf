//! `Link` headers (RFC 8288) and where a listing goes on: only within the same org, and never in a circle.

use crate::domain::Domain;
use crate::host::Headers;

/// The address of the next page, unchecked. Okta sends its links as one header or as several.
///
/// Two links that call themselves the next one are an error: the text says so.
pub fn next_url(headers: &Headers) -> Result<Option<String>, String> {
    let mut next: Option<String> = None;
    for header in headers.all("link") {
        for (url, parameters) in links(header)? {
            if !is_next(parameters) {
                continue;
            }
            if next.as_ref().is_some_and(|first| first != url) {
                return Err("it names two different next pages".to_owned());
            }
            next = Some(url.to_owned());
        }
    }
    Ok(next)
}

/// Each link of one header: the address between `<` and `>`, and the text of its parameters.
fn links(header: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let end = after.find('>').ok_or("its Link header has no end")?;
        let parameters = &after[end + 1..];
        let length = end_of_parameters(parameters);
        found.push((&after[..end], &parameters[..length]));
        rest = &parameters[length..];
    }
    Ok(found)
}

/// Up to the comma that separates two links: one in quotes belongs to a value.
fn end_of_parameters(parameters: &str) -> usize {
    let mut in_quotes = false;
    for (index, byte) in parameters.bytes().enumerate() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b',' if !in_quotes => return index,
            _ => {}
        }
    }
    parameters.len()
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return false;
        };
        name.trim().eq_ignore_ascii_case("rel")
            && value
                .trim()
                .trim_matches('"')
                .split_ascii_whitespace()
                .any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

/// Path and query of an address of this org. The error says what is wrong with the address.
pub fn target_within(url: &str, domain: &Domain) -> Result<String, String> {
    // A URL holds visible ASCII only (RFC 3986, section 2). A backslash is read as a slash by some, which is how a
    // host name can be hidden.
    if url.is_empty()
        || !url
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'))
    {
        return Err("it is no URL".to_owned());
    }
    let (scheme, rest) = url.split_once("://").ok_or("it is no absolute URL")?;
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(format!("it leads to the scheme `{scheme}`"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let same_host = authority
        .strip_suffix(":443")
        .unwrap_or(authority)
        .eq_ignore_ascii_case(domain.authority());
    if !same_host {
        return Err(format!("it leads to another host, `{authority}`"));
    }
    let target = target.split('#').next().unwrap_or_default();
    if target.starts_with('/') {
        Ok(target.to_owned())
    } else {
        Err("it has no path".to_owned())
    }
}

/// The value of a query parameter, as it is written.
pub fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// The target with a query parameter added, or replaced where it is there.
pub fn with_parameter(target: &str, name: &str, value: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return format!("{target}?{name}={value}");
    };
    let is_it = |pair: &&str| pair.split('=').next() == Some(name);
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !is_it(pair));
    let mut pairs: Vec<&str> = kept.collect();
    let added = format!("{name}={value}");
    pairs.push(&added);
    format!("{path}?{}", pairs.join("&"))
}

/// A text as one segment of a path or one value of a query (RFC 3986, section 2.3).
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    // A segment of dots alone would be taken as a step up the path.
    if !encoded.is_empty() && encoded.bytes().all(|b| b == b'.') {
        return encoded.replace('.', "%2E");
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> Headers {
        Headers(
            values
                .iter()
                .map(|value| ("link".to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn domain() -> Domain {
        Domain::from_normalized("acme.okta.com")
    }

    #[test]
    fn a_next_link_is_found_in_one_header_or_several() {
        let one = headers(&["<https://a/1?x=1>; rel=\"self\", <https://a/2?y=a,b>; rel=\"next\""]);
        let several = headers(&["<https://a/1>; rel=\"self\"", "<https://a/2?y=a,b>; rel=\"next\""]);
        for headers in [one, several] {
            assert_eq!(next_url(&headers).unwrap().as_deref(), Some("https://a/2?y=a,b"));
        }
        assert_eq!(next_url(&headers(&["<https://a/1>; rel=self"])), Ok(None));
        assert_eq!(
            next_url(&headers(&["<https://a/2>; title=\"a, b\"; REL=Next"])),
            Ok(Some("https://a/2".into()))
        );
        assert_eq!(next_url(&Headers::default()), Ok(None));
    }

    #[test]
    fn two_next_links_that_differ_are_an_error() {
        assert!(next_url(&headers(&["<https://a/1>; rel=next, <https://a/2>; rel=next"])).is_err());
        assert!(next_url(&headers(&["<https://a/1; rel=next"])).is_err());
    }

    #[test]
    fn runs_1_2_a_link_must_stay_on_host_scheme_and_port() {
        assert_eq!(
            target_within("https://acme.okta.com/a?b=c", &domain()).unwrap(),
            "/a?b=c"
        );
        assert_eq!(
            target_within("HTTPS://ACME.okta.com:443/a#f", &domain()).unwrap(),
            "/a"
        );
        for elsewhere in [
            "https://evil.example/a",
            "http://acme.okta.com/a",
            "https://acme.okta.com:8443/a",
            "https://acme.okta.com@evil.example/a",
            "https://acme.okta.com.evil.example/a",
            "https://evil.example\\@acme.okta.com/",
            "//evil.example/a",
            "/api/v1/users",
            "https://acme.okta.com",
            "https://acme.okta.com?x=1",
            "no url",
            "",
        ] {
            assert!(target_within(elsewhere, &domain()).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn parameters_are_read_and_replaced() {
        assert_eq!(parameter("/a?limit=5&expand=user", "expand"), Some("user"));
        assert_eq!(parameter("/a?xlimit=5", "limit"), None);
        assert_eq!(
            with_parameter("/a?after=z&limit=5", "limit", "2"),
            "/a?after=z&limit=2"
        );
        assert_eq!(with_parameter("/a", "limit", "2"), "/a?limit=2");
    }

    #[test]
    fn ids_can_not_leave_their_segment() {
        assert_eq!(encoded("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("00u-x_y.z~1"), "00u-x_y.z~1");
    }
}
