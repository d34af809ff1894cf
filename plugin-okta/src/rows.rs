//! From Okta's JSON to the contract's rows: which users are active, what they are called, what is left out.

use crate::clock::parse_timestamp_ms;
use crate::host;
use crate::model::{Group, User};

/// The statuses whose users are synced (DESIGN §5). Okta's others are `SUSPENDED` and `DEPROVISIONED`.
pub const ACTIVE_STATUSES: [&str; 6] = [
    "ACTIVE",
    "STAGED",
    "PROVISIONED",
    "RECOVERY",
    "PASSWORD_EXPIRED",
    "LOCKED_OUT",
];

/// Why a user without an address is left out.
pub const NO_EMAIL: &str = "The user has no e-mail at Okta. Fill in the primary email of the user's profile.";

/// The host cuts long texts and says so; these bounds only keep one row from being larger than a call may be.
const LONGEST_TEXT_BYTES: usize = 128 << 10;

/// Whether users with this status are synced.
pub fn is_active(status: &str) -> bool {
    ACTIVE_STATUSES.contains(&status)
}

/// A user's row, or none when it has no address, which only a user whom readers don't see can do without. `id` is the
/// id in the listing.
pub fn user(id: &str, user: &User<'_>) -> Option<host::User> {
    let profile = &user.profile.0;
    let status = user.status.trimmed().unwrap_or_default();
    let email = match profile.email.trimmed() {
        Some(email) => email.to_lowercase(),
        None if is_active(status) => return None,
        None => String::new(),
    };
    let login = profile.login.trimmed();
    let (given, family) = (profile.first_name.trimmed(), profile.last_name.trimmed());
    let full_name = match (given, family) {
        (Some(given), Some(family)) => Some(format!("{given} {family}")),
        (one, other) => one.or(other).map(str::to_owned),
    };
    let display_name = profile
        .display_name
        .trimmed()
        .map(str::to_owned)
        .or(full_name)
        .or_else(|| login.map(str::to_owned));
    Some(host::User {
        external_id: id.to_owned(),
        username: bounded(login.map_or_else(|| email.clone(), str::to_lowercase)),
        email: bounded(email),
        display_name: display_name.map(bounded),
        given_name: given.map(|name| bounded(name.to_owned())),
        family_name: family.map(|name| bounded(name.to_owned())),
        active: is_active(status),
        provider_status: bounded(status.to_owned()),
    })
}

/// A group's row. `id` is the id in the listing.
pub fn group(id: &str, group: &Group<'_>) -> host::Group {
    let profile = &group.profile.0;
    host::Group {
        external_id: id.to_owned(),
        name: bounded(profile.name.trimmed().unwrap_or_default().to_owned()),
        description: profile.description.trimmed().map(|text| bounded(text.to_owned())),
        provider_kind: group.kind.trimmed().map(|kind| bounded(kind.to_owned())),
        members_changed_at: group
            .last_membership_updated
            .trimmed()
            .and_then(parse_timestamp_ms),
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT_BYTES));
    }
    text
}

/// About how many bytes a row takes on its way to the host.
pub trait Weight {
    /// The bytes.
    fn bytes(&self) -> usize;
}

impl Weight for host::User {
    fn bytes(&self) -> usize {
        let optional = [&self.display_name, &self.given_name, &self.family_name];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        128 + self.external_id.len()
            + self.email.len()
            + self.username.len()
            + self.provider_status.len()
            + optional
    }
}

impl Weight for host::Group {
    fn bytes(&self) -> usize {
        let optional = [&self.description, &self.provider_kind];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        128 + self.external_id.len() + self.name.len() + optional
    }
}

/// Rows in batches that fit well into one call to the host.
pub fn batches<T: Weight>(rows: Vec<T>) -> Vec<Vec<T>> {
    const BATCH_BYTES: usize = 768 << 10;
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut size = 0;
    for row in rows {
        let bytes = row.bytes();
        if size + bytes > BATCH_BYTES && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += bytes;
        batch.push(row);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(profile: &str, status: &str) -> Option<host::User> {
        let json = format!(r#"{{"id":"00u1","status":"{status}","profile":{profile}}}"#);
        user("00u1", &serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn addresses_and_logins_are_trimmed_and_in_lower_case() {
        let user = row(r#"{"email":" Ada+x@Acme.TEST ","login":"ADA"}"#, "ACTIVE").unwrap();
        assert_eq!(
            (user.email.as_str(), user.username.as_str()),
            ("ada+x@acme.test", "ada")
        );
    }

    #[test]
    fn runs_1_8_a_user_without_an_email_has_no_row() {
        assert_eq!(row(r#"{"login":"ada"}"#, "ACTIVE"), None);
        assert_eq!(row(r#"{"email":"  "}"#, "ACTIVE"), None);
        assert!(
            !row(r#"{"login":"ada"}"#, "SUSPENDED").unwrap().active,
            "nobody sees it"
        );
    }

    #[test]
    fn a_display_name_falls_back_to_the_full_name_and_then_to_the_login() {
        let name = |profile: &str| row(profile, "ACTIVE").unwrap().display_name.unwrap();
        let all =
            r#"{"email":"a@b","login":"L","firstName":"Ada","lastName":"King","displayName":"Countess"}"#;
        assert_eq!(name(all), "Countess");
        assert_eq!(name(&all.replace("Countess", " ")), "Ada King");
        assert_eq!(name(r#"{"email":"a@b","login":"L","lastName":"King"}"#), "King");
        assert_eq!(name(r#"{"email":"a@b","login":"L"}"#), "L");
        assert_eq!(row(r#"{"email":"a@b"}"#, "ACTIVE").unwrap().display_name, None);
    }

    #[test]
    fn only_the_statuses_of_people_who_may_come_back_by_themselves_are_active() {
        for status in ACTIVE_STATUSES {
            assert!(row(r#"{"email":"a@b"}"#, status).unwrap().active, "{status}");
        }
        for status in ["SUSPENDED", "DEPROVISIONED", "SOMETHING_NEW", ""] {
            assert!(!row(r#"{"email":"a@b"}"#, status).unwrap().active, "{status}");
        }
    }

    #[test]
    fn a_huge_name_is_cut_on_a_character_so_that_its_row_fits() {
        let profile = format!(
            r#"{{"email":"a@b","displayName":"x{}"}}"#,
            "\u{e4}".repeat(200_000)
        );
        let name = row(&profile, "ACTIVE").unwrap().display_name.unwrap();
        assert!(name.len() <= LONGEST_TEXT_BYTES && name.len() > LONGEST_TEXT_BYTES - 4);
    }

    #[test]
    fn batches_keep_all_rows_in_order_and_small() {
        let rows: Vec<host::Group> = (0..50)
            .map(|number| host::Group {
                external_id: number.to_string(),
                name: "n".repeat(100_000),
                description: None,
                provider_kind: None,
                members_changed_at: None,
            })
            .collect();
        let batches = batches(rows.clone());
        assert!(batches.len() > 5);
        assert!(
            batches
                .iter()
                .all(|batch| batch.iter().map(Weight::bytes).sum::<usize>() < 1 << 20)
        );
        assert_eq!(batches.concat(), rows);
    }
}
