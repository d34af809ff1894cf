//! How the org is set up and how it behaves: what an admin would set at Okta, and the habits of Okta that differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether the service app requires DPoP (Okta: "Require Demonstrating Proof of Possession").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Dpop {
    /// A token request without a proof is refused.
    Required,
    /// A token request without a proof gets a Bearer token.
    Optional,
}

/// The permissions of the custom role of the service app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// View users and their details.
    pub users: bool,
    /// View groups and their details.
    pub groups: bool,
    /// View applications and their details.
    pub apps: bool,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            users: true,
            groups: true,
            apps: true,
        }
    }
}

/// What the role reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceSet {
    /// The ids of the apps in it; null for all apps.
    pub apps: Option<Vec<String>>,
    /// Whether "All users" is in it.
    pub users: bool,
    /// Whether "All groups" is in it.
    pub groups: bool,
}

impl Default for ResourceSet {
    fn default() -> Self {
        Self {
            apps: None,
            users: true,
            groups: true,
        }
    }
}

/// What is answered where the service app may not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// 403 with Okta's code E0000006.
    Forbidden,
    /// An empty listing; 403 for a thing asked for by its id.
    Empty,
}

/// How `Link` is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkHeaders {
    /// One header for each link, as Okta does today.
    Several,
    /// All links in one header, as recorded in 2017.
    One,
    /// In turn.
    Alternate,
}

/// When the links of app users lack `expand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropsExpand {
    /// On each page.
    Always,
    /// On none.
    Never,
    /// On every other page.
    AtTimes,
}

/// All that can be set while the org runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The id of the service app.
    pub client_id: String,
    /// The id of the org, at `/.well-known/okta-organization`.
    pub org_id: String,
    /// Whether the service app requires DPoP.
    pub dpop: Dpop,
    /// The scopes granted to the service app.
    pub granted_scopes: Vec<String>,
    /// What a token says of its life, in seconds.
    pub expires_in: i64,
    /// How long a token truly lives, in seconds, where that differs.
    pub token_life: Option<i64>,
    /// The role of the service app; null for none.
    pub role: Option<Role>,
    /// What is answered when the role lacks a permission.
    pub without_permission: Refusal,
    /// What the role reaches.
    pub resource_set: ResourceSet,
    /// What is answered about what the role does not reach.
    pub outside_resource_set: Refusal,
    /// How `Link` is sent.
    pub link_headers: LinkHeaders,
    /// When the links of app users lack `expand`.
    pub drops_expand: DropsExpand,
    /// Whether resource requests need the present nonce in their proof.
    pub resource_nonce: bool,
    /// Each answer waits so long, in milliseconds.
    pub latency_ms: u64,
    /// How many requests each bucket allows in a window.
    pub limit: u32,
    /// Buckets with a limit of their own: `apps`, `groups`, `users`, `token`.
    pub limits: BTreeMap<String, u32>,
    /// How long a window is, in seconds.
    pub window_secs: i64,
    /// How many requests may run at once; more are refused as Okta refuses them.
    pub concurrent: Option<usize>,
}

impl Settings {
    /// The limit of a bucket.
    pub(crate) fn limit_of(&self, bucket: &str) -> u32 {
        self.limits.get(bucket).copied().unwrap_or(self.limit)
    }

    /// These settings with what a JSON object says differently (RFC 7396).
    pub(crate) fn patched(&self, patch: &serde_json::Value) -> serde_json::Result<Self> {
        let mut whole = serde_json::to_value(self)?;
        merge(&mut whole, patch);
        serde_json::from_value(whole)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            org_id: String::new(),
            dpop: Dpop::Required,
            granted_scopes: ["okta.apps.read", "okta.groups.read", "okta.users.read"]
                .map(str::to_owned)
                .into(),
            expires_in: 3_600,
            token_life: None,
            role: Some(Role::default()),
            without_permission: Refusal::Forbidden,
            resource_set: ResourceSet::default(),
            outside_resource_set: Refusal::Empty,
            link_headers: LinkHeaders::Several,
            drops_expand: DropsExpand::AtTimes,
            resource_nonce: false,
            latency_ms: 0,
            limit: 1_200,
            limits: BTreeMap::new(),
            window_secs: 60,
            concurrent: None,
        }
    }
}

/// Merges as RFC 7396 says, except that null is a value here.
fn merge(into: &mut serde_json::Value, patch: &serde_json::Value) {
    match (into.as_object_mut(), patch.as_object()) {
        (Some(fields), Some(changes)) => {
            for (name, change) in changes {
                merge(
                    fields.entry(name.clone()).or_insert(serde_json::Value::Null),
                    change,
                );
            }
        }
        _ => *into = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let patch =
            serde_json::json!({"resource_set": {"users": false}, "role": null, "limits": {"users": 3}});
        let patched = Settings::default().patched(&patch).unwrap();
        assert!(!patched.resource_set.users && patched.resource_set.groups);
        assert_eq!(patched.role, None);
        assert_eq!((patched.limit_of("users"), patched.limit_of("apps")), (3, 1_200));
        assert!(
            Settings::default()
                .patched(&serde_json::json!({"no_such": 1}))
                .is_err()
        );
    }
}
