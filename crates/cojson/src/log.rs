//! Logs: a CoValue as its header and the verified, append-only sessions of its writers.

use std::collections::BTreeMap;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crypto::{sign_text, verify_text};
use crate::header::{Header, Kind};
use crate::ids::{CoId, Hash, SessionId, Signature, SignerId};
use crate::limits::{CHECKPOINT_BYTES, MAX_BATCH_TRANSACTIONS, MAX_RECEIVED_TRANSACTION_BYTES, MAX_SESSIONS};
use crate::secrets::SignerSecret;
use crate::transaction::{Timestamp, Transaction};

/// Up to this many bytes a session's hasher is not kept: hashing them again is cheaper than 2 KiB for every session.
const KEEP_HASHER_ABOVE_BYTES: usize = 8 * 1024;

/// How much of a CoValue somebody has: counts only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownState {
    /// The CoValue.
    pub id: CoId,
    /// Whether they have the header.
    pub header: bool,
    /// Transactions per session.
    pub sessions: BTreeMap<SessionId, u64>,
}

impl KnownState {
    /// The state of somebody who has nothing.
    pub fn empty(id: CoId) -> Self {
        Self {
            id,
            header: false,
            sessions: BTreeMap::new(),
        }
    }
}

/// Why transactions are not appended. The log is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Transactions before these are missing.
    #[error("the batch starts after {after} transactions, only {have} are known")]
    Gap {
        /// Where the batch starts.
        after: u64,
        /// How many we have.
        have: u64,
    },
    /// The signature isn't the signer's over all transactions up to the last of the batch.
    #[error("the signature does not match")]
    InvalidSignature,
    /// The session was signed by another key so far.
    #[error("the session belongs to another signer")]
    OtherSigner,
    /// More than a bound of [`crate::limits`].
    #[error("too large: {0}")]
    TooLarge(&'static str),
}

/// What an append added: the transactions from `new_from` up to `new_len`, possibly none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The session's length before.
    pub new_from: usize,
    /// The session's length now.
    pub new_len: usize,
}

impl Appended {
    /// Whether there was nothing new.
    pub fn is_empty(&self) -> bool {
        self.new_from == self.new_len
    }
}

/// One transaction of a log: the session by its place of arrival, and the index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TxRef {
    pub(crate) session: u32,
    pub(crate) index: u32,
}

/// The transactions of one writer, with the newest signature and the checkpoints.
#[derive(Debug, Clone, Default)]
pub struct SessionLog {
    transactions: Vec<Transaction>,
    signer: Option<SignerId>,
    signature: Option<Signature>,
    /// How many transactions the signature covers; the rest are our own and not signed yet.
    signed: usize,
    checkpoints: BTreeMap<usize, Signature>,
    bytes_since_checkpoint: usize,
    bytes: usize,
    /// The state over the signed transactions, if it is worth keeping.
    hasher: Option<Box<blake3::Hasher>>,
}

impl SessionLog {
    /// All transactions.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// How many bytes of text the transactions hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest signature: over the first [`SessionLog::signed_len`] transactions.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// How many transactions are covered by a signature. Only our own can lack one, until [`CoValueLog::sign_own`];
    /// nobody is told of them before.
    pub fn signed_len(&self) -> usize {
        self.signed
    }

    /// Whether every transaction is covered by a signature.
    pub fn is_signed(&self) -> bool {
        self.signed == self.transactions.len()
    }

    /// Signatures over shorter parts, keyed by the index of the last transaction they cover.
    pub fn checkpoints(&self) -> &BTreeMap<usize, Signature> {
        &self.checkpoints
    }

    fn signed_hasher(&self) -> blake3::Hasher {
        match &self.hasher {
            Some(hasher) => (**hasher).clone(),
            None => {
                let mut hasher = blake3::Hasher::new();
                hash_transactions(&mut hasher, &self.transactions[..self.signed]);
                hasher
            }
        }
    }

    fn keep_hasher(&mut self, hasher: blake3::Hasher) {
        self.hasher = (self.bytes > KEEP_HASHER_ABOVE_BYTES).then(|| Box::new(hasher));
    }

    fn note_signature(&mut self, signature: Signature) {
        let new = &self.transactions[self.signed..];
        self.bytes_since_checkpoint += new.iter().map(Transaction::size).sum::<usize>();
        self.signed = self.transactions.len();
        if self.bytes_since_checkpoint > CHECKPOINT_BYTES {
            self.checkpoints.insert(self.signed - 1, signature.clone());
            self.bytes_since_checkpoint = 0;
        }
        self.signature = Some(signature);
    }
}

