//! Invites: a secret that lets whoever holds it become a member.

use super::WriteError;
use crate::Cx;
use crate::group::{Grant, Reader, Role};
use crate::ids::{CoId, SessionId};
use crate::node::{Node, Writer};
use crate::secrets::{AgentSecret, InviteSecret};

impl Node {
    /// Makes an invite for a role. It can be used any number of times until it is revoked.
    pub fn create_invite(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        role: Role,
    ) -> Result<InviteSecret, WriteError> {
        let writer = self.writer()?.clone();
        let invite = InviteSecret::random(cx.rng);
        let agent = AgentSecret::from_seed(&invite);
        let edit = self.edit_group(cx, group, writer)?;
        self.add(cx, &edit, agent.id().clone().into(), Grant::Invite(role))?;
        Ok(invite)
    }

    /// Makes our account a member by an invite. Nothing happens if it may do as much already.
    pub fn accept_invite(
        &mut self,
        cx: &mut Cx<'_>,
        group: &CoId,
        invite: &InviteSecret,
    ) -> Result<(), WriteError> {
        let me = self.writer()?.author.clone();
        let secret = AgentSecret::from_seed(invite);
        let author = secret.id().clone();
        let session = SessionId::random(author.clone().into(), cx.rng);
        let writer = Writer {
            author: author.clone().into(),
            session,
            secret: secret.clone(),
        };
        let edit = self.edit_group(cx, group, writer)?;
        let Some(Grant::Invite(role)) = self.group_view(group).direct_grant(author.as_str()) else {
            return Err(WriteError::NotAllowed(group.clone()));
        };
        let present = self.groups.role_at(group, me.as_str(), edit.at);
        if present.is_some_and(|present| present.rank() >= role.rank()) {
            return Ok(());
        }
        // Keys are read as the invite, and its secrets must not stay behind as ours.
        let own = std::mem::replace(&mut self.reader, Reader::agent(secret));
        let added = self.add(cx, &edit, me, Grant::Member(role));
        self.reader = own;
        self.groups.forget_secrets(group);
        added
    }
}
