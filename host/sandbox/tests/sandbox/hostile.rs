//! Each way in which a plugin can misbehave ends its own call with its own error, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use idsync_capability::vault::{RememberError, SealedValues, SealedValuesError};
use idsync_model::{
    Clock as _, DirectoryId, Entity, ErrorKind, ExternalId, ExternalIds, Failure, Group, MembersVerdict,
    Mode, PagePart, Provider as _, Staging, StagingError, StoredCounts, SyncRequest, SystemClock, UnixMillis,
    User,
};
use idsync_sandbox::{Grants, Limits};

use crate::support::{
    Place, Shelf, context, failure, master_key, no_grants, settings, settings_with_host, sync, sync_with,
};

/// The failure of a behaviour, after which another call goes on as if nothing had been.
async fn failure_of(behaviour: &str, limits: Limits) -> Failure {
    let place = Place::new(limits);
    let plugin = place.hostile().await;
    let failed = failure(sync(&plugin, behaviour).await);
    let other = sync(&plugin, "none").await;
    other.result.expect("the other call");
    failed
}

/// Limits on time that are met soon.
fn short_times() -> Limits {
    Limits {
        cpu_between_host_calls: Duration::from_millis(200),
        cpu_total: Duration::from_millis(500),
        grace: Duration::from_millis(50),
        ..Limits::default()
    }
}

async fn is_ended(behaviour: &str, summary: &str) {
    is_ended_within(Limits::default(), behaviour, summary).await;
}

async fn is_ended_within(limits: Limits, behaviour: &str, summary: &str) {
    let failed = failure_of(behaviour, limits).await;
    assert_eq!(failed.kind, ErrorKind::Plugin, "{failed:?}");
    assert!(failed.summary.contains(summary), "{failed:?}");
    assert_eq!(failed.stage, "sync");
}

#[tokio::test]
async fn an_endless_loop_is_ended() {
    is_ended_within(
        short_times(),
        "spin",
        "computed for 0.2 s without calling the host",
    )
    .await;
}

#[tokio::test]
async fn an_endless_loop_with_calls_of_the_host_is_ended() {
    is_ended_within(
        short_times(),
        "spin-with-host-calls",
        "more than its 0.5 s of processor time",
    )
    .await;
}

#[tokio::test]
async fn growth_by_nothing_is_no_call_of_the_host() {
    is_ended_within(
        short_times(),
        "spin-with-growth",
        "computed for 0.2 s without calling the host",
    )
    .await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused() {
    is_ended("memory", "more than its 128 MiB of memory").await;
}

#[tokio::test]
async fn a_directory_is_given_no_more_memory_than_the_pool_has() {
    let place = Place::new(Limits::default());
    let grants = Grants {
        limits: Some(Limits {
            memory_bytes: 1 << 30,
            ..Limits::default()
        }),
        ..no_grants()
    };
    let plugin = place.plugin().await.bind(grants);
    let failed = failure(sync(&plugin, "memory").await);
    assert!(failed.summary.contains("more than its 128 MiB"), "{failed:?}");
}

#[tokio::test]
async fn a_trap_is_said() {
    is_ended("trap", "the plugin crashed: wasm trap").await;
}

#[tokio::test]
async fn a_panic_is_said_with_its_words() {
    is_ended("panic", "the sky is falling").await;
}

#[tokio::test]
async fn a_flood_of_log_lines_is_ended() {
    is_ended("flood-log", "10000 log lines").await;
    is_ended("flood-stderr", "10000 log lines").await;
}

#[tokio::test]
async fn a_flood_of_rows_is_ended() {
    is_ended("flood-store", "more than the 100000 rows").await;
}

#[tokio::test]
async fn handles_that_are_never_closed_run_out() {
    is_ended("handles", "1024").await;
}

#[tokio::test]
async fn recursion_without_end_is_ended() {
    is_ended("deep-recursion", "its stack is full").await;
    is_ended(
        "deep-frames",
        "out of bounds memory access (as when its stack is full)",
    )
    .await;
}

#[tokio::test]
async fn a_call_that_carries_too_much_is_ended() {
    is_ended("big-call", "more than 4096 KiB in one call").await;
    is_ended("many-values", "more than 4096 KiB in one call").await;
    is_ended("big-answer", "more than 4096 KiB in one call").await;
}

#[tokio::test]
async fn exit_is_no_success() {
    is_ended("exit", "called exit").await;
}

#[tokio::test]
async fn a_host_outside_the_description_ends_the_call() {
    is_ended("other-host", "elsewhere.example").await;
}

#[tokio::test]
async fn loopback_is_refused_as_the_orgs_fault() {
    let place = Place::new(short_times());
    let plugin = place.hostile().await;
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1"] {
        let end = sync_with(&plugin, settings_with_host("own-host", host), context()).await;
        let failed = failure(end);
        assert_eq!(failed.kind, ErrorKind::Protocol, "{host}: {failed:?}");
        assert!(
            failed.summary.contains("DestinationIpProhibited"),
            "{host}: {failed:?}"
        );
    }
}

