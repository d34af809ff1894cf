//! `identity-store`: passes what a plugin has read on to the staging of its own run.

use std::sync::Arc;

use idsync_model::{
    CHECKPOINT_BYTES, Entity, ExternalId, ExternalIds, Group, InvalidId, MembersVerdict, MembersVersion,
    PagePart, Staging, UnixMillis, User,
};
use wasmtime::component::{HasData, Linker};

use crate::bindings::{identity_store as wit, types};
use crate::boundary::Load;
use crate::{CallKind, CapabilityError};

/// The staging of one run, where the call is one.
pub struct StagingCtx {
    call: CallKind,
    staging: Option<Arc<dyn Staging>>,
    call_limit_bytes: usize,
}

impl StagingCtx {
    /// The staging of a call of `sync`. One call of a function may carry `call_limit_bytes` of text and lists.
    pub fn of_run(staging: Arc<dyn Staging>, call_limit_bytes: usize) -> Self {
        Self {
            call: CallKind::Sync,
            staging: Some(staging),
            call_limit_bytes,
        }
    }

    /// No staging: every function traps.
    pub fn none(call: CallKind) -> Self {
        Self {
            call,
            staging: None,
            call_limit_bytes: 0,
        }
    }

    fn staging(&self, function: &'static str) -> Result<Arc<dyn Staging>, CapabilityError> {
        self.call.permit_staging(function)?;
        self.staging.clone().ok_or(CapabilityError::NotInThisCall {
            function,
            call: self.call.as_str(),
        })
    }
}

/// How a store's state lends the capability.
pub trait StagingView: Send {
    /// The context of this call.
    fn staging(&mut self) -> &mut StagingCtx;
}

struct HasStaging;

impl HasData for HasStaging {
    type Data<'a> = &'a mut StagingCtx;
}

/// Links `identity-store`.
pub fn add_to_linker<T: StagingView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, HasStaging>(linker, T::staging)
}

impl wit::Host for StagingCtx {
    async fn stored(&mut self) -> wasmtime::Result<wit::StoredCounts> {
        let staging = self.staging("identity-store.stored")?;
        let counts = staging.stored().await.map_err(CapabilityError::from)?;
        Ok(wit::StoredCounts {
            users: counts.users,
            groups: counts.groups,
            memberships: counts.memberships,
        })
    }

    async fn put_users(&mut self, users: Vec<wit::User>) -> wasmtime::Result<()> {
        let staging = self.staging("identity-store.put-users")?;
        let mut load = Load::default();
        for user in &users {
            load.add(&user.external_id)
                .add(&user.email)
                .add(&user.username)
                .add(&user.provider_status)
                .add_optional(user.display_name.as_ref())
                .add_optional(user.given_name.as_ref())
                .add_optional(user.family_name.as_ref());
        }
        load.check(self.call_limit_bytes)?;
        let users = users.into_iter().map(user).collect::<Result<_, _>>()?;
        staging.put_users(users).await.map_err(CapabilityError::from)?;
        Ok(())
    }

    async fn put_groups(&mut self, groups: Vec<wit::Group>) -> wasmtime::Result<Vec<bool>> {
        let staging = self.staging("identity-store.put-groups")?;
        let mut load = Load::default();
        for group in &groups {
            load.add(&group.external_id)
                .add(&group.name)
                .add_optional(group.description.as_ref())
                .add_optional(group.provider_kind.as_ref());
            if let Some(wit::MembersVersion::Tag(tag)) = &group.members_version {
                load.add(tag);
            }
        }
        load.check(self.call_limit_bytes)?;
        let groups = groups.into_iter().map(group).collect::<Result<_, _>>()?;
        Ok(staging.put_groups(groups).await.map_err(CapabilityError::from)?)
    }

    async fn put_members(
        &mut self,
        group: String,
        users: Vec<String>,
        read_at: u64,
        part: wit::PagePart,
    ) -> wasmtime::Result<wit::MembersVerdict> {
        let staging = self.staging("identity-store.put-members")?;
        let mut load = Load::default();
        load.add(&group);
        for user in &users {
            load.add(user);
        }
        load.check(self.call_limit_bytes)?;
        let group = external_id(group)?;
        let users = external_ids(users)?;
        let read_at = i64::try_from(read_at).map_err(|_| {
            CapabilityError::Contract(format!("it read members at {read_at}, which is no time"))
        })?;
        let part = PagePart {
            first: part.contains(wit::PagePart::FIRST),
            last: part.contains(wit::PagePart::LAST),
        };
        let verdict = staging
            .put_members(group, users, UnixMillis(read_at), part)
            .await
            .map_err(CapabilityError::from)?;
        Ok(match verdict {
            MembersVerdict::Taken => wit::MembersVerdict::Taken,
            MembersVerdict::ReadAgain => wit::MembersVerdict::ReadAgain,
        })
    }

