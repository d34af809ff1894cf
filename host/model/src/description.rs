//! What a provider says of itself: settings, hosts, permissions, the setup guide.

use serde::{Deserialize, Serialize};

/// How a directory's key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
}

/// One setting that an admin fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingSpec {
    /// Its name on the command line and in the API.
    pub name: String,
    /// Its name in forms.
    pub label: String,
    /// What it is, and where the admin finds it.
    pub help: String,
    /// An example.
    pub placeholder: String,
    /// A regular expression that the whole normalised value matches.
    pub pattern: String,
    /// Whether a directory works without it.
    pub required: bool,
    /// Whether it is kept sealed and shown nowhere.
    pub secret: bool,
}

/// Something that the plugin must be granted at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The provider's own name of it.
    pub name: String,
    /// What the plugin does with it.
    pub why: String,
}

/// One step of the setup guide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuideStep {
    /// What is done in it.
    pub title: String,
    /// How, in Markdown.
    pub text: String,
    /// The settings that are known after it.
    pub fills: Vec<String>,
    /// Whether the public key is copied in this step.
    pub shows_public_key: bool,
}

/// What a provider is and needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The word for it on the command line.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The plugin's version (semver.org).
    pub version: String,
    /// The settings, in the order in which they are asked for.
    pub settings: Vec<SettingSpec>,
    /// The kind of key pair a directory needs, where it needs one.
    pub key: Option<KeyAlgorithm>,
    /// The hosts to reach; a setting's name in braces stands for its value.
    pub hosts: Vec<String>,
    /// What must be granted.
    pub permissions: Vec<Permission>,
    /// How an admin sets it up.
    pub guide: Vec<GuideStep>,
    /// More to read.
    pub docs_url: Option<String>,
}
