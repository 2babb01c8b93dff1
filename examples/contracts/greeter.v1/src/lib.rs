//! A contract to learn from: replicas that greet people and remember whom they greeted.

use reside::prelude::*;

/// What consumers can see. The map is public; the greetings are for those who may read them.
#[derive(CoMap, Clone, Debug)]
pub struct GreeterData {
    /// All greetings so far.
    pub greetings: Ref<CoList<Greeting>>,
}

impl Migrate for GreeterData {
    async fn init(node: &Node, _owner: &Group) -> Result<Self, BoxError> {
        let readers = node.create_group()?;
        Ok(Self {
            greetings: node.create_list(&readers, [])?.reference(),
        })
    }
}

/// One greeting.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Greeting {
    /// What was said.
    pub text: String,
    /// In which language.
    pub language: String,
    /// Who asked for it.
    pub by: AccountId,
    /// When.
    pub at: Timestamp,
}

/// The right to greet in one language.
#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[permission(contract = GreeterContract, name = "greeting:create", instance(language),
             en("Greet in {language}", "Ask for greetings in this language"),
             ru("Приветствовать на языке {language}", "Просить о приветствиях на этом языке"))]
pub struct CreateGreeting {
    /// BCP 47 tag of the language.
    pub language: String,
}

impl PermissionHandler for CreateGreeting {}

/// The right to read all greetings.
#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[permission(contract = GreeterContract, name = "greeting:read:all", risk = read,
             en("Read greetings", "Read all greetings"), ru("Читать приветствия", "Читать все приветствия"))]
pub struct ReadGreetings {}

impl PermissionHandler for ReadGreetings {
    async fn on_granted(&self, data: &Co<GreeterData>, account: &AccountId) -> HandlerResult {
        let greetings = data.node().load(&data.get()?.greetings).await?;
        Ok(greetings.owner().add_member(account, Role::Reader).await?)
    }

    async fn on_revoked(&self, data: &Co<GreeterData>, account: &AccountId) -> HandlerResult {
        let greetings = data.node().load(&data.get()?.greetings).await?;
        Ok(greetings.owner().remove_member(account).await?)
    }
}

/// Whom to greet, and how.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct GreetRequest {
    /// Whom.
    pub name: String,
    /// BCP 47 tag of the language.
    pub language: String,
}

/// A greeting was said.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct GreetResponse {
    /// What was said.
    pub text: String,
    /// How many greetings there are now.
    pub count: usize,
}

/// Asks how many greetings there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct CountRequest {}

/// How many greetings there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct CountResponse {
    /// All of them.
    pub count: usize,
}

/// Greets people.
#[contract(identity = "ghcr.io/exeteres/reside/contracts/greeter.v1", data = GreeterData,
           permissions(CreateGreeting, ReadGreetings),
           en("Greeter", "Greets people and remembers whom it greeted"),
           ru("Приветствие", "Приветствует людей и помнит, кого приветствовало"))]
pub trait Greeter {
    /// Greets somebody; needs [`CreateGreeting`] for the language.
    #[method(
        en("Greet", "Greets somebody"),
        ru("Поприветствовать", "Приветствует кого-нибудь")
    )]
    async fn greet(&self, call: &Call, request: GreetRequest) -> RpcResult<GreetResponse>;

    /// Counts the greetings so far.
    #[method(
        en("Count", "Counts the greetings"),
        ru("Сосчитать", "Считает приветствия"),
        idempotent
    )]
    async fn count(&self, call: &Call, request: CountRequest) -> RpcResult<CountResponse>;
}
