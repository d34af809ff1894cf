//! The engine's part of a verification: is it the known org that answers, and is the directory verified now.

use std::sync::Arc;

use idsync_model::{
    CallContext, Check, CheckOutcome, Clock, DirectoryId, Provider, Settings, TenantName, Verification,
};
use idsync_store::{Store, Verified};

use crate::error::EngineError;

/// What is asked of a verification.
#[derive(Debug, Clone)]
pub struct VerifyOrder {
    /// Whose directory it is.
    pub tenant: TenantName,
    /// The directory.
    pub directory: DirectoryId,
    /// The settings to verify: those that were checked, and that the fingerprint is of.
    pub settings: Settings,
    /// The directory's mark when the settings were read: it tells whether they were changed meanwhile.
    pub settings_mark: u64,
    /// The id of the key that the provider signs with, where it needs one.
    pub kid: Option<String>,
    /// A digest of all that is verified: settings, secrets, key, the plugin's major version.
    pub fingerprint: String,
    /// The version of the plugin behind the provider.
    pub plugin_version: String,
    /// The hosts that the settings reach, each as `HOST:PORT`, where the plugin can tell them.
    pub hosts: Option<Vec<String>>,
    /// Whether a person asks, whose word makes another org the known one.
    pub by_person: bool,
}

/// Verifies settings of a directory. The answer has all checks, that of the org among them; when it is
/// verified, this is stored, and the next runs use these settings.
///
/// Errs when the directory is unknown, the plugin breaks, or the store fails.
pub async fn verify(
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    order: VerifyOrder,
    provider: &dyn Provider,
    context: CallContext,
) -> Result<Verification, EngineError> {
    let directory = store.directory(&order.tenant, order.directory.as_str()).await?;
    let mut verification = provider.verify(&order.settings, context).await?;
    let known = directory.verified.and_then(|verified| verified.org_id);
    if let Some(known) = known
        && verification.is_verified()
    {
        let check = same_org(&known, verification.org_id.as_deref(), order.by_person);
        verification.checks.push(check);
    }
    if verification.is_verified() {
        let verified = Verified {
            settings: order.settings,
            fingerprint: order.fingerprint,
            plugin_version: order.plugin_version,
            org_id: verification.org_id.clone(),
            scope: verification.scope.clone(),
            kid: order.kid,
            hosts: order.hosts,
            at: clock.now(),
        };
        store
            .record_verification(&order.tenant, &order.directory, verified, order.settings_mark)
            .await?;
    }
    Ok(verification)
}

/// Another org behind the settings is refused, unless a person says that it is the one.
fn same_org(known: &str, answers: Option<&str>, by_person: bool) -> Check {
    let (outcome, detail, hint) = match answers {
        Some(org) if org == known => (
            CheckOutcome::Passed,
            "It is the org that was verified before.",
            "",
        ),
        Some(_) if by_person => (
            CheckOutcome::Warning,
            "Another org answers than the one that was verified before. From now on it is the known one.",
            "Look at what the next run would delete before you let it: `idsync sync ID --dry-run`.",
        ),
        Some(_) => (
            CheckOutcome::Failed,
            "Another org answers than the one that was verified before.",
            "When that is right, confirm it with `idsync directory verify ID`.",
        ),
        None => (
            CheckOutcome::Failed,
            "It could not be told which org answers, and the one that was verified before is known.",
            "Try again later; when it stands, check the domain.",
        ),
    };
    Check {
        id: "same-org".to_owned(),
        title: "The org is the known one".to_owned(),
        outcome,
        detail: detail.to_owned(),
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_about_another_org_say_where_the_directory_is_to_be_named() {
        let hint = |by_person| same_org("org-1", Some("org-2"), by_person).hint;
        assert!(
            hint(true).contains("`idsync sync ID --dry-run`"),
            "{}",
            hint(true)
        );
        assert!(
            hint(false).contains("`idsync directory verify ID`"),
            "{}",
            hint(false)
        );
    }
}
