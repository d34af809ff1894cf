//! The address of an org: mended where it is clear what was meant, refused with the reason where it is not.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::settings::{Mended, OKTA_DOMAIN};

/// The domains under which Okta gives each org its name. An org's admin console is at `{org}-admin.{domain}`.
const OKTA_OWNED: [&str; 6] = [
    "okta.com",
    "oktapreview.com",
    "okta-emea.com",
    "okta-gov.com",
    "okta.mil",
    "trexcloud.com",
];

const EXPECTED: &str = "It should look like `your-company.okta.com`: the address in the user menu at the upper right \
                        of the Okta dashboard.";

/// The checked address of an org: a host name in lower case, and a port where it is not 443.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// From a value that `mend` has returned.
    pub(crate) fn from_normalized(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// Host, and port where it is not 443, as in the authority of a URL (RFC 3986, section 3.2).
    pub fn authority(&self) -> &str {
        &self.0
    }

    /// `https://` and the authority: what every address of the org begins with.
    pub fn origin(&self) -> String {
        format!("https://{}", self.0)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn mend(given: &str) -> Result<Mended, String> {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(format!("`{OKTA_DOMAIN}`: {text}"));

    let mut rest = given.trim();
    if rest.len() != given.len() {
        note("spaces around the address were removed.");
    }
    if rest.is_empty() {
        return Err(format!("it is empty. {EXPECTED}"));
    }
    if let Some((scheme, address)) = rest.split_once("://") {
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return Err(format!("it is an address of the kind `{scheme}:`. {EXPECTED}"));
        }
        rest = address;
        note("only the host's name is kept of the web address.");
    }
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    if end < rest.len() {
        if !rest[end..].chars().all(|c| c == '/') {
            note("what follows the host's name was removed.");
        }
        rest = &rest[..end];
    }
    if rest.contains('@') {
        return Err(format!(
            "it holds a user name or is an e-mail address. {EXPECTED}"
        ));
    }
    if rest.starts_with('[') || rest.matches(':').count() > 1 {
        return Err(ip_refused());
    }
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, mend_port(port)?),
        None => (rest, None),
    };
    if rest.ends_with(":443") {
        note("port 443 is the usual one and was removed.");
    }
    let mut host = host.trim_end_matches('.').to_owned();
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        note("it was put into lower case.");
        host.make_ascii_lowercase();
    }
    check_host(&host)?;
    if let Some(org) = without_admin(&host) {
        note("`-admin` was removed: that is the admin console, the org itself is without it.");
        host = org;
    }
    let value = match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    Ok(Mended {
        value: Some(value),
        notes,
    })
}

fn ip_refused() -> String {
    format!("it is an IP address, and an org is known by its name only. {EXPECTED}")
}

fn mend_port(port: &str) -> Result<Option<u16>, String> {
    match port.parse::<u16>() {
        Ok(443) => Ok(None),
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!(
            "`{port}` after the colon is no port number from 1 to 65535. {EXPECTED}"
        )),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err(format!("it holds no host name. {EXPECTED}"));
    }
    let last_label = host.rsplit('.').next().unwrap_or(host);
    let is_number = last_label.bytes().all(|b| b.is_ascii_digit()) || last_label.starts_with("0x");
    if host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() || is_number {
        return Err(ip_refused());
    }
    if let Some(bad) = host
        .chars()
        .find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-' && *c != '.')
    {
        return Err(if bad.is_ascii() {
            format!("`{bad}` can't be part of a host name. {EXPECTED}")
        } else {
            format!("`{bad}` is no ASCII letter; write such a name in its `xn--` form. {EXPECTED}")
        });
    }
    let labels: Vec<&str> = host.split('.').collect();
    let is_well_formed =
        |label: &&str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    if host.len() > 253 || !labels.iter().all(is_well_formed) {
        return Err(format!("it is no well-formed host name. {EXPECTED}"));
    }
    if labels.len() == 1 {
        return Err(format!("it lacks the part after the org's name. {EXPECTED}"));
    }
    let org = OKTA_OWNED.iter().find_map(|owned| host.strip_suffix(owned));
    if matches!(
        org,
        Some("" | "www." | "login." | "developer." | "help." | "support.")
    ) {
        return Err(format!("it is a site of Okta's own and no org. {EXPECTED}"));
    }
    Ok(())
}

fn without_admin(host: &str) -> Option<String> {
    let (label, parent) = host.split_once('.')?;
    let org = label.strip_suffix("-admin").filter(|org| !org.is_empty())?;
    let is_known = OKTA_OWNED.contains(&parent) || parent == "localhost" || parent.ends_with(".localhost");
    is_known.then(|| format!("{org}.{parent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(given: &str) -> (String, usize) {
        let mended = mend(given).unwrap();
        (mended.value.unwrap(), mended.notes.len())
    }

    fn refused(given: &str) -> String {
        mend(given).err().unwrap_or_else(|| panic!("{given} was taken"))
    }

    #[test]
    fn a_right_domain_stays_as_it_is_without_a_note() {
        assert_eq!(mended("acme.okta.com"), ("acme.okta.com".to_owned(), 0));
        assert_eq!(mended("id.acme.example"), ("id.acme.example".to_owned(), 0));
        assert_eq!(mended("org.localhost:8443"), ("org.localhost:8443".to_owned(), 0));
        assert_eq!(mended("my-admin.example.com").0, "my-admin.example.com");
    }

    #[test]
    fn what_is_clear_is_mended_and_said_so() {
        for given in [
            "https://acme.okta.com/",
            "HTTP://acme.okta.com",
            "https://acme-admin.okta.com/admin/dashboard?x=1#y",
            "acme-admin.okta.com",
            " ACME.okta.com ",
            "acme.okta.com:443",
            "acme.okta.com/app/UserHome",
        ] {
            let (value, notes) = mended(given);
            assert_eq!(value, "acme.okta.com", "{given}");
            assert!(notes > 0, "{given}");
        }
        assert_eq!(mended("acme.okta.com.").0, "acme.okta.com");
        assert_eq!(mended("acme.okta.com/").0, "acme.okta.com");
        assert_eq!(
            mended("https://org-admin.localhost:8443/x").0,
            "org.localhost:8443"
        );
    }

    #[test]
    fn what_is_not_clear_is_refused_with_the_reason() {
        for (given, reason) in [
            ("", "empty"),
            ("   ", "empty"),
            ("https://", "no host name"),
            ("10.0.0.1", "IP address"),
            ("https://127.0.0.1:8443/", "IP address"),
            ("[::1]:8443", "IP address"),
            ("::1", "IP address"),
            ("0x7f.1", "IP address"),
            ("127.0x1", "IP address"),
            ("user:pw@acme.okta.com", "user name"),
            ("me@acme.com", "user name"),
            ("acme", "lacks the part"),
            ("localhost:8443", "lacks the part"),
            ("acme okta.com", "can't be part"),
            ("acme_x.okta.com", "can't be part"),
            ("äcme.okta.com", "xn--"),
            ("-acme.okta.com", "well-formed"),
            ("acme..okta.com", "well-formed"),
            ("acme.okta.com:0", "port"),
            ("acme.okta.com:99999", "port"),
            ("acme.okta.com:", "port"),
            ("ftp://acme.okta.com", "ftp"),
            ("okta.com", "site of Okta's own"),
            ("www.okta.com", "site of Okta's own"),
        ] {
            let problem = refused(given);
            assert!(problem.contains(reason), "{given}: {problem}");
            assert!(problem.contains("your-company.okta.com"), "{given}: {problem}");
        }
    }
}
