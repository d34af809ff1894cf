//! The org: simulated, on this machine, over TLS. Tests set it up and change it as an admin would.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use okta_sim::{Change, Fault, RequestSeen, Settings, Sim, SimOptions, UserStatus};
use serde_json::Value;

use super::Export;

/// How long a test waits for requests that a broken host may never send.
const PATIENCE: Duration = Duration::from_mins(1);

/// An org that is not started yet.
pub struct OrgBuilder(SimOptions);

impl OrgBuilder {
    /// Makes another org of the same size.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self.0.host = format!("org{seed}.okta.localhost");
        self
    }

    /// Gives its rate limits a window of another length.
    pub fn window_secs(mut self, seconds: i64) -> Self {
        self.0.window_secs = seconds;
        self
    }

    /// Starts it.
    pub fn start(self) -> Org {
        Org(Sim::launch(self.0).expect("a simulated org can be started"))
    }
}

/// A running org; it ends with the test.
pub struct Org(Sim);

impl Org {
    /// An org of so many users and groups, with every oddity among them.
    pub fn of(users: usize, groups: usize, per_group: usize) -> OrgBuilder {
        OrgBuilder(SimOptions {
            users,
            groups,
            per_group,
            ..SimOptions::default()
        })
    }

    /// What an admin types as the Okta domain.
    pub fn domain(&self) -> &str {
        &self.0.info().domain
    }

    /// The file with the certificate to trust.
    pub fn ca(&self) -> &Path {
        Path::new(&self.0.info().ca)
    }

    /// The id of the service app.
    pub fn client_id(&self) -> &str {
        &self.0.info().client_id
    }

    /// The id of the sign-in app.
    pub fn app_id(&self) -> &str {
        &self.0.info().app_id
    }

    /// Adds a public key to the service app.
    pub fn register_key(&self, jwk: &Value) {
        self.0.add_jwk(&jwk.to_string()).expect("the host shows a JWK");
    }

    /// Removes every public key of the service app.
    pub fn forget_keys(&self) {
        self.0.remove_jwks();
        self.0.expire_tokens();
    }

    /// Changes what an admin set at Okta: the settings that a JSON object names (see `tests/sim/README.md`).
    pub fn set(&self, patch: &str) {
        let patch: Value = serde_json::from_str(patch).expect("the test writes JSON");
        let mut whole = serde_json::to_value(self.0.settings()).expect("settings are JSON");
        merge(&mut whole, &patch);
        let settings: Settings =
            serde_json::from_value(whole).expect("the test names settings that there are");
        self.0.set(|held| *held = settings);
        // What was granted before does not outlive the change, so that the next request meets it.
        self.0.expire_tokens();
    }

    /// Sets a fault (see `tests/sim/README.md`).
    pub fn fault(&self, fault: &str) {
        let fault: Fault = serde_json::from_str(fault).expect("the test describes a fault that there is");
        self.0.fault(fault);
    }

    /// Each fault that is set, and how many requests it struck.
    pub fn faults_struck(&self) -> Vec<(String, u64)> {
        let shown = |set: okta_sim::SetFault| (format!("{:?}", set.fault), set.struck);
        self.0.faults().into_iter().map(shown).collect()
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.0.clear_faults();
    }

    /// Sets the org's clock ahead of the host's, or behind it.
    pub fn skew_clock_secs(&self, seconds: i64) {
        self.0.skew_clock(seconds);
    }

    /// Lets time pass at the org.
    pub fn advance_clock_secs(&self, seconds: i64) {
        self.0.advance_clock(seconds);
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<RequestSeen> {
        self.0.requests()
    }

    /// Forgets what was asked so far, and starts the windows of the rate limits anew.
    pub fn forget_requests(&self) {
        self.0.forget_requests();
        self.0.refill_limits();
    }

    /// Waits until so many requests have come since the log was last emptied, answered or not.
    pub fn wait_for_requests(&self, count: usize) {
        let all_came = self.0.wait_for_requests(count as u64, PATIENCE);
        assert!(
            all_came,
            "{count} requests were awaited and {} came",
            self.requests().len()
        );
    }

    /// Waits until the faults that are set have struck so many requests.
    pub fn wait_for_faults(&self, count: u64) {
        while self.0.faults().iter().map(|set| set.struck).sum::<u64>() < count {
            self.wait_for_requests(self.requests().len() + 1);
        }
    }

    /// How often a path was asked.
    pub fn count(&self, path: &str) -> usize {
        self.0
            .requests()
            .iter()
            .filter(|request| request.path == path)
            .count()
    }

    /// The groups whose members were asked, each once, by their ids.
    pub fn member_lists_asked(&self) -> Vec<String> {
        let group_of = |request: &RequestSeen| {
            let group = request
                .path
                .strip_prefix("/api/v1/groups/")?
                .strip_suffix("/users")?;
            Some(group.to_owned())
        };
        let groups: BTreeSet<_> = self.0.requests().iter().filter_map(group_of).collect();
        groups.into_iter().collect()
    }

    /// The rows that a right sync stores.
    pub fn expected(&self) -> Vec<String> {
        let rows: Vec<Value> = self.rows();
        Export::of_rows(&rows)
    }

    fn rows(&self) -> Vec<Value> {
        let lines = self.0.expected();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("the org writes JSON lines"))
            .collect()
    }

