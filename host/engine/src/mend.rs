//! What is done with records that are not as they should be: one bad record never stops a run.

use idsync_model::{Group, User};

use crate::text::{self, MAX_TEXT_CHARS};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// It was in order.
    AsItWas,
    /// It is usable now; how that was done.
    Changed(String),
    /// It can't be synced; why.
    Unusable(String),
}

impl Mended {
    fn by(remarks: &[String]) -> Self {
        if remarks.is_empty() {
            Self::AsItWas
        } else {
            Self::Changed(remarks.join("; "))
        }
    }
}

/// Mends a user. Names are cut; what people are told apart by is not, since it could become another's. Of a user whom
/// readers don't see anyway, it does not matter and is cut too.
pub fn user(user: &mut User) -> Mended {
    if user.active
        && let Some(why) = defect(user)
    {
        return Mended::Unusable(why);
    }
    let mut remarks = Vec::new();
    for (what, name) in [
        ("display name", &mut user.display_name),
        ("given name", &mut user.given_name),
        ("family name", &mut user.family_name),
    ] {
        if let Some(name) = name {
            cut(what, name, &mut remarks);
        }
    }
    cut("status", &mut user.provider_status, &mut remarks);
    // Those of an active user are within the limit here.
    cut("e-mail", &mut user.email, &mut remarks);
    cut("username", &mut user.username, &mut remarks);
    Mended::by(&remarks)
}

/// Why a user can't be shown to readers.
fn defect(user: &User) -> Option<String> {
    if user.email.trim().is_empty() {
        return Some("it has no e-mail".to_owned());
    }
    for (what, value) in [("e-mail", &user.email), ("username", &user.username)] {
        if let Some(count) = text::excess(value) {
            return Some(format!(
                "its {what} has {count} characters, and may have {MAX_TEXT_CHARS}"
            ));
        }
    }
    None
}

/// Mends a group: texts are cut, and one without a name is shown by its id.
pub fn group(group: &mut Group) -> Mended {
    let mut remarks = Vec::new();
    if group.name.trim().is_empty() {
        group.name = group.external_id.as_str().to_owned();
        remarks.push("it has no name, so its id is shown".to_owned());
    }
    cut("name", &mut group.name, &mut remarks);
    if let Some(description) = &mut group.description {
        cut("description", description, &mut remarks);
    }
    if let Some(kind) = &mut group.provider_kind {
        cut("kind", kind, &mut remarks);
    }
    Mended::by(&remarks)
}

fn cut(what: &str, value: &mut String, remarks: &mut Vec<String>) {
    if let Some(count) = text::cut(value) {
        remarks.push(format!(
            "its {what} of {count} characters was cut to {MAX_TEXT_CHARS}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use idsync_model::ExternalId;

    fn a_user() -> User {
        User {
            external_id: ExternalId::new("00u1").unwrap(),
            email: "a@example.com".to_owned(),
            username: "a@example.com".to_owned(),
            display_name: None,
            given_name: None,
            family_name: None,
            active: true,
            provider_status: "ACTIVE".to_owned(),
        }
    }

    fn a_group(name: &str) -> Group {
        Group {
            external_id: ExternalId::new("00g1").unwrap(),
            name: name.to_owned(),
            description: None,
            provider_kind: None,
            members_version: None,
        }
    }

    #[test]
    fn runs_1_8_a_user_in_order_stays() {
        let mut given = a_user();
        assert_eq!(user(&mut given), Mended::AsItWas);
        assert_eq!(given, a_user());
    }

    #[test]
    fn runs_1_8_a_name_of_100_kib_is_cut_and_said_so() {
        let mut given = User {
            display_name: Some("é".repeat(50 * 1024)),
            ..a_user()
        };
        assert_eq!(
            user(&mut given),
            Mended::Changed("its display name of 51200 characters was cut to 1024".to_owned())
        );
        assert_eq!(given.display_name, Some("é".repeat(1024)));
    }

    #[test]
    fn runs_1_8_a_user_without_e_mail_is_left_out() {
        let mut given = User {
            email: "  ".to_owned(),
            ..a_user()
        };
        assert_eq!(user(&mut given), Mended::Unusable("it has no e-mail".to_owned()));
    }

    #[test]
    fn runs_1_8_a_user_who_is_not_seen_anyway_needs_no_e_mail() {
        let mut given = User {
            email: String::new(),
            active: false,
            ..a_user()
        };
        assert_eq!(user(&mut given), Mended::AsItWas);
    }

    #[test]
    fn runs_1_8_what_a_user_who_is_not_seen_is_called_is_cut() {
        let mut given = User {
            email: "a".repeat(2000),
            username: "b".repeat(3000),
            active: false,
            ..a_user()
        };
        assert!(
            matches!(user(&mut given), Mended::Changed(how) if how.contains("2000") && how.contains("3000"))
        );
        assert_eq!((given.email.len(), given.username.len()), (1024, 1024));
    }

    #[test]
    fn runs_1_8_an_address_is_never_cut_into_another_one() {
        let mut given = User {
            email: format!("{}@example.com", "a".repeat(2000)),
            ..a_user()
        };
        assert!(matches!(user(&mut given), Mended::Unusable(why) if why.contains("2012 characters")));
    }

    #[test]
    fn runs_1_8_a_group_without_a_name_shows_its_id() {
        let mut given = a_group(" ");
        assert_eq!(
            group(&mut given),
            Mended::Changed("it has no name, so its id is shown".to_owned())
        );
        assert_eq!(given.name, "00g1");
    }
}
