//! A cluster with a User Manager, an administrator, and a replica whose doors users open.

use std::time::Duration;

use reside::Contract;
use reside::prelude::*;
use reside::rpc::{Code, RpcError};
use reside::testing::{Cluster, TestAccount, TestReplica};
use serde_json::{Value, json};
use user_manager::testing::Users;
use user_manager_v1::{ChangeUserPermission, Register, UserManagerClient, UserManagerContract, UserProfile};

/// How long anything may take that isn't waited for by the call itself.
pub const SOON: Duration = Duration::from_secs(10);

/// Doors hold nothing.
#[derive(CoMap, Clone, Debug)]
pub struct DoorsData {
    /// Makes the struct a map.
    pub opened: u32,
}

impl Migrate for DoorsData {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self { opened: 0 })
    }
}

/// The right to open one door.
#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[permission(contract = DoorsContract, name = "door:open", instance(door), en("Open {door}", "Open this door"))]
#[serde(deny_unknown_fields)]
pub struct OpenDoor {
    /// Which.
    pub door: String,
}

impl PermissionHandler for OpenDoor {}

/// Opens doors.
#[contract(
    identity = "example.org/contracts/doors.v1", data = DoorsData, permissions(OpenDoor), en("Doors", "Opens doors")
)]
pub trait Doors {
    /// Opens a door; needs the permission.
    #[method(en("Open", "Opens a door"), idempotent)]
    async fn open(&self, call: &Call, request: OpenDoor) -> RpcResult<String>;
}

struct Service(Implementation<DoorsContract>);

impl Doors for Service {
    async fn open(&self, call: &Call, request: OpenDoor) -> RpcResult<String> {
        self.0.require(call, &request)?;
        Ok(call.made_by().to_string())
    }
}

pub fn door(door: &str) -> OpenDoor {
    OpenDoor {
        door: door.to_owned(),
    }
}

pub fn doors() -> ReplicaDefinition {
    ReplicaDefinition::new("example.org/replicas/doors", Info::long_running("doors"))
        .en("Doors", "Opens doors")
        .implements::<DoorsContract>("doors")
}

pub async fn run_doors(replica: Replica) -> RunResult {
    let contract = replica.implementation::<DoorsContract>()?;
    replica.serve(DoorsContract, Service(contract))?;
    replica.shutdown_requested().await;
    Ok(())
}

/// The cluster.
pub struct World {
    pub cluster: Cluster,
    pub users: Users,
    pub doors: TestReplica,
    pub admin: TestAccount,
}

impl World {
    /// A cluster whose administrator has registered.
    pub async fn new() -> Result<Self, BoxError> {
        let cluster = Cluster::new().await?;
        let users = Users::add_to(&cluster).await?;
        users.knows::<DoorsContract>().await?;
        let doors = cluster.add(doors(), run_doors).await?;
        users.loaded(&doors, &[DoorsContract::identity()]).await?;
        let admin = cluster.account("admin").await?;
        users.claimed_by(admin.id()).await?;
        let world = Self {
            cluster,
            users,
            doors,
            admin,
        };
        world.register(&world.admin, "Admin").await?;
        Ok(world)
    }

    /// The same, after a restart of the User Manager.
    pub async fn restarted(self) -> Result<Self, BoxError> {
        let users = self.users.restarted(&self.cluster).await?;
        Ok(Self { users, ..self })
    }

    pub fn client(&self, account: &TestAccount) -> UserManagerClient {
        account.client::<UserManagerContract>(&self.users.manager)
    }

    pub async fn register(&self, account: &TestAccount, name: &str) -> Result<UserProfile, CallError> {
        let name = name.to_owned();
        self.client(account).register(Register { name }).await
    }

    /// Whether an account can open a door now.
    pub async fn opens(&self, account: &TestAccount, which: &str) -> bool {
        account
            .client::<DoorsContract>(&self.doors)
            .open(door(which))
            .await
            .is_ok()
    }
}

/// A door for a user.
pub fn change(user_id: u32, which: &str) -> ChangeUserPermission {
    ChangeUserPermission {
        user_id,
        contract: DoorsContract::IDENTITY.to_owned(),
        permission: OpenDoor::NAME.to_owned(),
        params: Some(json!({"door": which})),
        replica_ids: None,
        expires_at: None,
    }
}

/// The params of a request that are something else.
pub fn with_params(mut change: ChangeUserPermission, params: Value) -> ChangeUserPermission {
    change.params = Some(params);
    change
}

/// Why a call was refused.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, CallError>) -> RpcError {
    match result {
        Err(CallError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// Checks that a call was refused with this code, and says this.
pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, CallError>, code: Code, says: &str) {
    let error = refusal(result);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(says), "{error}");
}
