//! Which versions of a replica should have a process right now. Pure and level-triggered: called with what is, again
//! and again, it leads from any state to the wanted one without a gap (scalable) or without an overlap (not scalable).

use std::collections::BTreeSet;

use alpha_v1::{ManagementBlock, VersionStatus};
use reside::manifest::ReplicaClass;
use reside::prelude::*;

use crate::status::{Observed, has_served};

/// Whether the cluster runs a replica at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It does.
    Run,
    /// An administrator has disabled the replica.
    Disabled,
    /// Somebody runs it in the cluster's stead.
    Replaced,
}

impl Stance {
    /// What a management block says.
    pub fn of(management: &ManagementBlock) -> Self {
        match (management.enabled, &management.dev) {
            (_, Some(_)) => Self::Replaced,
            (false, None) => Self::Disabled,
            (true, None) => Self::Run,
        }
    }
}

/// A version as the rollout sees it.
#[derive(Clone, Debug)]
pub struct VersionState {
    /// Its number.
    pub id: u32,
    /// Its status so far.
    pub status: VersionStatus,
    /// Its workload as observed.
    pub observed: Observed,
}

/// Returns the versions that should have a process.
///
/// * A disabled replica has none, nor one that somebody runs in the cluster's stead. What such a one has completed stays.
/// * Scalable: the current version, and beside it every version that has served so far, until the current one does. A
///   current version that never gets ready therefore leaves the old one serving, whatever else happens to that.
/// * Not scalable: the current version, once all others are confirmed to be down.
pub fn wanted(info: &Info, stance: Stance, current: u32, versions: &[VersionState]) -> BTreeSet<u32> {
    let is_completed = |version: &&VersionState| version.id == current && version.observed.completed;
    match stance {
        Stance::Run => {}
        Stance::Disabled => return BTreeSet::new(),
        Stance::Replaced => {
            return versions
                .iter()
                .filter(is_completed)
                .map(|version| version.id)
                .collect();
        }
    }
    let (current_versions, others): (Vec<_>, Vec<_>) =
        versions.iter().partition(|version| version.id == current);
    let only_current = BTreeSet::from([current]);
    match info.class {
        ReplicaClass::LongRunning if info.scalable => {
            if current_versions.iter().any(|version| version.observed.serves()) {
                return only_current;
            }
            let serving = others.iter().filter(|version| has_served(version.status));
            only_current
                .into_iter()
                .chain(serving.map(|version| version.id))
                .collect()
        }
        ReplicaClass::LongRunning | ReplicaClass::Oneshot => {
            if others.iter().any(|version| version.observed.may_run()) {
                BTreeSet::new()
            } else {
                only_current
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(class: ReplicaClass, scalable: bool) -> Info {
        Info {
            name: "sample".into(),
            class,
            exclusive: true,
            scalable,
        }
    }

    fn version(id: u32, processes: u32, ready: bool) -> VersionState {
        let status = match (processes, ready) {
            (_, true) => VersionStatus::Running,
            (0, false) => VersionStatus::Stopped,
            (_, false) => VersionStatus::Starting,
        };
        VersionState {
            id,
            status,
            observed: Observed {
                exists: true,
                processes,
                ready,
                ..Observed::default()
            },
        }
    }

    /// What is wished for it isn't carried out yet.
    fn pending(version: VersionState) -> VersionState {
        let observed = Observed {
            pending: true,
            ..version.observed
        };
        VersionState { observed, ..version }
    }

    #[track_caller]
    fn check(scalable: bool, current: u32, versions: &[VersionState], expected: &[u32]) {
        let wanted = wanted(
            &info(ReplicaClass::LongRunning, scalable),
            Stance::Run,
            current,
            versions,
        );
        assert_eq!(wanted.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_scalable_replica_keeps_the_old_version_until_the_new_one_is_ready() {
        check(true, 2, &[version(1, 1, true), version(2, 0, false)], &[1, 2]);
        check(true, 2, &[version(1, 1, true), version(2, 1, false)], &[1, 2]);
        check(true, 2, &[version(1, 1, true), version(2, 1, true)], &[2]);
    }

    #[test]
    fn a_version_that_has_served_is_kept_through_a_crash() {
        let crashed = VersionState {
            status: VersionStatus::Degraded,
            ..version(1, 0, false)
        };
        check(true, 2, &[crashed.clone(), version(2, 1, false)], &[1, 2]);
        check(true, 2, &[crashed, version(2, 1, true)], &[2]);
        check(true, 3, &[version(1, 1, true), version(2, 1, false)], &[1, 3]);
    }

    #[test]
    fn what_was_seen_before_the_last_wish_proves_nothing() {
        let still_ready = pending(version(1, 1, true));
        check(true, 1, &[still_ready, version(2, 1, true)], &[1, 2]);
        let not_yet_started = pending(version(1, 0, false));
        check(false, 2, &[not_yet_started, version(2, 0, false)], &[]);
    }

    #[test]
    fn a_rollback_is_a_rollout_of_the_older_version() {
        check(true, 1, &[version(1, 0, false), version(2, 1, true)], &[1, 2]);
        check(true, 1, &[version(1, 1, true), version(2, 1, true)], &[1]);
    }

    #[test]
    fn a_replica_that_is_not_scalable_never_runs_twice() {
        check(false, 2, &[version(1, 1, true), version(2, 0, false)], &[]);
        check(false, 2, &[version(1, 0, false), version(2, 0, false)], &[2]);
    }

    #[test]
    fn a_disabled_replica_and_one_that_somebody_else_runs_have_no_process() {
        let info = info(ReplicaClass::LongRunning, true);
        for stance in [Stance::Disabled, Stance::Replaced] {
            assert!(wanted(&info, stance, 1, &[version(1, 1, true)]).is_empty());
        }
    }

    #[test]
    fn what_a_oneshot_has_done_is_not_done_again_because_somebody_else_ran_it() {
        let mut done = version(1, 0, false);
        done.observed.completed = true;
        let wanted = wanted(&info(ReplicaClass::Oneshot, false), Stance::Replaced, 1, &[done]);
        assert_eq!(wanted, BTreeSet::from([1]));
    }
}
