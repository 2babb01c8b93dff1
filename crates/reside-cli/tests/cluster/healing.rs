//! What Alpha keeps for its replicas comes back when somebody else takes it away.

use reside_local::{Kind, RuntimeClient};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::harness::Home;

const KINDS: [(Kind, &str); 4] = [
    (Kind::Deployment, "greeter-1"),
    (Kind::Secret, "greeter"),
    (Kind::Service, "greeter"),
    (Kind::Ingress, "greeter"),
];

#[test]
fn objects_that_are_deleted_or_changed_by_hand_come_back() {
    let home = Home::with_greeter();
    let runtime = RuntimeClient::new(home.cluster().join("runtime.sock"));
    let tokio = Runtime::new().unwrap();
    let spec = |kind: Kind, name: &str| {
        let object = tokio.block_on(runtime.get(kind, name)).unwrap()?;
        let fields = ["spec", "data", "stringData"].map(|field| object.get(field).cloned());
        Some(fields.to_vec())
    };
    for (kind, name) in KINDS {
        let before = spec(kind, name);
        assert!(before.is_some(), "{kind} {name} is there");
        tokio.block_on(runtime.delete(kind, name)).unwrap();
        home.eventually(&format!("{kind} {name} is back"), || {
            (spec(kind, name) == before).then_some(())
        });
    }
    let before = spec(Kind::Deployment, "greeter-1");
    let mut deployment = tokio
        .block_on(runtime.get(Kind::Deployment, "greeter-1"))
        .unwrap()
        .unwrap();
    deployment["spec"]["replicas"] = json!(0);
    let manifest =
        json!({ "metadata": { "labels": deployment["metadata"]["labels"] }, "spec": deployment["spec"] });
    tokio
        .block_on(runtime.apply(Kind::Deployment, "greeter-1", &manifest))
        .unwrap();
    home.eventually("the deployment is as it was", || {
        (spec(Kind::Deployment, "greeter-1") == before).then_some(())
    });
    home.wait_for_status(&["greeter"], "running");
    home.eventually("a greeting", || (home.greet("Ada").code == Some(0)).then_some(()));
}
