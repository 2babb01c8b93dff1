//! Decides whether what came in an envelope is a message that its maker made for us, now.
//!
//! Everything is looked at on a node of its own, that holds nothing but the pieces and our account: what is refused
//! leaves no trace, and what is accepted stands by itself.

use cojson::group::{Grant, Role};
use cojson::header::{CreatedAt, Header, Kind, Ruleset};
use cojson::ids::{AccountId, Author, CoId, SessionId};
use cojson::log::{CoValueLog, KnownState};
use cojson::message::Content;
use cojson::transaction::{Timestamp, Transaction};
use cojson::{Credentials, Node};
use serde_json::{Map, Value};

use super::envelope::{Envelope, is_near};
use super::error::Invalid;
use crate::driver::OsEntropy;
use crate::time::Timestamp as IsoTime;

/// An accepted message.
pub(super) struct Message {
    pub id: CoId,
    pub group: CoId,
    /// The account that made it.
    pub maker: AccountId,
    pub fields: Map<String, Value>,
    /// The maker's account, as it came.
    pub account: Vec<Content>,
    /// The group, then the message, as they came.
    pub content: Vec<Content>,
    /// All there may be of the group and the message.
    pub known: [KnownState; 2],
}

/// Who a message is for.
pub(super) struct Recipient {
    pub credentials: Credentials,
    /// Our account.
    pub account: CoValueLog,
    /// What its maker lets us do with it: write to a request, read a response.
    pub role: Role,
}

impl Message {
    /// Checks an envelope whose time and signature are right already.
    pub fn open(envelope: &Envelope, me: Recipient, now: Timestamp) -> Result<Self, Invalid> {
        let pieces = envelope.pieces()?;
        let parts = Parts::of(&envelope.id, &pieces)?;
        if parts.maker == me.credentials.account_id {
            return Err(Invalid::OtherMembers(parts.group.id().clone()));
        }
        let agent = parts.account.agent().map(|agent| agent.signer());
        if agent != Some(&envelope.signer) {
            return Err(Invalid::NotTheSigner(parts.maker));
        }
        let (id, group) = (envelope.id.clone(), parts.group.id().clone());
        let of = |id: &CoId| {
            let pieces = pieces.iter().filter(|piece| piece.id == *id);
            pieces.cloned().collect::<Vec<_>>()
        };
        let account = of(parts.maker.as_co_id());
        let content = [of(&group), of(&id)].concat();
        for piece in &content {
            check_piece(piece, &parts.maker, now)?;
        }
        for header in [parts.group, parts.message] {
            check_fresh(header, now)?;
        }
        let mut node = inspect(&me, account.iter().chain(&content), now)?;
        check_members(&mut node, &group, &parts.maker, &me)?;
        let fields = read(&mut node, &id, &group, &parts.maker)?;
        let known = [node.known_state(&group), node.known_state(&id)];
        Ok(Self {
            id,
            group,
            maker: parts.maker,
            fields,
            account,
            content,
            known,
        })
    }
}

/// The headers that say who made a message, and for whom.
struct Parts<'a> {
    message: &'a Header,
    group: &'a Header,
    account: &'a Header,
    maker: AccountId,
}

impl<'a> Parts<'a> {
    fn of(id: &CoId, pieces: &'a [Content]) -> Result<Self, Invalid> {
        let header = |id: &CoId| {
            let mut headers = pieces.iter().filter(|piece| piece.id == *id);
            let header = headers.find_map(|piece| piece.header.as_ref());
            header.ok_or_else(|| Invalid::NotWhole(id.clone()))
        };
        let malformed = |problem: &str| Invalid::Malformed(problem.to_owned());
        let message = header(id)?;
        let (Kind::Map, None, Some(owner)) = (message.kind(), message.meta(), message.owner()) else {
            return Err(malformed("the message is not a map that a group owns"));
        };
        let group = header(owner)?;
        let (Kind::Group, Ruleset::Group { initial_admin }) = (group.kind(), group.ruleset()) else {
            return Err(malformed("the owner of the message is not a group"));
        };
        let Author::Account(maker) = initial_admin else {
            return Err(malformed("the group of the message was not made by an account"));
        };
        let account = header(maker.as_co_id())?;
        Ok(Self {
            message,
            group,
            account,
            maker: maker.clone(),
        })
    }
}

