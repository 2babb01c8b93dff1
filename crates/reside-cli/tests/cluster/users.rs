//! People: users, what they may do, and secrets, by the commands.

use serde_json::json;

use crate::harness::Home;

const USER_MANAGER_V1: &str = "ghcr.io/exeteres/reside/contracts/user-manager.v1";
const SECRET_V1: &str = "ghcr.io/exeteres/reside/contracts/secret.v1";

#[test]
fn users_and_what_they_may_do() {
    let home = Home::with_cluster();
    assert!(home.fails("user me").contains("bootstrap-defaults"));
    // A second time changes nothing.
    for _ in 0..2 {
        let done = home.json("cluster bootstrap-defaults");
        assert_eq!(done, json!({"replicas": ["user-manager", "secret"], "userId": 1}));
    }
    home.wait_for_status(&["user-manager", "secret"], "running");

    let me = home.json("user me");
    assert_eq!((&me["id"], &me["realm"]), (&json!(1), &json!("default")), "{me}");
    assert_eq!(me["isManaged"], false, "{me}");
    assert!(
        me["accountId"].is_string() && me["permissions"].is_array(),
        "{me}"
    );
    assert_eq!(home.json("user info 1"), me);
    assert_eq!(home.json("user list")[0]["id"], 1);
    assert_eq!(home.json("realm info default")["name"], "default");

    // Another account may register, and nothing more until somebody says so.
    home.ok("account create ada");
    home.ok("user register --as ada");
    assert!(home.fails("realm list --as ada").contains("realm:read:all"));
    home.ok(&format!(
        "permission default grant {USER_MANAGER_V1} realm:read:all"
    ));
    home.ok("realm list --as ada");
    assert_eq!(
        home.json("permission default list")[0]["permission"],
        "realm:read:all"
    );
    home.ok(&format!(
        "permission default revoke {USER_MANAGER_V1} realm:read:all"
    ));
    assert!(home.fails("realm list --as ada").contains("realm:read:all"));

    let read = format!("{SECRET_V1} definition:read:all --user 1");
    home.ok(&format!("permission grant {read} --for 2h"));
    assert_eq!(home.json("secret list"), json!([]));
    home.ok(&format!("permission revoke {read}"));
    assert!(home.fails("secret list").contains("definition:read:all"));

    assert!(home.fails("user info 77").contains("77"));
    assert!(home.fails("realm info nowhere").contains("nowhere"));
}
