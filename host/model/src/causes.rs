//! An error as one line of text: what happened, and why.

use std::error::Error;

/// An error and its causes on one line, each cause once: one whose text an error before it has already told is left
/// out.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the disk is full")]
    struct Deepest;

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Passed(#[from] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("writing failed")]
    struct Middle(#[source] Deepest);

    #[derive(Debug, thiserror::Error)]
    #[error("keeping the plan: writing failed")]
    struct Pasted(#[source] Middle);

    #[test]
    fn causes_follow_in_their_order() {
        assert_eq!(
            with_causes(&Passed(Middle(Deepest))),
            "writing failed: the disk is full"
        );
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        assert_eq!(
            with_causes(&Pasted(Middle(Deepest))),
            "keeping the plan: writing failed: the disk is full"
        );
    }
}
