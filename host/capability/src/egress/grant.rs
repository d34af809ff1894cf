//! Which hosts a run may reach: what the description names, filled in from the settings, within what the operator
//! allows.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use idsync_model::{Description, ErrorKind, Failure, Settings};
use url::Host;

const HTTPS_PORT: u16 = 443;

/// A host and a port, in the one form that is compared: lower case, names in their ASCII form, no dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Text that is not `HOST` or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not HOST or HOST:PORT ({why}); write it like `okta.example.com` or `localhost:8443`")]
pub struct NotAHost {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl HostPort {
    /// Takes a host as it stands in a URL, and a port.
    pub(super) fn new(host: &str, port: u16) -> Result<Self, &'static str> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return Err("the host is missing");
        }
        if host.chars().any(|c| c.is_whitespace() || "/?#@\\%".contains(c)) {
            return Err("it has a character that no host has");
        }
        if port == 0 {
            return Err("0 is no port");
        }
        let bare_v6 = host.parse().map(Host::Ipv6);
        let host = bare_v6
            .or_else(|_| Host::parse(host))
            .map_err(|_| "it is neither a name nor an address")?;
        Ok(Self {
            host: host.to_string(),
            port,
        })
    }

    /// The host; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, with the port whatever it is.
    pub fn with_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let not = |why| NotAHost {
            text: text.chars().take(120).collect(),
            why,
        };
        let trimmed = text.trim();
        if trimmed.contains("://") {
            return Err(not("it is a URL"));
        }
        if trimmed.contains('*') {
            return Err(not("each host is allowed by its name"));
        }
        let after_address = trimmed.rfind(']').map_or(0, |end| end + 1);
        let is_bare_v6 = trimmed.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, port) = match trimmed[after_address..].rfind(':') {
            Some(colon) if !is_bare_v6 => {
                let (host, port) = trimmed.split_at(after_address + colon);
                let port = &port[1..];
                if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(not("the port is no number"));
                }
                (host, port.parse().map_err(|_| not("the port is above 65535"))?)
            }
            _ => (trimmed, HTTPS_PORT),
        };
        Self::new(host, port).map_err(not)
    }
}

/// Without the port where it is that of HTTPS.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if self.port != HTTPS_PORT {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// The hosts that the operator allows although their addresses are not public, or their port is not that of HTTPS.
#[derive(Debug, Clone, Default)]
pub struct PrivateEgress {
    hosts: Arc<BTreeSet<HostPort>>,
}

impl PrivateEgress {
    /// Whether this host may be reached at this port whatever its address.
    pub fn allows(&self, host: &HostPort) -> bool {
        self.hosts.contains(host)
    }
}

impl FromIterator<HostPort> for PrivateEgress {
    fn from_iter<I: IntoIterator<Item = HostPort>>(hosts: I) -> Self {
        Self {
            hosts: Arc::new(hosts.into_iter().collect()),
        }
    }
}

/// Why the hosts of a run can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The description's fault: it names a setting that it does not describe, or a secret one.
    #[error(
        "the plugin's description names the host `{template}`, but has no setting `{setting}` to be shown there"
    )]
    UnknownSetting {
        /// The template.
        template: String,
        /// The setting.
        setting: String,
    },
    /// The description's fault: the template is malformed.
    #[error("the plugin's description names the host `{template}`, whose braces do not match")]
    Braces {
        /// The template.
        template: String,
    },
    /// What results is no host.
    #[error("the directory's settings give the host `{host}` ({why}); correct the setting")]
    NotAHost {
        /// The host that results.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A port that the operator did not allow.
    #[error(
        "the directory's settings give the host `{host}`, but only port 443 is reached; an operator can allow it with \
         `--allow-private-egress {host}`"
    )]
    Port {
        /// The host and its port.
        host: HostPort,
    },
}

impl GrantError {
    /// The failure that a call ends with.
    pub fn to_failure(&self) -> Failure {
        let (kind, hint) = match self {
            Self::UnknownSetting { .. } | Self::Braces { .. } => (
                ErrorKind::Plugin,
                "Report this to the author of the plugin.".to_owned(),
            ),
            Self::NotAHost { .. } => (
                ErrorKind::InvalidSettings,
                "Correct the setting that names the host.".to_owned(),
            ),
            Self::Port { host } => (
                ErrorKind::InvalidSettings,
                format!(
                    "Remove the port from the setting, or start idsync with `--allow-private-egress {host}`."
                ),
            ),
        };
        Failure::new(kind, "settings", self.to_string(), hint)
    }
}

/// The hosts that one call may reach, all of them by HTTPS.
#[derive(Debug, Clone, Default)]
pub struct EgressGrant {
    hosts: Arc<BTreeSet<HostPort>>,
}

impl EgressGrant {
    /// No host at all, for `describe` and `normalize`.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The hosts of the description, filled in from the settings. A template whose setting has no value names no host.
    pub fn new(
        description: &Description,
        settings: &Settings,
        allowed: &PrivateEgress,
    ) -> Result<Self, GrantError> {
        let mut hosts = BTreeSet::new();
        for template in &description.hosts {
            let Some(host) = filled(template, description, settings)? else {
                continue;
            };
            let host: HostPort = host
                .parse()
                .map_err(|NotAHost { text, why }| GrantError::NotAHost { host: text, why })?;
            if host.port != HTTPS_PORT && !allowed.allows(&host) {
                return Err(GrantError::Port { host });
            }
            hosts.insert(host);
        }
        Ok(Self {
            hosts: Arc::new(hosts),
        })
    }

