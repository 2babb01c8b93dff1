//! The state of a cluster in the foreground: a line for each workload that changes.

use std::collections::BTreeMap;

use futures::StreamExt;
use reside_local::RuntimeClient;

use super::readiness::Workloads;
use crate::ui::{ATTENTION, GOOD, STRONG, Ui};

/// Tells what changes, until the runtime ends.
pub async fn follow(ui: &Ui, runtime: &RuntimeClient) {
    let Ok(mut events) = runtime.watch().await else {
        return;
    };
    let mut workloads = Workloads::default();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    while let Some(event) = events.next().await {
        if !workloads.take(event) {
            continue;
        }
        let now: BTreeMap<String, String> = workloads
            .states()
            .map(|(name, state)| (name.to_owned(), state))
            .collect();
        for (name, state) in now.iter().filter(|(name, state)| told.get(*name) != Some(state)) {
            let style = if matches!(state.as_str(), "running" | "completed") {
                GOOD
            } else {
                ATTENTION
            };
            ui.say(format_args!("{STRONG}{name}{STRONG:#}  {style}{state}{style:#}"));
        }
        for name in told.keys().filter(|name| !now.contains_key(*name)) {
            ui.say(format_args!("{STRONG}{name}{STRONG:#}  removed"));
        }
        told = now;
    }
}
