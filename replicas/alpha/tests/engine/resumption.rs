//! Alpha killed at every step of what it does: whatever prefix of its messages the sync server got, and wherever its
//! work was dropped, the next Alpha ends in the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::Poll;

use alpha_v1::{
    ApprovePermissionRequest, ChangePermission, CreateLoadRequest, LoadRequestStatus, ReplicaKey,
    RequestPermission,
};
use jazz::{CoId, Credentials};
use kubernetes_sentinel_v1::Kind;
use reside::prelude::*;
use serde_json::{Value, json};

use crate::images::*;
use crate::support::*;

/// What Alpha is asked to do when it dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    /// Load a replica that wasn't there.
    Load,
    /// Load another version of one that was.
    Update,
    /// Remove one.
    Unload,
    /// Make the older version current.
    Rollback,
    /// Give somebody a permission.
    Grant,
    /// Take a request of a replica, and approve it.
    Request,
}

/// A cluster with a greeter, and with a visitor of two versions that requires it; with what the task still needs.
async fn prepared(task: Task) -> World {
    let (world, alpha) = cluster_with_greeter().await;
    // Whoever may manage must be able to, whenever the replica was made.
    for group in managed_by(&alpha) {
        group
            .add_member(&world.manager.account_id, Role::Writer)
            .await
            .unwrap();
    }
    if task != Task::Load {
        alpha.load(&world.images.publish(&visitor())).await;
    }
    if task == Task::Rollback {
        world.images.publish(&requiring(requirement(vec![])));
        alpha.load_as(update()).await;
    }
    world.images.publish(&visitor());
    alpha.shutdown().await;
    world
}

fn update() -> CreateLoadRequest {
    CreateLoadRequest {
        replica_id: Some(4),
        ..asking(VISITOR)
    }
}

/// Does the task from wherever it stands, as somebody would who got no answer the first time.
async fn perform(alpha: &Alpha, task: Task) -> Result<(), BoxError> {
    let me = alpha.me();
    match task {
        Task::Load | Task::Update => {
            let (id, asked, version) = match task {
                Task::Load => (2, asking(VISITOR), 1),
                _ => (3, update(), 2),
            };
            if alpha.engine.state().load_request(id).await?.is_none() {
                let created = alpha.engine.create_load_request(&me, asked).await?;
                assert_eq!(created, id);
            }
            alpha.try_settle().await?;
            let request = alpha.request(id).await;
            if request.status == LoadRequestStatus::RequiresApproval {
                let approved = alpha.engine.approve(&me, approval(id)).await?;
                assert_eq!((approved.replica_id, approved.version_id), (4, version));
            }
        }
        Task::Unload => {
            if alpha.engine.replica(4).await.is_ok() {
                alpha.engine.unload(4).await?;
            }
        }
        Task::Rollback => {
            alpha.engine.rollback(4, Some(1)).await?;
        }
        Task::Grant => {
            let asked = ChangePermission {
                account_id: me.to_string(),
                contract: CONTRACT.to_owned(),
                permission: "greeting:create".to_owned(),
                params: Some(json!({ "language": "fr" })),
                replica_ids: None,
            };
            alpha.engine.grant(&me, asked, None).await?;
        }
        Task::Request => {
            let asked = RequestPermission {
                requirement: "greeter".to_owned(),
                permission: "greeting:create".to_owned(),
                params: json!({ "language": "fr" })
                    .as_object()
                    .cloned()
                    .unwrap_or_default(),
                reason: "somebody speaks it".to_owned(),
            };
            let visitor = alpha.record(4).await.account;
            let taken = alpha.engine.request_permission(&visitor, asked).await?;
            let approval = ApprovePermissionRequest {
                request_id: taken.request_id,
                expires_at: None,
            };
            alpha.engine.approve_permission_request(&me, approval).await?;
        }
    }
    alpha.try_settle().await
}

