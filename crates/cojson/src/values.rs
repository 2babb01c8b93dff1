//! All CoValues a node holds, and the door through which received transactions enter them.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use serde_json::Value;

use crate::group::{Groups, Role};
use crate::header::{Header, Kind, Ruleset};
use crate::ids::{Author, CoId, SessionId, Signature, SignerId};
use crate::limits::DEFAULT_MAX_FUTURE_MILLIS;
use crate::log::{AppendError, Appended, CoValueLog};
use crate::outsiders::Insiders;
use crate::transaction::{Timestamp, Transaction};

/// The member of a transaction's meta that ties a session to its place; see [`place_meta`].
const PLACE: &str = "place";

/// Why received transactions are refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The value's header isn't here.
    #[error("{0} is not loaded")]
    UnknownValue(CoId),
    /// The author's account is needed to verify and isn't here.
    #[error("the author's account {0} is not loaded")]
    UnknownAccount(CoId),
    /// The author is no account.
    #[error("{0} is not an account")]
    NotAnAccount(CoId),
    /// Dated further ahead than our clock allows.
    #[error("dated {0}, too far in the future")]
    FromTheFuture(Timestamp),
    /// The transactions belong to another session, value, or both.
    #[error("a copy of the log of {session} in {id}")]
    Copied {
        /// Where they belong.
        id: CoId,
        /// Where they belong.
        session: SessionId,
    },
    /// The transactions belong to another session or value, which isn't in memory.
    #[error("a copy of a log that is stored elsewhere")]
    CopiedFromElsewhere,
    /// A deletion by somebody who may not delete the value, or that isn't alone in its session.
    #[error("{0} may not be deleted so")]
    InvalidDeletion(CoId),
    /// Accounts that have no part in the group have more in this value than is kept of them.
    #[error("{author} has no part in the group, and more of such accounts is here than is kept")]
    TooMuchOfOutsiders {
        /// The author.
        author: Author,
    },
    /// The log refuses them.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// A map of CoValues by id.
#[derive(Debug)]
pub struct Values {
    /// In an order that the input alone decides, as what is told to peers follows it.
    logs: IndexMap<CoId, CoValueLog>,
    /// Where each beginning of a session in clear was first seen.
    origins: HashMap<Beginning, (CoId, SessionId)>,
    /// The beginnings of sessions that storage has. Those of values in memory are among the origins too.
    stored_beginnings: HashSet<Fingerprint>,
    max_future_millis: u64,
    insiders: Insiders,
    /// Grows with every change of a group or an account, at least.
    group_changes: u64,
}

/// Author and hash of what a session begins with.
type Beginning = (Author, [u8; 32]);

/// A part of that hash, for the many beginnings of which no more is kept in memory. It would take more attempts than anybody
/// makes to have somebody else's session taken for a copy.
pub type Fingerprint = u64;

impl Default for Values {
    fn default() -> Self {
        Self {
            logs: IndexMap::new(),
            origins: HashMap::new(),
            stored_beginnings: HashSet::new(),
            max_future_millis: DEFAULT_MAX_FUTURE_MILLIS,
            insiders: Insiders::default(),
            group_changes: 0,
        }
    }
}

impl Values {
    /// How far ahead of the clock a received transaction may be dated.
    pub fn set_max_future_millis(&mut self, millis: u64) {
        self.max_future_millis = millis;
    }

    /// The log of `id`.
    pub fn get(&self, id: &CoId) -> Option<&CoValueLog> {
        self.logs.get(id)
    }

    /// The log of `id`, to append to. Received transactions go through [`Values::receive`].
    pub fn get_mut(&mut self, id: &CoId) -> Option<&mut CoValueLog> {
        let log = self.logs.get_mut(id)?;
        self.group_changes += u64::from(is_group(log.header()));
        Some(log)
    }

    /// A number that is another one whenever a group or an account may have changed.
    pub(crate) fn group_changes(&self) -> u64 {
        self.group_changes
    }

    /// Whether the header of `id` is here.
    pub fn contains(&self, id: &CoId) -> bool {
        self.logs.contains_key(id)
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// All logs, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &CoValueLog> {
        self.logs.values()
    }

    /// Makes a CoValue known by its header; one that is here already stays.
    pub fn insert(&mut self, header: Header) -> &mut CoValueLog {
        self.group_changes += u64::from(is_group(&header));
        self.logs
            .entry(header.id().clone())
            .or_insert_with(|| CoValueLog::new(header))
    }

    /// Adds a log from our own storage. One that is here already stays, as it can only be newer.
    pub fn insert_log(&mut self, log: CoValueLog) {
        if self.logs.contains_key(log.id()) {
            return;
        }
        for (session, content) in log.sessions() {
            if let Some(beginning) = beginning(log.header(), session, content.transactions()) {
                self.origins
                    .entry(beginning)
                    .or_insert_with(|| (log.id().clone(), session.clone()));
            }
        }
        self.group_changes += u64::from(is_group(log.header()));
        self.logs.insert(log.id().clone(), log);
    }