#[tokio::test]
async fn the_store_is_reached_in_a_sync_alone() {
    let place = Place::new(short_times());
    let plugin = place.hostile().await;
    let failed = plugin
        .verify(&settings("store-anywhere"), context())
        .await
        .expect_err("the contract forbids it");
    assert_eq!(failed.kind, ErrorKind::Plugin);
    assert!(failed.summary.contains("identity-store.stored"), "{failed:?}");
    assert!(failed.summary.contains("verify"), "{failed:?}");
}

#[tokio::test]
async fn what_a_plugin_says_can_not_clear_a_screen() {
    let failed = failure_of("escape-codes", Limits::default()).await;
    assert_eq!(failed.kind, ErrorKind::Unavailable);
    assert!(failed.summary.contains("cleared your screen"), "{failed:?}");
    assert!(!failed.summary.contains(char::is_control), "{failed:?}");
}

#[tokio::test]
async fn the_time_of_a_call_is_kept() {
    let place = Place::new(short_times());
    let plugin = place.hostile().await;
    let mut context = context();
    context.time_limit = Duration::from_millis(100);
    let failed = failure(sync_with(&plugin, settings("wait-for-ever"), context).await);
    assert_eq!(failed.kind, ErrorKind::Deadline);
    assert!(
        failed.summary.contains("did not return within 0.1 s"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn the_wall_time_of_the_limits_is_kept_whatever_the_caller_allows() {
    let place = Place::new(Limits {
        wall_time: Duration::from_millis(100),
        ..short_times()
    });
    let failed = failure(sync(&place.hostile().await, "wait-for-ever").await);
    assert_eq!(failed.kind, ErrorKind::Deadline);
}

#[tokio::test]
async fn runs_6_6_a_plugin_that_does_not_heed_is_ended_after_the_grace() {
    let place = Place::new(short_times());
    let plugin = place.hostile().await;
    let context = context();
    context.cancel.cancel();
    // Cancelled before its turn: it is not even started.
    let failed = failure(sync_with(&plugin, settings("wait-for-ever"), context).await);
    assert_eq!(failed.kind, ErrorKind::Cancelled);

    let context = crate::support::context();
    let cancel = context.cancel.clone();
    let syncing = sync_with(&plugin, settings("wait-for-ever"), context);
    let (end, ()) = tokio::join!(syncing, async {
        tokio::task::yield_now().await;
        cancel.cancel();
    });
    let failed = failure(end);
    assert_eq!(failed.kind, ErrorKind::Cancelled);
    assert!(failed.summary.contains("0.05 s"), "{failed:?}");
}

#[tokio::test]
async fn runs_6_3_a_plugin_whose_run_was_taken_over_does_not_go_on() {
    struct TakenOver;
    #[async_trait]
    impl SealedValues for TakenOver {
        async fn secret(&self, _: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
            Ok(None)
        }
        async fn remembered(&self, _: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
            Ok(None)
        }
        async fn remember(&self, _: &str, _: Option<Vec<u8>>, _: u64, _: u64) -> Result<(), RememberError> {
            Err(RememberError::RunOver("another run has the directory".into()))
        }
    }
    let place = Place::new(Limits::default());
    let sealer = master_key(1).directory_sealer(DirectoryId::generate());
    let plugin = place.plugin().await.bind(Grants {
        vault: Some((Arc::new(TakenOver), sealer)),
        ..no_grants()
    });
    let shelf = Arc::new(Shelf::default());
    let request = SyncRequest {
        settings: settings("remember"),
        mode: Mode::Full,
        resume: None,
        expected_org: None,
    };
    let failed = failure(plugin.sync(request, shelf.clone(), context()).await);
    assert_eq!(failed.kind, ErrorKind::Host, "{failed:?}");
    assert!(
        failed.summary.ends_with("another run has the directory"),
        "{failed:?}"
    );
    assert_eq!(shelf.rows.load(Ordering::Relaxed), 0);
}

/// Three plugins loop on an executor of one thread, and a timer of the host still fires when it should.
#[tokio::test(flavor = "current_thread")]
async fn loops_do_not_delay_the_host() {
    let place = Place::new(Limits {
        cpu_between_host_calls: Duration::from_secs(2),
        ..Limits::default()
    });
    let plugin = Arc::new(place.hostile().await);
    let loops: Vec<_> = (0..3)
        .map(|_| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { sync(&plugin, "spin").await })
        })
        .collect();
    let clock = SystemClock::new();
    let mut latest = Duration::ZERO;
    for _ in 0..10 {
        let start = clock.monotonic();
        tokio::time::sleep(Duration::from_millis(20)).await;
        latest = latest.max(clock.monotonic().saturating_sub(start));
    }
    // One turn of each loop is 10 ms; the rest is for a machine that is busy with other tests.
    assert!(latest < Duration::from_millis(500), "20 ms took {latest:?}");
    for looping in loops {
        assert_eq!(failure(looping.await.expect("no panic")).kind, ErrorKind::Plugin);
    }
}

/// A store that is away: the host's fault, and said so although the error passes through the plugin.
#[tokio::test]
async fn a_fault_of_the_host_is_not_the_plugins() {
    struct FullDisk(AtomicBool);

    #[async_trait]
    impl Staging for FullDisk {
        async fn stored(&self) -> Result<StoredCounts, StagingError> {
            Ok(StoredCounts::default())
        }
        async fn put_users(&self, _users: Vec<User>) -> Result<(), StagingError> {
            self.0.store(true, Ordering::Relaxed);
            Err(StagingError::Host("the disk is full".into()))
        }
        async fn put_groups(&self, groups: Vec<Group>) -> Result<Vec<bool>, StagingError> {
            Ok(vec![true; groups.len()])
        }
        async fn put_members(
            &self,
            _group: ExternalId,
            _users: ExternalIds,
            _read_at: UnixMillis,
            _part: PagePart,
        ) -> Result<MembersVerdict, StagingError> {
            Ok(MembersVerdict::Taken)
        }
        async fn restart(&self, _kind: Entity) -> Result<(), StagingError> {
            Ok(())
        }
        async fn drop_group(&self, _external_id: ExternalId) -> Result<(), StagingError> {
            Ok(())
        }
        async fn skip(
            &self,
            _kind: Entity,
            _external_id: String,
            _reason: String,
        ) -> Result<(), StagingError> {
            Ok(())
        }
        async fn checkpoint(&self, _state: Vec<u8>) -> Result<(), StagingError> {
            Ok(())
        }
    }

    let place = Place::new(Limits::default());
    let plugin = place.hostile().await;
    let request = SyncRequest {
        settings: settings("none"),
        mode: Mode::Full,
        resume: None,
        expected_org: None,
    };
    let disk = Arc::new(FullDisk(AtomicBool::new(false)));
    let failed = failure(plugin.sync(request, disk.clone(), context()).await);
    assert!(disk.0.load(Ordering::Relaxed));
    assert_eq!(failed.kind, ErrorKind::Host);
    assert!(failed.summary.contains("the disk is full"), "{failed:?}");
}
