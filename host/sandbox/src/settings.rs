//! Whether a directory's settings are those that its plugin asks for.

use idsync_model::{Description, SettingProblem, SettingSpec, Settings};
use regex::{Regex, RegexBuilder};

/// The largest program that a pattern may become, in bytes. Patterns come from plugins.
const PATTERN_BYTES: usize = 256 * 1024;
/// The longest value, in characters.
const VALUE_CHARS: usize = 4_096;

/// Whether settings that are missing are a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// A form is filled in bit by bit.
    Draft,
    /// All that is required must be there.
    Complete,
}

/// What is wrong with `settings`, which `normalize` has put into their canonical form: a name that the plugin does not
/// know, a secret among what is shown, a value that its pattern does not match entirely, and, where they must be
/// complete, one that is missing. Secrets are kept elsewhere, so that one may be missing here.
pub fn check(
    description: &Description,
    settings: &Settings,
    completeness: Completeness,
) -> Result<(), Vec<SettingProblem>> {
    let mut problems = Vec::new();
    for (name, value) in &settings.0 {
        if let Some(problem) = problem_of(description, name, value) {
            problems.push(SettingProblem {
                name: name.clone(),
                problem,
            });
        }
    }
    if completeness == Completeness::Complete {
        for setting in &description.settings {
            if setting.required && !setting.secret && settings.get(&setting.name).is_none_or(str::is_empty) {
                problems.push(SettingProblem {
                    name: setting.name.clone(),
                    problem: format!("{} is missing: {}", setting.label, setting.help),
                });
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn problem_of(description: &Description, name: &str, value: &str) -> Option<String> {
    let Some(setting) = description.settings.iter().find(|setting| setting.name == name) else {
        let known: Vec<&str> = description
            .settings
            .iter()
            .map(|setting| setting.name.as_str())
            .collect();
        return Some(format!(
            "{} has no such setting; it has {}",
            description.name,
            known.join(", ")
        ));
    };
    if setting.secret {
        return Some(format!(
            "{} is a secret and is not kept among the settings",
            setting.label
        ));
    }
    if value.chars().count() > VALUE_CHARS {
        return Some(too_long(setting));
    }
    (!fits(setting, value)).then(|| {
        format!(
            "`{value}` is no {}; it should look like `{}`",
            setting.label, setting.placeholder
        )
    })
}

/// What is wrong with the value of a secret: more than 4,096 characters, or not entirely what its pattern says. The
/// problem's text never shows the value.
pub fn check_secret(spec: &SettingSpec, value: &str) -> Result<(), SettingProblem> {
    let problem = if value.chars().count() > VALUE_CHARS {
        too_long(spec)
    } else if fits(spec, value) {
        return Ok(());
    } else {
        let label = &spec.label;
        format!(
            "the value is no {label}; it should look like `{}`",
            spec.placeholder
        )
    };
    Err(SettingProblem {
        name: spec.name.clone(),
        problem,
    })
}

fn too_long(spec: &SettingSpec) -> String {
    format!("{} has more than {VALUE_CHARS} characters", spec.label)
}

fn fits(spec: &SettingSpec, value: &str) -> bool {
    compile(&whole(&spec.pattern)).is_ok_and(|pattern| pattern.is_match(value))
}

/// Whether a pattern can be asked of a whole value. Descriptions have no other ones.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), regex::Error> {
    // Alone first: `a)(b` is no pattern, though it would be one in parentheses.
    compile(pattern)?;
    compile(&whole(pattern)).map(drop)
}

fn whole(pattern: &str) -> String {
    format!("\\A(?:{pattern})\\z")
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, pattern: &str, required: bool, secret: bool) -> SettingSpec {
        SettingSpec {
            name: name.to_owned(),
            label: name.to_uppercase(),
            help: "Ask for it.".to_owned(),
            placeholder: "example".to_owned(),
            pattern: pattern.to_owned(),
            required,
            secret,
        }
    }

    fn provider() -> Description {
        Description {
            id: "test".to_owned(),
            name: "Test".to_owned(),
            version: "1.0.0".to_owned(),
            settings: vec![
                setting("domain", "[a-z]+|[0-9]+", true, false),
                setting("app", ".*", false, false),
                setting("token", ".+", true, true),
            ],
            key: None,
            hosts: Vec::new(),
            permissions: Vec::new(),
            guide: Vec::new(),
            docs_url: None,
        }
    }

    fn problems(pairs: &[(&str, &str)], completeness: Completeness) -> Vec<String> {
        let settings = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        match check(&provider(), &settings, completeness) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.name).collect(),
        }
    }

    #[test]
    fn the_whole_value_must_match() {
        assert!(problems(&[("domain", "abc")], Completeness::Complete).is_empty());
        assert!(problems(&[("domain", "123")], Completeness::Complete).is_empty());
        for value in ["abc1", "1abc", "abc\n", " abc", ""] {
            assert_eq!(
                problems(&[("domain", value)], Completeness::Draft),
                ["domain"],
                "{value:?}"
            );
        }
    }

    #[test]
    fn what_is_unknown_or_secret_is_refused() {
        assert_eq!(problems(&[("tenant", "x")], Completeness::Draft), ["tenant"]);
        assert_eq!(problems(&[("token", "x")], Completeness::Draft), ["token"]);
    }

    #[test]
    fn what_is_missing_is_a_problem_only_where_all_must_be_there() {
        assert!(problems(&[], Completeness::Draft).is_empty());
        assert_eq!(problems(&[], Completeness::Complete), ["domain"]);
    }

    #[test]
    fn a_secret_is_held_against_its_whole_pattern_and_never_shown() {
        let token = setting("token", "tok_[a-z]{8}", true, true);
        check_secret(&token, "tok_abcdefgh").expect("it fits");
        for wrong in [
            "tok_hunter",
            "xtok_abcdefgh",
            "tok_abcdefgh\n",
            "tok_abcdefghi",
            "",
        ] {
            let problem = check_secret(&token, wrong).expect_err("it does not fit");
            assert_eq!(problem.name, "token");
            assert!(problem.problem.contains("TOKEN"), "{problem:?}");
            assert!(
                wrong.is_empty() || !problem.problem.contains(wrong.trim()),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn a_secret_has_at_most_4096_characters() {
        let token = setting("token", "(?s).*", true, true);
        check_secret(&token, &"ü".repeat(4_096)).expect("it is just short enough");
        let problem = check_secret(&token, &"ü".repeat(4_097)).expect_err("it is too long");
        assert!(problem.problem.contains("4096"), "{problem:?}");
        assert!(!problem.problem.contains('ü'), "{problem:?}");
    }

    #[test]
    fn parentheses_do_not_escape_the_pattern() {
        assert!(check_pattern("a)|(?:b").is_err());
        assert!(!fits(&setting("either", "a|b", true, false), "ab"));
    }
}