/// A piece of the message or its group: written by the maker alone, and now.
fn check_piece(piece: &Content, maker: &AccountId, now: Timestamp) -> Result<(), Invalid> {
    for (session, new) in &piece.new {
        if session.author().account() != Some(maker) {
            return Err(Invalid::OtherAuthor(piece.id.clone()));
        }
        if new.new_transactions.iter().any(|tx| !is_near(tx.made_at(), now)) {
            return Err(Invalid::NotFresh(piece.id.clone()));
        }
    }
    Ok(())
}

fn check_fresh(header: &Header, now: Timestamp) -> Result<(), Invalid> {
    let made = match header.created_at() {
        CreatedAt::Iso(text) => text.parse::<IsoTime>().ok(),
        CreatedAt::Absent | CreatedAt::Null => None,
    };
    match made.is_some_and(|made| is_near(Timestamp(made.0), now)) {
        true => Ok(()),
        false => Err(Invalid::NotFresh(header.id().clone())),
    }
}

/// A node of ours with nothing in it but these pieces.
fn inspect<'a>(
    me: &Recipient,
    pieces: impl Iterator<Item = &'a Content>,
    now: Timestamp,
) -> Result<Node, Invalid> {
    let mut node = Node::new(false);
    node.values_mut().insert_log(me.account.clone());
    let Credentials {
        account_id,
        agent_secret,
    } = &me.credentials;
    let session = SessionId::random(account_id.clone().into(), &mut OsEntropy);
    node.log_in(account_id, agent_secret.clone(), session)
        .expect("these credentials have been logged in with");
    for piece in pieces {
        let imported = node.import(now, piece.clone());
        imported.map_err(|error| Invalid::Malformed(format!("{}: {error}", piece.id)))?;
    }
    Ok(node)
}

/// The group has its maker and us in it, with the roles that belong to them, and never had anybody else.
fn check_members(node: &mut Node, group: &CoId, maker: &AccountId, me: &Recipient) -> Result<(), Invalid> {
    let other_members = || Invalid::OtherMembers(group.clone());
    let view = node.group(group).map_err(|_| other_members())?;
    let us = &me.credentials.account_id;
    let expected = [(maker, Role::Admin), (us, me.role)];
    let has =
        |(member, role): (&AccountId, Role)| view.direct_grant(member.as_str()) == Some(Grant::Member(role));
    if !expected.into_iter().all(has) {
        return Err(other_members());
    }
    let is_other = |key: &str| match key.parse::<Author>() {
        Ok(Author::Account(account)) => account != *maker && account != *us,
        Ok(Author::Agent(_)) => true,
        Err(_) => key == "everyone" || key.starts_with("parent_"),
    };
    if view.entries().any(|(key, _)| is_other(key)) {
        return Err(other_members());
    }
    Ok(())
}

/// Reads the message. Each of its transactions must count, or it would not be what its maker signed.
fn read(node: &mut Node, id: &CoId, group: &CoId, maker: &AccountId) -> Result<Map<String, Value>, Invalid> {
    let unreadable = || Invalid::Unreadable(id.clone());
    let log = node.log(id).ok_or_else(|| Invalid::NotWhole(id.clone()))?;
    let sessions = log.sessions().values();
    let transactions = sessions.flat_map(|session| session.transactions());
    let made: Vec<(Timestamp, Option<_>)> = transactions
        .map(|tx| match tx {
            Transaction::Private(tx) => (tx.made_at, Some(tx.key_used.clone())),
            Transaction::Trusting(tx) => (tx.made_at, None),
        })
        .collect();
    if made.is_empty() {
        return Err(Invalid::NotWhole(id.clone()));
    }
    for (at, key) in made {
        let has_key = key.is_none_or(|key| node.has_key(group, &key));
        if !has_key || node.role_at(maker.as_str(), group, at) != Some(Role::Admin) {
            return Err(unreadable());
        }
    }
    let map = node.map(id).map_err(|_| unreadable())?;
    match map.to_json() {
        Value::Object(fields) => Ok(fields),
        _ => Err(unreadable()),
    }
}
