//! The side that is called: accepts a request once, and answers it.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cojson::group::Role;
use cojson::ids::{AccountId, CoId};
use cojson::transaction::{Privacy, Timestamp};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::envelope::{Envelope, TIME_WINDOW};
use super::error::{Invalid, RequestError};
use super::message::{Message, Recipient};
use super::sender::{forget, post, to_fields};
use crate::driver::now;
use crate::error::LoadError;
use crate::map::{CoMap, MapReader};
use crate::node::Node;

/// The field of a request that says who has handled it.
const HANDLED: &str = "$handled";

/// How long a mark, or a response, may take to be durable.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most requests that are remembered; more are refused rather than one forgotten.
const MAX_REMEMBERED: usize = 1_000_000;

/// Accepts the requests that are made to a node's account. Clones share what they remember.
#[derive(Clone)]
pub struct Receiver {
    node: Node,
    taken: Arc<Mutex<Taken>>,
}

/// A request that was accepted: nobody else handles it, now or later.
pub struct IncomingRequest {
    node: Node,
    id: CoId,
    group: CoId,
    made_by: AccountId,
    fields: Map<String, Value>,
}

impl Receiver {
    /// A receiver for the account of a node. A node has one.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            taken: Arc::default(),
        }
    }

    /// Accepts a request, has it handled, and answers. Errors of any kind become answers.
    pub async fn handle<Q, A, H, F>(&self, body: &[u8], handler: H) -> Answer
    where
        Q: CoMap,
        A: CoMap,
        H: FnOnce(Q, AccountId) -> F,
        F: Future<Output = Result<A, RequestError>>,
    {
        let answer = async {
            let is_meant = |fields: &Map<String, Value>| read::<Q>(fields).map(drop);
            let request = self.accept_if(body, now(), is_meant).await?;
            let message = request.message()?;
            let response = handler(message, request.made_by().clone()).await?;
            let fields = to_fields(&response).map_err(internal)?;
            request.respond(fields).await
        };
        answer.await.unwrap_or_else(Answer::from)
    }

    /// Accepts a request, as described at [the module](super). It is marked as handled, durably, when this returns.
    pub async fn accept(&self, body: &[u8]) -> Result<IncomingRequest, Invalid> {
        self.accept_if(body, now(), |_| Ok(())).await
    }

    /// As [`accept`](Self::accept), by a clock of the caller's, and only if `is_meant` has nothing against the fields of
    /// the message: what is refused then isn't marked, and may still be accepted where it belongs.
    pub async fn accept_if(
        &self,
        body: &[u8],
        now: Timestamp,
        is_meant: impl FnOnce(&Map<String, Value>) -> Result<(), Invalid>,
    ) -> Result<IncomingRequest, Invalid> {
        let envelope = Envelope::parse(body)?;
        envelope.check_time(now)?;
        envelope.check_signature()?;
        let me = recipient(&self.node, Role::Writer)?;
        let message = Message::open(&envelope, me, now)?;
        is_meant(&message.fields)?;
        self.check_signer(&message, &envelope, now).await?;
        self.taken.lock().take(&message.id, now)?;
        let marked = match self.look_up(&message.id).await {
            Ok(()) => self.mark(&message, now),
            Err(error) => Err(error),
        };
        if let Err(error) = marked {
            self.taken.lock().give_back(&message.id);
            return Err(error);
        }
        // From here on it counts as taken, whatever happens.
        let request = IncomingRequest {
            node: self.node.clone(),
            id: message.id,
            group: message.group,
            made_by: message.maker,
            fields: message.fields,
        };
        self.node.wait_until_durable(DURABLE_TIMEOUT).await?;
        request.check_ours_alone()?;
        Ok(request)
    }

    /// Whether the signer acts for the maker's account as it is now, not only as it came with the request.
    async fn check_signer(
        &self,
        message: &Message,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Invalid> {
        match self.node.load_account(&message.maker).await {
            Ok(_) => {}
            // Nobody we know has it; what came has been verified.
            Err(LoadError::Unavailable(_)) => self.node.core(|core, _| {
                for piece in &message.account {
                    let imported = core.import(now, piece.clone());
                    imported.map_err(|error| Invalid::Malformed(error.to_string()))?;
                }
                Ok::<_, Invalid>(())
            })?,
            Err(error) => return Err(Invalid::NotReady(error.to_string())),
        }
        let current = self.node.core(|core, _| core.current_agent(&message.maker));
        match current.is_some_and(|agent| *agent.signer() == envelope.signer) {
            true => Ok(()),
            false => Err(Invalid::NotTheSigner(message.maker.clone())),
        }
    }

    /// Brings what others have of the message into memory: a mark of ours, perhaps.
    async fn look_up(&self, id: &CoId) -> Result<(), Invalid> {
        match self.node.make_available(id).await {
            Ok(()) | Err(LoadError::Unavailable(_)) => Ok(()),
            Err(error) => Err(Invalid::NotReady(error.to_string())),
        }
    }

    /// Takes the message in and marks it, unless it is marked.
    fn mark(&self, message: &Message, now: Timestamp) -> Result<(), Invalid> {
        let me = self.node.account_id();
        self.node.core(|core, cx| {
            if is_marked(core, &message.id, me) {
                return Err(Invalid::AlreadyHandled);
            }
            for piece in &message.content {
                let imported = core.import(now, piece.clone());
                imported.map_err(|error| Invalid::Malformed(error.to_string()))?;
            }
            for known in &message.known {
                if core.known_state(&known.id) != *known {
                    return Err(Invalid::NotWhole(known.id.clone()));
                }
            }
            let mark = [json!({"op": "set", "key": HANDLED, "value": me})];
            let written = core.write(cx, &message.id, &mark, Privacy::Private, None);
            written.map_err(|_| Invalid::Unreadable(message.id.clone()))
        })
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", self.node.account_id())
    }
}

