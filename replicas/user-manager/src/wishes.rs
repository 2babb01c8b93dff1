//! What the control block of a replica should say of one user. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use alpha_v1::ReplicaId;
use reside::prelude::*;
use reside::rcb::{Expected, Grant, UserPermission};
use user_manager_v1::GrantedPermission;

/// What one replica should expect of one user, by the keys of control blocks.
pub type Wishes = BTreeMap<String, UserPermission>;

/// Returns what a replica with these contracts should expect of a user who was granted all this.
///
/// Of several grants of one permission the one that holds longest counts, of those the one of the user's own set.
pub fn wishes<'g>(
    account: &AccountId,
    granted: impl IntoIterator<Item = &'g GrantedPermission>,
    replica: ReplicaId,
    contracts: &[Identity],
) -> Wishes {
    let mut chosen: BTreeMap<String, (Grant, &GrantedPermission)> = BTreeMap::new();
    for granted in granted {
        let is_meant = granted
            .replica_ids
            .as_ref()
            .is_none_or(|ids| ids.contains(&replica));
        if !is_meant || !contracts.contains(&granted.contract) {
            continue;
        }
        let grant = Grant {
            account: account.clone(),
            identity: granted.contract.clone(),
            name: granted.permission.clone(),
            instance_id: granted.instance_id.clone(),
        };
        let key = grant.entry_key();
        if chosen
            .get(&key)
            .is_none_or(|(_, other)| rank(granted) > rank(other))
        {
            chosen.insert(key, (grant, granted));
        }
    }
    let wish = |(grant, granted): (Grant, &GrantedPermission)| {
        let expected = Expected {
            expires_at: granted.expires_at,
            ..Expected::granted(granted.params.clone())
        };
        UserPermission::new(grant, expected)
    };
    chosen
        .into_iter()
        .map(|(key, found)| (key, wish(found)))
        .collect()
}

fn rank(granted: &GrantedPermission) -> (u64, std::cmp::Reverse<user_manager_v1::PermissionSet>) {
    let end = granted.expires_at.map_or(u64::MAX, |end| end.0);
    (end, std::cmp::Reverse(granted.set))
}

/// Returns what has to be written so that a control block that says `present` of a user says what is wished. What is
/// wished no more is revoked, not removed: the replica takes it from there.
pub fn differences<'p>(
    present: impl IntoIterator<Item = (&'p String, &'p UserPermission)>,
    wishes: Wishes,
) -> Wishes {
    let mut changes = wishes;
    for (key, now) in present {
        match changes.get(key) {
            Some(wish) if wish == now => drop(changes.remove(key)),
            Some(_) => {}
            None if now.expected.granted => {
                let mut revoked = now.clone();
                revoked.expected = Expected::revoked(revoked.expected.params);
                changes.insert(key.clone(), revoked);
            }
            None => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use user_manager_v1::PermissionSet;

    const CONTRACT: &str = "example.org/contracts/doors.v1";

    fn account() -> AccountId {
        "co_zUXqwLRRnR9CANMAEcYkLV6wVMd".parse().expect("an account id")
    }

    fn granted(
        set: PermissionSet,
        door: &str,
        replica_ids: Option<Vec<u32>>,
        end: Option<u64>,
    ) -> GrantedPermission {
        let params = json!({"door": door, "set": format!("{set:?}")});
        GrantedPermission {
            set,
            contract: CONTRACT.parse().expect("an identity"),
            permission: "door:open".to_owned(),
            instance_id: Some(door.to_owned()),
            params: params.as_object().cloned().unwrap_or_default(),
            replica_ids,
            expires_at: end.map(Timestamp),
            by: account(),
            at: Timestamp(1),
        }
    }

    fn of(all: &[GrantedPermission], replica: ReplicaId) -> Vec<(String, String)> {
        let contracts = [CONTRACT.parse().expect("an identity")];
        let wishes = wishes(&account(), all, replica, &contracts).into_values();
        wishes
            .map(|wish| {
                (
                    wish.instance_id.unwrap_or_default(),
                    wish.expected.params["set"].to_string(),
                )
            })
            .collect()
    }

    #[test]
    fn the_grant_that_holds_longest_counts_and_then_the_users_own() {
        use PermissionSet::{Administrator, Default, Own};
        let all = [
            granted(Default, "red", None, None),
            granted(Own, "red", None, Some(5)),
            granted(Own, "blue", None, None),
            granted(Default, "blue", None, None),
            granted(Administrator, "green", Some(vec![4]), Some(7)),
            granted(Default, "green", None, Some(6)),
        ];
        let text = |door: &str, set: &str| (door.to_owned(), format!("\"{set}\""));
        assert_eq!(
            of(&all, 3),
            [
                text("blue", "Own"),
                text("green", "Default"),
                text("red", "Default")
            ]
        );
        assert_eq!(of(&all, 4)[1], text("green", "Administrator"));
        assert!(wishes(&account(), &all, 3, &[]).is_empty());
    }

    #[test]
    fn only_what_differs_is_written() {
        let contracts = [CONTRACT.parse().expect("an identity")];
        let wish = |doors: &[&str]| {
            let all: Vec<_> = doors
                .iter()
                .map(|door| granted(PermissionSet::Own, door, None, None))
                .collect();
            wishes(&account(), &all, 3, &contracts)
        };
        let present = wish(&["red", "blue"]);
        assert!(differences(&present, wish(&["red", "blue"])).is_empty());
        let changes = differences(&present, wish(&["blue", "green"]));
        let changes: Vec<_> = changes
            .into_values()
            .map(|change| (change.instance_id.unwrap_or_default(), change.expected.granted))
            .collect();
        assert_eq!(changes, [("green".to_owned(), true), ("red".to_owned(), false)]);
        // What is revoked stays revoked without another write.
        let revoked = differences(&present, Wishes::new());
        assert!(differences(&revoked, Wishes::new()).is_empty());
    }
}