    async fn restart(&mut self, kind: types::Entity) -> wasmtime::Result<()> {
        let staging = self.staging("identity-store.restart")?;
        staging
            .restart(entity(kind))
            .await
            .map_err(CapabilityError::from)?;
        Ok(())
    }

    async fn drop_group(&mut self, id: String) -> wasmtime::Result<()> {
        let staging = self.staging("identity-store.drop-group")?;
        staging
            .drop_group(external_id(id)?)
            .await
            .map_err(CapabilityError::from)?;
        Ok(())
    }

    async fn skip(&mut self, kind: types::Entity, id: String, reason: String) -> wasmtime::Result<()> {
        let staging = self.staging("identity-store.skip")?;
        Load::default()
            .add(&id)
            .add(&reason)
            .check(self.call_limit_bytes)?;
        staging
            .skip(entity(kind), id, reason)
            .await
            .map_err(CapabilityError::from)?;
        Ok(())
    }

    async fn checkpoint(&mut self, state: Vec<u8>) -> wasmtime::Result<()> {
        let staging = self.staging("identity-store.checkpoint")?;
        if state.len() > CHECKPOINT_BYTES {
            return Err(CapabilityError::Limit {
                what: "bytes of state in a checkpoint",
                limit: CHECKPOINT_BYTES as u64,
            }
            .into());
        }
        staging.checkpoint(state).await.map_err(CapabilityError::from)?;
        Ok(())
    }
}

fn entity(kind: types::Entity) -> Entity {
    match kind {
        types::Entity::User => Entity::User,
        types::Entity::Group => Entity::Group,
        types::Entity::Membership => Entity::Membership,
    }
}

fn external_id(id: String) -> Result<ExternalId, CapabilityError> {
    ExternalId::new(id).map_err(|error| not_an_id(&error))
}

/// Each is freed here, where it was made a moment ago: the thread that they go to would have to fetch it from wherever it
/// lies, to hash it and again to free it.
fn external_ids(ids: Vec<String>) -> Result<ExternalIds, CapabilityError> {
    let mut all = ExternalIds::with_capacity(ids.len(), ids.iter().map(String::len).sum());
    for id in ids {
        all.push(&id).map_err(|error| not_an_id(&error))?;
    }
    Ok(all)
}

fn not_an_id(error: &InvalidId) -> CapabilityError {
    CapabilityError::Contract(error.to_string())
}

fn user(user: wit::User) -> Result<User, CapabilityError> {
    Ok(User {
        external_id: external_id(user.external_id)?,
        email: user.email,
        username: user.username,
        display_name: user.display_name,
        given_name: user.given_name,
        family_name: user.family_name,
        active: user.active,
        provider_status: user.provider_status,
    })
}

