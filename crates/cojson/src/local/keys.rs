//! Writing to groups: setting keys, handing out secrets, rotating the read key (protocol, 6.7 to 6.9).

use serde_json::{Value, json};

use super::WriteError;
use crate::Cx;
use crate::content::ContentError;
use crate::crypto::{Nonce, encrypt_key_secret, seal_key, seal_key_for_group};
use crate::group::{EVERYONE, GroupView, sealer_of};
use crate::ids::{Author, CoId, KeyId, SealerId, SessionId};
use crate::node::{Node, Writer};
use crate::secrets::KeySecret;
use crate::transaction::Timestamp;

/// A key with its secret.
#[derive(Clone)]
pub(super) struct Key {
    pub id: KeyId,
    pub secret: KeySecret,
}

impl Key {
    pub fn random(cx: &mut Cx<'_>) -> Self {
        Self {
            id: KeyId::random(cx.rng),
            secret: KeySecret::random(cx.rng),
        }
    }

    pub fn group_sealer_value(&self) -> String {
        format!("{}@{}", self.id, self.secret.group_sealer().id())
    }
}

/// Somebody a secret can be sealed to.
#[derive(Clone)]
pub(super) struct Recipient {
    pub member: Author,
    pub sealer: SealerId,
}

/// How the members of a parent get at a child's keys.
#[derive(Clone)]
pub(super) enum ParentAccess {
    /// We can read the parent: by its read key.
    Key(Key),
    /// We can't: by its sealer.
    Sealer(SealerId),
}

/// One change of a group by one writer: everything in it has the same time.
pub(super) struct GroupEdit {
    pub group: CoId,
    pub writer: Writer,
    pub session: SessionId,
    pub at: Timestamp,
}

impl Node {
    /// Begins a change of a group: brings it up to date and dates the change after everything seen.
    pub(super) fn edit_group(
        &mut self,
        cx: &Cx<'_>,
        group: &CoId,
        writer: Writer,
    ) -> Result<GroupEdit, WriteError> {
        if self.groups.refresh(&self.values, group).is_none() {
            return Err(match self.has(group) {
                true => ContentError::WrongKind(group.clone(), "group").into(),
                false => ContentError::NotLoaded(group.clone()).into(),
            });
        }
        self.check_tail(group)?;
        let session = writer.session_in(group);
        let latest = self.groups.get(group).and_then(GroupView::latest);
        let at = Self::after(self.latest_of(group, cx.now), cx.now, latest, &session);
        Ok(GroupEdit {
            group: group.clone(),
            writer,
            session,
            at,
        })
    }

    /// The group as of its last refresh.
    pub(super) fn group_view(&self, group: &CoId) -> &GroupView {
        self.groups.get(group).expect("an edit begins with a refresh")
    }

    /// Whether the writer of an edit may set a key now.
    pub(super) fn may_set(&self, edit: &GroupEdit, key: &str, value: &str) -> bool {
        let (author, value) = (edit.session.author(), Value::from(value));
        self.groups
            .may_set(&self.values, &edit.group, author, key, &value, edit.at)
    }

    /// Sets one key.
    pub(super) fn set(&mut self, edit: &GroupEdit, key: &str, value: &str) {
        let changes = Value::from([json!({"op": "set", "key": key, "value": value})]).to_string();
        self.will_write(&edit.group, &edit.session, edit.writer.secret.signer());
        self.append_trusting(&edit.group, &edit.session, edit.at, changes, None);
    }

    fn next_nonce(&self, edit: &GroupEdit) -> Nonce {
        let index = self
            .values
            .get(&edit.group)
            .map_or(0, |log| log.session_len(&edit.session));
        Nonce::of_transaction(&edit.group, &edit.session, index)
    }

    /// Hands a key to a member.
    pub(super) fn reveal(&mut self, edit: &GroupEdit, key: &Key, to: &Recipient) {
        let sealed = seal_key(
            &key.secret,
            edit.writer.secret.sealer(),
            &to.sealer,
            &self.next_nonce(edit),
        );
        self.set(edit, &format!("{}_for_{}", key.id, to.member), &sealed);
    }

