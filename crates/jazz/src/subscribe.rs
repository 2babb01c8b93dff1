//! Subscriptions: streams of snapshots.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{BoxStream, StreamExt as _, unfold};
use futures::{FutureExt as _, Stream};

use crate::driver::Watch;
use crate::error::LoadError;
use crate::value::{Co, CoValue, Raw};

/// What a value is, then what it becomes. See [`Co::subscribe`].
#[must_use = "nothing is read until it is polled"]
pub struct Subscription<S> {
    stream: BoxStream<'static, Result<S, LoadError>>,
}

struct State<T> {
    value: Co<T>,
    watch: Watch,
    is_first: bool,
    /// The fingerprint of the last snapshot.
    seen: Option<u64>,
}

impl<S: Send + 'static> Subscription<S> {
    pub(crate) fn new<T: CoValue<Snapshot = S>>(value: &Co<T>) -> Self {
        // Watched before it is read, so that no change falls between.
        let watch = value.node().driver().watch(value.id());
        let state = State {
            value: value.clone(),
            watch,
            is_first: true,
            seen: None,
        };
        Self {
            stream: unfold(state, State::next).fuse().boxed(),
        }
    }

    /// The next snapshot; `None` when the node has been shut down. Nothing is lost if this is given up while it waits.
    pub async fn next(&mut self) -> Option<Result<S, LoadError>> {
        self.stream.next().await
    }

    /// Waits for a snapshot that `fits`. `None` if the node is shut down before.
    pub async fn wait_for(&mut self, mut fits: impl FnMut(&S) -> bool) -> Option<Result<S, LoadError>> {
        loop {
            match self.next().await? {
                Ok(snapshot) if !fits(&snapshot) => {}
                result => return Some(result),
            }
        }
    }
}

impl<T: CoValue> State<T> {
    async fn next(mut self) -> Option<(Result<T::Snapshot, LoadError>, Self)> {
        let node = self.value.node().clone();
        loop {
            if !std::mem::take(&mut self.is_first) {
                tokio::select! {
                    () = self.watch.changed() => {}
                    () = node.closed() => return None,
                }
            } else if node.closed().now_or_never().is_some() {
                return None;
            }
            if let Some((fingerprint, snapshot)) = self.value.read_unless(self.seen) {
                self.seen = Some(fingerprint);
                return Some((snapshot, self));
            }
        }
    }
}

impl<S> Stream for Subscription<S> {
    type Item = Result<S, LoadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

impl<S> std::fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

/// Tells contents apart: a change of a group wakes everybody, and few then see something else.
pub(crate) fn fingerprint(raw: Raw<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match raw {
        Raw::Map(view) => {
            for (key, value) in view.iter() {
                key.hash(&mut hasher);
                value.hash(&mut hasher);
            }
        }
        Raw::List(view) => view.values().for_each(|value| value.hash(&mut hasher)),
        Raw::Feed(view) => {
            for (session, items) in view.sessions() {
                session.hash(&mut hasher);
                items.iter().for_each(|item| item.tx_index.hash(&mut hasher));
            }
        }
        Raw::File(view) => {
            (view.len(), view.chunk_count(), view.is_complete(), view.info()).hash(&mut hasher)
        }
        Raw::Bytes(bytes) => bytes.hash(&mut hasher),
        Raw::Group(view, _) => view.version().hash(&mut hasher),
    }
    hasher.finish()
}

pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
