//! Which versions of a replica should have a process right now. Pure and level-triggered: called with what is, again
//! and again, it leads from any state to the wanted one without a gap (scalable) or without an overlap (not scalable).

use std::collections::BTreeSet;

use reside::manifest::ReplicaClass;
use reside::prelude::*;

use crate::status::Observed;

/// A version as the rollout sees it.
#[derive(Clone, Debug)]
pub struct VersionState {
    /// Its number.
    pub id: u32,
    /// Its workload as observed.
    pub observed: Observed,
}

/// Returns the versions that should have a process.
///
/// * A disabled replica has none.
/// * Scalable: the current version, and beside it every version that serves until the current one is ready. A current
///   version that never gets ready therefore leaves the old one serving.
/// * Not scalable: the current version, once all others are confirmed to be down.
pub fn wanted(info: &Info, enabled: bool, current: u32, versions: &[VersionState]) -> BTreeSet<u32> {
    if !enabled {
        return BTreeSet::new();
    }
    let others = || {
        versions
            .iter()
            .filter(|version| version.id != current && version.observed.has_process())
    };
    let current_ready = versions
        .iter()
        .any(|version| version.id == current && version.observed.ready);
    match info.class {
        ReplicaClass::LongRunning if info.scalable => {
            let mut wanted = BTreeSet::from([current]);
            if !current_ready {
                wanted.extend(
                    others()
                        .filter(|version| version.observed.ready)
                        .map(|version| version.id),
                );
            }
            wanted
        }
        ReplicaClass::LongRunning | ReplicaClass::Oneshot => {
            if others().next().is_some() {
                BTreeSet::new()
            } else {
                BTreeSet::from([current])
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
        VersionState {
            id,
            observed: Observed {
                exists: true,
                processes,
                ready,
                ..Observed::default()
            },
        }
    }

    #[track_caller]
    fn check(scalable: bool, current: u32, versions: &[VersionState], expected: &[u32]) {
        let wanted = wanted(
            &info(ReplicaClass::LongRunning, scalable),
            true,
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
    fn a_disabled_replica_has_no_process() {
        let wanted = wanted(
            &info(ReplicaClass::LongRunning, true),
            false,
            1,
            &[version(1, 1, true)],
        );
        assert!(wanted.is_empty());
    }
}