    /// Hands a key to whoever reads with another key.
    pub(super) fn reveal_by(&mut self, edit: &GroupEdit, key: &Key, by: &Key) {
        let encrypted = encrypt_key_secret(&key.id, &key.secret, &by.id, &by.secret);
        self.set(edit, &format!("{}_for_{}", key.id, by.id), &encrypted);
    }

    /// Hands a key to the members of a parent.
    pub(super) fn reveal_to_parent(
        &mut self,
        cx: &mut Cx<'_>,
        edit: &GroupEdit,
        key: &Key,
        parent: &ParentAccess,
    ) {
        match parent {
            ParentAccess::Key(by) => self.reveal_by(edit, key, by),
            ParentAccess::Sealer(sealer) => {
                let sealed = seal_key_for_group(&key.secret, sealer, &self.next_nonce(edit), cx.rng);
                self.set(edit, &format!("{}_sealedFor_{sealer}", key.id), &sealed);
            }
        }
    }

    /// A key of the group with its secret.
    pub(super) fn key(&mut self, group: &CoId, id: KeyId) -> Result<Key, WriteError> {
        let secret = self.key_secret(group, &id)?;
        Ok(Key { id, secret })
    }

    /// The group's read key.
    pub(super) fn read_key(&mut self, group: &CoId) -> Result<Key, WriteError> {
        let id = self
            .group_view(group)
            .read_key()
            .ok_or_else(|| WriteError::NoReadKey(group.clone()))?;
        self.key(group, id)
    }

    /// The keys of everybody who only writes, as far as we can get at them.
    pub(super) fn write_keys(&mut self, group: &CoId) -> Vec<Key> {
        let prefix = crate::group::WRITE_KEY;
        let view = self.group_view(group);
        let keys = view
            .with_prefix(prefix)
            .filter_map(|(_, key)| key.as_str()?.parse().ok());
        let keys: Vec<KeyId> = keys.collect();
        keys.into_iter()
            .filter_map(|key| self.key(group, key).ok())
            .collect()
    }

    pub(super) fn recipient(&self, member: Author) -> Result<Recipient, WriteError> {
        if let Some(own) = self.writer.as_ref().filter(|writer| writer.author == member) {
            return Ok(Recipient {
                member,
                sealer: own.secret.id().sealer().clone(),
            });
        }
        match (sealer_of(&self.values, &member), &member) {
            (Some(sealer), _) => Ok(Recipient { member, sealer }),
            (None, Author::Account(account)) => {
                let id = account.as_co_id().clone();
                Err(match self.has(&id) {
                    true => ContentError::WrongKind(id, "account").into(),
                    false => ContentError::NotLoaded(id).into(),
                })
            }
            (None, Author::Agent(_)) => unreachable!("an agent's name is its keys"),
        }
    }

    /// Everybody who reads in the group itself, except one.
    ///
    /// An account that isn't loaded is an error, so that it can be loaded. One that nobody has, or that is no account,
    /// is left out: a manager could keep others from rotating keys by making it a member.
    pub(super) fn readers(&self, group: &CoId, except: &str) -> Result<Vec<Recipient>, WriteError> {
        let members = self.group_view(group).members();
        let readers = members.filter(|(member, grant)| grant.can_read() && member.as_str() != except);
        self.recipients(readers.map(|(member, _)| member))
    }

    fn recipients(&self, members: impl Iterator<Item = Author>) -> Result<Vec<Recipient>, WriteError> {
        let exists = |member: &Author| {
            member
                .account()
                .is_none_or(|account| match self.log(account.as_co_id()) {
                    Some(log) => log.header().agent().is_some(),
                    None => !self.unavailable.contains(account.as_co_id()),
                })
        };
        members
            .filter(exists)
            .map(|member| self.recipient(member))
            .collect()
    }

    /// The ways to the members of the group's parents.
    pub(super) fn parent_accesses(&mut self, group: &CoId) -> Vec<ParentAccess> {
        let parents: Vec<CoId> = self
            .group_view(group)
            .parents()
            .map(|(parent, _)| parent.clone())
            .collect();
        parents
            .iter()
            .filter_map(|parent| self.parent_access(parent).ok())
            .collect()
    }

