//! Text from a guest, made fit for terminals and logs.

/// At most `limit` characters of `text` (the last is `…` where some were cut), without anything that a terminal acts
/// on: control characters, line ends too, and marks that turn the direction of writing become U+FFFD.
pub fn cleaned(text: &str, limit: usize) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let is_cut = text.chars().nth(limit).is_some();
    let kept = if is_cut { limit.saturating_sub(1) } else { limit };
    let mut clean: String = text.chars().take(kept).map(harmless).collect();
    if is_cut {
        clean.push('…');
    }
    clean
}

fn harmless(character: char) -> char {
    if is_harmless(character) {
        character
    } else {
        '\u{fffd}'
    }
}

/// Whether a terminal shows the character and does nothing else with it. Control characters (all but the tab), marks
/// that turn the direction of writing and the separators of lines and paragraphs are not harmless.
pub fn is_harmless(character: char) -> bool {
    let turns_writing = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(character, '\u{2028}' | '\u{2029}');
    (!character.is_control() || character == '\t') && !turns_writing && !ends_line
}

#[cfg(test)]
mod tests {
    use super::{cleaned, is_harmless};

    #[test]
    fn text_of_the_right_length_is_kept_and_more_is_cut() {
        assert_eq!(cleaned("grün\n", 4), "grün");
        assert_eq!(cleaned("grüner", 4), "grü…");
        assert_eq!(cleaned("", 4), "");
    }

    #[test]
    fn what_terminals_act_on_is_replaced() {
        assert_eq!(
            cleaned("a\u{1b}[2Jb\nc\u{202e}d\u{9b}", 80),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}"
        );
        assert_eq!(cleaned("tab\tstays", 80), "tab\tstays");
    }

    #[test]
    fn what_is_harmless_is_told_of_each_character() {
        for shown in ['a', 'ü', ' ', '\t', '漢', '\u{fffd}', '🦀'] {
            assert!(is_harmless(shown), "{shown:?}");
        }
        for acted_on in [
            '\n', '\r', '\0', '\u{7f}', '\u{9b}', '\u{1b}', '\u{202e}', '\u{2067}', '\u{2028}',
        ] {
            assert!(!is_harmless(acted_on), "{acted_on:?}");
        }
    }
}
