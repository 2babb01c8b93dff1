//! Runs a [`cojson::Node`]: brings it time, randomness, messages and stored values, and carries out what it asks for.
//! The node and the sync server are the same driver with different peers.
//!
//! The core is behind a mutex that is never held across an `await`; every entry drains the core's outputs before the
//! lock is released, so nobody sees a half-done step.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cojson::header::Kind;
use cojson::ids::CoId;
use cojson::log::CoValueLog;
use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole, Recalled, Unconfirmed};
use cojson::transaction::Timestamp;
use cojson::{Cx, Entropy, Node};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::storage::{Command, Storage, StorageError, StorageEvents, StorageThread};
use crate::transport::{
    Incoming, Outgoing, OutgoingReceiver, QueueLimits, Reconnecting, Trust, connect, outgoing, read_frame,
};

/// How long own writes are collected after others have left.
const FLUSH_INTERVAL: Duration = Duration::from_millis(1);

/// How long to look for a value that a former run has left something to do about.
const LEFT_OVER_TIMEOUT: Duration = Duration::from_secs(30);

/// Random bytes of the operating system.
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has randomness");
    }
}

/// Returns the time of the system clock.
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Why a value can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadFailure {
    /// Neither storage nor any connected server has it.
    #[error("nobody has it")]
    Unavailable,
    /// It didn't come in time.
    #[error("it did not come in time")]
    Timeout,
}

/// Own writes were not confirmed in time. They are still sent and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sync server has not confirmed all writes in time")]
pub struct NotSynced;

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Driver(Arc<Shared>);

/// A running node, unless it has been dropped.
#[derive(Clone)]
pub struct WeakDriver(Weak<Shared>);

struct Shared {
    core: Mutex<Core>,
    storage: Option<StorageThread>,
    next_peer: AtomicU64,
    /// How often something that a peer sent was refused.
    refused: AtomicU64,
    /// Why storage was given up.
    storage_failure: watch::Sender<Option<Arc<StorageError>>>,
    connections: Mutex<Vec<Reconnecting>>,
    connected: watch::Sender<usize>,
    /// There are own writes to be signed, stored and sent.
    held_writes: Arc<Notify>,
    flusher: OnceLock<AbortOnDropHandle<()>>,
}

struct Core {
    node: Node,
    peers: HashMap<PeerId, (PeerRole, Outgoing)>,
    watched: HashMap<CoId, watch::Sender<Signal>>,
    /// Who waits for servers to confirm what was there when the waiting began.
    waiting: Vec<(Unconfirmed, oneshot::Sender<()>)>,
}

/// What has happened to a value; only ever counts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Signal {
    changes: u64,
    not_found: u64,
}

/// Tells of changes of a value, and of groups, which may change what can be seen of it.
pub struct Watch {
    receiver: watch::Receiver<Signal>,
    /// How many changes have been told of, or came before the watch.
    seen: u64,
}

impl Watch {
    fn new(mut receiver: watch::Receiver<Signal>) -> Self {
        let seen = receiver.borrow_and_update().changes;
        Self { receiver, seen }
    }

    /// Tells whether there was a change that [`Watch::changed`] has not told of. For what is derived from the value and
    /// kept.
    pub fn has_changed(&self) -> bool {
        self.receiver.borrow().changes != self.seen
    }

