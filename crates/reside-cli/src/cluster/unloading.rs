//! What unloading a replica comes down to, told before it is done.

use std::collections::BTreeMap;

use alpha_v1::{GrantKind, GrantReason, GrantRecord, ReadReplicas, ReplicaId, ReplicaRecord};
use jazz::Timestamp;
use reside::manifest::ReplicaClass;
use serde::Serialize;

use super::records::load_all;
use super::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// The plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unloading {
    id: ReplicaId,
    name: String,
    /// Replicas that use it.
    used_by: Vec<User>,
    /// Grants that end; unknown to those who may not see them.
    grants: Option<Grants>,
    /// Objects of the orchestrator that go.
    objects: Vec<String>,
    /// Its account; what it has written stays at the sync server.
    account_id: String,
    versions: usize,
}

/// A replica that uses this one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    replica: String,
    requirement: String,
    /// It can't do without.
    is_needed: bool,
}

/// Grants that end with it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants {
    /// What others may do here.
    of_others: usize,
    /// What it may do elsewhere because its version asks for it.
    of_its_own: usize,
    /// What it may do elsewhere because an administrator granted it; this stays.
    kept: usize,
}

impl Unloading {
    /// Looks at everything that has to do with the replica.
    pub async fn of(session: &Session, record: &ReplicaRecord) -> Result<Self, CommandError> {
        let versions = session.versions(record).await;
        let versions =
            versions.map_err(|error| session.cannot_load::<ReadReplicas>(error, "the versions"))?;
        let kind = match record.info.class {
            ReplicaClass::LongRunning => "Deployment",
            ReplicaClass::Oneshot => "Job",
        };
        let name = &record.name;
        let workloads = versions
            .iter()
            .map(|version| format!("{kind} {name}-{}", version.id));
        let others = ["Secret", "Service", "Ingress"].map(|kind| format!("{kind} {name}"));
        Ok(Self {
            id: record.id,
            name: name.clone(),
            used_by: used_by(session, record.id).await?,
            grants: grants(session, record).await,
            objects: workloads.chain(others).collect(),
            account_id: record.account.to_string(),
            versions: versions.len(),
        })
    }

    /// The first replica that can't do without this one.
    pub fn needed_by(&self) -> Option<&str> {
        let needing = self.used_by.iter().find(|user| user.is_needed);
        needing.map(|user| user.replica.as_str())
    }
}

impl View for Unloading {
    fn draw(&self) -> Drawing {
        let Self {
            id,
            name,
            account_id,
            versions,
            ..
        } = self;
        let mut fields = Fields::default();
        fields.field("Replica", format!("{name} ({id})"));
        let mut table = Table::new(["WHAT", "HOW MANY", "BECOMES"], "");
        let mut row = |what: &str, many: String, becomes: &str| {
            table.row([what.to_owned(), many, becomes.to_owned()]);
        };
        match &self.grants {
            Some(grants) => {
                row(
                    "permissions of others here",
                    grants.of_others.to_string(),
                    "revoked",
                );
                row(
                    "its permissions, as it asked",
                    grants.of_its_own.to_string(),
                    "revoked",
                );
                row(
                    "its permissions, granted by hand",
                    grants.kept.to_string(),
                    "kept",
                );
            }
            None => row(
                "permissions",
                "unknown".to_owned(),
                "revoked, but for those granted to it by hand",
            ),
        }
        row("objects", self.objects.len().to_string(), "deleted");
        row(
            "versions",
            versions.to_string(),
            "gone: no rollback; their images can be pruned",
        );
        row(
            "its account and all it has written",
            String::new(),
            "kept by the sync server",
        );
        row("its logs", String::new(), "kept");
        fields.field("Account", account_id.clone());
        if !self.used_by.is_empty() {
            let mut users = Table::new(["REPLICA", "REQUIREMENT", "WITHOUT IT"], "");
            for user in &self.used_by {
                let without = if user.is_needed {
                    "does not go on: unload it first"
                } else {
                    "goes on"
                };
                users.row([user.replica.clone(), user.requirement.clone(), without.to_owned()]);
            }
            fields.table("Used by", users);
        }
        fields.table("What unloading does", table);
        Drawing::Fields(fields)
    }
}

async fn used_by(session: &Session, id: ReplicaId) -> Result<Vec<User>, CommandError> {
    let mut users = Vec::new();
    for other in session
        .replicas()
        .await?
        .into_iter()
        .filter(|other| other.record.id != id)
    {
        let chosen: &BTreeMap<String, Vec<ReplicaId>> = &other.version.requirements;
        for (requirement, _) in chosen.iter().filter(|(_, chosen)| chosen.contains(&id)) {
            let is_optional = other
                .version
                .manifest
                .requirements
                .get(requirement)
                .is_some_and(|one| one.optional);
            users.push(User {
                replica: other.record.name.clone(),
                requirement: requirement.clone(),
                is_needed: !is_optional && chosen[requirement] == [id],
            });
        }
    }
    Ok(users)
}

async fn grants(session: &Session, record: &ReplicaRecord) -> Option<Grants> {
    let all = session
        .node()
        .load(&session.alpha_data().ok()?.grants)
        .await
        .ok()?;
    let mut grants = Grants::default();
    let now = Timestamp::now();
    for grant in load_all::<GrantRecord>(session.node(), &all).await.ok()? {
        let is_by_hand = |reason: &GrantReason| !matches!(reason.kind, GrantKind::Static { .. });
        match (grant.replica_id == record.id, grant.account == record.account) {
            _ if !grant.reasons.iter().any(|reason| reason.is_active(now)) => {}
            (true, _) => grants.of_others += 1,
            (false, true) if grant.reasons.iter().any(is_by_hand) => grants.kept += 1,
            (false, true) => grants.of_its_own += 1,
            (false, false) => {}
        }
    }
    Some(grants)
}
