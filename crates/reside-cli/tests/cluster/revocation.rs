//! What a revocation means to those who are in the middle of something.

use std::time::Instant;

use crate::callers::Caller;
use crate::harness::Home;

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
