//! Empty is a question, not an answer: what a missing permission would refuse or empty is asked for (RUNS §1.4).

use futures::lock::Mutex;

use crate::client::{Answer, Client};
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::Host;
use crate::model::Row;
use crate::okta_error::OktaError;
use crate::pace::Bucket;

/// What may be hidden from the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users.
    Users,
    /// Groups.
    Groups,
}

impl Kind {
    /// The word, which is also the check's id and the stage.
    pub fn word(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
        }
    }

    /// The role's permission.
    pub fn permission(self) -> &'static str {
        match self {
            Self::Users => "View users and their details",
            Self::Groups => "View groups and their details",
        }
    }

    /// What to do when the role lacks the permission.
    pub fn permission_hint(self) -> String {
        format!("{} {}.", hints::ROLE_PERMISSIONS, self.permission())
    }

    /// What to do when the resource set lacks them.
    pub fn resource_hint(self) -> String {
        match self {
            Self::Users => format!("{} Users \u{2192} All users.", hints::RESOURCE_SET),
            Self::Groups => format!("{} Groups \u{2192} All groups.", hints::RESOURCE_SET),
        }
    }
}

/// What a probe has told.
#[derive(Debug)]
pub enum Seen {
    /// There are some.
    Some,
    /// The answer was an empty list: the resource set has none.
    None,
    /// The answer was 403.
    Refused(Answer),
}

/// Asks for one user, or one group.
pub async fn look<H: Host>(client: &Client<'_, H>, kind: Kind) -> Result<Seen, Failure> {
    let (bucket, target) = match kind {
        Kind::Users => (Bucket::Users, "/api/v1/users?limit=1"),
        Kind::Groups => (Bucket::Groups, "/api/v1/groups?limit=1"),
    };
    let what = format!("one of the org's {}", kind.word());
    let answer = client.get(kind.word(), &what, bucket, target.to_owned()).await?;
    match answer.status {
        200 => {
            let rows: Vec<Row<'_>> = answer.json(kind.word(), &what)?;
            Ok(if rows.is_empty() { Seen::None } else { Seen::Some })
        }
        403 => Ok(Seen::Refused(answer)),
        _ => Err(answer.failure(kind.word(), &what)),
    }
}

/// The probes of one run: each is made once.
#[derive(Debug, Default)]
pub struct Probes {
    users: Mutex<bool>,
    groups: Mutex<bool>,
}

impl Probes {
    /// Succeeds when an empty listing of this kind is to be believed.
    pub async fn believe_empty<H: Host>(&self, client: &Client<'_, H>, kind: Kind) -> Result<(), Failure> {
        let probe = match kind {
            Kind::Users => &self.users,
            Kind::Groups => &self.groups,
        };
        let mut is_true = probe.lock().await;
        if *is_true {
            return Ok(());
        }
        let word = kind.word();
        let (seen, hint, error) = match look(client, kind).await? {
            Seen::Some => {
                *is_true = true;
                return Ok(());
            }
            Seen::None => (
                format!("no {word} can be seen at all"),
                kind.resource_hint(),
                OktaError::default(),
            ),
            Seen::Refused(answer) => {
                let error = answer.error();
                (
                    format!("Okta refuses to show any{}", error.quoted()),
                    kind.permission_hint(),
                    error,
                )
            }
        };
        Err(Failure {
            provider_code: error.code,
            request_id: error.request_id,
            ..Failure::new(
                ErrorKind::Forbidden,
                word,
                format!("An app's list of {word} is empty, and {seen}, so the list is not believed."),
                hint,
            )
        })
    }
}
