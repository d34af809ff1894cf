//! A person answers held plans: what comes of it is what the model says.

use idsync_engine::approve;
use idsync_model::RunId;
use idsync_store::{StaleWhy, StoreError};

use super::course::Course;
use super::model::{Answer, Stands};
use crate::world::World;

impl Course {
    /// The run whose plan was held as the latest but so many.
    fn latest_held(&self, latest: u8) -> Option<RunId> {
        let model = self.model.lock().unwrap();
        let plan = model.plans.iter().rev().nth(usize::from(latest));
        plan.map(|plan| plan.run.clone())
    }

    /// Approves it, and looks at what comes of that.
    pub async fn approve_plan(&self, latest: u8) {
        let Some(run) = self.latest_held(latest) else {
            return;
        };
        let World { store, tenant, .. } = &self.other;
        let generation = self.other.directory().await.generation;
        let expected = {
            let mut model = self.model.lock().unwrap();
            model.generation = generation;
            model.answer(&run, self.other.clock.time())
        };
        let answer = approve(&**store, tenant, &run).await;
        match (expected, answer) {
            (Answer::Applies(applied), Ok(approved)) => {
                assert_eq!(approved.applied.run.run, applied);
                assert!(!approved.was_already);
                let raised = self.other.directory().await.generation;
                assert!(raised > generation, "each apply raises it");
                assert_eq!(approved.instead_of.as_ref(), (applied != run).then_some(&run));
                let now = self.other.clock.time();
                self.model.lock().unwrap().approve(&run, &applied, now);
                self.tally(if applied == run {
                    "approved"
                } else {
                    "newer one approved"
                });
                let again = approve(&**store, tenant, &run).await.unwrap();
                assert!(again.was_already);
                assert_eq!(again.applied.run.run, applied);
            }
            (Answer::Applied(applied), Ok(approved)) => {
                assert_eq!(approved.applied.run.run, applied);
                assert!(approved.was_already);
                self.tally("approved again");
            }
            (Answer::Stale(expected), Err(StoreError::StalePlan { why, .. })) => {
                assert_eq!(why, expected);
                self.tally(match why {
                    StaleWhy::Generation => "stale: directory",
                    StaleWhy::Settings => "stale: settings",
                    StaleWhy::Age => "stale: age",
                });
            }
            (Answer::SupersededBy(expected), Err(StoreError::SupersededBy { by, .. })) => {
                assert_eq!(by, expected);
                self.tally("superseded, not approved");
            }
            (Answer::NotHeld, Err(StoreError::NotHeld { .. })) => self.tally("not held"),
            (Answer::MayBeForgotten, _) => {}
            (expected, answer) => panic!("{expected:?} and not {answer:?}"),
        }
    }

    /// Discards it, and looks at what comes of that.
    pub async fn discard_plan(&self, latest: u8) {
        let Some(run) = self.latest_held(latest) else {
            return;
        };
        let World { store, tenant, .. } = &self.other;
        let now = self.other.clock.time();
        let (stands, may_be_forgotten) = {
            let model = self.model.lock().unwrap();
            let may_be_forgotten = model.answer(&run, now) == Answer::MayBeForgotten;
            (model.plan(&run).stands.clone(), may_be_forgotten)
        };
        if may_be_forgotten {
            return;
        }
        match (stands, store.discard(tenant, &run).await) {
            (Stands::Held, Ok(_)) => {
                self.tally("discarded");
                self.model.lock().unwrap().discard(&run);
            }
            (Stands::Discarded, Ok(_))
            | (Stands::Superseded(_), Err(StoreError::SupersededBy { .. }))
            | (Stands::Approved, Err(StoreError::NotHeld { .. })) => {}
            (stands, answer) => panic!("{stands:?} and not {answer:?}"),
        }
    }
}
