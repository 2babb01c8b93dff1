//! The thread that owns storage. It takes everything that waits, writes it as one batch, and only then lets the
//! messages go that rely on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use cojson::ids::CoId;
use cojson::log::CoValueLog;
use cojson::message::{Content, Message};
use cojson::sync::{Note, PeerId};
use tokio::sync::{Notify, oneshot};

use super::{Storage, StorageError};

/// Most pieces in one database transaction.
const BATCH_PIECES_MAX: usize = 10_000;
/// How much may wait, by [`Command::weight`], before nothing more is taken from peers.
const WAITING_MAX: isize = 1_000;
/// So many notes are written even if there is nothing to store.
const NOTES_MAX: usize = 1_000;
/// As many transactions weigh as much as a command without any.
const TRANSACTIONS_PER_WEIGHT: usize = 64;

/// What the node asks of its storage, in this order.
pub(crate) enum Command {
    /// Append.
    Store(Box<Content>),
    /// Note, no later than what is stored after it.
    Note(Note),
    /// Erase all of a deleted value but its deletion, in the background.
    Erase(CoId),
    /// Send, once everything before is durable.
    Send(PeerId, Message),
    /// Read a value.
    Load(CoId),
    /// Say when everything before is done.
    Barrier(oneshot::Sender<()>),
    /// Close the storage, then say so. Nothing after this is done.
    Close(oneshot::Sender<()>),
}

impl Command {
    /// What it takes to keep it waiting.
    fn weight(&self) -> isize {
        let transactions = match self {
            Self::Store(content) => content.transaction_count(),
            Self::Send(_, Message::Content(content)) => content.transaction_count(),
            Self::Note(_)
            | Self::Erase(_)
            | Self::Send(..)
            | Self::Load(_)
            | Self::Barrier(_)
            | Self::Close(_) => 0,
        };
        1 + (transactions / TRANSACTIONS_PER_WEIGHT).cast_signed()
    }
}

/// What the thread calls when something is done.
pub(crate) trait StorageEvents: Send + 'static {
    /// Everything the message relies on is durable.
    fn send(&self, peer: PeerId, message: Message);
    /// A value was looked up.
    fn loaded(&self, id: CoId, log: Option<CoValueLog>);
    /// Nothing more will be stored or sent.
    fn failed(&self, error: StorageError);
}

/// A handle to the thread. Dropping it ends the thread once everything is written.
pub(crate) struct StorageThread {
    commands: Sender<Command>,
    backlog: Arc<Backlog>,
}

/// What the thread has not yet done.
#[derive(Default)]
struct Backlog {
    waiting: AtomicIsize,
    shrunk: Notify,
}

impl Backlog {
    fn done(&self, weight: isize) {
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
        self.shrunk.notify_waiters();
    }
}

/// When the thread ends, nobody has to wait for it any more.
struct Gone(Arc<Backlog>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.waiting.store(0, Ordering::Relaxed);
        self.0.shrunk.notify_waiters();
    }
}

impl StorageThread {
    /// Starts the thread.
    pub fn start(storage: Box<dyn Storage>, events: impl StorageEvents) -> std::io::Result<Self> {
        let (commands, received) = channel();
        let backlog = Arc::new(Backlog::default());
        let gone = Gone(backlog.clone());
        std::thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || run(storage, &received, &events, &gone.0))?;
        Ok(Self { commands, backlog })
    }

    /// Queues a command. After a failure nothing is done any more.
    pub fn command(&self, command: Command) {
        let weight = command.weight();
        self.backlog.waiting.fetch_add(weight, Ordering::Relaxed);
        if self.commands.send(command).is_err() {
            // The thread ends early only after it reported a failure.
            self.backlog.done(weight);
        }
    }

    /// Waits until the thread is not far behind.
    pub fn room(&self) -> impl Future<Output = ()> + Send + use<> {
        let backlog = self.backlog.clone();
        async move {
            loop {
                let shrunk = backlog.shrunk.notified();
                if backlog.waiting.load(Ordering::Relaxed) <= WAITING_MAX {
                    return;
                }
                shrunk.await;
            }
        }
    }
}

fn run(
    storage: Box<dyn Storage>,
    commands: &Receiver<Command>,
    events: &impl StorageEvents,
    backlog: &Backlog,
) {
    let mut worker = Worker {
        storage,
        notes: Vec::new(),
        // A former run may have left something.
        is_erasing: true,
    };
    match worker.run(commands, events, backlog) {
        Ok(closed) => {
            drop(worker);
            if let Some(closed) = closed {
                let _ = closed.send(());
            }
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "storage failed");
            events.failed(error);
        }
    }
}

/// What the thread has at hand.
struct Worker {
    storage: Box<dyn Storage>,
    /// Waits for the next pieces: there is nothing that a note without any would be too late for.
    notes: Vec<Note>,
    /// Whether there may be something to erase.
    is_erasing: bool,
}

impl Worker {
    /// Works until nobody is left who asks for anything. Returns whom to tell when the storage was to be closed.
    fn run(
        &mut self,
        commands: &Receiver<Command>,
        events: &impl StorageEvents,
        backlog: &Backlog,
    ) -> Result<Option<oneshot::Sender<()>>, StorageError> {
        loop {
            let first = match self.is_erasing {
                false => commands.recv().map_err(|_| TryRecvError::Disconnected),
                true => commands.try_recv(),
            };
            match first {
                Ok(first) => {
                    let batch: Vec<Command> = std::iter::once(first)
                        .chain(commands.try_iter().take(BATCH_PIECES_MAX))
                        .collect();
                    let weight = batch.iter().map(Command::weight).sum();
                    let closed = self.run_batch(batch, events)?;
                    if closed.is_some() {
                        self.write_notes()?;
                        return Ok(closed);
                    }
                    backlog.done(weight);
                }
                Err(TryRecvError::Empty) => self.is_erasing = self.storage.erase_some()?,
                Err(TryRecvError::Disconnected) => {
                    self.write_notes()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Writes all pieces of the batch at once; that they are durable before what was queued after them is all that counts.
    /// Returns whom to tell when the storage is to be closed.
    fn run_batch(
        &mut self,
        batch: Vec<Command>,
        events: &impl StorageEvents,
    ) -> Result<Option<oneshot::Sender<()>>, StorageError> {
        let mut pieces = Vec::new();
        let mut rest = Vec::new();
        for command in batch {
            match command {
                Command::Store(content) => pieces.push(*content),
                Command::Note(note) => self.notes.push(note),
                other => rest.push(other),
            }
        }
        if !pieces.is_empty() {
            let notes = std::mem::take(&mut self.notes);
            self.storage.append(&pieces, &notes)?;
        } else if self.notes.len() > NOTES_MAX {
            self.write_notes()?;
        }
        for command in rest {
            match command {
                Command::Store(_) | Command::Note(_) => {}
                Command::Erase(id) => {
                    self.storage.erase(&id)?;
                    self.is_erasing = true;
                }
                Command::Send(peer, message) => events.send(peer, message),
                Command::Load(id) => {
                    let log = self.storage.load(&id)?;
                    events.loaded(id, log);
                }
                Command::Barrier(done) => drop(done.send(())),
                Command::Close(closed) => return Ok(Some(closed)),
            }
        }
        Ok(None)
    }

    fn write_notes(&mut self) -> Result<(), StorageError> {
        let notes = std::mem::take(&mut self.notes);
        if notes.is_empty() {
            return Ok(());
        }
        self.storage.append(&[], &notes)
    }
}
