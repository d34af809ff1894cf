//! Whatever an org goes through, and however it is read: afterwards the store equals it.

use std::sync::Arc;
use std::time::Duration;

use idsync_engine::RunOrder;
use idsync_model::{DeleteLimit, DeleteLimits, ErrorKind, Failure, Outcome, RunReport};
use proptest::prelude::*;
use tokio::sync::Notify;

use crate::org::{Org, OrgGroup, OrgUser};
use crate::world::World;

/// One user of a state: not there, not active, or active under one of a few names.
fn user() -> impl Strategy<Value = Option<(bool, u8)>> {
    proptest::option::weighted(0.8, (proptest::bool::weighted(0.8), 0..3_u8))
}

/// One group of a state: not there, or with a name and members by number, of whom not all exist.
fn group() -> impl Strategy<Value = Option<(u8, Vec<bool>)>> {
    proptest::option::weighted(0.8, (0..3_u8, proptest::collection::vec(any::<bool>(), 8)))
}

#[derive(Debug, Clone)]
struct Step {
    users: Vec<Option<(bool, u8)>>,
    groups: Vec<Option<(u8, Vec<bool>)>>,
    minutes: u64,
    is_full: bool,
    fails_first: bool,
    is_planned_first: bool,
    /// The pages before which the process dies, one after the other.
    crashes: Vec<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    (
        proptest::collection::vec(user(), 8),
        proptest::collection::vec(group(), 3),
        0..40_u64,
        proptest::array::uniform3(proptest::bool::weighted(0.2)),
        proptest::collection::vec(0..5_usize, 0..3),
    )
        .prop_map(
            |(users, groups, minutes, [is_full, fails_first, is_planned_first], crashes)| Step {
                users,
                groups,
                minutes,
                is_full,
                fails_first,
                is_planned_first,
                crashes,
            },
        )
}

/// Turns the org into the state of a step. As at a real provider, a group's version moves when its members do.
fn become_state(org: &mut Org, step: &Step, now: idsync_model::UnixMillis) {
    for (n, user) in step.users.iter().enumerate() {
        let id = format!("u{n}");
        match user {
            Some((active, name)) => {
                org.users.insert(
                    id.clone(),
                    OrgUser {
                        // Two users may share an address, and take over each other's.
                        email: format!("{name}@example.com"),
                        name: format!("Name {name}"),
                        active: *active,
                    },
                );
            }
            None => {
                org.users.remove(&id);
            }
        }
    }
    for (n, group) in step.groups.iter().enumerate() {
        // One group whose version is a time, one with a tag, one without.
        let id = format!("{}{n}", ["time", "tag", "plain"][n]);
        let Some((name, is_member)) = group else {
            org.groups.remove(&id);
            continue;
        };
        let members = is_member
            .iter()
            .enumerate()
            .filter(|(_, is_member)| **is_member)
            .map(|(n, _)| format!("u{n}"))
            .collect();
        let changed_at = match org.groups.get(&id) {
            Some(old) if old.members == members => old.changed_at,
            _ => now,
        };
        org.groups.insert(
            id,
            OrgGroup {
                name: format!("Group {name}"),
                members,
                changed_at,
            },
        );
    }
}

async fn sync(world: &World, full: bool) -> RunReport {
    let order = RunOrder {
        full,
        ..world.order()
    };
    world.run(order).await
}

/// A run that reads everything and fails then: readers see no difference.
async fn fail(world: &World) {
    let away = Failure::new(ErrorKind::Unavailable, "members", "the org is away", "");
    *world.provider.end.lock().unwrap() = Some(away);
    let before = world.seen().await;
    assert_eq!(sync(world, false).await.outcome, Outcome::Failed);
    assert_eq!(world.seen().await, before);
    *world.provider.end.lock().unwrap() = None;
}

/// A run whose process dies before that page, if it comes so far: readers see no difference.
async fn crash(world: World, page: usize) -> World {
    let before = world.seen().await;
    let there = Arc::new(Notify::new());
    let told = Arc::clone(&there);
    world.provider.does_before_page(page, move |_, _| {
        told.notify_one();
        std::future::pending()
    });
    let has_died = tokio::select! {
        _ = sync(&world, false) => false,
        () = there.notified() => true,
    };
    world.provider.reads_on();
    let world = world.restarted();
    if has_died {
        assert_eq!(world.seen().await, before);
    }
    world
}

fn changes(report: &RunReport) -> u64 {
    [report.users, report.groups, report.memberships]
        .iter()
        .map(|counts| counts.created + counts.updated + counts.deleted)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn runs_2_5_after_an_applied_run_the_store_equals_the_org_whatever_failed_and_crashed_before(steps in proptest::collection::vec(step(), 1..7)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(Org::default()).await;
            let limits = DeleteLimits {
                users: DeleteLimit::Off,
                groups: DeleteLimit::Off,
                memberships: DeleteLimit::Off,
            };
            world.store.set_limits(&world.tenant, &world.directory, limits).await.unwrap();
            for step in &steps {
                world.clock.advance(Duration::from_mins(step.minutes));
                let now = world.clock.time();
                world.provider.change(|org| become_state(org, step, now));
                if step.fails_first {
                    fail(&world).await;
                }
                for page in &step.crashes {
                    world = crash(world, *page).await;
                }
                if step.is_planned_first {
                    let before = world.seen().await;
                    world.dry_run().await;
                    assert_eq!(world.seen().await, before);
                }
                let report = sync(&world, step.is_full).await;
                assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
                world.assert_equals_org().await;
            }
            let generation = world.directory().await.generation;
            let again = sync(&world, false).await;
            assert_eq!(changes(&again), 0, "applying twice changes nothing: {again:?}");
            world.assert_equals_org().await;
            assert_eq!(changes(&sync(&world, true).await), 0);
            assert!(world.directory().await.generation >= generation);
        });
    }
}
