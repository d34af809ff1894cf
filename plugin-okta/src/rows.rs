//! From Okta's JSON to the contract's rows: which users are active, what they are called, what is left out.

use std::borrow::Cow;

use crate::clock::parse_timestamp_ms;
use crate::host;
use crate::model::{Group, Text, User};

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
/// Why a user whose address or login is no text is left out: mended it could be another's.
const BROKEN_EMAIL: &str = "The user's e-mail at Okta has half of a character (a lone surrogate). Correct the primary \
                            email of the user's profile.";
const BROKEN_LOGIN: &str = "The user's login at Okta has half of a character (a lone surrogate). Correct the username \
                            of the user's profile.";

/// The host cuts long texts and says so; these bounds only keep one row from being larger than a call may be.
const LONGEST_TEXT_BYTES: usize = 128 << 10;

/// Whether users with this status are synced.
pub fn is_active(status: &str) -> bool {
    ACTIVE_STATUSES.contains(&status)
}

/// Why readers can't be shown a user, whatever its status.
pub fn defect(user: &User<'_>) -> Option<&'static str> {
    let profile = &user.profile.0;
    if profile.email.trimmed().is_none() {
        Some(NO_EMAIL)
    } else if profile.email.is_mended() {
        Some(BROKEN_EMAIL)
    } else {
        profile.login.is_mended().then_some(BROKEN_LOGIN)
    }
}

/// A user's row, or why it has none; a user whom readers don't see always has one. `id` is the id in the listing.
pub fn user<'p>(id: &'p str, user: &'p User<'_>) -> Result<host::User<'p>, &'static str> {
    let profile = &user.profile.0;
    let status = user.status.trimmed().unwrap_or_default();
    if is_active(status)
        && let Some(why) = defect(user)
    {
        return Err(why);
    }
    let email = profile.email.trimmed().map_or_else(Cow::default, in_lower_case);
    let login = profile.login.trimmed();
    let (given, family) = (profile.first_name.trimmed(), profile.last_name.trimmed());
    let full_name = || match (given, family) {
        (Some(given), Some(family)) => Some(Cow::Owned(format!("{given} {family}"))),
        (one, other) => one.or(other).map(Cow::Borrowed),
    };
    let shown = profile.display_name.trimmed().map(Cow::Borrowed);
    let display_name = shown.or_else(full_name).or(login.map(Cow::Borrowed));
    Ok(host::User {
        external_id: Cow::Borrowed(id),
        username: bounded(login.map_or_else(|| email.clone(), in_lower_case)),
        email: bounded(email),
        display_name: display_name.map(bounded),
        given_name: given.map(|name| bounded(Cow::Borrowed(name))),
        family_name: family.map(|name| bounded(Cow::Borrowed(name))),
        active: is_active(status),
        provider_status: bounded(Cow::Borrowed(status)),
    })
}

/// What is not in a user's row as it is at Okta, for people.
pub fn user_remark(user: &User<'_>) -> Option<String> {
    let profile = &user.profile.0;
    remark(&[
        ("e-mail", &profile.email),
        ("login", &profile.login),
        ("display name", &profile.display_name),
        ("given name", &profile.first_name),
        ("family name", &profile.last_name),
        ("status", &user.status),
    ])
}

/// The same of a group.
pub fn group_remark(group: &Group<'_>) -> Option<String> {
    let profile = &group.profile.0;
    remark(&[
        ("name", &profile.name),
        ("description", &profile.description),
        ("kind", &group.kind),
    ])
}

fn remark(texts: &[(&str, &Text<'_>)]) -> Option<String> {
    let mended = texts.iter().filter(|(_, text)| text.is_mended());
    let names: Vec<&str> = mended.map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "half of a character (a lone surrogate) is shown as \u{fffd} in its {}",
            names.join(", ")
        )
    })
}

/// A group's row. `id` is the id in the listing.
pub fn group(id: &str, group: &Group<'_>) -> host::Group {
    let profile = &group.profile.0;
    host::Group {
        external_id: id.to_owned(),
        name: cut(profile.name.trimmed().unwrap_or_default()).to_owned(),
        description: profile.description.trimmed().map(|text| cut(text).to_owned()),
        provider_kind: group.kind.trimmed().map(|kind| cut(kind).to_owned()),
        members_changed_at: group
            .last_membership_updated
            .trimmed()
            .and_then(parse_timestamp_ms),
    }
}

/// Most addresses are in lower case as they are.
fn in_lower_case(text: &str) -> Cow<'_, str> {
    let is_so = text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_so {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

fn bounded(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(mut text) => {
            text.truncate(cut(&text).len());
            Cow::Owned(text)
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT_BYTES)]
}

/// About how many bytes a row takes on its way to the host.
pub trait Weight {
    /// The bytes.
    fn bytes(&self) -> usize;
}

impl Weight for host::User<'_> {
    fn bytes(&self) -> usize {
        let optional = [&self.display_name, &self.given_name, &self.family_name];
        let optional: usize = optional.into_iter().flatten().map(|text| text.len()).sum();
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
pub fn batches<T: Weight>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let (batch, rest) = rows.split_at(batch_len(rows));
        rows = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

/// How many of the first rows are a batch: at least one, where there is one.
fn batch_len<T: Weight>(rows: &[T]) -> usize {
    const BATCH_BYTES: usize = 768 << 10;
    let mut bytes = 0;
    let fits = |row: &&T| {
        bytes += row.bytes();
        bytes <= BATCH_BYTES
    };
    rows.iter().take_while(fits).count().max(1).min(rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::owned;

    fn row(profile: &str, status: &str) -> Option<host::User<'static>> {
        let json = format!(r#"{{"id":"00u1","status":"{status}","profile":{profile}}}"#);
        let read: User<'_> = serde_json::from_str(&json).unwrap();
        user("00u1", &read).map(owned).ok()
    }

    #[test]
    fn addresses_and_logins_are_trimmed_and_in_lower_case() {
        let user = row(r#"{"email":" Ada+x@Acme.TEST ","login":"ADA"}"#, "ACTIVE").unwrap();
        assert_eq!(
            (user.email.as_ref(), user.username.as_ref()),
            ("ada+x@acme.test", "ada")
        );
    }

    #[test]
    fn what_needs_no_mending_stays_in_the_page() {
        let json = r#"{"id":"00u1","status":"ACTIVE","profile":{
            "email":"ada@acme.test","login":" \u00c4da@acme.test","firstName":" Ada ","displayName":"Ada"}}"#;
        let read: User<'_> = serde_json::from_str(json).unwrap();
        let user = user("00u1", &read).unwrap();
        let is_borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
        assert!(is_borrowed(&user.email) && is_borrowed(&user.provider_status));
        assert!(user.display_name.as_ref().is_some_and(is_borrowed));
        assert!(user.given_name.as_ref().is_some_and(is_borrowed));
        assert_eq!(user.username, "\u{e4}da@acme.test");
        assert_eq!(user.given_name.as_deref(), Some("Ada"));
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
        let batches: Vec<_> = batches(&rows).collect();
        assert!(batches.len() > 5);
        assert!(
            batches
                .iter()
                .all(|batch| batch.iter().map(Weight::bytes).sum::<usize>() < 1 << 20)
        );
        assert_eq!(batches.concat(), rows);
    }
}
