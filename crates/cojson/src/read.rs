//! What a node shows: the content of its values, now and at earlier times, and who may do what.

use std::collections::HashMap;

use crate::content::{
    ContentError, Feed, FileView, ListHistory, ListStep, ListView, MAX_BRANCH_DEPTH, MapHistory, MapStep,
    MapView, Source, StreamView, View, bytes_of_chunk,
};
use crate::group::{GroupView, Groups, Role};
use crate::header::Kind;
use crate::ids::{AccountId, AgentId, Author, CoId, KeyId, SessionId};
use crate::node::{Node, Views};
use crate::transaction::{Timestamp, Transaction};
use crate::values::{Values, deletion_of};

impl Node {
    /// The content of a map.
    pub fn map(&mut self, id: &CoId) -> Result<&MapView, ContentError> {
        self.prepare(id, is_map, "map")?;
        Ok(self.catch_up(id, |views| &mut views.maps))
    }

    /// The content of a list; a text is a list of its graphemes.
    pub fn list(&mut self, id: &CoId) -> Result<&ListView, ContentError> {
        self.prepare(id, is_list, "list")?;
        Ok(self.catch_up(id, |views| &mut views.lists))
    }

    /// The content of a stream.
    pub fn stream(&mut self, id: &CoId) -> Result<&StreamView, ContentError> {
        self.prepare(id, is_stream, "stream")?;
        Ok(self.catch_up(id, |views| &mut views.streams))
    }

    /// A file, without its bytes.
    pub fn file(&mut self, id: &CoId) -> Result<&FileView, ContentError> {
        self.prepare(id, is_file, "file")?;
        Ok(self.catch_up(id, |views| &mut views.files))
    }

    /// The bytes of one chunk of a file, if it is here. They are decrypted each time.
    pub fn file_chunk(&mut self, id: &CoId, index: usize) -> Result<Option<Vec<u8>>, ContentError> {
        let place = self.file(id)?.chunk(index);
        let Some((session, chunk)) = place.map(|(session, chunk)| (session.clone(), chunk)) else {
            return Ok(None);
        };
        let log = self
            .values
            .get(id)
            .ok_or_else(|| ContentError::NotLoaded(id.clone()))?;
        let mut source = Source {
            values: &self.values,
            groups: &mut self.groups,
            reader: &self.reader,
            until: Timestamp::MAX,
        };
        let changes = log
            .tx_ref(&session, chunk.tx_index)
            .and_then(|tx| source.open(log, tx).ok());
        Ok(changes.and_then(|(changes, _)| bytes_of_chunk(changes.get(chunk.change_index as usize)?)))
    }

    /// A group or an account: roles, keys, and an account's `profile` and `root`.
    pub fn group(&mut self, id: &CoId) -> Result<&GroupView, ContentError> {
        let kind = self
            .log(id)
            .ok_or_else(|| ContentError::NotLoaded(id.clone()))?
            .header()
            .kind();
        match self.groups.refresh(&self.values, id) {
            Some(_) if !matches!(kind, Kind::Group | Kind::Account) => {
                Err(ContentError::WrongKind(id.clone(), "group"))
            }
            Some(group) => Ok(group),
            None => Err(ContentError::WrongKind(id.clone(), "group")),
        }
    }

    /// The content a map had at a time. Built from the whole log each time, as all content at a time.
    pub fn map_at(&mut self, id: &CoId, at: Timestamp) -> Result<MapView, ContentError> {
        self.prepare(id, is_map, "map")?;
        Ok(self.view_at(id, at))
    }

    /// The content a list or a text had at a time.
    pub fn list_at(&mut self, id: &CoId, at: Timestamp) -> Result<ListView, ContentError> {
        self.prepare(id, is_list, "list")?;
        Ok(self.view_at(id, at))
    }

    /// All that was done to a map, oldest first. Built from the whole log each time, as all history.
    pub fn map_history(&mut self, id: &CoId) -> Result<Vec<MapStep>, ContentError> {
        self.prepare(id, is_map, "map")?;
        Ok(self.view_at::<MapHistory>(id, Timestamp::MAX).0)
    }

    /// All that was done to a list or a text, oldest first.
    pub fn list_history(&mut self, id: &CoId) -> Result<Vec<ListStep>, ContentError> {
        self.prepare(id, is_list, "list")?;
        Ok(self.view_at::<ListHistory>(id, Timestamp::MAX).steps)
    }

    /// A file as it was at a time, without its bytes.
    pub fn file_at(&mut self, id: &CoId, at: Timestamp) -> Result<FileView, ContentError> {
        self.prepare(id, is_file, "file")?;
        Ok(self.view_at(id, at))
    }

    /// The content a stream had at a time.
    pub fn stream_at(&mut self, id: &CoId, at: Timestamp) -> Result<StreamView, ContentError> {
        self.prepare(id, is_stream, "stream")?;
        Ok(self.view_at(id, at))
    }

    /// What `account` may do in a group now, by whatever way.
    pub fn role_of(&mut self, account: &AccountId, group: &CoId) -> Option<Role> {
        self.groups.refresh(&self.values, group)?;
        self.groups.role_at(group, account.as_str(), Timestamp::MAX)
    }

