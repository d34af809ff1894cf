//! Whether a run may go on from what an earlier one staged.

use std::fmt;
use std::time::Duration;

use idsync_model::UnixMillis;
use idsync_store::{ReadWith, Resumable, RunRecord};

/// A checkpoint that is this old is not gone on from: too much may have changed at the provider since.
pub const CHECKPOINT_LASTS: Duration = Duration::from_hours(1);

/// How many runs in a row may die after the same checkpoint before it is dropped.
pub const MAY_DIE: u64 = 5;

/// The stage at which the store ends a run whose process was gone.
const INTERRUPTED: &str = "interrupted";

/// How many of the newest runs died with their process, in a row. `runs` are those of a directory, newest first.
pub fn died_in_a_row(runs: &[RunRecord]) -> usize {
    died(runs).count()
}

/// Whether a checkpoint seems to kill whoever goes on from it: that many of the newest runs began after it, died and
/// left no newer one. Runs that die and come further each time are no such sign.
pub fn is_deadly(runs: &[RunRecord], checkpoint_at: UnixMillis) -> bool {
    let after_it = died(runs).take_while(|run| run.started_at > checkpoint_at);
    after_it.count() as u64 >= MAY_DIE
}

fn died(runs: &[RunRecord]) -> impl Iterator<Item = &RunRecord> {
    runs.iter().take_while(|run| {
        let error = run.error.as_ref();
        error.is_some_and(|error| error.stage == INTERRUPTED)
    })
}

/// What a run that begins would read with, and against what.
#[derive(Debug, Clone, Copy)]
pub struct ResumeGrounds<'a> {
    /// With what it reads.
    pub with: &'a ReadWith,
    /// The directory's generation.
    pub generation: u64,
    /// Now.
    pub now: UnixMillis,
}

/// Why an earlier run's staging is not gone on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotResumed {
    /// Its last checkpoint is too old, or lies ahead of now.
    Age,
    /// Something was applied, purged or removed since.
    Generation,
    /// The machine was restarted, and what was not on the disk yet is lost.
    Restarted,
    /// It reads everything and the run does not, or the other way round.
    Mode,
    /// The settings, the secrets or the key are other ones.
    Setup,
    /// The plugin is another one.
    Plugin,
    /// The contract is another one.
    Contract,
}

impl fmt::Display for NotResumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "its last checkpoint is an hour old or more",
            Self::Generation => "the directory was changed since",
            Self::Restarted => "the machine was restarted since",
            Self::Mode => "it read in another mode",
            Self::Setup => "it read with other settings or another key",
            Self::Plugin => "it read with another plugin",
            Self::Contract => "it read by another contract",
        })
    }
}

/// Whether a run on these grounds may go on from what was left. A checkpoint that lies ahead of now is too old: the
/// clock was wrong then or is now.
pub fn check(left: &Resumable, grounds: ResumeGrounds<'_>) -> Result<(), NotResumed> {
    let ResumeGrounds {
        with,
        generation,
        now,
    } = grounds;
    let is_recent = left.checkpoint_at <= now && now.since(left.checkpoint_at) < CHECKPOINT_LASTS;
    if !left.is_same_boot {
        Err(NotResumed::Restarted)
    } else if left.generation != generation {
        Err(NotResumed::Generation)
    } else if left.with.mode != with.mode {
        Err(NotResumed::Mode)
    } else if left.with.fingerprint != with.fingerprint {
        Err(NotResumed::Setup)
    } else if left.with.plugin_digest != with.plugin_digest {
        Err(NotResumed::Plugin)
    } else if left.with.contract != with.contract {
        Err(NotResumed::Contract)
    } else if !is_recent {
        Err(NotResumed::Age)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use idsync_model::{Mode, RunId};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn with() -> ReadWith {
        ReadWith {
            mode: Mode::Full,
            fingerprint: "settings-1".to_owned(),
            plugin_digest: "digest-1".to_owned(),
            contract: "idsync:plugin@1.0.0".to_owned(),
        }
    }

    fn left(change: impl FnOnce(&mut Resumable)) -> Resumable {
        let mut left = Resumable {
            run: RunId::generate(),
            with: with(),
            generation: 4,
            read_began_at: UnixMillis(NOW.0 - 7_200_000),
            checkpoint_at: UnixMillis(NOW.0 - 60_000),
            is_same_boot: true,
        };
        change(&mut left);
        left
    }

    fn checked(change: impl FnOnce(&mut Resumable)) -> Result<(), NotResumed> {
        let with = with();
        check(
            &left(change),
            ResumeGrounds {
                with: &with,
                generation: 4,
                now: NOW,
            },
        )
    }

    #[test]
    fn runs_6_4_what_was_read_with_the_same_is_gone_on_from() {
        assert_eq!(checked(|_| {}), Ok(()));
    }

    #[test]
    fn runs_6_4_a_checkpoint_lasts_an_hour() {
        let hour = 3_600_000;
        assert_eq!(
            checked(|left| left.checkpoint_at = UnixMillis(NOW.0 - hour + 1)),
            Ok(())
        );
        assert_eq!(
            checked(|left| left.checkpoint_at = UnixMillis(NOW.0 - hour)),
            Err(NotResumed::Age)
        );
    }

    #[test]
    fn runs_6_7_a_checkpoint_that_lies_ahead_is_too_old() {
        assert_eq!(
            checked(|left| left.checkpoint_at = UnixMillis(NOW.0 + 1)),
            Err(NotResumed::Age)
        );
    }

    #[test]
    fn runs_6_4_nothing_is_gone_on_from_after_an_apply() {
        assert_eq!(checked(|left| left.generation = 3), Err(NotResumed::Generation));
    }

    #[test]
    fn runs_6_4_nothing_is_gone_on_from_after_a_restart_of_the_machine() {
        assert_eq!(
            checked(|left| left.is_same_boot = false),
            Err(NotResumed::Restarted)
        );
    }

    #[test]
    fn runs_6_4_nothing_is_gone_on_from_in_another_mode() {
        assert_eq!(
            checked(|left| left.with.mode = Mode::Incremental),
            Err(NotResumed::Mode)
        );
    }

    #[test]
    fn runs_6_4_nothing_is_gone_on_from_with_other_settings_or_another_key() {
        let other = |left: &mut Resumable| left.with.fingerprint = "settings-2".to_owned();
        assert_eq!(checked(other), Err(NotResumed::Setup));
    }

    #[test]
    fn runs_6_4_nothing_is_gone_on_from_with_another_plugin() {
        let other = |left: &mut Resumable| left.with.plugin_digest = "digest-2".to_owned();
        assert_eq!(checked(other), Err(NotResumed::Plugin));
    }

    #[test]
    fn runs_6_4_nothing_is_gone_on_from_by_another_contract() {
        let other = |left: &mut Resumable| left.with.contract = "idsync:plugin@2.0.0".to_owned();
        assert_eq!(checked(other), Err(NotResumed::Contract));
    }
}
