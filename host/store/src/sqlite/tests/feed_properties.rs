//! Whatever happens to a directory, a reader who follows the feed has what an export has.

use std::time::Duration;

use idsync_model::{FeedCursor, RunId};
use proptest::prelude::*;

use super::feed::number;
use super::org::{House, Org, Seen, house};
use crate::{Directory, PurgeOrder};

const DAY: Duration = Duration::from_hours(24);

/// What happens next to one of two directories.
#[derive(Debug, Clone)]
enum Event {
    /// It is synced: who is active, which groups are listed, and who is in each, all as bits.
    Sync { users: u8, groups: u8, members: [u8; 3] },
    /// It is removed, and another one takes its place.
    Remove,
    /// Days pass, and a purge, which keeps tombstones and changes for so many days.
    Purge {
        days: u32,
        tombstones: u32,
        changes: u32,
    },
    /// A reader takes a copy by an export, from which it goes on.
    Export,
}

fn events() -> impl Strategy<Value = Vec<(bool, Event)>> {
    let event = prop_oneof![
        6 => (any::<u8>(), any::<u8>(), any::<[u8; 3]>())
            .prop_map(|(users, groups, members)| Event::Sync { users, groups, members }),
        1 => Just(Event::Remove),
        2 => (1_u32..40, 0_u32..40, 0_u32..80)
            .prop_map(|(days, tombstones, changes)| Event::Purge { days, tombstones, changes }),
        2 => Just(Event::Export),
    ];
    prop::collection::vec((any::<bool>(), event), 1..14)
}

fn org(users: u8, groups: u8, members: [u8; 3]) -> Org {
    let mut org = Org::default();
    for bit in (0..6).filter(|bit| users & (1 << bit) != 0) {
        org = org.user(&format!("u{bit}"));
    }
    for (number, list) in members
        .iter()
        .enumerate()
        .filter(|(number, _)| groups & (1 << number) != 0)
    {
        let list: Vec<_> = (0..6)
            .filter(|bit| list & (1 << bit) != 0)
            .map(|bit| format!("u{bit}"))
            .collect();
        let list: Vec<_> = list.iter().map(String::as_str).collect();
        org = org.group(&format!("g{number}"), &list);
    }
    org
}

/// Who follows one directory: from nothing, or from an export.
struct Follower {
    at: FeedCursor,
    seen: Seen,
}

impl Follower {
    async fn follow(&mut self, house: &House, directory: &Directory) {
        let (rows, at) = house.followed(&self.at, Some(&directory.id)).await;
        for row in &rows {
            self.seen.follow(row);
        }
        self.at = at;
    }
}

async fn check(events: Vec<(bool, Event)>) {
    let house = house();
    let mut directories = [house.directory("d0").await, house.directory("d1").await];
    let from_nothing = || Follower {
        at: number(0),
        seen: Seen::default(),
    };
    let mut followers = [vec![from_nothing()], vec![from_nothing()]];
    let mut is_kept_from_the_first = true;
    for (number, (which, event)) in events.into_iter().enumerate() {
        let which = usize::from(which);
        match event {
            Event::Sync {
                users,
                groups,
                members,
            } => {
                let org = org(users, groups, members);
                house.sync(&directories[which], &org).await;
                assert_eq!(house.seen(&directories[which]).await, org.seen());
            }
            Event::Remove => {
                house
                    .store
                    .remove_directory(&house.tenant, &directories[which].id, &RunId::generate())
                    .await
                    .unwrap();
                for follower in &mut followers[which] {
                    follower.follow(&house, &directories[which]).await;
                    assert_eq!(follower.seen, Seen::default());
                }
                directories[which] = house.directory(&format!("d{which}-{number}")).await;
                // Nobody has seen anything of the new one yet.
                let at = house.exported_to(&directories[which]).await;
                followers[which] = vec![Follower {
                    at,
                    seen: Seen::default(),
                }];
            }
            Event::Purge {
                days,
                tombstones,
                changes,
            } => {
                house.later(days * DAY);
                let order = PurgeOrder {
                    tombstones: tombstones * DAY,
                    changes: Some(changes * DAY),
                };
                let purged = house.store.purge(order).await.unwrap();
                is_kept_from_the_first &= purged.changes == 0;
            }
            Event::Export => followers[which].push(Follower {
                at: house.exported_to(&directories[which]).await,
                seen: house.seen(&directories[which]).await,
            }),
        }
        for (directory, followers) in directories.iter().zip(&mut followers) {
            let exported = house.seen(directory).await;
            for follower in followers {
                follower.follow(&house, directory).await;
                assert_eq!(follower.seen, exported, "after event {number}");
            }
            if is_kept_from_the_first {
                let mut replayed = from_nothing();
                replayed.follow(&house, directory).await;
                assert_eq!(replayed.seen, exported, "after event {number}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn runs_8_5_the_feed_replayed_equals_the_export_after_each_event(events in events()) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(check(events));
    }
}