/// A session as storage keeps it.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// Its id.
    pub session: SessionId,
    /// All transactions.
    pub transactions: Vec<Transaction>,
    /// The signature over all of them.
    pub signature: Signature,
    /// Signatures over shorter parts.
    pub checkpoints: BTreeMap<usize, Signature>,
}

/// A CoValue: what was received and verified, in the order of arrival.
#[derive(Debug, Clone)]
pub struct CoValueLog {
    header: Header,
    sessions: IndexMap<SessionId, SessionLog>,
    /// Every transaction in the order it came, so that views read only what is new.
    arrivals: Vec<TxRef>,
    dependencies: IndexSet<CoId>,
    /// The transaction with the latest time.
    latest: Option<TxRef>,
    has_delete_session: bool,
    is_deleted: bool,
    bytes: usize,
}

/// Transactions whose signature was checked against a log, ready to be added to it.
#[derive(Debug)]
pub(crate) struct Verified {
    session: SessionId,
    transactions: Vec<Transaction>,
    signature: Signature,
    signer: SignerId,
    hasher: blake3::Hasher,
}

impl CoValueLog {
    /// A CoValue of which only the header is known.
    pub fn new(header: Header) -> Self {
        let mut dependencies = IndexSet::new();
        dependencies.extend(header.owner().cloned());
        dependencies.extend(header.source());
        if let crate::header::Ruleset::Group {
            initial_admin: crate::ids::Author::Account(account),
        } = header.ruleset()
        {
            dependencies.insert(account.as_co_id().clone());
        }
        dependencies.swap_remove(header.id());
        Self {
            header,
            sessions: IndexMap::new(),
            arrivals: Vec::new(),
            dependencies,
            latest: None,
            has_delete_session: false,
            is_deleted: false,
            bytes: 0,
        }
    }

    /// A CoValue from our own storage: nothing is verified again.
    pub fn restore(header: Header, sessions: Vec<StoredSession>) -> Self {
        let mut log = Self::new(header);
        for stored in sessions {
            let StoredSession {
                session,
                transactions,
                signature,
                checkpoints,
            } = stored;
            let after_checkpoint = checkpoints.keys().next_back().map_or(0, |last| last + 1);
            let since = transactions.iter().skip(after_checkpoint);
            let bytes_since_checkpoint = since.map(Transaction::size).sum();
            let position = log.session_position(&session);
            for transaction in transactions {
                log.push(position, transaction);
            }
            let restored = &mut log.sessions[position];
            restored.signed = restored.transactions.len();
            restored.signature = Some(signature);
            restored.checkpoints = checkpoints;
            restored.bytes_since_checkpoint = bytes_since_checkpoint;
        }
        log
    }

