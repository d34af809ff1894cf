//! Which of the due directories are started: within the bounds, no two of one host, and every one in the end.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use idsync_model::{TenantName, UnixMillis};

use crate::due::NEVER_RAN;

/// How many runs there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub total: usize,
    /// Of one tenant.
    pub per_tenant: usize,
}

impl Default for Bounds {
    /// 6 runs, 4 of a tenant.
    fn default() -> Self {
        Self {
            total: 6,
            per_tenant: 4,
        }
    }
}

/// How much longer than all others who want its hosts a directory must have been due to keep them while its tenant may
/// start nothing: its tenant's runs and theirs would keep missing each other.
pub const KEEPS_ITS_HOSTS_AFTER: Duration = Duration::from_hours(1);

/// A directory that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// Its tenant.
    pub tenant: &'a TenantName,
    /// The hosts that its runs reach, each as `HOST:PORT`.
    pub hosts: &'a [String],
    /// Since when it has been due.
    pub since: UnixMillis,
}

/// A run in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its tenant.
    pub tenant: TenantName,
    /// The hosts that it reaches, each as `HOST:PORT`.
    pub hosts: Vec<String>,
}

/// When tenants last had a run started. It makes them take turns.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    count: u64,
    last: HashMap<TenantName, u64>,
}

impl Turns {
    fn of(&self, tenant: &TenantName) -> u64 {
        self.last.get(tenant).copied().unwrap_or(0)
    }

    fn take(&mut self, tenant: &TenantName) {
        self.count += 1;
        self.last.insert(tenant.clone(), self.count);
    }

    /// Forgets the tenants that have no directory any more.
    pub fn retain(&mut self, exists: impl Fn(&TenantName) -> bool) {
        self.last.retain(|tenant, _| exists(tenant));
    }
}

