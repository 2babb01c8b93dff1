//! Writing to values, and making new ones.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::WriteError;
use crate::Cx;
use crate::content::ContentError;
use crate::crypto::{Nonce, encrypt};
use crate::group::{EVERYONE, Grant, Role};
use crate::header::{CreatedAt, Header, Kind, Ruleset, Uniqueness, ValueType};
use crate::ids::{Author, CoId, KeyId, SessionId};
use crate::limits::MAX_CREATED_TRANSACTION_BYTES;
use crate::log::CoValueLog;
use crate::node::{Node, Writer};
use crate::secrets::KeySecret;
use crate::transaction::{Privacy, PrivateTransaction, Timestamp, Transaction, TrustingTransaction};
use crate::values::add_place;

/// We date our writes after what we have seen, but follow other clocks no further ahead than this.
const MAX_CLOCK_LEAD_MILLIS: u64 = 60 * 1000;

/// A value to be made.
#[derive(Debug, Clone)]
pub struct NewValue {
    /// How its content is read.
    pub value_type: ValueType,
    /// The group (or account) it belongs to.
    pub owner: CoId,
    /// Public facts about it.
    pub meta: Option<Map<String, Value>>,
    /// `None`: a new random value; otherwise the one that everybody can find by this.
    pub uniqueness: Option<Uniqueness>,
    /// Whether only admins and managers may remove items of a list.
    pub restrict_deletion: bool,
    /// The changes of the first transaction, if there is to be one.
    pub init: Option<Vec<Value>>,
    /// Whether relays can read the first transaction.
    pub privacy: Privacy,
    /// The meta of the first transaction.
    pub init_meta: Option<Value>,
}

impl NewValue {
    /// A random value with a private first transaction.
    pub fn new(value_type: ValueType, owner: CoId, init: Vec<Value>) -> Self {
        Self {
            value_type,
            owner,
            meta: None,
            uniqueness: None,
            restrict_deletion: false,
            init: Some(init),
            privacy: Privacy::Private,
            init_meta: None,
        }
    }

    /// A header for the value, and with it an id. Random values get another one each time.
    pub fn header(&self, cx: &mut Cx<'_>) -> Header {
        let restrict_deletion = self.restrict_deletion.then_some(true);
        let ruleset = Ruleset::OwnedByGroup {
            group: self.owner.clone(),
            restrict_deletion,
        };
        let (created_at, uniqueness) = match &self.uniqueness {
            Some(uniqueness) => (CreatedAt::Absent, uniqueness.clone()),
            None => (CreatedAt::Iso(cx.now.to_iso().into()), Uniqueness::random(cx.rng)),
        };
        Header::new(
            self.value_type.clone(),
            ruleset,
            self.meta.clone(),
            created_at,
            uniqueness,
        )
    }
}

/// What a transaction in a value is written with.
pub(super) struct Permit {
    writer: Writer,
    pub(super) at: Timestamp,
    key: Option<(KeyId, KeySecret)>,
}

impl Node {
    /// Makes a value and writes its first transaction.
    pub fn create(&mut self, cx: &mut Cx<'_>, new: NewValue) -> Result<CoId, WriteError> {
        let header = new.header(cx);
        self.create_with_header(cx, header, new)
    }

    /// Makes the value of a header that [`NewValue::header`] has made of `new` before.
    pub fn create_with_header(
        &mut self,
        cx: &mut Cx<'_>,
        header: Header,
        new: NewValue,
    ) -> Result<CoId, WriteError> {
        let id = header.id().clone();
        if self.has(&id) {
            return Err(WriteError::Exists(id));
        }
        self.check_tail(&id)?;
        let permit = self.permit(cx, &new.owner, new.privacy, None)?;
        let texts = new
            .init
            .as_deref()
            .map(|changes| texts(changes, new.init_meta.as_ref()))
            .transpose()?;
        self.will_write(&id, &permit.writer.session, permit.writer.secret.signer());
        self.values.insert(header);
        if let Some((changes, meta)) = texts {
            self.append_owned(&id, &permit, new.privacy, changes, meta);
        }
        Ok(id)
    }

    /// Whether private content can be written to the values of a group, or why not.
    pub fn check_write(&mut self, cx: &mut Cx<'_>, group: &CoId) -> Result<(), WriteError> {
        self.permit(cx, group, Privacy::Private, None).map(drop)
    }