    /// The id.
    pub fn id(&self) -> &CoId {
        self.header.id()
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All sessions in the order of their arrival.
    pub fn sessions(&self) -> &IndexMap<SessionId, SessionLog> {
        &self.sessions
    }

    /// How many transactions of `session` there are.
    pub fn session_len(&self, session: &SessionId) -> usize {
        self.sessions.get(session).map_or(0, SessionLog::len)
    }

    /// The sessions that others are told of: of a deleted value, only those that deleted it.
    pub(crate) fn live_sessions(&self) -> impl Iterator<Item = (&SessionId, &SessionLog)> {
        let is_live = |(id, _): &(&SessionId, &SessionLog)| !self.is_deleted || id.is_delete();
        self.sessions.iter().filter(is_live)
    }

    /// Whether the value is known to have been deleted, so that nothing else in it counts any more.
    pub(crate) fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    pub(crate) fn mark_deleted(&mut self) {
        self.is_deleted = true;
    }

    /// How many transactions of each session there are, signed or not.
    pub(crate) fn counts(&self) -> BTreeMap<SessionId, u64> {
        let count = |(id, session): (&SessionId, &SessionLog)| (id.clone(), session.len() as u64);
        self.sessions.iter().map(count).collect()
    }

    /// How much of the value is here, as others may be told: without what isn't signed.
    pub fn known_state(&self) -> KnownState {
        let signed = self.live_sessions().filter(|(_, session)| session.signed > 0);
        let sessions = signed
            .map(|(id, session)| (id.clone(), session.signed as u64))
            .collect();
        KnownState {
            id: self.id().clone(),
            header: true,
            sessions,
        }
    }

    /// The CoValues that are needed to read this one: owner, source, authors, members, parents.
    pub fn dependencies(&self) -> &IndexSet<CoId> {
        &self.dependencies
    }

    /// The latest time in the log, with its session.
    pub(crate) fn latest(&self) -> Option<(Timestamp, &SessionId)> {
        self.latest
            .map(|tx| (self.transaction(tx).made_at(), self.session_id(tx)))
    }

    /// Whether a session may hold a deletion.
    pub(crate) fn has_delete_session(&self) -> bool {
        self.has_delete_session
    }

    /// How many bytes of text all transactions hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every transaction in the order of arrival.
    pub(crate) fn arrivals(&self) -> &[TxRef] {
        &self.arrivals
    }

    /// The place of a transaction of a session that is here.
    pub(crate) fn tx_ref(&self, session: &SessionId, index: u32) -> Option<TxRef> {
        let position = self.sessions.get_index_of(session)?;
        ((index as usize) < self.sessions[position].len()).then_some(TxRef {
            session: position as u32,
            index,
        })
    }

    pub(crate) fn transaction(&self, tx: TxRef) -> &Transaction {
        &self.sessions[tx.session as usize].transactions[tx.index as usize]
    }

    pub(crate) fn session_id(&self, tx: TxRef) -> &SessionId {
        let (id, _) = self
            .sessions
            .get_index(tx.session as usize)
            .expect("references are made by this log");
        id
    }

    /// Appends what somebody sent: checks the signature over everything new, then adds all of it or nothing.
    /// What we have already is skipped.
    pub fn append(
        &mut self,
        session: &SessionId,
        after: u64,
        transactions: Vec<Transaction>,
        signature: Signature,
        signer: &SignerId,
    ) -> Result<Appended, AppendError> {
        match self.verify(session, after, transactions, signature, signer)? {
            Some(verified) => Ok(self.commit(verified)),
            None => {
                let len = self.session_len(session);
                Ok(Appended {
                    new_from: len,
                    new_len: len,
                })
            }
        }
    }

    /// Checks a batch without changing anything. `None` means there is nothing new in it.
    pub(crate) fn verify(
        &self,
        session: &SessionId,
        after: u64,
        mut transactions: Vec<Transaction>,
        signature: Signature,
        signer: &SignerId,
    ) -> Result<Option<Verified>, AppendError> {
        let log = self.sessions.get(session);
        let have = log.map_or(0, |log| log.len() as u64);
        let known = have.checked_sub(after).ok_or(AppendError::Gap { after, have })?;
        let known = usize::try_from(known)
            .unwrap_or(usize::MAX)
            .min(transactions.len());
        transactions.drain(..known);
        if transactions.is_empty() {
            return Ok(None);
        }
        if transactions.len() > MAX_BATCH_TRANSACTIONS {
            return Err(AppendError::TooLarge("transactions in one batch"));
        }
        if transactions
            .iter()
            .any(|tx| tx.text_bytes() > MAX_RECEIVED_TRANSACTION_BYTES)
        {
            return Err(AppendError::TooLarge("transaction"));
        }
        if log.is_none() && self.sessions.len() >= MAX_SESSIONS {
            return Err(AppendError::TooLarge("sessions of one value"));
        }
        if log
            .and_then(|log| log.signer.as_ref())
            .is_some_and(|first| first != signer)
        {
            return Err(AppendError::OtherSigner);
        }
        // Only we write into a session that holds something unsigned, so nobody can have more of it than we do.
        if log.is_some_and(|log| !log.is_signed()) {
            return Err(AppendError::InvalidSignature);
        }
        let mut hasher = log.map_or_else(blake3::Hasher::new, SessionLog::signed_hasher);
        hash_transactions(&mut hasher, &transactions);
        if !verify_text(&signature, &signed_text(&hasher), signer) {
            return Err(AppendError::InvalidSignature);
        }
        let (session, signer) = (session.clone(), signer.clone());
        Ok(Some(Verified {
            session,
            transactions,
            signature,
            signer,
            hasher,
        }))
    }

    /// Adds what [`CoValueLog::verify`] has just checked against this very log.
    pub(crate) fn commit(&mut self, verified: Verified) -> Appended {
        let Verified {
            session,
            transactions,
            signature,
            signer,
            hasher,
        } = verified;
        let position = self.session_position(&session);
        let new_from = self.sessions[position].len();
        for transaction in transactions {
            self.push(position, transaction);
        }
        let log = &mut self.sessions[position];
        log.signer = Some(signer);
        log.note_signature(signature);
        log.keep_hasher(hasher);
        Appended {
            new_from,
            new_len: log.len(),
        }
    }

    /// Appends a transaction of our own and returns its index. It is signed by the next [`CoValueLog::sign_own`].
    pub fn append_own(&mut self, session: &SessionId, transaction: Transaction) -> usize {
        let position = self.session_position(session);
        self.push(position, transaction);
        self.sessions[position].len() - 1
    }

    /// Signs what we appended to `session`: once for all of it, and at each checkpoint.
    pub fn sign_own(&mut self, session: &SessionId, secret: &SignerSecret) {
        let Some(log) = self.sessions.get_mut(session).filter(|log| !log.is_signed()) else {
            return;
        };
        let mut hasher = log.signed_hasher();
        let pending = log.transactions.split_off(log.signed);
        let last = pending.len() - 1;
        let mut size = log.bytes_since_checkpoint;
        let mut text = String::new();
        for (index, transaction) in pending.into_iter().enumerate() {
            text.clear();
            transaction.write_canonical(&mut text);
            hasher.update(text.as_bytes());
            size += transaction.size();
            log.transactions.push(transaction);
            if index == last || size > CHECKPOINT_BYTES {
                log.note_signature(sign_text(secret, &signed_text(&hasher)));
                size = log.bytes_since_checkpoint;
            }
        }
        log.signer = Some(secret.id().clone());
        log.keep_hasher(hasher);
    }

    fn session_position(&mut self, session: &SessionId) -> usize {
        if let Some(position) = self.sessions.get_index_of(session) {
            return position;
        }
        if let Some(account) = session.author().account()
            && account.as_co_id() != self.header.id()
        {
            self.dependencies.insert(account.as_co_id().clone());
        }
        self.has_delete_session |= session.is_delete();
        self.sessions
            .insert_full(session.clone(), SessionLog::default())
            .0
    }

    fn push(&mut self, position: usize, transaction: Transaction) {
        if matches!(self.header.kind(), Kind::Group | Kind::Account) {
            let own = self.header.id();
            let named = group_dependencies(&transaction).filter(|id| id != own);
            self.dependencies.extend(named);
        }
        let session = &mut self.sessions[position];
        let index = session.transactions.len() as u32;
        session.bytes += transaction.text_bytes();
        self.bytes += transaction.text_bytes();
        session.transactions.push(transaction);
        let tx = TxRef {
            session: position as u32,
            index,
        };
        let is_latest = self
            .latest
            .is_none_or(|latest| self.transaction(latest).made_at() <= self.transaction(tx).made_at());
        if is_latest {
            self.latest = Some(tx);
        }
        self.arrivals.push(tx);
    }
}

/// The CoValues that a transaction of a group names as members or parents.
pub fn group_dependencies(transaction: &Transaction) -> impl Iterator<Item = CoId> {
    let changes = match transaction {
        // Most changes of a group hand out keys and name nobody: looked at before they are parsed.
        Transaction::Trusting(tx) if names_covalue(&tx.changes) => {
            serde_json::from_str::<Value>(&tx.changes).unwrap_or_default()
        }
        _ => Value::Null,
    };
    let changes = match changes {
        Value::Array(changes) => changes,
        _ => Vec::new(),
    };
    changes.into_iter().filter_map(|change| {
        if change.get("op")? != "set" {
            return None;
        }
        let key = change.get("key")?.as_str()?;
        key.strip_prefix("parent_").unwrap_or(key).parse().ok()
    })
}

fn names_covalue(changes: &str) -> bool {
    changes.contains("\"co_z") || changes.contains("\"parent_")
}

fn hash_transactions(hasher: &mut blake3::Hasher, transactions: &[Transaction]) {
    let mut text = String::new();
    for transaction in transactions {
        text.clear();
        transaction.write_canonical(&mut text);
        hasher.update(text.as_bytes());
    }
}

/// What a session's signature signs: the hash so far as JSON text, quotes included.
fn signed_text(hasher: &blake3::Hasher) -> String {
    format!("\"{}\"", Hash::from_digest(&hasher.finalize()))
}
