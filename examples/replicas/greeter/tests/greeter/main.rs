//! The Greeter in a cluster in memory, and as a process.

mod process;

use greeter_v1::{CountRequest, CreateGreeting, GreetRequest, GreeterContract, ReadGreetings};
use reside::{BoxError, prelude::*, rpc::Code, testing::Cluster};

fn request(name: &str, language: &str) -> GreetRequest {
    GreetRequest {
        name: name.to_owned(),
        language: language.to_owned(),
    }
}

fn permission(language: &str) -> CreateGreeting {
    CreateGreeting {
        language: language.to_owned(),
    }
}

#[tokio::test]
async fn greets_those_who_may_in_the_languages_they_may() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let greeter = cluster.add(greeter::definition(), greeter::run).await?;
    let ada = cluster.account("ada").await?;
    let client = ada.client::<GreeterContract>(&greeter);

    cluster.grant(&greeter, ada.id(), &permission("en")).await?;
    cluster.grant(&greeter, ada.id(), &permission("xx")).await?;
    assert_eq!(client.greet(request("Ada", "en")).await?.text, "Hello, Ada!");
    let refused = client.greet(request("Ada", "fr")).await;
    assert!(matches!(refused, Err(CallError::Refused(error)) if error.code() == Code::NoPermission));
    let unknown = client.greet(request("Ada", "xx")).await;
    assert!(matches!(unknown, Err(CallError::Refused(error)) if error.code() == Code::NotFound));

    cluster.revoke(&greeter, ada.id(), &permission("en")).await?;
    let refused = client.greet(request("Ada", "en")).await;
    assert!(matches!(refused, Err(CallError::Refused(error)) if error.code() == Code::NoPermission));
    assert_eq!(client.count(CountRequest {}).await?.count, 1);
    greeter.stop().await
}

#[tokio::test]
async fn greetings_are_read_by_those_who_may() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let greeter = cluster.add(greeter::definition(), greeter::run).await?;
    let ada = cluster.account("ada").await?;
    cluster.grant(&greeter, ada.id(), &permission("ru")).await?;
    ada.client::<GreeterContract>(&greeter)
        .greet(request("Ада", "ru"))
        .await?;

    let data = ada.provider::<GreeterContract>(&greeter).data().await?.get()?;
    assert!(ada.node().load(&data.greetings).await.is_err());
    cluster.grant(&greeter, ada.id(), &ReadGreetings {}).await?;
    let greetings = ada.node().load(&data.greetings).await?.items()?;
    assert_eq!(greetings.len(), 1);
    assert_eq!(
        (greetings[0].text.as_str(), &greetings[0].by),
        ("Привет, Ада!", ada.id())
    );
    Ok(())
}

#[test]
fn everything_is_said_in_english_and_in_russian() -> Result<(), BoxError> {
    use reside::Contract;
    let (contract, replica) = (GreeterContract::manifest(), greeter::definition().manifest()?);
    let permissions = contract
        .permissions
        .values()
        .map(|permission| &permission.display_info);
    let methods = contract.methods.values().map(|method| &method.display_info);
    for texts in permissions
        .chain(methods)
        .chain([&contract.display_info, &replica.display_info])
    {
        assert_eq!(
            texts.iter().map(|(language, _)| language).collect::<Vec<_>>(),
            ["en", "ru"]
        );
    }
    Ok(())
}