impl IncomingRequest {
    /// The account that made the request, authenticated.
    pub fn made_by(&self) -> &AccountId {
        &self.made_by
    }

    /// The fields of the message, as they came.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The message as a struct.
    pub fn message<T: CoMap>(&self) -> Result<T, Invalid> {
        read(&self.fields)
    }

    /// Answers with a map of these fields, that the caller alone can read. Returns once that, and everything that was
    /// written before, is durable.
    pub async fn respond(self, fields: Map<String, Value>) -> Result<Answer, RequestError> {
        let posted = post(&self.node, &self.made_by, Role::Reader, fields)
            .await
            .map_err(internal)?;
        let durable = self.node.wait_until_durable(DURABLE_TIMEOUT).await;
        durable.map_err(internal)?;
        let answer = Answer::success(posted.envelope.to_json());
        forget(&self.node, [&posted.id, &posted.group]);
        Ok(answer)
    }

    /// Another process of the same account may have marked the request at the same time; then neither handles it.
    fn check_ours_alone(&self) -> Result<(), Invalid> {
        let marks = self.node.core(|core, _| {
            let sessions = core.log(&self.id).map(|log| log.sessions());
            let authors = sessions.into_iter().flat_map(|sessions| sessions.keys());
            authors
                .filter(|session| session.author().account() == Some(self.node.account_id()))
                .count()
        });
        match marks {
            1 => Ok(()),
            _ => Err(Invalid::AlreadyHandled),
        }
    }
}

/// What has been handled is at the server; here it would only take memory.
impl Drop for IncomingRequest {
    fn drop(&mut self) {
        forget(&self.node, [&self.id, &self.group]);
    }
}

impl fmt::Debug for IncomingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncomingRequest({} by {})", self.id, self.made_by)
    }
}

/// Our account, to look at what came for it.
pub(super) fn recipient(node: &Node, role: Role) -> Result<Recipient, Invalid> {
    let account = node.account_id().as_co_id();
    let found = node.core(|core, _| Some((core.credentials()?, core.log(account)?.clone())));
    // A node that was logged out holds nothing.
    let (credentials, account) = found.ok_or_else(|| Invalid::Unreadable(account.clone()))?;
    Ok(Recipient {
        credentials,
        account,
        role,
    })
}

/// Whether we have written to a message, which nobody does but to mark it, or its maker says that we have.
fn is_marked(core: &mut cojson::Node, id: &CoId, me: &AccountId) -> bool {
    let by_us = core
        .log(id)
        .is_some_and(|log| log.sessions().keys().any(|s| s.author().account() == Some(me)));
    by_us || {
        let map = core.map(id).ok();
        map.and_then(|map| map.get(HANDLED)?.as_str()) == Some(me.as_str())
    }
}

/// Reads the fields of a message as a struct.
pub(super) fn read<T: CoMap>(fields: &Map<String, Value>) -> Result<T, Invalid> {
    Ok(T::from_map(&MapReader::new::<T>(fields))?)
}

fn internal(error: impl fmt::Display) -> RequestError {
    tracing::error!(%error, "a request could not be answered");
    RequestError::new(500, "internal error")
}

/// The requests that were taken in the time for which they are accepted, so that none runs twice even if the server
/// loses our marks.
#[derive(Debug, Default)]
struct Taken {
    ids: HashSet<CoId>,
    /// The ids in the order of their arrival, with the time from which they are refused anyway.
    expiring: VecDeque<(Timestamp, CoId)>,
}

impl Taken {
    fn take(&mut self, id: &CoId, now: Timestamp) -> Result<(), Invalid> {
        while self.expiring.front().is_some_and(|(end, _)| *end < now) {
            if let Some((_, id)) = self.expiring.pop_front() {
                self.ids.remove(&id);
            }
        }
        if self.expiring.len() >= MAX_REMEMBERED {
            return Err(Invalid::NotReady("too many requests".to_owned()));
        }
        if !self.ids.insert(id.clone()) {
            return Err(Invalid::AlreadyHandled);
        }
        // One dated ahead is acceptable for up to two windows from now.
        let window = u64::try_from(2 * TIME_WINDOW.as_millis()).unwrap_or(u64::MAX);
        self.expiring
            .push_back((Timestamp(now.0.saturating_add(window)), id.clone()));
        Ok(())
    }

    fn give_back(&mut self, id: &CoId) {
        self.ids.remove(id);
    }
}
