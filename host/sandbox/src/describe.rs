//! Whether what a plugin says of itself can be relied on: names that are words, patterns that compile, hosts that can
//! be filled in, texts of a size that a page can show.
//!
//! A description may be as large as all that a plugin can say at once: of each list no more is looked at than may be in
//! it, and what is wrong is told up to a number.

use std::collections::BTreeSet;

use idsync_capability::is_harmless;
use idsync_model::{Description, SettingSpec};

use crate::settings::check_pattern;

const SETTINGS: usize = 50;
const HOSTS: usize = 50;
const PERMISSIONS: usize = 100;
const GUIDE_STEPS: usize = 50;
/// Settings that one step of the guide fills.
const FILLS: usize = SETTINGS;
/// Problems that are told; there may be more.
const PROBLEMS: usize = 20;
const NAME_CHARS: usize = 64;
const LINE_CHARS: usize = 200;
const HELP_CHARS: usize = 2_000;
const PATTERN_CHARS: usize = 1_000;
/// Of all patterns together: parsing one costs time by its length, however small the program that becomes of it.
const ALL_PATTERNS_CHARS: usize = 10_000;
const TEXT_CHARS: usize = 20_000;

/// What is wrong with a description, [`PROBLEMS`] at most; nothing where it is right. Patterns are compiled, which may
/// take a second: it does not belong on the executor.
pub(crate) fn problems(description: &Description) -> Vec<String> {
    let mut found = Problems(Vec::new());
    let is_letter = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();

    found.unless(is_word(&description.id, |c| is_letter(c) || c == '-'), || {
        format!(
            "its id `{}` is no word of lower-case letters, digits and `-`",
            shown(&description.id)
        )
    });
    found.line("its name", &description.name);
    found.line("its version", &description.version);
    if let Err(error) = semver::Version::parse(&description.version) {
        found.add(format!(
            "its version `{}` is no version as of semver.org ({error})",
            shown(&description.version)
        ));
    }
    if let Some(url) = &description.docs_url {
        found.unless(
            url.starts_with("https://")
                && url.chars().count() <= HELP_CHARS
                && url.chars().all(|c| is_shown(c) && !c.is_whitespace()),
            || "its address of documentation is no https URL".to_owned(),
        );
    }

    found.count("settings", description.settings.len(), SETTINGS);
    let mut known = BTreeSet::new();
    let settings = &description.settings[..description.settings.len().min(SETTINGS)];
    let mut pattern_chars = 0;
    for setting in settings {
        // What costs most is not begun for an answer that is long enough.
        if found.are_enough() {
            break;
        }
        found.setting(setting);
        pattern_chars += setting.pattern.chars().take(PATTERN_CHARS + 1).count();
        if pattern_chars > ALL_PATTERNS_CHARS {
            found.add(format!(
                "its patterns have more than {ALL_PATTERNS_CHARS} characters together"
            ));
            break;
        }
        if !known.insert(setting.name.as_str()) {
            found.add(format!("the setting `{}` is there twice", shown(&setting.name)));
        }
    }

    found.count("hosts", description.hosts.len(), HOSTS);
    for host in description.hosts.iter().take(HOSTS) {
        if let Err(problem) = check_host(host, settings) {
            found.add(format!("the host `{}` {problem}", shown(host)));
        }
    }

    found.count("permissions", description.permissions.len(), PERMISSIONS);
    for permission in description.permissions.iter().take(PERMISSIONS) {
        found.line("the name of a permission", &permission.name);
        found.text("the reason of a permission", &permission.why, HELP_CHARS);
    }

    found.count("steps of the guide", description.guide.len(), GUIDE_STEPS);
    for step in description.guide.iter().take(GUIDE_STEPS) {
        found.line("the title of a step", &step.title);
        found.text("the text of a step", &step.text, TEXT_CHARS);
        found.count("settings that a step of the guide fills", step.fills.len(), FILLS);
        for name in step.fills.iter().take(FILLS) {
            found.unless(known.contains(name.as_str()), || {
                format!("a step of the guide fills `{}`, which is no setting", shown(name))
            });
        }
        found.unless(!step.shows_public_key || description.key.is_some(), || {
            "a step of the guide shows a public key, and the directory has none".to_owned()
        });
    }
    found.0
}

