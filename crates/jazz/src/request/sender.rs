//! The side that calls: makes a request, and reads what comes back. And what both sides do: make a message.

use std::fmt;

use cojson::group::Role;
use cojson::header::ValueType;
use cojson::ids::{AccountId, CoId};
use cojson::{NewValue, WriteError as CoreError};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::envelope::Envelope;
use super::error::{Invalid, SendError};
use super::message::Message;
use super::receiver::{read, recipient};
use crate::driver::now;
use crate::error::{SchemaError, WriteError};
use crate::map::{CoMap, MapWriter, set};
use crate::node::Node;

/// A request that was made and may be sent, once.
pub struct OutgoingRequest {
    node: Node,
    callee: AccountId,
    id: CoId,
    group: CoId,
    body: Vec<u8>,
}

impl OutgoingRequest {
    /// Makes a request to an account, which is loaded.
    pub async fn new<T: CoMap>(node: &Node, callee: &AccountId, message: &T) -> Result<Self, SendError> {
        Self::of_fields(node, callee, to_fields(message)?).await
    }

    /// Makes a request of fields that need no struct.
    pub async fn of_fields(
        node: &Node,
        callee: &AccountId,
        fields: Map<String, Value>,
    ) -> Result<Self, SendError> {
        let posted = post(node, callee, Role::Writer, fields).await?;
        Ok(Self {
            node: node.clone(),
            callee: callee.clone(),
            id: posted.id,
            group: posted.group,
            body: posted.envelope.to_json().to_string().into_bytes(),
        })
    }

    /// What to post, with the content type `application/json`.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads what came back.
    pub async fn response<T: CoMap>(&self, answer: &Answer) -> Result<T, SendError> {
        let fields = self.response_fields(answer).await?;
        Ok(read(&fields)?)
    }

    /// Reads what came back as fields.
    pub async fn response_fields(&self, answer: &Answer) -> Result<Map<String, Value>, SendError> {
        let envelope = Envelope::from_json(answer.payload()?)?;
        let now = now();
        envelope.check_time(now)?;
        envelope.check_signature()?;
        let message = Message::open(&envelope, recipient(&self.node, Role::Reader)?, now)?;
        if message.maker != self.callee {
            return Err(Invalid::NotCalled(message.maker).into());
        }
        self.node.load_account(&self.callee).await?;
        let current = self.node.core(|core, _| core.current_agent(&self.callee));
        if current.is_none_or(|agent| *agent.signer() != envelope.signer) {
            return Err(Invalid::NotTheSigner(message.maker).into());
        }
        Ok(message.fields)
    }
}

impl Drop for OutgoingRequest {
    fn drop(&mut self) {
        forget(&self.node, [&self.id, &self.group]);
    }
}

impl fmt::Debug for OutgoingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutgoingRequest({} to {})", self.id, self.callee)
    }
}

/// A message that was made, ready to travel.
pub(super) struct Posted {
    pub id: CoId,
    pub group: CoId,
    pub envelope: Envelope,
}

/// Makes a message in a group of its own, shared with one account.
pub(super) async fn post(
    node: &Node,
    with: &AccountId,
    role: Role,
    fields: Map<String, Value>,
) -> Result<Posted, WriteError> {
    node.load_account(with).await?;
    let changes = fields.into_iter().map(|(key, value)| set(&key, value)).collect();
    node.write(|core, cx| {
        let group = core.create_group(cx)?;
        core.add_member(cx, &group, with, role)?;
        let id = core.create(cx, NewValue::new(ValueType::CoMap, group.clone(), changes))?;
        let pieces = core.export(&id);
        let credentials = core.credentials().ok_or(CoreError::NotLoggedIn)?;
        let envelope = Envelope::seal(pieces, id.clone(), cx.now, credentials.agent_secret.signer());
        Ok(Posted { id, group, envelope })
    })
}

/// Takes what was sent or answered out of memory, unless it is still on its way to the server.
pub(super) fn forget(node: &Node, ids: [&CoId; 2]) {
    node.core(|core, _| {
        for id in ids {
            core.forget(id);
        }
    });
}

/// The fields that a struct has as a map.
pub(super) fn to_fields<T: CoMap>(message: &T) -> Result<Map<String, Value>, SchemaError> {
    Ok(MapWriter::of(message)?.into_fields())
}
