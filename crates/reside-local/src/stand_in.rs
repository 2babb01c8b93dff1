//! Processes that somebody else runs and that take calls in the place of a workload's: for as long as the connection is
//! open that announced one. The kernel closes it with whoever announced it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::task::TaskTracker;

use crate::controller::{Context, Endpoint};
use crate::manifest::{Kind, Probe};
use crate::probe;
use crate::store::Key;

/// A process that takes calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandIn {
    /// Labels that services select by.
    pub labels: BTreeMap<String, String>,
    /// The port by which services name it.
    pub container_port: u16,
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    /// When it may get calls; without it, at once.
    #[serde(default)]
    pub readiness_probe: Option<Probe>,
}

/// Whether a stand-in is ready, as one line of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub ready: bool,
}

/// An entry among the endpoints, for as long as this lives.
struct Entry {
    context: Arc<Context>,
    key: Key,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.context.endpoints.set(&self.key, None);
    }
}

/// Lets the stand-in take calls while the stream is polled and lives; it yields whether the stand-in is ready.
pub(crate) fn stand_in(context: Arc<Context>, stand_in: StandIn) -> impl Stream<Item = Ready> + Send {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let StandIn {
        labels,
        container_port,
        port,
        readiness_probe,
    } = stand_in;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // No object has such a name.
    let key = (Kind::Deployment, format!("/stand-in/{number}"));
    let entry = Entry { context, key };
    let endpoint = Endpoint {
        labels,
        ports: BTreeMap::from([(container_port, port)]),
        calls: TaskTracker::new(),
    };
    let (ready, changes) = watch::channel(false);
    let probing = async move {
        let tell = |is_ready: bool| {
            entry
                .context
                .endpoints
                .set(&entry.key, is_ready.then(|| endpoint.clone()));
            ready.send_replace(is_ready);
        };
        let translate = |_: u16| port;
        probe::watch(readiness_probe, translate, tell).await;
    };
    WatchStream::new(changes)
        .map(|ready| Ready { ready })
        .take_until(Box::pin(probing))
}
