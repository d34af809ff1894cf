//! What is read of Okta's JSON. Texts are borrowed from the page where they can be.

use std::borrow::Cow;

use serde::Deserialize;

use super::database::{GroupRow, UserRow};

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
pub struct AppUser<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "_embedded")]
    embedded: EmbeddedUser<'a>,
}

#[derive(Deserialize)]
struct EmbeddedUser<'a> {
    #[serde(borrow)]
    user: User<'a>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    profile: Profile<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    #[serde(borrow, default)]
    login: Text<'a>,
    #[serde(borrow, default)]
    email: Text<'a>,
    #[serde(borrow, default)]
    first_name: Text<'a>,
    #[serde(borrow, default)]
    last_name: Text<'a>,
    #[serde(borrow, default)]
    display_name: Text<'a>,
}

impl AppUser<'_> {
    pub fn row(&self) -> UserRow {
        let owned = |text: &Text<'_>| text.as_deref().map(str::to_owned);
        let profile = &self.embedded.user.profile;
        UserRow {
            external_id: self.id.to_string(),
            email: owned(&profile.email),
            username: owned(&profile.login),
            display_name: owned(&profile.display_name),
            given_name: owned(&profile.first_name),
            family_name: owned(&profile.last_name),
            status: self.embedded.user.status.to_string(),
        }
    }
}

#[derive(Deserialize)]
pub struct AppGroup<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow, rename = "_embedded")]
    embedded: EmbeddedGroup<'a>,
}

#[derive(Deserialize)]
struct EmbeddedGroup<'a> {
    #[serde(borrow)]
    group: Group<'a>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow)]
    profile: GroupProfile<'a>,
}

#[derive(Deserialize)]
struct GroupProfile<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Text<'a>,
}

impl AppGroup<'_> {
    pub fn row(&self) -> GroupRow {
        let profile = &self.embedded.group.profile;
        GroupRow {
            external_id: self.id.to_string(),
            name: profile.name.to_string(),
            description: profile.description.as_deref().map(str::to_owned),
        }
    }
}

#[derive(Deserialize)]
pub struct Member<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
}