    /// What a member (an account, an agent, or `everyone`) could do in a group at a time.
    pub fn role_at(&mut self, member: &str, group: &CoId, at: Timestamp) -> Option<Role> {
        self.groups.refresh(&self.values, group)?;
        self.groups.role_at(group, member, at)
    }

    /// Whether we can get at the secret of a key of a group.
    pub fn has_key(&mut self, group: &CoId, key: &KeyId) -> bool {
        self.groups.refresh(&self.values, group);
        let secret = self.groups.secret(&self.values, &self.reader, group, key);
        secret.is_some()
    }

    /// The agent that acts for an account: the one it was made for, unless that was revoked, at whatever time the
    /// revocation claims. `None` until the account is here.
    pub fn current_agent(&mut self, account: &AccountId) -> Option<AgentId> {
        let id = account.as_co_id();
        let agent = self.log(id)?.header().agent()?.clone();
        let role = self.role_at(agent.as_str(), id, Timestamp::MAX);
        (role == Some(Role::Admin)).then_some(agent)
    }

    /// What our account may do with a value: by its owner, or in the group it is.
    pub fn my_role(&mut self, id: &CoId) -> Option<Role> {
        let group = self.log(id)?.header().owner().unwrap_or(id).clone();
        match self.writer.as_ref().map(|writer| writer.author.clone()) {
            Some(Author::Account(account)) => self.role_of(&account, &group),
            _ => {
                self.groups.refresh(&self.values, &group)?;
                self.groups
                    .role_at(&group, crate::group::EVERYONE, Timestamp::MAX)
            }
        }
    }

    /// Whether a value was deleted: an admin of its group says so in a session made for that.
    pub fn is_deleted(&mut self, id: &CoId) -> bool {
        let Some(log) = self.values.get(id) else {
            return false;
        };
        if log.is_deleted() {
            return true;
        }
        let Some(owner) = log.header().owner() else {
            return false;
        };
        let deletions = log
            .sessions()
            .iter()
            .filter(|(session, content)| session.is_delete() && content.len() == 1);
        let claims: Vec<(&SessionId, &Transaction)> = deletions
            .map(|(session, content)| (session, &content.transactions()[0]))
            .filter(|(_, transaction)| deletion_of(transaction).is_some_and(|of| of == id.as_str()))
            .collect();
        if claims.is_empty() {
            return false;
        }
        self.groups.refresh(&self.values, owner);
        claims.into_iter().any(|(session, transaction)| {
            let role = self
                .groups
                .role_at(owner, session.author().as_str(), transaction.made_at());
            role == Some(Role::Admin)
        })
    }

    fn prepare(
        &mut self,
        id: &CoId,
        fits: impl Fn(Kind) -> bool,
        name: &'static str,
    ) -> Result<(), ContentError> {
        let log = self
            .values
            .get(id)
            .ok_or_else(|| ContentError::NotLoaded(id.clone()))?;
        let header = log.header();
        if !fits(header.kind()) {
            return Err(ContentError::WrongKind(id.clone(), name));
        }
        if let Some(owner) = header.owner()
            && self.groups.refresh(&self.values, owner).is_none()
        {
            return Err(ContentError::NotLoaded(owner.clone()));
        }
        refresh_sources(&self.values, &mut self.groups, header.source());
        if log.has_delete_session() && self.is_deleted(id) {
            return Err(ContentError::Deleted(id.clone()));
        }
        Ok(())
    }

    /// Brings the group that owns a value up to date.
    pub(crate) fn refresh_for_reading(&mut self, id: &CoId) -> Result<(), ContentError> {
        self.prepare(id, |_| true, "value")
    }

    fn catch_up<V: View>(
        &mut self,
        id: &CoId,
        feeds: impl FnOnce(&mut Views) -> &mut HashMap<CoId, Feed<V>>,
    ) -> &V {
        let feeds = feeds(&mut self.views);
        if !feeds.contains_key(id) {
            feeds.insert(id.clone(), Feed::default());
        }
        let feed = feeds.get_mut(id).expect("inserted above");
        if let Some(log) = self.values.get(id) {
            let mut source = Source {
                values: &self.values,
                groups: &mut self.groups,
                reader: &self.reader,
                until: Timestamp::MAX,
            };
            feed.catch_up(&mut source, log);
        }
        &feed.view
    }

    fn view_at<V: View>(&mut self, id: &CoId, at: Timestamp) -> V {
        let mut feed = Feed::default();
        if let Some(log) = self.values.get(id) {
            let mut source = Source {
                values: &self.values,
                groups: &mut self.groups,
                reader: &self.reader,
                until: at,
            };
            feed.catch_up(&mut source, log);
        }
        feed.view
    }
}

/// Brings the groups of what a branch grew out of up to date.
fn refresh_sources(values: &Values, groups: &mut Groups, mut source: Option<CoId>) {
    for _ in 0..MAX_BRANCH_DEPTH {
        let Some(log) = source.and_then(|id| values.get(&id)) else {
            return;
        };
        if let Some(owner) = log.header().owner() {
            groups.refresh(values, owner);
        }
        source = log.header().source();
    }
}

fn is_map(kind: Kind) -> bool {
    kind == Kind::Map
}

fn is_list(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::PlainText)
}

fn is_stream(kind: Kind) -> bool {
    kind == Kind::Stream
}

fn is_file(kind: Kind) -> bool {
    kind == Kind::Binary
}
