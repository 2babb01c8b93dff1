//! Members, parents and everybody.

use super::WriteError;
use super::keys::{GroupEdit, Key};
use crate::Cx;
use crate::content::ContentError;
use crate::group::{EVERYONE, EveryoneRole, Grant, Mapping, Role};
use crate::header::{Header, Kind};
use crate::ids::{AccountId, Author, CoId};
use crate::node::Node;
use crate::transaction::Timestamp;

impl Node {
    /// Makes a group of which our account is the admin.
    pub fn create_group(&mut self, cx: &mut Cx<'_>) -> Result<CoId, WriteError> {
        self.create_named_group(cx, None)
    }

    /// Makes a group with a public name.
    pub fn create_named_group(&mut self, cx: &mut Cx<'_>, name: Option<&str>) -> Result<CoId, WriteError> {
        let writer = self.writer()?.clone();
        let me = self.recipient(writer.author.clone())?;
        let header = Header::group(writer.author.clone(), name, cx.now, cx.rng);
        let id = header.id().clone();
        self.values.insert(header);
        let edit = self.edit_group(cx, &id, writer)?;
        let key = Key::random(cx);
        self.set(&edit, me.member.as_str(), Role::Admin.as_str());
        self.reveal(&edit, &key, &me);
        self.set(&edit, "readKey", key.id.as_str());
        self.set(&edit, "groupSealer", &key.group_sealer_value());
        Ok(id)
    }

    /// Gives an account a role; its account must be loaded.
    pub fn add_member(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        member: &AccountId,
        role: Role,
    ) -> Result<(), WriteError> {
        let writer = self.writer()?.clone();
        let edit = self.edit_group(cx, group, writer)?;
        self.add(cx, &edit, member.clone().into(), Grant::Member(role))
    }

    /// Gives a role or an invite, and the keys that go with it.
    pub(super) fn add(
        &mut self,
        cx: &mut Cx<'_>,
        edit: &GroupEdit,
        member: Author,
        grant: Grant,
    ) -> Result<(), WriteError> {
        let group = &edit.group;
        let member = self.recipient(member)?;
        let name = member.member.to_string();
        if self.group_view(group).direct_grant(&name) == Some(grant) {
            return Ok(());
        }
        if self.group_view(group).is_account() || !self.may_set(edit, &name, &grant.to_string()) {
            return Err(WriteError::NotAllowed(group.clone()));
        }
        if grant.can_read() {
            let read_key = self.read_key(group)?;
            let write_keys = self.write_keys(group);
            self.set(edit, &name, &grant.to_string());
            self.reveal(edit, &read_key, &member);
            for key in &write_keys {
                self.reveal(edit, key, &member);
            }
        } else {
            let readers = self.readers(group, &name)?;
            let parents = self.parent_accesses(group);
            let could_read = self
                .group_view(group)
                .direct_grant(&name)
                .is_some_and(Grant::can_read);
            if could_read {
                self.rotate(cx, edit, &name)?;
            }
            self.set(edit, &name, &grant.to_string());
            self.make_write_key(cx, edit, &member, &readers, &parents);
        }
        self.groups.refresh(&self.values, group);
        Ok(())
    }

    /// Takes a member out and gives the group a new key. Anybody may take themselves out, without a new key.
    pub fn remove_member(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        member: &AccountId,
    ) -> Result<(), WriteError> {
        self.revoke(cx, group, member.as_str())
    }

    /// Makes an invite, or any other agent, a member no more.
    pub fn revoke_invite(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        invite: &crate::ids::AgentId,
    ) -> Result<(), WriteError> {
        self.revoke(cx, group, invite.as_str())
    }

    fn revoke(&mut self, cx: &mut Cx<'_>, group: &CoId, member: &str) -> Result<(), WriteError> {
        let writer = self.writer()?.clone();
        let edit = self.edit_group(cx, group, writer)?;
        if self
            .group_view(group)
            .direct_grant(member)
            .is_none_or(|grant| grant == Grant::Revoked)
        {
            return Ok(());
        }
        if !self.may_set(&edit, member, Mapping::REVOKED) {
            return Err(WriteError::NotAllowed(group.clone()));
        }
        if self.manages(&edit) {
            self.rotate(cx, &edit, member)?;
        }
        self.set(&edit, member, Mapping::REVOKED);
        self.groups.refresh(&self.values, group);
        Ok(())
    }

