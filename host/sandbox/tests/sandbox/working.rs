//! What a plugin that behaves is given: all five functions, its usage, a fresh instance for each call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use idsync_model::{ErrorKind, Mode, Provider as _, SyncRequest, Wake};
use idsync_sandbox::{Limits, Pool};

use crate::support::{Place, Shelf, context, no_grants, settings, settings_with_host, sync, sync_with};

#[tokio::test]
async fn every_function_is_reached() {
    let place = Place::new(Limits::default());
    let plugin = place.hostile().await;
    assert_eq!(
        plugin.describe().await.expect("it describes itself").id,
        "hostile"
    );

    let normalized = plugin
        .normalize(&settings("  NONE "))
        .await
        .expect("the call")
        .expect("settings that can be mended");
    assert_eq!(normalized.settings.get("behaviour"), Some("none"));

    let verification = plugin
        .verify(&settings("none-such"), context())
        .await
        .expect("the call");
    assert!(verification.is_verified());

    let checks = plugin
        .explain(&settings("none"), "ada@example.com", context())
        .await
        .expect("the call");
    assert_eq!(checks[0].title, "ada@example.com");

    let shelf = Arc::new(Shelf::default());
    let request = SyncRequest {
        settings: settings("none"),
        mode: Mode::Full,
        resume: None,
        expected_org: None,
    };
    let end = plugin.sync(request, shelf.clone(), context()).await;
    end.result.expect("it read everything");
    assert_eq!(
        shelf.rows.load(Ordering::Relaxed),
        3,
        "a user, a group, a membership"
    );
    assert!(end.usage.peak_memory_bytes >= 64 * 1024);
    assert!(end.usage.cpu > Duration::ZERO);
}

#[tokio::test]
async fn runs_6_6_a_plugin_that_is_asked_to_end_says_so_itself() {
    let place = Place::new(Limits::default());
    let plugin = place.hostile().await;
    let context = context();
    let cancel = context.cancel.clone();
    let syncing = sync_with(&plugin, settings("wait-until-cancelled"), context);
    let (end, ()) = tokio::join!(syncing, async {
        tokio::task::yield_now().await;
        cancel.cancel();
    });
    let failed = end.result.expect_err("it was cancelled");
    assert_eq!(failed.kind, ErrorKind::Cancelled);
    assert_eq!(failed.stage, "hostile", "the plugin's own words");
    assert_eq!(
        end.usage.wake,
        Some(Wake {
            time: 1_700_000_000,
            reason: "it was asked to end".to_owned()
        })
    );
}

#[tokio::test]
async fn waiting_costs_no_processor_time() {
    let place = Place::new(Limits::default());
    let plugin = place.hostile().await;
    let waited = sync(&plugin, "sleep-a-second").await;
    waited.result.expect("it only waits");
    assert!(
        waited.usage.cpu < Duration::from_millis(200),
        "{:?}",
        waited.usage.cpu
    );
    let computed = sync(&plugin, "compute-a-second").await;
    computed.result.expect("it only computes");
    assert!(
        computed.usage.cpu > Duration::from_millis(200),
        "{:?}",
        computed.usage.cpu
    );
}

#[tokio::test]
async fn what_a_failed_call_used_is_told() {
    let place = Place::with(Limits::default(), |setup| {
        setup.limits.cpu_between_host_calls = Duration::from_millis(300);
    });
    let plugin = place.hostile().await;
    for (behaviour, kind) in [
        ("spin", ErrorKind::Plugin),
        ("trap", ErrorKind::Plugin),
        ("escape-codes", ErrorKind::Unavailable),
    ] {
        let end = sync(&plugin, behaviour).await;
        assert_eq!(end.result.expect_err("it fails").kind, kind, "{behaviour}");
        assert!(end.usage.cpu > Duration::ZERO, "{behaviour}");
        assert!(end.usage.peak_memory_bytes >= 64 * 1024, "{behaviour}");
    }
    let place = Place::new(Limits::default());
    let end = sync(&place.hostile().await, "memory").await;
    end.result.expect_err("it fails");
    assert!(end.usage.peak_memory_bytes >= 120 << 20, "{:?}", end.usage);
}

#[tokio::test]
async fn runs_7_3_a_directory_says_which_hosts_and_ports_it_reaches() {
    let place = Place::new(Limits::default());
    let plugin = place.plugin().await;
    let hosts = |host| plugin.hosts(&settings_with_host("none", host));
    assert_eq!(
        hosts("Org.Example.com.").expect("it is a host"),
        ["org.example.com:443"]
    );
    assert_eq!(hosts("").expect("nothing is set"), [""; 0]);
    let refused = hosts("org.example.com:8443").expect_err("the operator allowed no port");
    assert_eq!(refused.to_failure().kind, ErrorKind::InvalidSettings);
}

#[tokio::test]
async fn more_calls_than_the_pool_has_places_wait_for_their_turn() {
    let place = Place::with(Limits::default(), |setup| {
        setup.pool = Pool::new(2, &setup.limits);
    });
    let plugin = Arc::new(place.hostile().await);
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { sync(&plugin, "none").await })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic").result.expect("its turn came");
    }
}

#[tokio::test]
async fn a_directory_may_have_limits_of_its_own() {
    let place = Place::new(Limits::default());
    let mut grants = no_grants();
    grants.limits = Some(Limits {
        memory_bytes: 4 << 20,
        ..Limits::default()
    });
    let plugin = place.plugin().await.bind(grants);
    let failed = sync(&plugin, "memory")
        .await
        .result
        .expect_err("4 MiB are not enough");
    assert!(failed.summary.contains("its 4 MiB of memory"), "{failed:?}");
}