    /// Adds what storage knows of how sessions begin.
    pub(crate) fn recall(&mut self, beginnings: impl IntoIterator<Item = Fingerprint>) {
        self.stored_beginnings.extend(beginnings);
    }

    /// Forgets a CoValue; storage may still have it.
    pub fn remove(&mut self, id: &CoId) -> Option<CoValueLog> {
        let log = self.logs.swap_remove(id)?;
        self.group_changes += u64::from(is_group(log.header()));
        self.insiders.forget(id);
        for (session, content) in log.sessions() {
            if let Some(beginning) = beginning(log.header(), session, content.transactions())
                && self
                    .origins
                    .get(&beginning)
                    .is_some_and(|(origin, _)| origin == id)
            {
                self.origins.remove(&beginning);
            }
        }
        Some(log)
    }

    /// The key that `author` signs with; `None` until the author's account is here.
    pub fn signer_of(&self, author: &Author) -> Option<SignerId> {
        self.find_signer(author).ok()
    }

    fn find_signer(&self, author: &Author) -> Result<SignerId, ReceiveError> {
        match author {
            Author::Agent(agent) => Ok(agent.signer().clone()),
            Author::Account(account) => {
                let id = account.as_co_id();
                let log = self
                    .get(id)
                    .ok_or_else(|| ReceiveError::UnknownAccount(id.clone()))?;
                let agent = log
                    .header()
                    .agent()
                    .ok_or_else(|| ReceiveError::NotAnAccount(id.clone()))?;
                Ok(agent.signer().clone())
            }
        }
    }

    /// The CoValues needed to read `id`, as far as its log tells.
    pub fn dependencies(&self, id: &CoId) -> impl Iterator<Item = &CoId> {
        self.get(id).into_iter().flat_map(|log| log.dependencies())
    }

    /// Whether these transactions are a deletion that counts: one alone, of this value, by an admin of its group.
    fn may_delete(&self, log: &CoValueLog, session: &SessionId, transactions: &[Transaction]) -> bool {
        let ([transaction], Some(owner)) = (transactions, log.header().owner()) else {
            return false;
        };
        let mut groups = Groups::default();
        groups.refresh(self, owner);
        let role = groups.role_at(owner, session.author().as_str(), transaction.made_at());
        deletion_of(transaction).is_some_and(|of| of == log.id().as_str())
            && log.session_len(session) <= 1
            && role == Some(Role::Admin)
    }

    /// Refuses a session that begins as another one does. One that is stored is in memory when more of it comes.
    fn check_origin(
        &self,
        id: &CoId,
        session: &SessionId,
        beginning: &Beginning,
    ) -> Result<(), ReceiveError> {
        match self.origins.get(beginning) {
            Some((origin, of)) if (origin, of) == (id, session) => Ok(()),
            Some((origin, of)) => Err(ReceiveError::Copied {
                id: origin.clone(),
                session: of.clone(),
            }),
            None if self.stored_beginnings.contains(&fingerprint_of(beginning)) => {
                Err(ReceiveError::CopiedFromElsewhere)
            }
            None => Ok(()),
        }
    }