    /// Waits for a change since the last one told of, or since the watch began. Changes in between are one.
    pub async fn changed(&mut self) {
        loop {
            let changes = self.receiver.borrow_and_update().changes;
            if std::mem::replace(&mut self.seen, changes) != changes {
                return;
            }
            if self.receiver.changed().await.is_err() {
                // The node is gone: nothing will ever change.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Driver {
    /// Runs a node without storage: what it holds is kept by the servers it is connected to. Needs a tokio runtime.
    pub fn new(node: Node) -> Self {
        Self(Arc::new(Shared::new(node, None))).started()
    }

    /// Runs a node with storage. Needs a tokio runtime.
    pub fn with_storage(mut node: Node, mut storage: Box<dyn Storage>) -> std::io::Result<Self> {
        let recalled = storage.recall().map_err(std::io::Error::other)?;
        node.recall(&recalled);
        let mut failed = None;
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let thread = StorageThread::start(storage, WeakDriver(weak.clone()));
            Shared::new(node, thread.map_err(|error| failed = Some(error)).ok())
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let driver = Self(shared).started();
        tokio::spawn(take_up(driver.downgrade(), recalled));
        Ok(driver)
    }

    /// Has own writes leave by themselves: the first at once, more of them at most once in [`FLUSH_INTERVAL`], so that
    /// however many there are, one signature and one message per value do.
    fn started(self) -> Self {
        self.0.core.lock().node.hold_writes(true);
        let (driver, held_writes) = (self.downgrade(), self.0.held_writes.clone());
        let flushing = tokio::spawn(async move {
            loop {
                held_writes.notified().await;
                let Some(driver) = driver.upgrade() else { return };
                driver.flush();
                drop(driver);
                tokio::time::sleep(FLUSH_INTERVAL).await;
            }
        });
        self.0.flusher.get_or_init(|| AbortOnDropHandle::new(flushing));
        self
    }

    /// Signs, stores and sends own writes now.
    fn flush(&self) {
        self.with(|node, _| node.flush());
    }

    /// Returns a reference that doesn't keep the node running.
    pub fn downgrade(&self) -> WeakDriver {
        WeakDriver(Arc::downgrade(&self.0))
    }

    /// Runs a closure on the core, then carries out everything that follows from it.
    pub fn with<R>(&self, run: impl FnOnce(&mut Node, &mut Cx<'_>) -> R) -> R {
        let mut core = self.0.core.lock();
        let mut cx = Cx {
            now: now(),
            rng: &mut OsEntropy,
        };
        let result = run(&mut core.node, &mut cx);
        self.drain(&mut core);
        result
    }

    fn drain(&self, core: &mut Core) {
        while let Some(output) = core.node.poll_output() {
            match (output, &self.0.storage) {
                (Output::Store(content), Some(storage)) => storage.command(Command::Store(content)),
                (Output::Load(id), Some(storage)) => storage.command(Command::Load(id)),
                (Output::Send { peer, message }, Some(storage)) => {
                    if let Some((_, outgoing)) = core.peers.get(&peer) {
                        outgoing.announce(&message);
                        storage.command(Command::Send(peer, message));
                    }
                }
                (Output::Send { peer, message }, None) => {
                    if let Some((_, outgoing)) = core.peers.get(&peer) {
                        outgoing.send(&message);
                    }
                }
                (Output::Note(note), Some(storage)) => storage.command(Command::Note(note)),
                (Output::Erase(id), Some(storage)) => storage.command(Command::Erase(id)),
                (Output::Store(_) | Output::Note(_) | Output::Erase(_), None) => {}
                (Output::Load(id), None) => core.node.handle_loaded(now(), &id, None),
                (Output::Changed(id), _) => core.notify_changed(&id),
                (Output::Confirmed(id), _) => {
                    core.tell_who_waits(|node, unconfirmed| node.check_one_confirmed(unconfirmed, &id));
                }
                (Output::Unavailable(id), _) => core.notify(&id, |signal| signal.not_found += 1),
                (Output::Disconnect { peer, reason }, _) => {
                    if let Some((_, outgoing)) = core.peers.get(&peer) {
                        outgoing.cut_off(reason);
                    }
                }
                (Output::Refused { peer, id, reason }, _) => {
                    self.0.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(peer = peer.0, %id, reason, "refused what a peer sent");
                }
            }
        }
        if core.node.has_held_writes() {
            self.0.held_writes.notify_one();
        }
    }

    /// Adds a connection: messages for it come out of the receiver.
    pub fn add_peer(&self, role: PeerRole, limits: QueueLimits) -> (PeerId, OutgoingReceiver) {
        let peer = PeerId(self.0.next_peer.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = outgoing(limits);
        let mut core = self.0.core.lock();
        core.peers.insert(peer, (role, sender));
        core.node.peer_connected(peer, role);
        core.tell_who_waits(Node::check_confirmed);
        self.drain(&mut core);
        drop(core);
        if role == PeerRole::Server {
            self.0.connected.send_modify(|servers| *servers += 1);
        }
        (peer, receiver)
    }

    /// Forgets a connection; it ends once everything queued is sent.
    pub fn remove_peer(&self, peer: PeerId) {
        let mut core = self.0.core.lock();
        let removed = core.peers.remove(&peer);
        if let Some((_, outgoing)) = &removed {
            outgoing.close();
        }
        core.node.peer_disconnected(peer);
        core.tell_who_waits(Node::check_confirmed);
        self.drain(&mut core);
        drop(core);
        if let Some((PeerRole::Server, _)) = removed {
            self.0.connected.send_modify(|servers| *servers -= 1);
        }
    }

    /// Takes a frame from a connection. What can't be understood is answered or dropped; the connection stays.
    pub fn receive_frame(&self, peer: PeerId, text: &str) {
        match read_frame(text) {
            Ok(messages) => self.receive(peer, messages),
            Err(error) => tracing::warn!(peer = peer.0, %error, "dropped a frame"),
        }
    }

    /// Waits until storage isn't far behind. Who takes frames from a connection does this before each, so that a peer
    /// that sends faster than storage works is slowed down.
    pub fn room(&self) -> impl Future<Output = ()> + Send + use<> {
        let room = self.0.storage.as_ref().map(StorageThread::room);
        async move {
            if let Some(room) = room {
                room.await;
            }
        }
    }

    /// Sends own writes, and waits until not more than so many bytes wait to be sent to any server. Who writes a lot does
    /// this in between, so that what it writes doesn't pile up in memory.
    pub async fn room_to_send(&self, bytes_max: usize) {
        self.flush();
        let servers = |core: &Core| {
            let servers = core.peers.values().filter(|(role, _)| *role == PeerRole::Server);
            servers.map(|(_, outgoing)| outgoing.clone()).collect::<Vec<_>>()
        };
        let servers = servers(&self.0.core.lock());
        for server in servers {
            server.room(bytes_max).await;
        }
    }

    /// Takes messages from a connection, in their order.
    pub fn receive(&self, peer: PeerId, messages: impl IntoIterator<Item = Incoming>) {
        self.with(|node, cx| {
            for message in messages {
                match message {
                    Incoming::Message(message) => node.handle_message(cx.now, peer, message),
                    Incoming::Malformed(error) => match &error.id {
                        Some(id) => node.handle_malformed(peer, id, error.to_string()),
                        None => {
                            self.0.refused.fetch_add(1, Ordering::Relaxed);
                            tracing::debug!(peer = peer.0, %error, "dropped a message");
                        }
                    },
                }
            }
        });
    }

    /// Returns how often something that a peer sent was refused.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Keeps this node connected to a sync server at a `ws://` or `wss://` address for as long as the node runs.
    pub fn connect_websocket(&self, url: String, trust: Trust) {
        let connection = connect(self, url, trust);
        self.0.connections.lock().push(connection);
    }

    /// Connects this node, as a client, with another one of this process. For tests: from now on own writes leave at once,
    /// so that whoever asks the server after a write finds it there.
    pub fn connect_local(&self, server: &Driver) -> LocalConnection {
        self.with(|node, _| node.hold_writes(false));
        let (to_server, from_client) = self.add_peer(PeerRole::Server, QueueLimits::unbounded());
        let (to_client, from_server) = server.add_peer(PeerRole::Client, QueueLimits::unbounded());
        let pumps = [
            tokio::spawn(pump(from_client, server.downgrade(), to_client)),
            tokio::spawn(pump(from_server, self.downgrade(), to_server)),
        ];
        LocalConnection {
            pumps,
            ends: [(self.downgrade(), to_server), (server.downgrade(), to_client)],
        }
    }

    /// Waits until a server is connected.
    pub async fn connected(&self, within: Duration) -> bool {
        let mut servers = self.0.connected.subscribe();
        tokio::time::timeout(within, servers.wait_for(|servers| *servers > 0))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    /// Tells whether a server is connected.
    pub fn is_connected(&self) -> bool {
        *self.0.connected.borrow() > 0
    }

    /// Watches a value that may or may not be here.
    pub fn watch(&self, id: &CoId) -> Watch {
        Watch::new(self.0.core.lock().subscribe(id))
    }

    /// Makes a value available with everything it depends on, as far as that exists.
    pub async fn load(&self, id: &CoId, within: Duration) -> Result<(), LoadFailure> {
        let deadline = Instant::now() + within;
        self.load_one(id, deadline).await?;
        let mut without = std::collections::HashSet::new();
        loop {
            let absent = self.with(|node, _| {
                let mut absent = node.missing_dependencies(id);
                absent.retain(|dependency| !without.contains(dependency));
                absent
            });
            if absent.is_empty() {
                return Ok(());
            }
            for dependency in absent {
                if self.load_one(&dependency, deadline).await == Err(LoadFailure::Timeout) {
                    return Err(LoadFailure::Timeout);
                }
                without.insert(dependency);
            }
        }
    }

    async fn load_one(&self, id: &CoId, deadline: Instant) -> Result<(), LoadFailure> {
        let mut signals = self.0.core.lock().subscribe(id);
        let not_found = signals.borrow_and_update().not_found;
        self.with(|node, _| node.request(id));
        loop {
            // Seen first: what comes while we look is a change to wait for.
            let seen = *signals.borrow_and_update();
            if self.with(|node, _| node.has(id) && !node.is_incomplete(id)) {
                return Ok(());
            }
            if seen.not_found > not_found && (self.is_connected() || !self.expects_server()) {
                return Err(LoadFailure::Unavailable);
            }
            match tokio::time::timeout_at(deadline, signals.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(LoadFailure::Unavailable),
                Err(_) => return Err(LoadFailure::Timeout),
            }
        }
    }

    /// Whether there is a connection that may come up (again).
    fn expects_server(&self) -> bool {
        !self.0.connections.lock().is_empty()
    }

    /// Waits until everything that was written before is durable at every connected server, and there is one. What is
    /// written in the meantime isn't waited for.
    pub async fn wait_for_sync(&self, within: Duration) -> Result<(), NotSynced> {
        let confirmed = {
            let mut core = self.0.core.lock();
            let mut unconfirmed = core.node.unconfirmed();
            // Asking made the node send what waited to be sent together.
            self.drain(&mut core);
            if core.node.check_confirmed(&mut unconfirmed) {
                return Ok(());
            }
            let (done, confirmed) = oneshot::channel();
            core.waiting.push((unconfirmed, done));
            confirmed
        };
        match tokio::time::timeout(within, confirmed).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotSynced),
        }
    }

    /// Waits until everything so far is in this node's own storage.
    pub async fn wait_for_storage(&self) {
        self.flush();
        let Some(storage) = &self.0.storage else { return };
        let (done, stored) = oneshot::channel();
        storage.command(Command::Barrier(done));
        let _ = stored.await;
    }

    /// Waits until every own write is durable: in the node's own storage if it has one, at the server otherwise.
    pub async fn wait_until_durable(&self, within: Duration) -> Result<(), NotSynced> {
        if self.0.storage.is_none() {
            return self.wait_for_sync(within).await;
        }
        let stored = tokio::time::timeout(within, self.wait_for_storage()).await;
        stored.map_err(|_| NotSynced)
    }

    /// Waits until storage fails; never returns otherwise.
    pub async fn storage_failed(&self) -> Arc<StorageError> {
        let mut failure = self.0.storage_failure.subscribe();
        match failure
            .wait_for(Option::is_some)
            .await
            .map(|failure| failure.clone())
        {
            Ok(Some(error)) => error,
            _ => std::future::pending().await,
        }
    }

    /// Closes all connections, then storage once it has everything. The node is of no use afterwards.
    pub async fn shutdown(&self) {
        self.0.connections.lock().clear();
        let peers: Vec<PeerId> = self.0.core.lock().peers.keys().copied().collect();
        self.wait_for_storage().await;
        for peer in peers {
            self.remove_peer(peer);
        }
        if let Some(storage) = &self.0.storage {
            let (done, closed) = oneshot::channel();
            storage.command(Command::Close(done));
            let _ = closed.await;
        }
    }
}

impl Driver {
    /// Closes all connections at once, and drops everything that is in memory, secrets included.
    pub(crate) fn forget_everything(&self) {
        self.0.connections.lock().clear();
        let mut core = self.0.core.lock();
        for (_, (_, outgoing)) in core.peers.drain() {
            outgoing.close();
        }
        core.waiting.clear();
        core.node = Node::new(self.0.storage.is_some());
        drop(core);
        self.0.connected.send_replace(0);
    }
}

/// Goes on with what former runs have left: deletions that nobody has looked at, and values that servers lack, though
/// nobody here may ever ask for them. One at a time, and without keeping the node running.
async fn take_up(driver: WeakDriver, left: Recalled) {
    for id in &left.deleted {
        driver.until_here(id).await;
        let dependencies = driver
            .upgrade()
            .map(|driver| driver.with(|node, _| node.missing_dependencies(id)));
        for dependency in dependencies.into_iter().flatten() {
            driver.until_here(&dependency).await;
        }
        let Some(driver) = driver.upgrade() else { return };
        driver.with(|node, _| node.notice_deletion(id));
    }
    if left.unsynced.is_empty() {
        return;
    }
    let Some(mut servers) = driver.upgrade().map(|driver| driver.0.connected.subscribe()) else {
        return;
    };
    // Until there is a server, there is no need to have them in memory.
    if servers.wait_for(|servers| *servers > 0).await.is_err() {
        return;
    }
    for id in &left.unsynced {
        // From then on the node keeps it, and tells servers of it, until they have it.
        driver.until_here(id).await;
    }
}

impl WeakDriver {
    /// Has a value loaded, and waits until it is here, it can't be had, or the node is gone.
    async fn until_here(&self, id: &CoId) {
        let Some(mut signals) = self.upgrade().map(|driver| {
            let signals = driver.0.core.lock().subscribe(id);
            driver.with(|node, _| node.request(id));
            signals
        }) else {
            return;
        };
        let not_found = signals.borrow().not_found;
        loop {
            let seen = *signals.borrow_and_update();
            let is_here = self
                .upgrade()
                .is_none_or(|driver| driver.with(|node, _| node.has(id)));
            if is_here || seen.not_found != not_found {
                return;
            }
            let changed = tokio::time::timeout(LEFT_OVER_TIMEOUT, signals.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return;
            }
        }
    }
}

impl Shared {
    fn new(node: Node, storage: Option<StorageThread>) -> Self {
        Self {
            core: Mutex::new(Core {
                node,
                peers: HashMap::new(),
                watched: HashMap::new(),
                waiting: Vec::new(),
            }),
            storage,
            next_peer: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            storage_failure: watch::Sender::new(None),
            connections: Mutex::new(Vec::new()),
            connected: watch::Sender::new(0),
            held_writes: Arc::default(),
            flusher: OnceLock::new(),
        }
    }
}

impl Core {
    fn subscribe(&mut self, id: &CoId) -> watch::Receiver<Signal> {
        self.watched.entry(id.clone()).or_default().subscribe()
    }

    fn notify(&mut self, id: &CoId, change: impl Fn(&mut Signal)) {
        if let Some(signal) = self.watched.get(id) {
            if signal.receiver_count() == 0 {
                self.watched.remove(id);
            } else {
                signal.send_modify(change);
            }
        }
    }

    /// Tells those who wait and have what they waited for.
    fn tell_who_waits(&mut self, has_all: impl Fn(&Node, &mut Unconfirmed) -> bool) {
        for (mut unconfirmed, done) in std::mem::take(&mut self.waiting) {
            if has_all(&self.node, &mut unconfirmed) {
                let _ = done.send(());
            } else if !done.is_closed() {
                self.waiting.push((unconfirmed, done));
            }
        }
    }

    fn notify_changed(&mut self, id: &CoId) {
        if self
            .node
            .log(id)
            .is_some_and(|log| matches!(log.header().kind(), Kind::Account | Kind::Group))
        {
            // Roles and keys decide what is visible of any value; groups change rarely.
            self.watched.retain(|_, signal| signal.receiver_count() > 0);
            for signal in self.watched.values() {
                signal.send_modify(|signal| signal.changes += 1);
            }
        } else {
            self.notify(id, |signal| signal.changes += 1);
        }
    }
}

impl WeakDriver {
    /// Returns the driver if it still runs.
    pub fn upgrade(&self) -> Option<Driver> {
        self.0.upgrade().map(Driver)
    }
}

impl StorageEvents for WeakDriver {
    fn send(&self, peer: PeerId, message: Message) {
        let Some(driver) = self.upgrade() else { return };
        // Encoding a message takes its time, and others need the core.
        let outgoing = driver
            .0
            .core
            .lock()
            .peers
            .get(&peer)
            .map(|(_, outgoing)| outgoing.clone());
        if let Some(outgoing) = outgoing {
            outgoing.send_announced(&message);
        }
    }

    fn loaded(&self, id: CoId, log: Option<CoValueLog>) {
        if let Some(driver) = self.upgrade() {
            driver.with(|node, cx| node.handle_loaded(cx.now, &id, log));
        }
    }

    fn failed(&self, error: StorageError) {
        if let Some(driver) = self.upgrade() {
            for (_, outgoing) in driver.0.core.lock().peers.values() {
                outgoing.close();
            }
            driver.0.storage_failure.send_replace(Some(Arc::new(error)));
        }
    }
}

/// Two nodes of one process that are connected until this is dropped.
pub struct LocalConnection {
    pumps: [tokio::task::JoinHandle<()>; 2],
    ends: [(WeakDriver, PeerId); 2],
}

impl Drop for LocalConnection {
    fn drop(&mut self) {
        for pump in &self.pumps {
            pump.abort();
        }
        for (driver, peer) in &self.ends {
            if let Some(driver) = driver.upgrade() {
                driver.remove_peer(*peer);
            }
        }
    }
}

async fn pump(mut from: OutgoingReceiver, to: WeakDriver, peer: PeerId) {
    while let Ok(frame) = from.next_frame().await {
        let Some(room) = to.upgrade().map(|to| to.room()) else {
            return;
        };
        room.await;
        let Some(to) = to.upgrade() else { return };
        to.receive_frame(peer, &frame);
    }
}