    /// Writes one transaction.
    pub fn write(
        &mut self,
        cx: &mut Cx<'_>,
        id: &CoId,
        changes: &[Value],
        privacy: Privacy,
        meta: Option<&Value>,
    ) -> Result<(), WriteError> {
        let log = self
            .values
            .get(id)
            .ok_or_else(|| ContentError::NotLoaded(id.clone()))?;
        if log.has_delete_session() && self.is_deleted(id) {
            return Err(ContentError::Deleted(id.clone()).into());
        }
        let log = self.values.get(id).expect("looked up above");
        self.check_tail(id)?;
        let texts = texts(changes, meta)?;
        match log.header().ruleset() {
            Ruleset::OwnedByGroup { group, .. } => {
                let (group, latest) = (
                    group.clone(),
                    log.latest().map(|(at, session)| (at, session.clone())),
                );
                let permit = self.permit(cx, &group, privacy, latest)?;
                self.append_owned(id, &permit, privacy, texts.0, texts.1);
            }
            Ruleset::UnsafeAllowAll if privacy == Privacy::Trusting => {
                let writer = self.writer()?.clone();
                let permit = Permit {
                    writer,
                    at: cx.now,
                    key: None,
                };
                self.append_owned(id, &permit, privacy, texts.0, texts.1);
            }
            Ruleset::UnsafeAllowAll => return Err(WriteError::NoReadKey(id.clone())),
            Ruleset::Group { .. } => return Err(ContentError::WrongKind(id.clone(), "value").into()),
        }
        Ok(())
    }

    /// Deletes a value: all content is gone for whoever hears of it. Needs an admin.
    pub fn delete(&mut self, cx: &mut Cx<'_>, id: &CoId) -> Result<(), WriteError> {
        let writer = self.writer()?.clone();
        let log = self
            .values
            .get(id)
            .ok_or_else(|| ContentError::NotLoaded(id.clone()))?;
        let owner = log
            .header()
            .owner()
            .ok_or_else(|| WriteError::NotAllowed(id.clone()))?
            .clone();
        if self.is_deleted(id) {
            return Err(ContentError::Deleted(id.clone()).into());
        }
        if self.my_role(id) != Some(Role::Admin) {
            return Err(WriteError::NotAllowed(owner));
        }
        let at = cx.now.max(self.latest_of(&owner, cx.now));
        let session = SessionId::random_delete(writer.author.clone(), cx.rng);
        let meta = serde_json::json!({"deleted": id}).to_string();
        let tx = TrustingTransaction {
            made_at: at,
            changes: "[]".into(),
            meta: Some(meta.into()),
        };
        self.will_write(id, &session, writer.secret.signer());
        let log = self.values.get_mut(id).expect("looked up above");
        log.append_own(&session, Transaction::Trusting(tx));
        Ok(())
    }

    /// Refuses to write to a value that has come back without writes of the current session.
    pub(super) fn check_tail(&self, id: &CoId) -> Result<(), WriteError> {
        let Some(tail) = self.tails.get(id) else {
            return Ok(());
        };
        let session = self.writer()?.session_in(id);
        let have = self.log(id).map_or(0, |log| log.session_len(&session));
        if have < *tail {
            return Err(WriteError::Rewound(id.clone()));
        }
        Ok(())
    }

    pub(crate) fn writer(&self) -> Result<&Writer, WriteError> {
        self.writer.as_ref().ok_or(WriteError::NotLoggedIn)
    }

    /// The latest time in a group and the groups it inherits from, as far as our clock may follow.
    pub(super) fn latest_of(&self, group: &CoId, now: Timestamp) -> Timestamp {
        let limit = Timestamp(now.0.saturating_add(MAX_CLOCK_LEAD_MILLIS));
        let mut latest = now;
        let mut met = vec![group.clone()];
        let mut next = 0;
        while let Some(view) = met.get(next).map(|id| self.groups.get(id)) {
            next += 1;
            let Some(view) = view else { continue };
            let at = view.latest().map_or(Timestamp::default(), |(at, _)| at);
            if at <= limit {
                latest = latest.max(at);
            }
            for (parent, _) in view.parents() {
                if !met.contains(parent) {
                    met.push(parent.clone());
                }
            }
        }
        latest
    }

    /// A time that comes after what another session has written, if that isn't from too far ahead.
    pub(super) fn after(
        floor: Timestamp,
        now: Timestamp,
        latest: Option<(Timestamp, SessionId)>,
        own: &SessionId,
    ) -> Timestamp {
        let limit = now.0.saturating_add(MAX_CLOCK_LEAD_MILLIS);
        match latest {
            Some((at, session)) if at.0 < limit => {
                floor.max(if session == *own { at } else { Timestamp(at.0 + 1) })
            }
            _ => floor,
        }
    }

    /// Finds out whether we may write to a value now, and with which key.
    pub(super) fn permit_write(
        &mut self,
        cx: &mut Cx<'_>,
        id: &CoId,
        privacy: Privacy,
    ) -> Result<Permit, WriteError> {
        let log = self
            .values
            .get(id)
            .ok_or_else(|| ContentError::NotLoaded(id.clone()))?;
        let latest = log.latest().map(|(at, session)| (at, session.clone()));
        let owner = log.header().owner().cloned();
        let owner = owner.ok_or_else(|| WriteError::NotAllowed(id.clone()))?;
        self.check_tail(id)?;
        self.permit(cx, &owner, privacy, latest)
    }