    /// Appends what somebody sent for a session: verified, all or nothing.
    pub fn receive(
        &mut self,
        now: Timestamp,
        id: &CoId,
        session: &SessionId,
        after: u64,
        transactions: Vec<Transaction>,
        signature: Signature,
    ) -> Result<Appended, ReceiveError> {
        let log = self
            .get(id)
            .ok_or_else(|| ReceiveError::UnknownValue(id.clone()))?;
        let have = log.session_len(session);
        if log.is_deleted() && (have > 0 || !session.is_delete()) {
            return Ok(Appended {
                new_from: have,
                new_len: have,
            });
        }
        let is_deletion = |tx: &Transaction| deletion_of(tx).is_some();
        if session.is_delete()
            && transactions.iter().any(is_deletion)
            && !self.may_delete(log, session, &transactions)
        {
            return Err(ReceiveError::InvalidDeletion(id.clone()));
        }
        let signer = self.find_signer(session.author())?;
        let latest = Timestamp(now.0.saturating_add(self.max_future_millis));
        let new = have.saturating_sub(after as usize).min(transactions.len());
        if let Some(tx) = transactions[new..].iter().find(|tx| tx.made_at() > latest) {
            return Err(ReceiveError::FromTheFuture(tx.made_at()));
        }
        check_places(id, session, &transactions[new..])?;
        // Only the first two transactions tell where a session began.
        let first: Vec<Transaction> = if have < 2 {
            let known = log
                .sessions()
                .get(session)
                .map_or(&[][..], |log| log.transactions());
            known
                .iter()
                .chain(&transactions[new..])
                .take(2)
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        let beginning = beginning(log.header(), session, &first);
        if let Some(beginning) = &beginning {
            self.check_origin(id, session, beginning)?;
        }
        let bytes = transactions[new..].iter().map(Transaction::text_bytes).sum();
        // Taken out for a moment, as it looks at all of us.
        let mut insiders = std::mem::take(&mut self.insiders);
        let exceeded = insiders.exceeded(self, &self.logs[id], session.author(), bytes);
        self.insiders = insiders;
        if exceeded {
            let author = session.author().clone();
            return Err(ReceiveError::TooMuchOfOutsiders { author });
        }
        let log = self.get_mut(id).expect("looked up above");
        let appended = log.append(session, after, transactions, signature, &signer)?;
        if let Some(beginning) = beginning {
            self.origins.insert(beginning, (id.clone(), session.clone()));
        }
        Ok(appended)
    }
}

/// Whether the value has members and keys: it is a group or an account.
fn is_group(header: &Header) -> bool {
    matches!(header.ruleset(), Ruleset::Group { .. })
}

/// The value that a transaction says is deleted.
pub(crate) fn deletion_of(transaction: &Transaction) -> Option<String> {
    let Transaction::Trusting(tx) = transaction else {
        return None;
    };
    let meta: Value = serde_json::from_str(tx.meta.as_deref()?).ok()?;
    Some(meta.get("deleted")?.as_str()?.to_owned())
}

/// Meta for the first transaction in clear of an own session: it names the place, and the signature covers it, so that
/// nobody can pass the session off as one of another value. Others ignore it.
pub(crate) fn place_meta(id: &CoId, session: &SessionId) -> Value {
    serde_json::json!({"id": id, "session": session})
}

pub(crate) fn add_place(meta: Option<Value>, id: &CoId, session: &SessionId) -> Value {
    let mut meta = match meta {
        Some(Value::Object(meta)) => meta,
        _ => serde_json::Map::new(),
    };
    meta.insert(PLACE.to_owned(), place_meta(id, session));
    Value::Object(meta)
}

/// Refuses transactions that say they belong elsewhere.
fn check_places(id: &CoId, session: &SessionId, transactions: &[Transaction]) -> Result<(), ReceiveError> {
    for transaction in transactions {
        let Transaction::Trusting(tx) = transaction else {
            continue;
        };
        let Some(meta) = tx.meta.as_deref().filter(|meta| meta.contains(PLACE)) else {
            continue;
        };
        let Ok(meta) = serde_json::from_str::<Value>(meta) else {
            continue;
        };
        let Some(place) = meta.get(PLACE) else { continue };
        let text = |key: &str| place.get(key).and_then(Value::as_str);
        let (Some(of_id), Some(of_session)) = (text("id"), text("session")) else {
            continue;
        };
        if (of_id, of_session) == (id.as_str(), session.as_str()) {
            continue;
        }
        if let (Ok(id), Ok(session)) = (of_id.parse(), of_session.parse()) {
            return Err(ReceiveError::Copied { id, session });
        }
    }
    Ok(())
}

/// What identifies a session's content in clear: the first transaction if it holds a sealed value, otherwise the first
/// two. One is not enough: two groups made in the same millisecond honestly begin alike.
///
/// Private transactions are bound to their place by their nonce and need no such check; outside of groups neither do
/// transactions without changes.
fn beginning(header: &Header, session: &SessionId, transactions: &[Transaction]) -> Option<Beginning> {
    let is_group = matches!(header.kind(), Kind::Group | Kind::Account);
    let in_clear = |tx: &&Transaction| match tx {
        Transaction::Trusting(tx) => is_group || tx.changes.len() > "[]".len(),
        Transaction::Private(_) => false,
    };
    let first: Vec<&Transaction> = transactions.iter().take_while(in_clear).take(2).collect();
    let (Transaction::Trusting(tx), count) = (*first.first()?, first.len()) else {
        return None;
    };
    let is_sealed = tx.changes.contains("\"sealed_U");
    if !is_sealed && count < 2 {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(session.author().as_str().as_bytes());
    for transaction in &first[..if is_sealed { 1 } else { 2 }] {
        hasher.update(transaction.canonical().as_bytes());
    }
    Some((session.author().clone(), *hasher.finalize().as_bytes()))
}

fn fingerprint_of((_, hash): &Beginning) -> Fingerprint {
    let (first, _) = hash.split_first_chunk().expect("a hash is longer");
    u64::from_le_bytes(*first)
}

/// The fingerprint of how a session begins, if that says whose it is: it takes the first transaction, or the first two.
pub fn fingerprint(
    header: &Header,
    session: &SessionId,
    transactions: &[Transaction],
) -> Option<Fingerprint> {
    beginning(header, session, transactions)
        .as_ref()
        .map(fingerprint_of)
}