/// Everything that can be seen of the cluster, with the accounts named by whose they are.
async fn picture(world: &World, alpha: &Alpha) -> Value {
    let state = alpha.engine.state();
    let mut names = BTreeMap::from([(alpha.me().to_string(), "alpha".to_owned())]);
    let mut replicas = BTreeMap::new();
    let mut lookups = BTreeMap::new();
    for record in state.all_records().await.unwrap() {
        names.insert(record.account.to_string(), format!("account {}", record.id));
        names.insert(record.rcb.id().to_string(), format!("block {}", record.id));
        for key in [
            ReplicaKey::Name(&record.name),
            ReplicaKey::Identity(&record.identity),
        ] {
            lookups.insert(key.uniqueness(), alpha.found(key).await);
        }
        let replica = state.replica(record.id).await.unwrap().unwrap();
        let versions: Vec<_> = replica
            .versions
            .values()
            .map(|(_, version)| {
                json!([
                    version.id,
                    version.image,
                    version.load_request_id,
                    version.requirements
                ])
            })
            .collect();
        let block = alpha.node().load(&record.rcb).await.unwrap();
        let permissions = alpha
            .node()
            .load(&block.get().unwrap().permissions)
            .await
            .unwrap();
        let mut expected = BTreeMap::new();
        for (key, entry) in permissions.entries().unwrap() {
            let entry = alpha.node().load(&entry).await.unwrap().get().unwrap();
            expected.insert(key, entry.expected);
        }
        let requirements = alpha
            .node()
            .load(&block.get().unwrap().requirements)
            .await
            .unwrap();
        let picture = json!({
            "name": record.name, "account": record.account, "current": record.current_version,
            "implementations": record.implementations, "unloaded": record.unloaded_at.is_some(),
            "versions": versions, "expected": expected, "requirements": requirements.entries().unwrap(),
            "enabled": replica.management.enabled,
        });
        replicas.insert(record.id, picture);
    }
    let contract = ReplicaKey::Contract(&CONTRACT.parse().unwrap()).uniqueness();
    lookups.insert(
        contract,
        alpha
            .found(ReplicaKey::Contract(&CONTRACT.parse().unwrap()))
            .await,
    );
    let mut grants = BTreeMap::new();
    for (key, grant) in state.grants.entries().unwrap() {
        let grant = alpha.node().load(&grant).await.unwrap().get().unwrap();
        let reasons: Vec<Value> = grant
            .reasons
            .iter()
            .map(|reason| json!(reason)["kind"].clone())
            .collect();
        grants.insert(key, reasons);
    }
    let requests: BTreeMap<_, _> = state
        .all_load_requests()
        .await
        .unwrap()
        .into_iter()
        .map(|(_, request)| {
            (
                request.id,
                json!([
                    request.image,
                    request.status,
                    request.replica_id,
                    request.replica_name,
                    request.version_id
                ]),
            )
        })
        .collect();
    let asked = state.all_permission_requests().await.unwrap().into_iter();
    let asked: Vec<_> = asked
        .map(|(_, asked)| json!([asked.id, asked.replica_id, asked.params, asked.status]))
        .collect();
    let mut contracts = BTreeMap::new();
    for (id, contract) in state.contracts.entries().unwrap() {
        let contract = alpha.node().load(&contract).await.unwrap().get().unwrap();
        assert_eq!(id, contract.id.to_string());
        contracts.insert(id, contract.identity);
    }
    let mut objects = BTreeMap::new();
    let data = alpha.sentinel.get().unwrap();
    for kind in Kind::ALL {
        let collection = alpha.node().load(data.collection(kind)).await.unwrap();
        for (name, object) in collection.entries().unwrap() {
            let object = alpha.node().load(&object).await.unwrap().get().unwrap();
            objects.insert(format!("{kind} {name}"), object.manifest);
        }
    }
    let mut accounts: Vec<_> = world.accounts.made.lock().clone();
    accounts.sort();
    let picture = json!({
        "replicas": replicas, "lookups": lookups, "grants": grants, "requests": requests, "contracts": contracts,
        "objects": objects, "accounts": accounts.len(), "plans": state.plans.entries().unwrap().len(),
        "secrets": state.secrets.keys().unwrap(), "asked": asked,
    });
    let mut text = picture.to_string();
    for (id, name) in names {
        text = text.replace(&id, &name);
    }
    let mut picture: Value = serde_json::from_str(&text).unwrap();
    hide_secrets(&mut picture);
    picture
}

/// Takes out what is random.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(secret) = map.get_mut("agentSecret") {
                *secret = json!("hidden");
            }
            map.values_mut().for_each(hide_secrets);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}

/// The groups of those who may read and manage replicas.
fn managed_by(alpha: &Alpha) -> [Group; 3] {
    let state = alpha.engine.state();
    let readers = state.replicas.owner();
    [
        readers,
        state.rcb_manage_group.clone(),
        state.replica_manage_group.clone(),
    ]
}

