//! The little of `search`, `filter` and `q` of the Users API that a client needs to find one person.

use crate::answer::{Answer, okta_error};
use crate::org::User;

/// Whom a listing of users is about: anyone when empty, else whoever fits one of the terms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search(Vec<Term>);

#[derive(Debug, Clone)]
struct Term {
    attribute: String,
    is_start: bool,
    value: String,
}

impl Search {
    /// Whom the parameters ask for.
    pub(crate) fn from_query(query: &[(String, String)]) -> Result<Self, Answer> {
        let value = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        if let Some(expression) = value("search").or_else(|| value("filter")) {
            let terms: Option<Vec<_>> = split(expression).iter().map(|term| Term::parse(term)).collect();
            let refused = || {
                let summary = "Invalid search criteria.";
                okta_error(http::StatusCode::BAD_REQUEST, "E0000031", summary, &[])
            };
            return terms.map(Self).ok_or_else(refused);
        }
        let starts = value("q").map(|start| {
            [
                "profile.firstName",
                "profile.lastName",
                "profile.email",
                "profile.login",
            ]
            .map(|attribute| Term {
                attribute: attribute.to_owned(),
                is_start: true,
                value: start.to_owned(),
            })
        });
        Ok(Self(starts.map(Vec::from).unwrap_or_default()))
    }

    /// Whether anyone fits.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a user fits.
    pub(crate) fn finds(&self, user: &User) -> bool {
        self.0.is_empty() || self.0.iter().any(|term| term.fits(user))
    }
}

/// The terms of an expression that are joined by `or`.
fn split(expression: &str) -> Vec<String> {
    expression
        .split(" or ")
        .map(|term| term.trim().trim_matches(['(', ')']).to_owned())
        .collect()
}

impl Term {
    /// Reads `profile.login eq "someone"`.
    fn parse(term: &str) -> Option<Self> {
        let (attribute, rest) = term.trim().split_once(' ')?;
        let (operator, value) = rest.trim().split_once(' ')?;
        let is_start = match operator.to_ascii_lowercase().as_str() {
            "eq" => false,
            "sw" => true,
            _ => return None,
        };
        let value: String = serde_json::from_str(value.trim()).ok()?;
        Term::value_of(attribute, None)?;
        Some(Self {
            attribute: attribute.to_owned(),
            is_start,
            value,
        })
    }

    /// The value of an attribute; `None` for an attribute that is not known here.
    fn value_of<'a>(attribute: &str, user: Option<&'a User>) -> Option<&'a str> {
        let Some(user) = user else {
            let known = [
                "id",
                "status",
                "profile.login",
                "profile.email",
                "profile.firstName",
                "profile.lastName",
            ];
            return known.contains(&attribute).then_some("");
        };
        match attribute {
            "id" => Some(user.id.as_str()),
            "status" => Some(user.status.as_str()),
            "profile.login" => Some(&user.login),
            "profile.email" => user.email.as_deref(),
            "profile.firstName" => user.first_name.as_deref(),
            "profile.lastName" => user.last_name.as_deref(),
            _ => None,
        }
    }

    fn fits(&self, user: &User) -> bool {
        let Some(value) = Self::value_of(&self.attribute, Some(user)) else {
            return false;
        };
        // Okta compares logins and addresses without their case.
        let (value, wanted) = (value.trim().to_lowercase(), self.value.trim().to_lowercase());
        if self.is_start {
            value.starts_with(&wanted)
        } else {
            value == wanted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Size, org};

    fn found(name: &str, value: &str) -> Option<Vec<String>> {
        let org = org(
            2,
            &Size {
                users: 60,
                groups: 0,
                per_group: 0,
                shape: crate::generate::Shape::default(),
            },
        );
        let search = Search::from_query(&[(name.to_owned(), value.to_owned())]).ok()?;
        Some(
            org.users
                .iter()
                .filter(|user| search.finds(user))
                .map(|user| user.login.to_string())
                .collect(),
        )
    }

    #[test]
    fn a_person_is_found_by_login_or_address_whatever_the_case() {
        let both = r#"profile.login eq "SVC-22" or profile.email eq "shared.mailbox@ACME.example""#;
        assert_eq!(found("search", both).unwrap().len(), 2);
        assert_eq!(found("q", "svc-2").unwrap(), ["svc-22"]);
        assert_eq!(found("filter", r#"profile.shoe eq "9""#), None);
    }
}
