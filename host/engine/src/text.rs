//! How long a provider's texts may be, and what becomes of those that are longer.

use idsync_model::{Group, User};

/// The most characters of a name, a description or a reason.
pub const MAX_TEXT_CHARS: usize = 1024;

/// The characters of a text that is too long; `None` where it may stay.
pub fn excess(text: &str) -> Option<usize> {
    // A text of so few bytes can't have more characters: most are not counted.
    if text.len() <= MAX_TEXT_CHARS {
        return None;
    }
    let count = text.chars().count();
    (count > MAX_TEXT_CHARS).then_some(count)
}

/// Cuts a text that is too long between two characters, and tells how many it had.
pub fn cut(text: &mut String) -> Option<usize> {
    let count = excess(text)?;
    let end = text
        .char_indices()
        .nth(MAX_TEXT_CHARS)
        .map_or(text.len(), |(position, _)| position);
    text.truncate(end);
    text.shrink_to_fit();
    Some(count)
}

/// How many bytes of text a user has.
pub fn of_user(user: &User) -> usize {
    let names = [&user.display_name, &user.given_name, &user.family_name];
    let names: usize = names.into_iter().flatten().map(String::len).sum();
    user.external_id.as_str().len()
        + user.email.len()
        + user.username.len()
        + user.provider_status.len()
        + names
}

/// How many bytes of text a group has.
pub fn of_group(group: &Group) -> usize {
    let more = [&group.description, &group.provider_kind];
    let more: usize = more.into_iter().flatten().map(String::len).sum();
    group.external_id.as_str().len() + group.name.len() + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_1_8_a_text_is_cut_between_characters() {
        let mut name = "ä".repeat(100 * 1024);
        assert_eq!(cut(&mut name), Some(100 * 1024));
        assert_eq!(name, "ä".repeat(MAX_TEXT_CHARS));
    }

    #[test]
    fn runs_1_8_a_text_of_just_the_limit_stays() {
        let mut name = "語".repeat(MAX_TEXT_CHARS);
        assert_eq!(cut(&mut name), None);
        assert_eq!(name.chars().count(), MAX_TEXT_CHARS);
    }

    proptest! {
        #[test]
        fn runs_1_8_what_is_cut_is_a_beginning(text in "\\PC{0,1500}") {
            let mut shorter = text.clone();
            let was = cut(&mut shorter);
            prop_assert!(text.starts_with(&shorter));
            prop_assert_eq!(shorter.chars().count(), text.chars().count().min(MAX_TEXT_CHARS));
            prop_assert_eq!(was.is_some(), text.chars().count() > MAX_TEXT_CHARS);
        }
    }
}