/// Checks that the replica itself and whoever manages replicas can do their part.
async fn check_access(world: &World, alpha: &Alpha) {
    let secret = alpha.engine.state().secrets.get("4").unwrap().unwrap();
    let own = Credentials::of(secret.parse().unwrap());
    let record = alpha.record(4).await;
    for credentials in [own, world.manager.clone()] {
        let is_own = credentials.account_id == record.account;
        let node = world.log_in(credentials).await;
        let block = node.load(&record.rcb).await.unwrap();
        assert_eq!(block.get().unwrap().id, 4);
        assert_eq!(block.my_role(), Some(Role::Writer));
        ControlBlock::set_requirement(&block, "more", &Vec::new())
            .await
            .unwrap();
        if !is_own {
            let management = node.load(&record.management).await.unwrap();
            management
                .update(|management| management.enabled = false)
                .unwrap();
        }
        node.wait_for_sync(SOON).await.unwrap();
        node.shutdown().await;
    }
    let mut management = alpha.node().load(&record.management).await.unwrap().subscribe();
    management
        .wait_for(|management| !management.enabled)
        .await
        .unwrap()
        .unwrap();
}

/// The kinds of values at the server, as far as their ids tell nothing: how many there are.
fn count(ids: Vec<CoId>) -> usize {
    ids.into_iter().collect::<BTreeSet<_>>().len()
}

/// What comes of a task that nobody disturbs, and how many values are at the server then.
async fn undisturbed(world: World, task: Task) -> (Value, usize) {
    let alpha = world.alpha().await;
    perform(&alpha, task).await.unwrap();
    alpha.shutdown().await;
    let alpha = world.alpha().await;
    alpha.settle().await;
    alpha.node().wait_for_sync(SOON).await.unwrap();
    (picture(&world, &alpha).await, count(values_at(&world.server)))
}

/// Starts Alpha again, has whoever got no answer ask again, and compares.
async fn check_recovery(world: World, task: Task, step: usize, expected: &(Value, usize)) {
    let alpha = world.alpha().await;
    alpha.settle().await;
    perform(&alpha, task).await.unwrap();
    alpha.node().wait_for_sync(SOON).await.unwrap();
    let found = picture(&world, &alpha).await;
    assert_eq!(
        found, expected.0,
        "{task:?} cut off at step {step}: {found:#}\ninstead of {:#}",
        expected.0
    );
    let values = count(values_at(&world.server));
    assert_eq!(
        values, expected.1,
        "{task:?} cut off at step {step} leaves values behind"
    );
    if task == Task::Load {
        check_access(&world, &alpha).await;
    }
    alpha.kill().await;
}

/// Cuts Alpha's connection after every number of messages.
async fn cut_at_every_message(task: Task) {
    let prepared = prepared(task).await;
    let expected = undisturbed(prepared.fork(), task).await;
    for messages in 0.. {
        let world = prepared.fork();
        let alpha = world.alpha().await;
        alpha.wire.cut_after(messages);
        let finished = tokio::select! {
            biased;
            () = alpha.wire.cut() => false,
            () = perform_durably(&alpha, task) => true,
        };
        alpha.kill().await;
        check_recovery(world, task, messages, &expected).await;
        if finished {
            assert!(messages > 0, "a task without messages proves nothing");
            return;
        }
    }
}

async fn perform_durably(alpha: &Alpha, task: Task) {
    perform(alpha, task).await.unwrap();
    alpha.node().wait_for_sync(SOON).await.unwrap();
}

/// Drops the task after every number of polls; Alpha itself lives on, and its loop finishes what was decided.
async fn drop_at_every_poll(task: Task) {
    let prepared = prepared(task).await;
    let expected = undisturbed(prepared.fork(), task).await;
    for polls in 0.. {
        let world = prepared.fork();
        let alpha = world.alpha().await;
        let finished = {
            let mut work = pin!(perform(&alpha, task));
            let mut left = polls;
            std::future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                work.as_mut().poll(cx).map(|result| {
                    result.unwrap();
                    true
                })
            })
            .await
        };
        alpha.settle().await;
        perform(&alpha, task).await.unwrap();
        alpha.shutdown().await;
        check_recovery(world, task, polls, &expected).await;
        if finished {
            return;
        }
    }
}

macro_rules! cases {
    ($($name:ident: $task:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn survives_a_kill_at_every_message() {
                cut_at_every_message(Task::$task).await;
            }

            #[tokio::test(start_paused = true)]
            async fn survives_being_dropped_at_every_poll() {
                drop_at_every_poll(Task::$task).await;
            }
        }
    )*};
}

cases! {
    loading: Load;
    updating: Update;
    unloading: Unload;
    rolling_back: Rollback;
    granting: Grant;
    requesting: Request;
}