fn group(group: wit::Group) -> Result<Group, CapabilityError> {
    Ok(Group {
        external_id: external_id(group.external_id)?,
        name: group.name,
        description: group.description,
        provider_kind: group.provider_kind,
        members_version: group.members_version.map(|version| match version {
            wit::MembersVersion::ChangedAt(at) => MembersVersion::ChangedAt(at),
            wit::MembersVersion::Tag(tag) => MembersVersion::Tag(tag),
        }),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use idsync_model::{ErrorKind, StagingError, StoredCounts};

    use super::wit::Host;
    use super::*;

    const CALL_LIMIT_BYTES: usize = 1024 * 1024;

    /// Notes what it was asked.
    #[derive(Default)]
    struct Noted {
        calls: Mutex<Vec<String>>,
        is_full: bool,
    }

    impl Noted {
        fn note(&self, call: String) -> Result<(), StagingError> {
            self.calls.lock().unwrap().push(call);
            if self.is_full {
                return Err(StagingError::Host("the disk is full".into()));
            }
            Ok(())
        }
    }

    #[async_trait]
    impl Staging for Noted {
        async fn stored(&self) -> Result<StoredCounts, StagingError> {
            Ok(StoredCounts {
                users: 1,
                groups: 2,
                memberships: 3,
            })
        }
        async fn put_users(&self, users: Vec<User>) -> Result<(), StagingError> {
            self.note(format!("users {}", users.len()))
        }
        async fn put_groups(&self, groups: Vec<Group>) -> Result<Vec<bool>, StagingError> {
            self.note(format!("groups {}", groups.len()))?;
            Ok(vec![true; groups.len()])
        }
        async fn put_members(
            &self,
            group: ExternalId,
            users: ExternalIds,
            read_at: UnixMillis,
            part: PagePart,
        ) -> Result<MembersVerdict, StagingError> {
            self.note(format!("members {group} {} {} {part:?}", users.len(), read_at.0))?;
            Ok(MembersVerdict::ReadAgain)
        }
        async fn restart(&self, kind: Entity) -> Result<(), StagingError> {
            self.note(format!("restart {kind}"))
        }
        async fn drop_group(&self, external_id: ExternalId) -> Result<(), StagingError> {
            self.note(format!("drop {external_id}"))
        }
        async fn skip(&self, kind: Entity, external_id: String, reason: String) -> Result<(), StagingError> {
            self.note(format!("skip {kind} {external_id} {reason}"))
        }
        async fn checkpoint(&self, state: Vec<u8>) -> Result<(), StagingError> {
            self.note(format!("checkpoint {}", state.len()))
        }
    }

    fn user_called(id: &str) -> wit::User {
        wit::User {
            external_id: id.to_owned(),
            email: "a@b.example".to_owned(),
            username: "a".to_owned(),
            display_name: None,
            given_name: None,
            family_name: None,
            active: true,
            provider_status: "ACTIVE".to_owned(),
        }
    }

    fn failure(error: &wasmtime::Error) -> idsync_model::Failure {
        crate::error::failure_in(error, "sync")
    }

    #[tokio::test]
    async fn what_a_plugin_puts_reaches_the_staging_of_its_run() {
        let noted = Arc::new(Noted::default());
        let mut staging = StagingCtx::of_run(noted.clone(), CALL_LIMIT_BYTES);
        staging.put_users(vec![user_called("00u1")]).await.unwrap();
        let verdict = staging
            .put_members(
                "00g1".to_owned(),
                vec!["00u1".to_owned()],
                77,
                wit::PagePart::LAST,
            )
            .await
            .unwrap();
        assert_eq!(verdict, wit::MembersVerdict::ReadAgain);
        staging.restart(types::Entity::Group).await.unwrap();
        staging.checkpoint(vec![0; CHECKPOINT_BYTES]).await.unwrap();
        assert_eq!(
            *noted.calls.lock().unwrap(),
            [
                "users 1",
                "members 00g1 1 77 PagePart { first: false, last: true }",
                "restart group",
                "checkpoint 65536",
            ]
        );
        assert_eq!(staging.stored().await.unwrap().memberships, 3);
    }

    #[tokio::test]
    async fn outside_sync_there_is_no_staging() {
        for call in [
            CallKind::Describe,
            CallKind::Normalize,
            CallKind::Verify,
            CallKind::Explain,
        ] {
            let mut staging = StagingCtx::none(call);
            let error = staging.put_users(Vec::new()).await.unwrap_err();
            let summary = failure(&error).summary;
            assert!(
                summary.contains("identity-store.put-users") && summary.contains(call.as_str()),
                "{summary}"
            );
        }
    }

    #[tokio::test]
    async fn an_id_without_bytes_or_with_too_many_breaks_the_contract() {
        let noted = Arc::new(Noted::default());
        let mut staging = StagingCtx::of_run(noted.clone(), CALL_LIMIT_BYTES);
        for id in ["", &"x".repeat(256)] {
            let error = staging.put_users(vec![user_called(id)]).await.unwrap_err();
            assert_eq!(failure(&error).kind, ErrorKind::Plugin);
        }
        assert!(noted.calls.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_call_that_carries_too_much_is_refused() {
        let noted = Arc::new(Noted::default());
        let mut staging = StagingCtx::of_run(noted.clone(), CALL_LIMIT_BYTES);
        let many = vec![user_called("00u1"); 100_000];
        let error = staging.put_users(many).await.unwrap_err();
        assert!(
            failure(&error).summary.contains("1048576"),
            "{}",
            failure(&error).summary
        );
        let error = staging
            .checkpoint(vec![0; CHECKPOINT_BYTES + 1])
            .await
            .unwrap_err();
        assert_eq!(failure(&error).kind, ErrorKind::Plugin);
        assert!(noted.calls.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_full_disk_is_the_hosts_fault() {
        let mut staging = StagingCtx::of_run(
            Arc::new(Noted {
                is_full: true,
                ..Noted::default()
            }),
            CALL_LIMIT_BYTES,
        );
        let error = staging.put_users(Vec::new()).await.unwrap_err();
        let failure = failure(&error);
        assert_eq!(failure.kind, ErrorKind::Host);
        assert!(
            failure.summary.contains("the disk is full"),
            "{}",
            failure.summary
        );
    }
}