    /// Finds out whether we may write to the values of a group now, and with which key.
    fn permit(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        privacy: Privacy,
        latest: Option<(Timestamp, SessionId)>,
    ) -> Result<Permit, WriteError> {
        let writer = self.writer()?.clone();
        if self.groups.refresh(&self.values, group).is_none() {
            return Err(ContentError::NotLoaded(group.clone()).into());
        }
        let at = Self::after(self.latest_of(group, cx.now), cx.now, latest, &writer.session);
        let role = self.groups.role_at(group, writer.author.as_str(), at);
        let role = role
            .filter(|role| role.can_write())
            .ok_or_else(|| WriteError::NotAllowed(group.clone()))?;
        let key = match privacy {
            Privacy::Private => Some(self.writing_key(cx, group, role, &writer.author)?),
            Privacy::Trusting => None,
        };
        Ok(Permit { writer, at, key })
    }

    /// The key for private content: the read key, or one's own for those who only write.
    fn writing_key(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        role: Role,
        author: &Author,
    ) -> Result<(KeyId, KeySecret), WriteError> {
        let view = self
            .groups
            .get(group)
            .ok_or_else(|| ContentError::NotLoaded(group.clone()))?;
        let key = if role == Role::WriteOnly {
            match view.write_key(author.as_str()) {
                Some(key) => key,
                None if view.direct_grant(EVERYONE) == Some(Grant::Member(Role::WriteOnly)) => {
                    return self.make_own_write_key(cx, group);
                }
                None => return Err(WriteError::NotAllowed(group.clone())),
            }
        } else {
            view.read_key()
                .ok_or_else(|| WriteError::NoReadKey(group.clone()))?
        };
        let secret = self.key_secret(group, &key)?;
        Ok((key, secret))
    }

    /// The secret of a key of a group.
    pub(super) fn key_secret(&mut self, group: &CoId, key: &KeyId) -> Result<KeySecret, WriteError> {
        let secret = self.groups.secret(&self.values, &self.reader, group, key);
        secret.ok_or_else(|| WriteError::NoKey {
            group: group.clone(),
            key: key.clone(),
        })
    }

    pub(super) fn append_owned(
        &mut self,
        id: &CoId,
        permit: &Permit,
        privacy: Privacy,
        changes: String,
        meta: Option<String>,
    ) {
        let session = &permit.writer.session;
        self.will_write(id, session, permit.writer.secret.signer());
        match (&permit.key, privacy) {
            (Some((key, secret)), Privacy::Private) => {
                let log = self.values.get_mut(id).expect("looked up by the caller");
                let nonce = Nonce::of_transaction(id, session, log.session_len(session));
                // Meta is encrypted with the beginning of the same key stream: what is known of it must tell nothing of
                // the changes.
                let room = meta.as_ref().map_or(0, String::len);
                let changes = format!("{:room$}{changes}", "");
                let tx = PrivateTransaction {
                    made_at: permit.at,
                    key_used: key.clone(),
                    encrypted_changes: encrypt(&changes, secret, &nonce).into(),
                    meta: meta.map(|meta| encrypt(&meta, secret, &nonce).into()),
                };
                log.append_own(session, Transaction::Private(tx));
            }
            _ => self.append_trusting(id, session, permit.at, changes, meta.as_deref()),
        }
    }

    /// Appends a transaction in clear. The first of a session names its place, which ties the session to it.
    pub(super) fn append_trusting(
        &mut self,
        id: &CoId,
        session: &SessionId,
        at: Timestamp,
        changes: String,
        meta: Option<&str>,
    ) {
        let log = self.values.get_mut(id).expect("looked up by the caller");
        let is_own = self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.session == *session);
        let is_placed = is_own && self.placed.contains(id) || has_trusting(log, session);
        // An account's sessions are its agent's and mean nothing elsewhere.
        let meta: Option<Arc<str>> = if is_placed || log.header().kind() == Kind::Account {
            meta.map(Arc::from)
        } else {
            let meta = meta.and_then(|meta| serde_json::from_str(meta).ok());
            Some(add_place(meta, id, session).to_string().into())
        };
        let tx = TrustingTransaction {
            made_at: at,
            changes: changes.into(),
            meta,
        };
        log.append_own(session, Transaction::Trusting(tx));
        if is_own {
            self.placed.insert(id.clone());
        }
    }
}

fn has_trusting(log: &CoValueLog, session: &SessionId) -> bool {
    let transactions = log
        .sessions()
        .get(session)
        .map_or(&[][..], |session| session.transactions());
    transactions.iter().any(|tx| tx.privacy() == Privacy::Trusting)
}

/// Changes and meta as text, in the order of their members.
fn texts(changes: &[Value], meta: Option<&Value>) -> Result<(String, Option<String>), WriteError> {
    let changes = Value::from(changes).to_string();
    if changes.len() > MAX_CREATED_TRANSACTION_BYTES {
        return Err(WriteError::TooLarge(changes.len()));
    }
    let meta = meta.map(Value::to_string);
    if let Some(length) = meta
        .as_ref()
        .map(String::len)
        .filter(|length| *length > MAX_CREATED_TRANSACTION_BYTES)
    {
        return Err(WriteError::TooLarge(length));
    }
    Ok((changes, meta))
}