/// Those of `due` to start now, by their place in it. First comes the tenant with the fewest runs, then the one whose
/// last start is longest ago; of a tenant's directories, the one that has been due longest.
///
/// A host is kept for the directory that has waited for it longest, else one with many hosts would be passed over for
/// ever. One whose tenant may start nothing now keeps no host from other tenants, until it has waited
/// [`KEEPS_ITS_HOSTS_AFTER`] longer than they have.
pub fn next(due: &[Waiting<'_>], running: &[&Running], bounds: Bounds, turns: &mut Turns) -> Vec<usize> {
    let room = bounds.total.saturating_sub(running.len());
    if room == 0 || due.is_empty() {
        return Vec::new();
    }
    let mut runs_of: HashMap<&TenantName, usize> = HashMap::new();
    let mut taken: HashSet<&str> = HashSet::new();
    for run in running {
        *runs_of.entry(&run.tenant).or_default() += 1;
        taken.extend(run.hosts.iter().map(String::as_str));
    }
    let runs = |tenant: &TenantName| runs_of.get(tenant).copied().unwrap_or(0);
    let mut by_time: Vec<usize> = (0..due.len()).collect();
    by_time.sort_by_key(|place| due[*place].since);
    let kept_for = keepers(due, &by_time, |place| {
        runs(due[place].tenant) >= bounds.per_tenant
    });
    let mut queues: HashMap<&TenantName, VecDeque<usize>> = HashMap::new();
    for place in by_time {
        let Waiting { tenant, hosts, .. } = due[place];
        let mut hosts = hosts.iter().map(String::as_str);
        if runs(tenant) < bounds.per_tenant
            && hosts.all(|host| !taken.contains(host) && kept_for.get(host) == Some(&place))
        {
            queues.entry(tenant).or_default().push_back(place);
        }
    }
    // Of tenants that are equal, the one whose directory has been due longest.
    let key = |runs: usize, turn: u64, first: usize| Reverse((runs, turn, due[first].since, first));
    let mut order: BinaryHeap<_> = queues
        .iter()
        .filter_map(|(tenant, queue)| Some((key(runs(tenant), turns.of(tenant), *queue.front()?), *tenant)))
        .collect();
    let mut started = Vec::new();
    while started.len() < room
        && let Some((Reverse((runs, ..)), tenant)) = order.pop()
        && let Some(queue) = queues.get_mut(tenant)
    {
        started.extend(queue.pop_front());
        turns.take(tenant);
        if let Some(first) = queue.front().filter(|_| runs + 1 < bounds.per_tenant) {
            order.push((key(runs + 1, turns.of(tenant), *first), tenant));
        }
    }
    started
}

/// For which directory each host is kept that one of `due` wants. `by_time` has the longest due first.
fn keepers<'a>(
    due: &[Waiting<'a>],
    by_time: &[usize],
    is_full: impl Fn(usize) -> bool,
) -> HashMap<&'a str, usize> {
    let mut kept_for: HashMap<&str, usize> = HashMap::new();
    for &place in by_time {
        for host in due[place].hosts {
            match kept_for.entry(host) {
                Entry::Vacant(entry) => {
                    entry.insert(place);
                }
                Entry::Occupied(mut entry) => {
                    let first = *entry.get();
                    let waited_longer = due[place].since.since(due[first].since);
                    // One that never ran tells no time for which it has waited: a tenant could always have one more.
                    let has_waited = waited_longer >= KEEPS_ITS_HOSTS_AFTER && due[first].since > NEVER_RAN;
                    if is_full(first) && !is_full(place) && !has_waited {
                        entry.insert(place);
                    }
                }
            }
        }
    }
    kept_for
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tenant(n: usize) -> TenantName {
        format!("t{n}").parse().unwrap()
    }

    /// A directory that is due: what it would be as a run, and since when it is.
    type Due = (Running, UnixMillis);

    fn waiting(of: usize, host: &str, since: i64) -> Due {
        let run = Running {
            tenant: tenant(of),
            hosts: vec![host.to_owned()],
        };
        (run, UnixMillis(since))
    }

    fn run_of((run, _): &Due) -> Running {
        run.clone()
    }

    fn next(due: &[Due], running: &[Running], bounds: Bounds, turns: &mut Turns) -> Vec<usize> {
        let due: Vec<_> = due
            .iter()
            .map(|(run, since)| Waiting {
                tenant: &run.tenant,
                hosts: &run.hosts,
                since: *since,
            })
            .collect();
        super::next(&due, &running.iter().collect::<Vec<_>>(), bounds, turns)
    }

    fn bounds(total: usize, per_tenant: usize) -> Bounds {
        Bounds { total, per_tenant }
    }

    #[test]
    fn runs_6_no_more_runs_than_the_bounds_say() {
        let due: Vec<_> = (0..20).map(|n| waiting(n % 2, &format!("h{n}"), 0)).collect();
        let pick =
            |total, per_tenant| next(&due, &[], bounds(total, per_tenant), &mut Turns::default()).len();
        assert_eq!(pick(3, 3), 3);
        assert_eq!(pick(9, 2), 4, "two of each of two tenants");
        assert_eq!(pick(0, 2), 0);
        let running: Vec<_> = due[..2].iter().map(run_of).collect();
        let started = next(&due[2..], &running, bounds(9, 2), &mut Turns::default());
        assert_eq!(started.len(), 2, "one of each is running");
    }

    #[test]
    fn runs_6_the_longest_due_comes_first() {
        let due = [waiting(0, "a", 30), waiting(0, "b", 10), waiting(0, "c", 20)];
        assert_eq!(next(&due, &[], bounds(2, 2), &mut Turns::default()), [1, 2]);
    }

    #[test]
    fn runs_7_3_a_tenant_that_may_start_nothing_keeps_no_host_from_others() {
        let busy = [waiting(0, "x", 0), waiting(0, "y", 0)];
        let running: Vec<_> = busy.iter().map(run_of).collect();
        let due = [waiting(0, "theirs:443", 1), waiting(1, "theirs:443", 5)];
        assert_eq!(next(&due, &running, bounds(4, 2), &mut Turns::default()), [1]);
    }

    #[test]
    fn runs_6_one_that_has_been_due_an_hour_longer_keeps_its_host_though_its_tenant_is_full() {
        let hour = i64::try_from(KEEPS_ITS_HOSTS_AFTER.as_millis()).unwrap();
        let busy = [waiting(0, "x", 0), waiting(0, "y", 0)];
        let running: Vec<_> = busy.iter().map(run_of).collect();
        let due = [
            waiting(0, "both", 10),
            waiting(1, "both", 10 + hour),
            waiting(1, "own", 10 + hour),
        ];
        let starts = |running: &[Running]| next(&due, running, bounds(4, 2), &mut Turns::default());
        assert_eq!(starts(&running), [2]);
        assert_eq!(starts(&running[..1]), [2, 0], "its tenant has room again");
    }

    #[test]
    fn runs_6_one_that_never_ran_keeps_no_host_while_its_tenant_is_full() {
        let running = [waiting(0, "x", 1), waiting(0, "y", 1)].map(|due| run_of(&due));
        let year = 365 * 24 * 3_600_000;
        let due = [waiting(0, "both", NEVER_RAN.0), waiting(1, "both", year)];
        assert_eq!(next(&due, &running, bounds(4, 2), &mut Turns::default()), [1]);
    }

    #[test]
    fn runs_7_3_no_two_runs_to_one_host() {
        let due = [
            waiting(0, "a:443", 1),
            waiting(1, "a:443", 2),
            waiting(1, "a:8443", 3),
        ];
        assert_eq!(next(&due, &[], bounds(9, 9), &mut Turns::default()), [0, 2]);
        let running = [run_of(&due[0])];
        assert_eq!(
            next(&due[1..], &running, bounds(9, 9), &mut Turns::default()),
            [1]
        );
    }

    #[test]
    fn runs_6_a_tenant_with_many_due_directories_leaves_room_for_the_others() {
        let mut due: Vec<_> = (0..900).map(|n| waiting(0, &format!("h{n}"), n)).collect();
        due.push(waiting(1, "other", 5000));
        let started = next(&due, &[], bounds(2, 2), &mut Turns::default());
        assert_eq!(started, [0, 900]);
    }

    #[test]
    fn runs_6_tenants_take_turns_where_there_is_one_place() {
        let mut turns = Turns::default();
        let due: Vec<_> = (0..3)
            .flat_map(|of| (0..5).map(move |n| waiting(of, &format!("{of}-{n}"), n)))
            .collect();
        let mut starts = Vec::new();
        for _ in 0..6 {
            let started = next(&due, &[], bounds(1, 1), &mut turns);
            starts.push(due[started[0]].0.tenant.clone());
        }
        let first: HashSet<_> = starts[..3].iter().collect();
        assert_eq!(first.len(), 3, "{starts:?}");
        assert_eq!(starts[..3], starts[3..]);
    }

    #[test]
    fn runs_6_a_directory_of_many_hosts_is_not_passed_over_for_ever() {
        let mut both = waiting(1, "a", 0);
        both.0.hosts.push("b".to_owned());
        let due = [both.clone(), waiting(0, "b", 9)];
        let running = [run_of(&waiting(0, "a", 0))];
        assert_eq!(
            next(&due, &running, bounds(9, 9), &mut Turns::default()),
            Vec::<usize>::new(),
            "what waits for `a` keeps `b`"
        );
        assert_eq!(next(&due, &[], bounds(9, 9), &mut Turns::default())[0], 0);
    }

    /// A directory: its tenant, its hosts, and for how many rounds it runs.
    fn directory() -> impl Strategy<Value = (usize, Vec<u8>, usize)> {
        (0..4_usize, proptest::collection::vec(0..12_u8, 1..3), 1..4_usize)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn runs_6_every_due_directory_is_started_in_the_end(
            mut directories in proptest::collection::vec(directory(), 1..30),
            total in 1..5_usize,
            per_tenant in 1..4_usize,
            share_hosts in proptest::bool::ANY,
        ) {
            if !share_hosts {
                for (tenant, hosts, _) in &mut directories {
                    for host in hosts {
                        *host += u8::try_from(*tenant * 12).unwrap();
                    }
                }
            }
            let bounds = bounds(total, per_tenant);
            let mut turns = Turns::default();
            let mut due_since: BTreeMap<usize, i64> = (0..directories.len()).map(|n| (n, 0)).collect();
            let mut running: BTreeMap<usize, usize> = BTreeMap::new();
            // Six rounds are an hour.
            let hour = 6;
            let at = |round: i64| UnixMillis(round * i64::try_from(KEEPS_ITS_HOSTS_AFTER.as_millis()).unwrap() / hour);
            // The one that has been due longest waits for an hour where tenants share hosts, and then for a run on its
            // hosts, one of its tenant, and one of each other tenant's; the directories before it do so first.
            let patience = i64::try_from(directories.len() * 3 * 6 + 20).unwrap() + if share_hosts { hour } else { 0 };
            for round in 1..2 * patience {
                running.retain(|n, left| {
                    *left -= 1;
                    if *left == 0 {
                        // It is due again at once: the worst that a neighbour can do.
                        due_since.insert(*n, round);
                    }
                    *left > 0
                });
                let of = |n: usize, since: i64| {
                    let run = Running {
                        tenant: tenant(directories[n].0),
                        hosts: directories[n].1.iter().map(|host| format!("h{host}")).collect(),
                    };
                    (run, at(since))
                };
                let places: Vec<usize> = due_since.keys().copied().collect();
                let due: Vec<_> = due_since.iter().map(|(n, since)| of(*n, *since)).collect();
                let in_progress: Vec<_> = running.keys().map(|n| run_of(&of(*n, 0))).collect();
                for place in next(&due, &in_progress, bounds, &mut turns) {
                    let n = places[place];
                    let since = due_since.remove(&n).unwrap();
                    prop_assert!(round - since <= patience, "{n} waited for {} rounds", round - since);
                    running.insert(n, directories[n].2);
                }
                prop_assert!(running.len() <= total);
                let mut hosts = HashSet::new();
                let mut of_tenant: BTreeMap<usize, usize> = BTreeMap::new();
                for n in running.keys() {
                    *of_tenant.entry(directories[*n].0).or_default() += 1;
                    let own: HashSet<_> = directories[*n].1.iter().collect();
                    for host in own {
                        prop_assert!(hosts.insert(*host), "two runs to {host}");
                    }
                }
                prop_assert!(of_tenant.values().all(|count| *count <= per_tenant));
                prop_assert!(due_since.values().all(|since| round - since <= patience));
            }
        }
    }
}