struct Problems(Vec<String>);

impl Problems {
    fn are_enough(&self) -> bool {
        self.0.len() >= PROBLEMS
    }

    fn add(&mut self, problem: String) {
        if !self.are_enough() {
            self.0.push(problem);
        }
    }

    fn unless(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.add(problem());
        }
    }

    fn count(&mut self, what: &str, count: usize, limit: usize) {
        self.unless(count <= limit, || {
            format!("it has {count} {what}, more than {limit}")
        });
    }

    /// A line that must be there.
    fn line(&mut self, what: &str, line: &str) {
        self.unless(!line.trim().is_empty(), || format!("{what} is empty"));
        self.line_if_any(what, line, LINE_CHARS);
    }

    fn line_if_any(&mut self, what: &str, line: &str, limit: usize) {
        self.unless(line.chars().all(is_shown), || {
            format!("{what} holds control characters or line ends")
        });
        self.short(what, line, limit);
    }

    /// Lines that end in `\n`.
    fn text(&mut self, what: &str, text: &str, limit: usize) {
        self.unless(text.chars().all(|c| c == '\n' || is_shown(c)), || {
            format!("{what} holds control characters other than line ends")
        });
        self.short(what, text, limit);
    }

    fn short(&mut self, what: &str, text: &str, limit: usize) {
        self.unless(text.chars().nth(limit).is_none(), || {
            format!("{what} has more than {limit} characters")
        });
    }

    fn setting(&mut self, setting: &SettingSpec) {
        let name = shown(&setting.name);
        let is_named = is_word(&setting.name, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
        });
        self.unless(is_named, || {
            format!("the setting `{name}` is no word of lower-case letters, digits and `_`")
        });
        self.line(&format!("the label of `{name}`"), &setting.label);
        self.text(&format!("the help of `{name}`"), &setting.help, HELP_CHARS);
        self.line_if_any(
            &format!("the example of `{name}`"),
            &setting.placeholder,
            LINE_CHARS,
        );
        self.line_if_any(
            &format!("the pattern of `{name}`"),
            &setting.pattern,
            PATTERN_CHARS,
        );
        if setting.pattern.chars().nth(PATTERN_CHARS).is_some() {
            return;
        }
        if let Err(error) = check_pattern(&setting.pattern) {
            self.add(format!("the pattern of `{name}` does not compile ({error})"));
        }
    }
}

/// A host is labels and names of settings in braces, with an optional port.
fn check_host(host: &str, settings: &[SettingSpec]) -> Result<(), String> {
    if host.is_empty() || host.chars().nth(LINE_CHARS).is_some() {
        return Err("is empty or too long".to_owned());
    }
    let mut rest = host;
    let mut literal = String::new();
    while let Some(open) = rest.find('{') {
        literal.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        let close = after
            .find('}')
            .ok_or_else(|| "has a brace that is not closed".to_owned())?;
        let name = &after[..close];
        match settings.iter().find(|setting| setting.name == name) {
            None => return Err(format!("names `{}`, which is no setting", shown(name))),
            Some(setting) if setting.secret => {
                return Err(format!("names `{name}`, which is a secret: hosts are shown"));
            }
            Some(_) => literal.push('x'),
        }
        rest = &after[close + 1..];
    }
    literal.push_str(rest);
    let (name, port) = literal
        .split_once(':')
        .map_or((literal.as_str(), None), |(name, port)| (name, Some(port)));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("has a port that is no number".to_owned());
    }
    // Labels as of RFC 1123, section 2.1; a setting's value is checked by its own pattern.
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(is_label) {
        Ok(())
    } else {
        Err("is no host name: write it without scheme and path, in lower case".to_owned())
    }
}

