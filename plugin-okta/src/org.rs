//! Which org answers: the public document about it, compared with the one that was verified (RUNS §4.5).

use crate::client::Client;
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::Host;
use crate::model::Organization;

const STAGE: &str = "domain";
const WHAT: &str = "the org's id";
const PATH: &str = "/.well-known/okta-organization";

/// The id of the org behind the domain. Being the first request of a call, it also tells Okta's time.
pub async fn org_id<H: Host>(client: &Client<'_, H>) -> Result<String, Failure> {
    let answer = client.fetch_open(STAGE, WHAT, PATH).await?;
    let domain = &client.settings.domain;
    let no_org = |summary: String| Failure::new(ErrorKind::InvalidSettings, STAGE, summary, hints::NO_ORG);
    match answer.status {
        200 => {
            let org: Organization<'_> = answer.json(STAGE, WHAT).map_err(|failure| Failure {
                hint: hints::NO_ORG.to_owned(),
                ..failure
            })?;
            Ok(org.id.0.into_owned())
        }
        404 | 410 => Err(no_org(format!(
            "Asking {domain} which Okta org it is, the answer was {}: no org is there.",
            answer.status
        ))),
        _ => Err(Failure {
            hint: hints::NO_ORG.to_owned(),
            ..answer.failure(STAGE, WHAT)
        }),
    }
}

/// Checks that the org is the one that was verified. Where none was, an unreadable document is no failure.
pub async fn check<H: Host>(client: &Client<'_, H>, expected: Option<&str>) -> Result<(), Failure> {
    match (org_id(client).await, expected) {
        (Ok(org), Some(expected)) if org != expected => Err(Failure::new(
            ErrorKind::InvalidSettings,
            STAGE,
            format!(
                "Another Okta org than the verified one answers at {}: {org} instead of {expected}.",
                client.settings.domain
            ),
            "If that is meant, confirm it with `idsync directory verify ID`; nothing is synced before. If not, correct \
             `okta_domain`.",
        )),
        (Err(failure), None) if matches!(failure.kind, ErrorKind::Protocol | ErrorKind::Forbidden) => Ok(()),
        (Ok(_), _) => Ok(()),
        (Err(failure), _) => Err(failure),
    }
}