    pub(super) fn parent_access(&mut self, parent: &CoId) -> Result<ParentAccess, WriteError> {
        if self.groups.get(parent).is_none() {
            return Err(ContentError::NotLoaded(parent.clone()).into());
        }
        match self.read_key(parent) {
            Ok(key) => Ok(ParentAccess::Key(key)),
            Err(error) => {
                let sealer = self.group_view(parent).get_text("groupSealer").and_then(|text| {
                    let (_, sealer) = text.split_once('@')?;
                    sealer.parse().ok()
                });
                sealer.map(ParentAccess::Sealer).ok_or(error)
            }
        }
    }

    /// Makes a key for a member who only writes, and hands it to all who read.
    pub(super) fn make_write_key(
        &mut self,
        cx: &mut Cx<'_>,
        edit: &GroupEdit,
        member: &Recipient,
        readers: &[Recipient],
        parents: &[ParentAccess],
    ) -> Key {
        let key = Key::random(cx);
        self.set(
            edit,
            &format!("{}{}", crate::group::WRITE_KEY, member.member),
            key.id.as_str(),
        );
        self.reveal(edit, &key, member);
        for reader in readers {
            self.reveal(edit, &key, reader);
        }
        for parent in parents {
            self.reveal_to_parent(cx, edit, &key, parent);
        }
        key
    }

    /// Makes a write key for ourselves, where everybody may write and nobody gave us one.
    pub(super) fn make_own_write_key(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
    ) -> Result<(KeyId, KeySecret), WriteError> {
        let writer = self.writer()?.clone();
        let edit = self.edit_group(cx, group, writer)?;
        let me = self.recipient(edit.writer.author.clone())?;
        let readers = self.readers(group, me.member.as_str())?;
        let parents = self.parent_accesses(group);
        let key = self.make_write_key(cx, &edit, &me, &readers, &parents);
        self.groups.refresh(&self.values, group);
        Ok((key.id, key.secret))
    }

    /// Gives the group a new read key that one member doesn't get. Nothing happens while everybody can read.
    ///
    /// Returns without having written anything if somebody who must get it isn't loaded.
    pub(super) fn rotate(
        &mut self,
        cx: &mut Cx<'_>,
        edit: &GroupEdit,
        except: &str,
    ) -> Result<(), WriteError> {
        let group = &edit.group;
        if self.group_view(group).everyone_reads() && except != EVERYONE {
            return Ok(());
        }
        let old = self.read_key(group)?;
        let readers = self.readers(group, except)?;
        let members = self.group_view(group).members();
        let only_write = members.filter(|(member, grant)| !grant.can_read() && member.as_str() != except);
        let only_write = self.recipients(only_write.map(|(member, _)| member))?;
        let parents = self.parent_accesses(group);
        let new = Key::random(cx);
        for reader in &readers {
            self.reveal(edit, &new, reader);
        }
        for member in &only_write {
            self.make_write_key(cx, edit, member, &readers, &parents);
        }
        self.reveal_by(edit, &old, &new);
        self.set(edit, "readKey", new.id.as_str());
        self.set(edit, "groupSealer", &new.group_sealer_value());
        for parent in &parents {
            self.reveal_to_parent(cx, edit, &new, parent);
        }
        self.groups.refresh(&self.values, group);
        self.rotate_children(cx, edit);
        Ok(())
    }

    /// Groups in memory that inherit from this one get new keys too, as far as we manage them: their read keys are
    /// known to whoever is excluded here.
    fn rotate_children(&mut self, cx: &mut Cx<'_>, edit: &GroupEdit) {
        let depends = |log: &&crate::log::CoValueLog| {
            log.header().kind() == crate::header::Kind::Group && log.dependencies().contains(&edit.group)
        };
        let children: Vec<CoId> = self
            .values
            .iter()
            .filter(depends)
            .map(|log| log.id().clone())
            .collect();
        for child in children {
            let inherits = self
                .groups
                .refresh(&self.values, &child)
                .is_some_and(|view| view.parents().any(|(parent, _)| *parent == edit.group));
            let manages = self.groups.role_at(&child, edit.writer.author.as_str(), edit.at);
            if !inherits || !manages.is_some_and(crate::group::Role::can_manage) {
                continue;
            }
            // A child that can't be rotated now, because a member isn't loaded, keeps its key; so it is for those
            // that aren't loaded themselves.
            if let Ok(edit) = self.edit_group(cx, &child, edit.writer.clone()) {
                let _ = self.rotate(cx, &edit, "");
            }
        }
    }
}