    /// Sets what everybody may do, logged in or not; `None`: nothing any more.
    pub fn set_everyone(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        role: Option<EveryoneRole>,
    ) -> Result<(), WriteError> {
        let Some(role) = role.map(Role::from) else {
            return self.revoke(cx, group, EVERYONE);
        };
        let writer = self.writer()?.clone();
        let edit = self.edit_group(cx, group, writer)?;
        if self.group_view(group).direct_grant(EVERYONE) == Some(Grant::Member(role)) {
            return Ok(());
        }
        if !self.may_set(&edit, EVERYONE, role.as_str()) {
            return Err(WriteError::NotAllowed(group.clone()));
        }
        if role.can_read() {
            let key = self.read_key(group)?;
            self.set(&edit, EVERYONE, role.as_str());
            self.set(&edit, &format!("{}_for_{EVERYONE}", key.id), key.secret.expose());
        } else {
            if self.group_view(group).everyone_reads() {
                self.rotate(cx, &edit, EVERYONE)?;
            }
            self.set(&edit, EVERYONE, role.as_str());
        }
        self.groups.refresh(&self.values, group);
        Ok(())
    }

    /// Makes the members of another group members of this one.
    pub fn extend(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        parent: &CoId,
        mapping: Mapping,
    ) -> Result<(), WriteError> {
        let writer = self.writer()?.clone();
        let parent_log = self
            .log(parent)
            .ok_or_else(|| ContentError::NotLoaded(parent.clone()))?;
        if parent_log.header().kind() != Kind::Group {
            return Err(WriteError::InvalidParent(parent.clone()));
        }
        self.groups.refresh(&self.values, parent);
        let edit = self.edit_group(cx, group, writer)?;
        if self
            .group_view(group)
            .parents()
            .any(|known| known == (parent, mapping))
        {
            return Ok(());
        }
        let is_wide = matches!(mapping, Mapping::As(Role::WriteOnly));
        if !self.manages(&edit) || is_wide {
            return Err(WriteError::NotAllowed(group.clone()));
        }
        let (key, value) = (format!("parent_{parent}"), mapping.to_string());
        // Also by what is dated after this edit: there our own write would be valid, and undo theirs.
        let leads_back = self.groups.reaches(parent, group, Timestamp::MAX);
        if leads_back || !self.may_set(&edit, &key, &value) {
            return Err(WriteError::InvalidParent(parent.clone()));
        }
        let access = self.parent_access(parent)?;
        let mut keys = vec![self.read_key(group)?];
        keys.extend(self.write_keys(group));
        self.set(&edit, &key, &value);
        for key in &keys {
            self.reveal_to_parent(cx, &edit, key, &access);
        }
        self.groups.refresh(&self.values, group);
        Ok(())
    }

    /// Takes the members of a parent out again, with a new key.
    pub fn revoke_extend(&mut self, cx: &mut Cx<'_>, group: &CoId, parent: &CoId) -> Result<(), WriteError> {
        let writer = self.writer()?.clone();
        let edit = self.edit_group(cx, group, writer)?;
        if !self.group_view(group).parents().any(|(known, _)| known == parent) {
            return Ok(());
        }
        if !self.manages(&edit) {
            return Err(WriteError::NotAllowed(group.clone()));
        }
        // Everything the rotation needs is looked for before the first write.
        self.read_key(group)?;
        self.readers(group, "")?;
        self.set(&edit, &format!("parent_{parent}"), Mapping::REVOKED);
        self.groups.refresh(&self.values, group);
        self.rotate(cx, &edit, "")
    }

    fn manages(&self, edit: &GroupEdit) -> bool {
        let grant = self
            .groups
            .author_role(&edit.group, edit.session.author().as_str(), edit.at);
        grant.and_then(Grant::role).is_some_and(Role::can_manage)
    }
}
