//! What the provider is and needs: its settings, hosts, permissions.

use crate::guide::{self, Step};
use crate::settings::{APP_ID, CLIENT_ID, OKTA_DOMAIN, RATE_LIMIT_PERCENT};

/// The plugin's version, as `User-Agent` and the host show it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The scopes that the service app must be granted (Okta, OAuth 2.0 scopes of its management API).
pub const SCOPES: [&str; 3] = ["okta.apps.read", "okta.groups.read", "okta.users.read"];

/// One setting that an admin fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingSpec {
    /// Its name on the command line and in the API.
    pub name: &'static str,
    /// Its name in forms.
    pub label: &'static str,
    /// What it is, and where the admin finds it.
    pub help: &'static str,
    /// An example.
    pub placeholder: &'static str,
    /// What the whole normalised value matches.
    pub pattern: &'static str,
    /// Whether a directory works without it.
    pub required: bool,
}

/// Something that must be granted at Okta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Okta's name of it.
    pub name: &'static str,
    /// What it is used for.
    pub why: &'static str,
}

/// All that the contract's `describe` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The word for it on the command line.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// The plugin's version.
    pub version: &'static str,
    /// The settings, in the order in which they are asked for.
    pub settings: [SettingSpec; 4],
    /// The hosts to reach.
    pub hosts: [&'static str; 1],
    /// What must be granted.
    pub permissions: [Permission; 6],
    /// How it is set up.
    pub guide: Vec<Step>,
    /// More to read.
    pub docs_url: &'static str,
}

/// What the provider is. The same at every call.
pub fn describe() -> Description {
    Description {
        id: "okta",
        name: "Okta",
        version: VERSION,
        settings: [
            SettingSpec {
                name: OKTA_DOMAIN,
                label: "Okta domain",
                help: "The address of your Okta org. It stands in the user menu at the upper right of the Okta \
                       dashboard, under your name.",
                placeholder: "your-company.okta.com",
                pattern: "[a-z0-9-]+(\\.[a-z0-9-]+)+(:[0-9]{1,5})?",
                required: true,
            },
            SettingSpec {
                name: CLIENT_ID,
                label: "Client ID",
                help: "The id of the API service app. At Okta, open the app; it stands at the top of its General tab.",
                placeholder: "0oa1b2c3d4e5f6G7h8i9",
                pattern: "[A-Za-z0-9._-]{3,100}",
                required: true,
            },
            SettingSpec {
                name: APP_ID,
                label: "Only this app",
                help: "The id of the one app whose users and groups are synced. It is needed only when the service \
                       app's role can see more than one app.",
                placeholder: "0oa9h8g7f6e5d4C3b2a1",
                pattern: "[A-Za-z0-9._-]{3,100}",
                required: false,
            },
            SettingSpec {
                name: RATE_LIMIT_PERCENT,
                label: "Share of Okta's rate limits",
                help: "How many percent of each of Okta's rate limits a sync may use. What is left over serves the \
                       org's other clients. Without it a sync uses half.",
                placeholder: "50",
                pattern: "[1-9][0-9]?|100",
                required: false,
            },
        ],
        hosts: ["{okta_domain}"],
        permissions: [
            Permission {
                name: SCOPES[0],
                why: "lists the apps, and which users and groups are assigned to them",
            },
            Permission {
                name: SCOPES[1],
                why: "reads the assigned groups and who is in them",
            },
            Permission {
                name: SCOPES[2],
                why: "reads the names, addresses and statuses of the assigned users",
            },
            Permission {
                name: "View users and their details",
                why: "lets the role see the users that the scope speaks of",
            },
            Permission {
                name: "View groups and their details",
                why: "lets the role see the groups that the scope speaks of",
            },
            Permission {
                name: "View applications and their details",
                why: "lets the role see the sign-in app and its assignments",
            },
        ],
        guide: guide::steps(),
        docs_url: "https://developer.okta.com/docs/guides/implement-oauth-for-okta-serviceapp/main/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_a_guide_step_fills_exists() {
        let description = describe();
        for step in &description.guide {
            for name in step.fills {
                assert!(
                    description.settings.iter().any(|spec| spec.name == *name),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn the_guide_shows_the_public_key_once_and_asks_for_what_is_required() {
        let description = describe();
        let shows = description
            .guide
            .iter()
            .filter(|step| step.shows_public_key)
            .count();
        assert_eq!(shows, 1);
        for spec in description.settings.iter().filter(|spec| spec.required) {
            assert!(
                description
                    .guide
                    .iter()
                    .any(|step| step.fills.contains(&spec.name))
            );
        }
    }

    #[test]
    fn the_guide_tells_everything_that_must_be_granted() {
        let description = describe();
        let text: String = description
            .guide
            .iter()
            .map(|step| step.text.to_lowercase())
            .collect();
        for permission in description.permissions {
            assert!(
                text.contains(&permission.name.to_lowercase()),
                "{}",
                permission.name
            );
        }
    }
}
