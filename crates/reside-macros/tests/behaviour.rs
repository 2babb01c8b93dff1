//! A contract of two methods and two permissions: its manifest, its table of methods, its client.

use std::sync::Arc;

use reside::{
    client::{Caller, ContractClient, Method},
    dispatch::Dispatch,
    prelude::*,
    rpc::Code,
};
use serde_json::json;
use tokio::time::Instant;

#[derive(CoMap, Clone, Debug)]
pub struct Data {
    pub name: String,
}

impl Migrate for Data {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self {
            name: "greeter".to_owned(),
        })
    }
}

#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[permission(contract = GreeterContract, name = "greeting:create", instance(language_tag, style), risk = admin,
             en("Greet in {languageTag}", "Greets"), ru("Приветствовать на языке {languageTag}", "Приветствует"))]
#[serde(rename_all = "camelCase")]
pub struct CreateGreeting {
    pub language_tag: String,
    #[serde(rename = "manner")]
    pub style: u8,
    pub limit: Option<u32>,
}

impl PermissionHandler for CreateGreeting {}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GreetRequest {
    pub full_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct GreetResponse {
    pub text: String,
}

#[contract(identity = "ghcr.io/exeteres/reside/contracts/greeter.v1", data = Data, permissions(CreateGreeting),
           en("Greeter", "Greets people"), ru("Приветствие", "Приветствует людей"))]
pub trait Greeter {
    /// Greets somebody.
    #[method(
        en("Greet", "Greets somebody"),
        ru("Поприветствовать", "Приветствует"),
        idempotent
    )]
    async fn greet_somebody(&self, call: &Call, request: GreetRequest) -> RpcResult<GreetResponse>;
}

/// A contract without methods and permissions is a contract as well.
#[contract(identity = "ghcr.io/exeteres/reside/contracts/silent.v1", data = Data, en("Silent", "Says nothing"))]
pub trait Silent {}

struct Service;

impl Greeter for Service {
    async fn greet_somebody(&self, call: &Call, request: GreetRequest) -> RpcResult<GreetResponse> {
        match request.full_name.as_str() {
            "" => Err(RpcError::wrong_state("nobody to greet")),
            name => Ok(GreetResponse {
                text: format!("Hello, {name}, from {}", call.request_id()),
            }),
        }
    }
}

/// Carries calls from the client straight to the table.
struct Direct(Dispatch);

#[async_trait::async_trait]
impl Caller for Direct {
    async fn call(&self, method: Method<'_>, request: &[u8]) -> Result<Vec<u8>, CallError> {
        assert!(method.idempotent);
        Ok(self.0.call(method.name, call(), request).await?)
    }
}

fn call() -> Call {
    let account = "co_zUXqwLRRnR9CANMAEcYkLV6wVMd".parse().expect("an account id");
    Call::new(account, "7", Instant::now())
}

fn dispatch() -> Dispatch {
    <GreeterContract as reside::Serve<Service>>::dispatch(Arc::new(Service))
}

#[test]
fn the_manifest_says_what_the_trait_says() {
    use reside::Contract;
    let manifest = GreeterContract::manifest();
    manifest.check().expect("a valid manifest");
    insta::with_settings!({snapshot_path => "output", prepend_module_to_snapshot => false}, {
        insta::assert_json_snapshot!("manifest", manifest);
    });
    assert!(SilentContract::manifest().methods.is_empty());
}

#[test]
fn instances_are_told_apart_by_the_keys_as_they_are_on_the_wire() {
    let permission = CreateGreeting {
        language_tag: "en".to_owned(),
        style: 2,
        limit: None,
    };
    assert_eq!(CreateGreeting::INSTANCE_KEYS, ["languageTag", "manner"]);
    assert_eq!(permission.instance_id().expect("params"), Some("en:2".to_owned()));
}

#[tokio::test]
async fn the_client_reaches_the_service_by_the_name_on_the_wire() {
    let client = GreeterClient::from(ContractClient::new(
        dispatch().contract().clone(),
        Arc::new(Direct(dispatch())),
    ));
    let response = client
        .greet_somebody(GreetRequest {
            full_name: "Ada".to_owned(),
        })
        .await
        .expect("a response");
    assert_eq!(response.text, "Hello, Ada, from 7");
    let error = client
        .greet_somebody(GreetRequest {
            full_name: String::new(),
        })
        .await
        .expect_err("an error");
    assert!(matches!(error, CallError::Refused(error) if error.code() == Code::WrongState));
}

#[tokio::test]
async fn requests_that_the_method_does_not_take_are_malformed() {
    for bad in [
        json!({}),
        json!({"fullName": 1}),
        json!({"fullName": "Ada", "extra": 1}),
        json!(null),
    ] {
        let error = dispatch()
            .call("greetSomebody", call(), bad.to_string().as_bytes())
            .await
            .expect_err("an error");
        assert_eq!(error.code(), Code::Malformed, "{bad}");
    }
    let error = dispatch()
        .call("greet_somebody", call(), b"{}")
        .await
        .expect_err("an error");
    assert_eq!(error.code(), Code::NotFound);
}
