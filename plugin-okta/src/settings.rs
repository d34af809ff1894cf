//! The settings of an Okta directory: how they are mended and refused, and the form in which the rest uses them.

use crate::domain::{self, Domain};
use crate::failure::{ErrorKind, Failure};

/// The setting that names the org.
pub const OKTA_DOMAIN: &str = "okta_domain";
/// The setting that names the API service app.
pub const CLIENT_ID: &str = "client_id";
/// The setting that limits the sync to one app.
pub const APP_ID: &str = "app_id";
/// The setting that says how much of each rate limit is used.
pub const RATE_LIMIT_PERCENT: &str = "rate_limit_percent";

/// Half of each limit is left to the org's other clients (RUNS §9.6).
pub const DEFAULT_RATE_LIMIT_PERCENT: u32 = 50;

/// The settings in the form in which they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the org is.
    pub domain: Domain,
    /// The API service app.
    pub client_id: String,
    /// The only app to sync, where one is named.
    pub app_id: Option<String>,
    /// How much of each rate limit is used, 1 to 100.
    pub rate_limit_percent: u32,
}

impl Settings {
    /// Reads settings by name. They are normalised once more, so that a host which did not is no danger.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Failure> {
        let invalid = |summary: String| {
            Failure::new(
                ErrorKind::InvalidSettings,
                "settings",
                summary,
                "Correct the directory's settings, then verify it.",
            )
        };
        let (mut domain, mut client_id, mut app_id, mut percent) =
            (None, None, None, DEFAULT_RATE_LIMIT_PERCENT);
        for (name, value) in pairs {
            let mended = mend(name, value)
                .map_err(|problem| invalid(format!("The setting `{name}` can't be used: {problem}")))?;
            let Some(value) = mended.value else { continue };
            match name {
                OKTA_DOMAIN => domain = Some(Domain::from_normalized(&value)),
                CLIENT_ID => client_id = Some(value),
                APP_ID => app_id = Some(value),
                _ => percent = value.parse().unwrap_or(DEFAULT_RATE_LIMIT_PERCENT),
            }
        }
        let missing = |name: &str| invalid(format!("The setting `{name}` is missing."));
        Ok(Self {
            domain: domain.ok_or_else(|| missing(OKTA_DOMAIN))?,
            client_id: client_id.ok_or_else(|| missing(CLIENT_ID))?,
            app_id,
            rate_limit_percent: percent,
        })
    }
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting.
    pub name: String,
    /// What is wrong with it and what it should look like.
    pub problem: String,
}

/// Settings in their canonical form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Normalized {
    /// Names and values.
    pub settings: Vec<(String, String)>,
    /// What was mended.
    pub notes: Vec<String>,
}

/// Puts settings into their canonical form, or says for each what is wrong.
pub fn normalize<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Normalized, Vec<Problem>> {
    let mut normalized = Normalized::default();
    let mut problems = Vec::new();
    for (name, value) in pairs {
        match mend(name, value) {
            Ok(mended) => {
                normalized.notes.extend(mended.notes);
                if let Some(value) = mended.value {
                    normalized.settings.push((name.to_owned(), value));
                }
            }
            Err(problem) => problems.push(Problem {
                name: name.to_owned(),
                problem,
            }),
        }
    }
    if problems.is_empty() {
        Ok(normalized)
    } else {
        Err(problems)
    }
}

/// One value in canonical form. No value: an optional setting that was left empty.
pub(crate) struct Mended {
    pub(crate) value: Option<String>,
    pub(crate) notes: Vec<String>,
}

fn mend(name: &str, given: &str) -> Result<Mended, String> {
    match name {
        OKTA_DOMAIN => domain::mend(given),
        CLIENT_ID => mend_client_id(given),
        APP_ID => mend_app_id(given),
        RATE_LIMIT_PERCENT => mend_percent(given),
        _ => Err(format!(
            "Okta directories have no such setting. They have `{OKTA_DOMAIN}`, `{CLIENT_ID}`, `{APP_ID}` and \
             `{RATE_LIMIT_PERCENT}`."
        )),
    }
}

fn trimmed(name: &str, given: &str) -> (String, Vec<String>) {
    let value = given.trim();
    let notes = if value.len() == given.len() {
        Vec::new()
    } else {
        vec![format!("`{name}`: spaces around the value were removed.")]
    };
    (value.to_owned(), notes)
}

/// What was pasted where an id belongs, when that is plain to see.
fn pasted_instead(value: &str) -> Option<&'static str> {
    if value.starts_with('{') || value.contains("\"kty\"") {
        Some("this is a JSON document, perhaps the public key, which belongs into Okta")
    } else if value.starts_with("-----BEGIN") {
        Some("this is a key, which belongs into Okta")
    } else if value.contains("://") || value.contains('/') {
        Some("this is a web address")
    } else if value.contains('@') {
        Some("this is an e-mail address")
    } else if value.starts_with("00u") {
        Some("this is the id of a user")
    } else if value.starts_with("00g") {
        Some("this is the id of a group")
    } else {
        None
    }
}

