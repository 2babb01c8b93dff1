//! A contract whose permission handlers do what the test tells them, and a replica that implements it.

use std::time::Duration;

use reside::{BoxError, prelude::*};

/// What the handlers saw, and what they shall do.
#[derive(CoMap, Clone, Debug)]
pub struct DoorsData {
    /// One line per call of a handler.
    pub events: Ref<CoList<String>>,
    /// Doors whose handlers fail.
    pub broken: Vec<String>,
    /// Doors whose handlers never end.
    pub stuck: Vec<String>,
    /// Doors whose handlers panic.
    pub cursed: Vec<String>,
    /// How often the data were migrated.
    pub migrations: u32,
}

impl Migrate for DoorsData {
    async fn init(node: &Node, owner: &Group) -> Result<Self, BoxError> {
        let events = node.create_list(owner, [])?.reference();
        let (broken, stuck, cursed) = Default::default();
        Ok(Self {
            events,
            broken,
            stuck,
            cursed,
            migrations: 0,
        })
    }

    async fn migrate(data: &Co<Self>) -> Result<(), BoxError> {
        Ok(data.update(|data| data.migrations += 1)?)
    }
}

#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[permission(contract = DoorsContract, name = "door:open", instance(door), en("Open the door {door}", "Opens it"))]
pub struct OpenDoor {
    pub door: String,
    #[serde(default)]
    pub times: u32,
}

impl OpenDoor {
    pub fn new(door: &str) -> Self {
        Self {
            door: door.to_owned(),
            times: 0,
        }
    }

    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

impl PermissionHandler for OpenDoor {
    async fn on_granted(&self, data: &Co<DoorsData>, _: &AccountId) -> HandlerResult {
        handle(data, &self.door, format!("granted {} {}", self.door, self.times)).await
    }

    async fn on_updated(&self, old: &Self, data: &Co<DoorsData>, _: &AccountId) -> HandlerResult {
        handle(
            data,
            &self.door,
            format!("updated {} {} {}", self.door, old.times, self.times),
        )
        .await
    }

    async fn on_revoked(&self, data: &Co<DoorsData>, _: &AccountId) -> HandlerResult {
        handle(data, &self.door, format!("revoked {} {}", self.door, self.times)).await
    }
}

async fn handle(data: &Co<DoorsData>, door: &String, event: String) -> HandlerResult {
    let DoorsData {
        events,
        broken,
        stuck,
        cursed,
        ..
    } = data.get()?;
    if stuck.contains(door) {
        std::future::pending::<()>().await;
    }
    assert!(!cursed.contains(door), "cursed");
    let events = data.node().load(&events).await?;
    if broken.contains(door) {
        events.push(&format!("failed to: {event}"))?;
        return Err("broken".into());
    }
    Ok(events.push(&event)?)
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
pub struct WaitRequest {
    pub seconds: u64,
}

#[contract(identity = "ghcr.io/exeteres/reside/contracts/doors.v1", data = DoorsData, permissions(OpenDoor),
           en("Doors", "Opens doors"))]
pub trait Doors {
    /// Opens a door, for those who may.
    #[method(en("Open", "Opens a door"), idempotent)]
    async fn open(&self, call: &Call, request: OpenDoor) -> RpcResult<String>;

    /// Answers after a while.
    #[method(en("Wait", "Answers after a while"))]
    async fn wait(&self, call: &Call, request: WaitRequest) -> RpcResult<u64>;
}

pub struct Service {
    pub doors: Implementation<DoorsContract>,
    pub name: String,
}

impl Doors for Service {
    async fn open(&self, call: &Call, request: OpenDoor) -> RpcResult<String> {
        self.doors.require(call, &request)?;
        Ok(format!("{} opened {}", self.name, request.door))
    }

    async fn wait(&self, _: &Call, request: WaitRequest) -> RpcResult<u64> {
        tokio::time::sleep(Duration::from_secs(request.seconds)).await;
        Ok(request.seconds)
    }
}

pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(
        "ghcr.io/exeteres/reside/replicas/doors",
        Info::long_running("doors"),
    )
    .en("Doors", "Opens doors")
    .implements::<DoorsContract>("doors")
}

pub async fn run(replica: Replica) -> RunResult {
    let doors = replica.implementation::<DoorsContract>()?;
    replica.serve(
        DoorsContract,
        Service {
            doors,
            name: replica.name().to_owned(),
        },
    )?;
    replica.shutdown_requested().await;
    Ok(())
}

/// Returns what the handlers of the replica saw so far.
pub async fn events(replica: &Replica) -> Result<Vec<String>, BoxError> {
    let data = replica.implementation::<DoorsContract>()?.data().get()?;
    Ok(replica.node().load(&data.events).await?.items()?)
}
