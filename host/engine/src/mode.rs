//! How much a run reads: everything, or only what may have changed.

use std::time::Duration;

use idsync_model::{MembersVersion, Mode, UnixMillis};

/// A full read that is older than this is made again.
pub const FULL_READ_EVERY: Duration = Duration::from_hours(24);

/// A member list that was read less than this after its version is read again: a change in the same instant, or one
/// that a replica showed late, left no trace in the version.
pub const VERSION_SETTLES_AFTER: Duration = Duration::from_mins(15);

/// What the choice of a run's mode depends on.
#[derive(Debug, Clone, Copy)]
pub struct ModeGrounds {
    /// A person asked for a full run.
    pub full_is_asked: bool,
    /// Something happened after which the next applied run must be a full one: the settings, the key or the plugin
    /// changed, or a run was held.
    pub full_is_due: bool,
    /// When the last full read that was applied began.
    pub last_full_read: Option<UnixMillis>,
    /// Now.
    pub now: UnixMillis,
}

/// Chooses the mode. A stored time that lies ahead of now counts as long past: the clock was wrong then or is now.
pub fn choose(grounds: ModeGrounds) -> Mode {
    let is_recent = grounds
        .last_full_read
        .is_some_and(|read| read <= grounds.now && grounds.now.since(read) < FULL_READ_EVERY);
    if grounds.full_is_asked || grounds.full_is_due || !is_recent {
        Mode::Full
    } else {
        Mode::Incremental
    }
}

/// Whether a run of a mode does where another one is asked for: a full one always does.
pub fn suffices(mode: Mode, asked: Mode) -> bool {
    mode == Mode::Full || asked == Mode::Incremental
}

/// What the last applied run knew of a group's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRead {
    /// The version that was read before them.
    pub version: Option<MembersVersion>,
    /// When they were read, by the provider's clock.
    pub read_at: UnixMillis,
}

/// Whether a run must fetch a group's members: `version` is what the provider tells now, `last` what is stored.
pub fn must_fetch_members(mode: Mode, version: Option<&MembersVersion>, last: Option<&LastRead>) -> bool {
    if mode == Mode::Full {
        return true;
    }
    let (Some(version), Some(last)) = (version, last) else {
        return true;
    };
    if last.version.as_ref() != Some(version) {
        return true;
    }
    match version {
        MembersVersion::Tag(_) => false,
        MembersVersion::ChangedAt(changed) => {
            let changed = UnixMillis(i64::try_from(*changed).unwrap_or(i64::MAX));
            last.read_at.since(changed) < VERSION_SETTLES_AFTER
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn runs_2_4_a_full_run_goes_on_where_an_incremental_one_would_do_by_now() {
        assert!(suffices(Mode::Full, Mode::Incremental));
        assert!(suffices(Mode::Full, Mode::Full));
        assert!(suffices(Mode::Incremental, Mode::Incremental));
        assert!(!suffices(Mode::Incremental, Mode::Full));
    }

    fn grounds() -> ModeGrounds {
        ModeGrounds {
            full_is_asked: false,
            full_is_due: false,
            last_full_read: Some(ago(Duration::from_hours(1))),
            now: NOW,
        }
    }

    fn ago(duration: Duration) -> UnixMillis {
        UnixMillis(NOW.0 - i64::try_from(duration.as_millis()).unwrap())
    }

    #[test]
    fn runs_2_4_a_recent_full_read_allows_an_incremental_run() {
        assert_eq!(choose(grounds()), Mode::Incremental);
    }

    #[test]
    fn runs_2_4_the_first_run_is_full() {
        let grounds = ModeGrounds {
            last_full_read: None,
            ..grounds()
        };
        assert_eq!(choose(grounds), Mode::Full);
    }

    #[test]
    fn runs_2_4_a_day_after_the_start_of_the_last_full_read_the_run_is_full() {
        for (age, mode) in [
            (
                FULL_READ_EVERY.saturating_sub(Duration::from_millis(1)),
                Mode::Incremental,
            ),
            (FULL_READ_EVERY, Mode::Full),
        ] {
            let grounds = ModeGrounds {
                last_full_read: Some(ago(age)),
                ..grounds()
            };
            assert_eq!(choose(grounds), mode, "{age:?}");
        }
    }

    #[test]
    fn runs_2_4_asking_and_being_due_make_it_full() {
        assert_eq!(
            choose(ModeGrounds {
                full_is_asked: true,
                ..grounds()
            }),
            Mode::Full
        );
        assert_eq!(
            choose(ModeGrounds {
                full_is_due: true,
                ..grounds()
            }),
            Mode::Full
        );
    }

    #[test]
    fn runs_6_7_a_full_read_that_lies_ahead_counts_as_long_past() {
        let grounds = ModeGrounds {
            last_full_read: Some(NOW.plus(Duration::from_secs(1))),
            ..grounds()
        };
        assert_eq!(choose(grounds), Mode::Full);
    }

    fn at(version: u64, read_at: u64) -> LastRead {
        LastRead {
            version: Some(MembersVersion::ChangedAt(version)),
            read_at: UnixMillis(i64::try_from(read_at).unwrap()),
        }
    }

    #[test]
    fn runs_2_1_a_full_run_fetches_every_group() {
        let last = at(1_000, 100_000_000);
        let version = MembersVersion::ChangedAt(1_000);
        assert!(must_fetch_members(Mode::Full, Some(&version), Some(&last)));
    }

    #[test]
    fn runs_2_1_an_incremental_run_fetches_what_changed_is_new_or_has_no_version() {
        let settled = at(1_000, 100_000_000);
        let same = MembersVersion::ChangedAt(1_000);
        let other = MembersVersion::ChangedAt(2_000);
        let fetch = |version, last| must_fetch_members(Mode::Incremental, version, last);
        assert!(!fetch(Some(&same), Some(&settled)));
        assert!(fetch(Some(&other), Some(&settled)));
        assert!(fetch(Some(&same), None));
        assert!(fetch(None, Some(&settled)));
        let unversioned = LastRead {
            version: None,
            ..settled
        };
        assert!(fetch(Some(&same), Some(&unversioned)));
    }

    #[test]
    fn runs_2_1_members_read_within_15_minutes_of_their_version_are_fetched_again() {
        let quarter = 15 * 60 * 1000;
        let version = MembersVersion::ChangedAt(5_000_000);
        for (read_at, fetched) in [
            (5_000_000 + quarter, false),
            (5_000_000 + quarter - 1, true),
            (5_000_000, true),
            (4_000_000, true),
        ] {
            let last = at(5_000_000, read_at);
            assert_eq!(
                must_fetch_members(Mode::Incremental, Some(&version), Some(&last)),
                fetched,
                "read at {read_at}"
            );
        }
    }

    #[test]
    fn runs_2_1_a_tag_has_no_time_and_is_compared_alone() {
        let last = LastRead {
            version: Some(MembersVersion::Tag("a".to_owned())),
            read_at: UnixMillis(0),
        };
        let fetch = |tag: &str| {
            must_fetch_members(
                Mode::Incremental,
                Some(&MembersVersion::Tag(tag.to_owned())),
                Some(&last),
            )
        };
        assert!(!fetch("a"));
        assert!(fetch("b"));
    }
}