/// Whether a value may be an id of an app at Okta. Theirs are `0oa` and 17 letters and digits; the shape is no promise
/// of Okta's, so that only what can't be one is refused.
fn is_id_shaped(value: &str) -> bool {
    (3..=100).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn mend_client_id(given: &str) -> Result<Mended, String> {
    const WHERE: &str = "It should look like `0oa1b2c3d4e5f6G7h8i9` and stands on the General tab of the API service \
                         app at Okta, as Client ID.";
    let (value, notes) = trimmed(CLIENT_ID, given);
    if value.is_empty() {
        return Err(format!("it is empty. {WHERE}"));
    }
    if let Some(instead) = pasted_instead(&value) {
        return Err(format!("{instead}. {WHERE}"));
    }
    if !is_id_shaped(&value) {
        return Err(format!(
            "it holds characters that no client id has, or has not its length. {WHERE}"
        ));
    }
    Ok(Mended {
        value: Some(value),
        notes,
    })
}

fn mend_app_id(given: &str) -> Result<Mended, String> {
    const WHERE: &str = "It should look like `0oa9h8g7f6e5d4C3b2a1`: the Client ID on the General tab of the sign-in \
                         app at Okta. Leave it empty to sync every app that the role can see.";
    let (value, notes) = trimmed(APP_ID, given);
    if value.is_empty() {
        return Ok(Mended {
            value: None,
            notes: Vec::new(),
        });
    }
    if let Some(instead) = pasted_instead(&value) {
        return Err(format!("{instead}. {WHERE}"));
    }
    if !is_id_shaped(&value) {
        return Err(format!(
            "it holds characters that no app id has, or has not its length. {WHERE}"
        ));
    }
    Ok(Mended {
        value: Some(value),
        notes,
    })
}

fn mend_percent(given: &str) -> Result<Mended, String> {
    let (value, mut notes) = trimmed(RATE_LIMIT_PERCENT, given);
    if value.is_empty() {
        return Ok(Mended {
            value: None,
            notes: Vec::new(),
        });
    }
    let digits = value.strip_suffix('%').map_or(value.as_str(), str::trim_end);
    if digits.len() != value.len() {
        notes.push(format!("`{RATE_LIMIT_PERCENT}`: the percent sign was removed."));
    }
    match digits.parse::<u32>() {
        Ok(percent @ 1..=100) => Ok(Mended {
            value: Some(percent.to_string()),
            notes,
        }),
        _ => Err(
            "it should be a whole number from 1 to 100: how many percent of each of Okta's rate limits a \
                  sync may use."
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(name: &str, value: &str) -> String {
        normalize([(name, value)]).unwrap_err().remove(0).problem
    }

    #[test]
    fn a_public_key_pasted_as_client_id_is_named_as_such() {
        let problem = problem_of(CLIENT_ID, r#"{"kty":"RSA","n":"…"}"#);
        assert!(problem.contains("public key"), "{problem}");
        assert!(problem.contains("General tab"), "{problem}");
    }

    #[test]
    fn other_things_pasted_as_client_id_are_told_apart() {
        assert!(problem_of(CLIENT_ID, "https://acme.okta.com/x").contains("web address"));
        assert!(problem_of(CLIENT_ID, "me@acme.com").contains("e-mail"));
        assert!(problem_of(CLIENT_ID, "").contains("empty"));
        assert!(problem_of(CLIENT_ID, "0oa 123").contains("characters"));
        assert!(problem_of(APP_ID, "00u1abcdefghijklmnop").contains("user"));
    }

    #[test]
    fn spaces_are_removed_and_said_so() {
        let normalized = normalize([(CLIENT_ID, " 0oaabc123 ")]).unwrap();
        assert_eq!(
            normalized.settings,
            [(CLIENT_ID.to_owned(), "0oaabc123".to_owned())]
        );
        assert_eq!(normalized.notes.len(), 1);
    }

    #[test]
    fn an_optional_setting_that_is_empty_is_none() {
        let normalized = normalize([(APP_ID, " "), (RATE_LIMIT_PERCENT, "")]).unwrap();
        assert_eq!(normalized, Normalized::default());
    }

    #[test]
    fn a_share_is_a_percentage() {
        let normalized = normalize([(RATE_LIMIT_PERCENT, "75 %")]).unwrap();
        assert_eq!(normalized.settings[0].1, "75");
        assert!(problem_of(RATE_LIMIT_PERCENT, "0").contains("1 to 100"));
        assert!(problem_of(RATE_LIMIT_PERCENT, "half").contains("1 to 100"));
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        assert!(problem_of("colour", "blue").contains("no such setting"));
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let problems = normalize([(OKTA_DOMAIN, ""), (CLIENT_ID, "")]).unwrap_err();
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn reading_settings_names_the_one_that_is_missing() {
        let failure = Settings::read([(OKTA_DOMAIN, "acme.okta.com")]).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::InvalidSettings);
        assert!(failure.summary.contains(CLIENT_ID));
    }

    #[test]
    fn reading_settings_fills_in_the_defaults() {
        let settings = Settings::read([(OKTA_DOMAIN, "acme.okta.com"), (CLIENT_ID, "0oaabc")]).unwrap();
        assert_eq!(settings.rate_limit_percent, 50);
        assert_eq!(settings.app_id, None);
    }
}