    /// The id of the nth group that is synced.
    pub fn group(&self, nth: usize) -> String {
        let rows = self.rows();
        let groups = rows.iter().filter(|row| row["type"] == "group");
        text(
            groups
                .map(|row| &row["external_id"])
                .nth(nth)
                .expect("the org has so many groups"),
        )
    }

    /// An active user who is a member of the nth group, and is not the one that a lower number gives.
    pub fn member_of(&self, nth: usize) -> String {
        let mut taken: Vec<String> = Vec::new();
        for at in 0..=nth {
            let members = self.members(&self.group(at));
            let free = self
                .active_users()
                .into_iter()
                .find(|user| members.contains(user) && !taken.contains(user));
            taken.extend(free);
        }
        taken.pop().expect("the group has a member")
    }

    /// An active user who is no member of the nth group.
    pub fn outsider_of(&self, nth: usize) -> String {
        let members = self.members(&self.group(nth));
        let outsider = self
            .active_users()
            .into_iter()
            .rev()
            .find(|user| !members.contains(user));
        outsider.expect("not everyone is a member")
    }

    fn members(&self, group: &str) -> BTreeSet<String> {
        let rows = self.rows();
        let of_group = rows
            .iter()
            .filter(|row| row["type"] == "membership" && row["group"] == group);
        of_group.map(|row| text(&row["user"])).collect()
    }

    fn active_users(&self) -> Vec<String> {
        let rows = self.rows();
        let users = rows
            .iter()
            .filter(|row| row["type"] == "user" && row["status"] == "ACTIVE");
        users.map(|row| text(&row["external_id"])).collect()
    }

    fn change(&self, change: &Change) {
        self.0.change(change).expect("what the change names is there");
    }

    /// Somebody joins, and is assigned to the sign-in app.
    pub fn add_user(&self, address: &str) {
        self.change(&Change::AddUser {
            login: address.to_owned(),
            email: Some(address.to_owned()),
            first_name: Some("New".to_owned()),
            last_name: Some("Hire".to_owned()),
            status: None,
            unassigned: false,
        });
    }

    /// An admin suspends somebody.
    pub fn suspend(&self, user: &str) {
        let (user, status) = (user.to_owned(), UserStatus::Suspended);
        self.change(&Change::SetStatus { user, status });
    }

    /// An admin ends a suspension.
    pub fn unsuspend(&self, user: &str) {
        let (user, status) = (user.to_owned(), UserStatus::Active);
        self.change(&Change::SetStatus { user, status });
    }

    /// Suspends so many active users, and answers whom.
    pub fn suspend_users(&self, count: usize) -> Vec<String> {
        let users: Vec<_> = self.active_users().into_iter().take(count).collect();
        assert_eq!(users.len(), count, "the org has so many active users");
        for user in &users {
            self.suspend(user);
        }
        users
    }

    /// Suspends a share of those who are synced, in percent, and answers whom.
    pub fn suspend_share_of_users(&self, percent: usize) -> Vec<String> {
        let synced = self.rows().iter().filter(|row| row["type"] == "user").count();
        self.suspend_users((synced * percent).div_ceil(100))
    }

    /// Deletes somebody.
    pub fn delete_user(&self, user: &str) {
        self.change(&Change::DeleteUser {
            user: user.to_owned(),
        });
    }

    /// Gives somebody another name.
    pub fn rename(&self, user: &str, first_name: &str, last_name: &str) {
        self.change(&Change::UpdateUser {
            user: user.to_owned(),
            email: None,
            login: None,
            first_name: Some(first_name.to_owned()),
            last_name: Some(last_name.to_owned()),
            display_name: None,
        });
    }

    /// Nobody is assigned to the sign-in app any more.
    pub fn unassign_everyone(&self) {
        self.change(&Change::UnassignAllUsers { app: None });
    }

    /// Somebody joins a group.
    pub fn add_member(&self, group: &str, user: &str) {
        let (group, user) = (group.to_owned(), user.to_owned());
        self.change(&Change::AddMember { group, user });
    }

    /// Somebody leaves a group.
    pub fn remove_member(&self, group: &str, user: &str) {
        let (group, user) = (group.to_owned(), user.to_owned());
        self.change(&Change::RemoveMember { group, user });
    }

    /// Deletes a group.
    pub fn delete_group(&self, group: &str) {
        self.change(&Change::DeleteGroup {
            group: group.to_owned(),
            still_assigned: false,
        });
    }

    /// Gives a group another name.
    pub fn rename_group(&self, group: &str, name: &str) {
        self.change(&Change::RenameGroup {
            group: group.to_owned(),
            name: Some(name.to_owned()),
            description: None,
        });
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("an id is text").to_owned()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into.as_object_mut(), patch.as_object()) {
        (Some(members), Some(changes)) => {
            for (name, change) in changes {
                merge(members.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
        _ => *into = patch.clone(),
    }
}