    /// Whether the host, as it stands in a URL, may be reached at this port.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        HostPort::new(host, port).is_ok_and(|host| self.hosts.contains(&host))
    }

    /// The hosts, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPort> {
        self.hosts.iter()
    }
}

/// The template with its settings filled in; none where one of them has no value.
fn filled(
    template: &str,
    description: &Description,
    settings: &Settings,
) -> Result<Option<String>, GrantError> {
    let braces = || GrantError::Braces {
        template: template.to_owned(),
    };
    let mut host = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(braces)?;
        let is_known = description.settings.iter().any(|s| s.name == name && !s.secret);
        if !is_known {
            return Err(GrantError::UnknownSetting {
                template: template.to_owned(),
                setting: name.to_owned(),
            });
        }
        let Some(value) = settings.get(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        host.push_str(before);
        host.push_str(value);
        rest = after;
    }
    host.push_str(rest);
    if rest.contains('}') {
        return Err(braces());
    }
    Ok(Some(host))
}

#[cfg(test)]
mod tests {
    use idsync_model::SettingSpec;

    use super::*;

    fn described(hosts: &[&str]) -> Description {
        let setting = |name: &str, secret| SettingSpec {
            name: name.to_owned(),
            label: String::new(),
            help: String::new(),
            placeholder: String::new(),
            pattern: String::new(),
            required: false,
            secret,
        };
        Description {
            id: "okta".to_owned(),
            name: "Okta".to_owned(),
            version: "1.0.0".to_owned(),
            settings: vec![
                setting("domain", false),
                setting("other", false),
                setting("token", true),
            ],
            key: None,
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            permissions: Vec::new(),
            guide: Vec::new(),
            docs_url: None,
        }
    }

    fn with_domain(domain: &str) -> Settings {
        [("domain".to_owned(), domain.to_owned())].into_iter().collect()
    }

    fn allowed(hosts: &[&str]) -> PrivateEgress {
        hosts.iter().map(|h| h.parse::<HostPort>().unwrap()).collect()
    }

    #[test]
    fn an_allowed_host_is_named_with_or_without_a_port() {
        for (text, host, port) in [
            ("okta.example.com", "okta.example.com", 443),
            ("Okta.Example.COM.", "okta.example.com", 443),
            ("acme.localhost:8443", "acme.localhost", 8443),
            ("127.0.0.1:9", "127.0.0.1", 9),
            ("[::1]:8443", "[::1]", 8443),
            ("[::1]", "[::1]", 443),
            ("::1", "[::1]", 443),
            (" bücher.example ", "xn--bcher-kva.example", 443),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "missing"),
            ("https://okta.example.com", "URL"),
            ("*.example.com", "by its name"),
            ("host:", "no number"),
            ("host:http", "no number"),
            ("host:-1", "no number"),
            ("host:0", "no port"),
            ("host:65536", "65535"),
            ("host/path", "character"),
            ("user@host", "character"),
            ("a b", "character"),
            (":443", "missing"),
            ("[::1", "neither"),
        ] {
            let error = text.parse::<HostPort>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn templates_are_filled_in_from_the_settings() {
        let described = described(&["{domain}", "login.example.com", "{other}"]);
        let grant = EgressGrant::new(&described, &with_domain("Acme.okta.com"), &allowed(&[])).unwrap();
        assert!(grant.allows("acme.okta.com", 443));
        assert!(grant.allows("LOGIN.example.com.", 443));
        assert!(!grant.allows("acme.okta.com", 8443));
        assert!(!grant.allows("evil.acme.okta.com", 443));
        assert!(!grant.allows("acme.okta.com.evil.com", 443));
        assert_eq!(grant.hosts().count(), 2);
    }

    #[test]
    fn another_port_needs_the_operator() {
        let described = described(&["{domain}"]);
        let settings = with_domain("acme.localhost:8443");
        let refused = EgressGrant::new(&described, &settings, &allowed(&["acme.localhost"])).unwrap_err();
        let failure = refused.to_failure();
        assert_eq!(failure.kind, ErrorKind::InvalidSettings);
        assert!(
            failure
                .hint
                .contains("--allow-private-egress acme.localhost:8443"),
            "{}",
            failure.hint
        );
        let grant = EgressGrant::new(&described, &settings, &allowed(&["acme.localhost:8443"])).unwrap();
        assert!(grant.allows("acme.localhost", 8443));
        assert!(!grant.allows("acme.localhost", 443));
    }

    #[test]
    fn templates_that_name_what_is_not_there_are_the_plugins_fault() {
        for (template, says) in [
            ("{nothing}", "`nothing`"),
            ("{token}", "`token`"),
            ("{domain", "braces"),
            ("domain}", "braces"),
        ] {
            let error = EgressGrant::new(&described(&[template]), &with_domain("a.example"), &allowed(&[]))
                .unwrap_err();
            assert_eq!(error.to_failure().kind, ErrorKind::Plugin, "{template}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn settings_that_give_no_host_are_refused() {
        for domain in [
            "a.example/path",
            "user@a.example",
            "a.example\\b",
            "https://a.example",
            "a b",
        ] {
            let error =
                EgressGrant::new(&described(&["{domain}"]), &with_domain(domain), &allowed(&[])).unwrap_err();
            assert_eq!(error.to_failure().kind, ErrorKind::InvalidSettings, "{domain}");
        }
    }
}