/// Whether a page or a terminal shows the character and does nothing else.
fn is_shown(character: char) -> bool {
    is_harmless(character) && !character.is_control()
}

fn is_word(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    text.len() <= NAME_CHARS
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(allowed)
}

/// A text of the plugin's, short enough and plain enough for an error.
fn shown(text: &str) -> String {
    text.chars()
        .take(NAME_CHARS)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use idsync_model::{GuideStep, KeyAlgorithm, Permission};

    use super::*;

    fn right() -> Description {
        Description {
            id: "okta".to_owned(),
            name: "Okta".to_owned(),
            version: "1.2.0".to_owned(),
            settings: vec![SettingSpec {
                name: "okta_domain".to_owned(),
                label: "Okta domain".to_owned(),
                help: String::new(),
                placeholder: "acme.okta.com".to_owned(),
                pattern: r"[a-z0-9.-]+(:\d+)?".to_owned(),
                required: true,
                secret: false,
            }],
            key: Some(KeyAlgorithm::Rs256),
            hosts: vec!["{okta_domain}".to_owned(), "login.example.com:8443".to_owned()],
            permissions: vec![Permission {
                name: "okta.users.read".to_owned(),
                why: "to list users".to_owned(),
            }],
            guide: vec![GuideStep {
                title: "Make an app".to_owned(),
                text: "…".to_owned(),
                fills: vec!["okta_domain".to_owned()],
                shows_public_key: true,
            }],
            docs_url: Some("https://example.com/docs".to_owned()),
        }
    }

    /// What is found after one thing was made wrong.
    fn after(change: impl FnOnce(&mut Description)) -> String {
        let mut description = right();
        change(&mut description);
        problems(&description).join("; ")
    }

    #[test]
    fn a_right_description_has_no_problems() {
        assert_eq!(problems(&right()), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_part_is_named() {
        assert!(after(|d| d.id = "Okta!".to_owned()).contains("its id `Okta!`"));
        assert!(after(|d| d.version = "1".to_owned()).contains("its version `1`"));
        assert!(after(|d| d.name = " ".to_owned()).contains("its name is empty"));
        assert!(after(|d| d.settings[0].name = "a-b".to_owned()).contains("the setting `a-b`"));
        assert!(after(|d| d.settings[0].pattern = "(".to_owned()).contains("the pattern of `okta_domain`"));
        assert!(after(|d| d.settings.push(d.settings[0].clone())).contains("is there twice"));
        assert!(after(|d| d.settings[0].secret = true).contains("is a secret"));
        assert!(after(|d| d.hosts.push("{domain}".to_owned())).contains("`domain`, which is no setting"));
        assert!(after(|d| d.hosts.push("{okta_domain".to_owned())).contains("not closed"));
        assert!(after(|d| d.hosts.push("https://a.example".to_owned())).contains("https://a.example"));
        assert!(after(|d| d.hosts.push("*.example.com".to_owned())).contains("is no host name"));
        assert!(after(|d| d.guide[0].fills.push("x".to_owned())).contains("fills `x`"));
        assert!(after(|d| d.key = None).contains("public key"));
        assert!(after(|d| d.docs_url = Some("javascript:x".to_owned())).contains("https URL"));
    }

    #[test]
    fn a_pattern_that_would_take_all_memory_is_refused() {
        assert!(
            after(|d| d.settings[0].pattern = "((a{1000}){1000}){1000}".to_owned()).contains("the pattern")
        );
    }

    #[test]
    fn what_terminals_act_on_is_refused_in_all_texts() {
        for acted_on in ["\u{1b}[2J", "\u{9b}", "\r", "\t", "\u{202e}"] {
            let refused = |change: fn(&mut Description, &str)| {
                let found = after(|d| change(d, acted_on));
                assert!(found.contains("control characters"), "{acted_on:?}: {found}");
            };
            refused(|d, c| d.name.push_str(c));
            refused(|d, c| d.settings[0].label.push_str(c));
            refused(|d, c| d.settings[0].help.push_str(c));
            refused(|d, c| d.settings[0].placeholder.push_str(c));
            refused(|d, c| d.settings[0].pattern.push_str(c));
            refused(|d, c| d.permissions[0].name.push_str(c));
            refused(|d, c| d.permissions[0].why.push_str(c));
            refused(|d, c| d.guide[0].title.push_str(c));
            refused(|d, c| d.guide[0].text.push_str(c));
        }
        assert_eq!(after(|d| d.settings[0].help.push_str("one\ntwo")), "");
        assert_eq!(after(|d| d.guide[0].text.push_str("one\ntwo")), "");
        assert!(after(|d| d.settings[0].placeholder.push('\n')).contains("line ends"));
        assert!(after(|d| d.docs_url = Some("https://a.example/\u{1b}".to_owned())).contains("https URL"));
    }

    #[test]
    fn of_what_is_too_much_only_the_allowed_part_is_looked_at() {
        // What stands behind the limit would be a problem of its own, if it was looked at.
        let found = after(|d| {
            d.settings = (0..SETTINGS)
                .map(|n| SettingSpec {
                    name: format!("s{n}"),
                    ..d.settings[0].clone()
                })
                .collect();
            d.settings.resize(
                100_000,
                SettingSpec {
                    pattern: "(".to_owned(),
                    ..d.settings[0].clone()
                },
            );
            d.hosts = vec!["a.example".to_owned(); HOSTS];
            d.hosts.resize(100_000, String::new());
            let permission = d.permissions[0].clone();
            d.permissions = vec![permission.clone(); PERMISSIONS];
            d.permissions.resize(
                100_000,
                Permission {
                    name: String::new(),
                    ..permission
                },
            );
            d.guide[0].fills = vec!["s1".to_owned(); FILLS];
            let step = d.guide[0].clone();
            d.guide.resize(GUIDE_STEPS, step.clone());
            d.guide[0].fills.resize(100_000, "unknown".to_owned());
            d.guide.resize(
                100_000,
                GuideStep {
                    title: String::new(),
                    ..step
                },
            );
        });
        let expected = [
            "it has 100000 settings, more than 50",
            "it has 100000 hosts, more than 50",
            "it has 100000 permissions, more than 100",
            "it has 100000 steps of the guide, more than 50",
            "it has 100000 settings that a step of the guide fills, more than 50",
        ];
        assert_eq!(found, expected.join("; "));
    }

    #[test]
    fn no_more_problems_are_told_than_anyone_reads() {
        let mut description = right();
        description.hosts = vec!["*".to_owned(); HOSTS];
        description.guide[0].fills = vec!["unknown".to_owned(); FILLS];
        assert_eq!(problems(&description).len(), PROBLEMS);
    }

    #[test]
    fn patterns_together_have_a_limit() {
        let found = after(|d| {
            d.settings = (0..SETTINGS)
                .map(|n| SettingSpec {
                    name: format!("s{n}"),
                    pattern: "a".repeat(if n < 11 { PATTERN_CHARS } else { PATTERN_CHARS + 1 }),
                    ..d.settings[0].clone()
                })
                .collect();
            d.hosts.clear();
            d.guide.clear();
        });
        assert_eq!(found, "its patterns have more than 10000 characters together");
    }

    #[test]
    fn a_pattern_that_is_too_long_is_not_compiled() {
        let found = after(|d| d.settings[0].pattern = "(".repeat(PATTERN_CHARS + 1));
        assert_eq!(
            found,
            "the pattern of `okta_domain` has more than 1000 characters"
        );
    }
}
