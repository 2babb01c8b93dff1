//! What a revocation means to those who are in the middle of something.

use std::time::Instant;

use crate::callers::Caller;
use crate::harness::{GREETER, GREETER_V1, Home, VISITOR};

/// How often it is tried.
const ROUNDS: usize = 10;

#[test]
fn a_revocation_counts_when_the_command_returns_and_is_noticed_by_subscriptions() {
    let home = Home::with_greeter();
    let caller = Caller::new(&home);
    let mut noticed = Vec::new();
    for round in 0..ROUNDS {
        caller.greet().unwrap();
        let subscription = caller.notices_revocation();
        let begun = Instant::now();
        caller.change(&home, "revoke");
        let returned = Instant::now();
        let refused = caller.greet().unwrap_err();
        assert!(refused.contains("permission"), "round {round}: {refused}");
        let seen = caller.wait(subscription);
        noticed.push((seen - begun, returned - begun));
        caller.change(&home, "grant");
    }
    noticed.sort();
    // For docs/permissions.md; it decides nothing.
    println!("a subscription notices, and the command returns, after: {noticed:?}");
}

#[test]
fn grants_end_by_themselves() {
    let home = Home::with_cluster();
    home.ok(&format!("replica load {GREETER} --yes"));
    let permission = [GREETER_V1, "greeting:create", "--account", "admin"];
    let params = ["--params", r#"{"language":"en"}"#];
    let grant =
        |period: &[&str]| home.run(&[&["permission", "grant"], &permission[..], &params, period].concat());
    grant(&["--for", "1s"]).expect_ok();
    home.eventually("the end of a grant", || {
        (home.greet("Ada").code == Some(1)).then_some(())
    });
    let shown = home.json("permission list --account admin --replica greeter");
    assert_eq!(shown[0]["state"], "expired", "{shown}");
    let why = home.run(
        &[
            &["permission", "why", "admin", GREETER_V1, "greeting:create"],
            &params[..],
        ]
        .concat(),
    );
    let why = why.expect_ok().out;
    assert!(
        why.contains("no, not at greeter") && why.contains("expired"),
        "{why}"
    );
    let log = home.ok("permission log --account admin --replica greeter");
    assert!(log.contains("granted") && log.contains("expired"), "{log}");

    grant(&["--until", "2999-01-01"]).expect_ok();
    home.greet("Ada").expect_ok();
    assert_eq!(
        home.json("permission list --account admin --replica greeter")[0]["state"],
        "granted"
    );

    home.ok(&format!("replica load {VISITOR} --yes --for 1h"));
    let of_visitor = home.json("permission list --account visitor");
    assert_eq!(of_visitor.as_array().unwrap().len(), 2, "{of_visitor}");
    assert!(of_visitor[0]["expiresAt"].is_string(), "{of_visitor}");

    for wrong in [
        ["--for", "-1h"],
        ["--for", "soon"],
        ["--until", "2001-01-01"],
        ["--until", "tomorrow"],
    ] {
        assert_eq!(grant(&wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(grant(&["--for", "1h", "--until", "2999-01-01"]).code, Some(2));
}
