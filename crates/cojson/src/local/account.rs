//! Accounts: making one, and acting for one.

use serde_json::json;

use super::WriteError;
use super::keys::{Key, Recipient};
use super::write::NewValue;
use crate::Cx;
use crate::group::{EveryoneRole, Reader, Role};
use crate::header::{Header, ValueType};
use crate::ids::{AccountId, CoId, SessionId};
use crate::node::{Credentials, Node, Writer};
use crate::secrets::{AgentSecret, SecretSeed};

impl Node {
    /// Makes an account with a public profile, and acts for it from now on.
    pub fn create_account(
        &mut self,
        cx: &mut Cx<'_>,
        seed: Option<SecretSeed>,
        name: &str,
    ) -> Result<Credentials, WriteError> {
        let seed = seed.unwrap_or_else(|| SecretSeed::random(cx.rng));
        self.create_account_of(cx, AgentSecret::from_seed(&seed), name)
    }

    /// Makes the account of a secret, with a public profile, and acts for it from now on.
    pub fn create_account_of(
        &mut self,
        cx: &mut Cx<'_>,
        agent_secret: AgentSecret,
        name: &str,
    ) -> Result<Credentials, WriteError> {
        let header = Header::account(agent_secret.id());
        let id = header.id().clone();
        if self.has(&id) {
            return Err(WriteError::Exists(id));
        }
        let account_id = AccountId::from(id.clone());
        let session = SessionId::random(account_id.clone().into(), cx.rng);
        self.values.insert(header);
        self.log_in(&account_id, agent_secret.clone(), session)?;
        let edit = self.edit_group(cx, &id, self.writer()?.clone())?;
        let agent = agent_secret.id();
        let me = Recipient {
            member: agent.clone().into(),
            sealer: agent.sealer().clone(),
        };
        let key = Key::random(cx);
        self.set(&edit, agent.as_str(), Role::Admin.as_str());
        self.reveal(&edit, &key, &me);
        self.set(&edit, "readKey", key.id.as_str());
        let group = self.create_group(cx)?;
        self.set_everyone(cx, &group, Some(EveryoneRole::Reader))?;
        let init = vec![json!({"op": "set", "key": "name", "value": name})];
        let profile = self.create(cx, NewValue::new(ValueType::CoMap, group, init))?;
        self.set_account_key(cx, "profile", &profile)?;
        Ok(Credentials {
            account_id,
            agent_secret,
        })
    }

    /// Acts for an account from now on, in a session that no other process uses.
    pub fn log_in(
        &mut self,
        account: &AccountId,
        secret: AgentSecret,
        session: SessionId,
    ) -> Result<(), WriteError> {
        let is_own = Header::account(secret.id()).id() == account.as_co_id();
        if !is_own || session.author().account() != Some(account) {
            return Err(WriteError::WrongSecret);
        }
        self.reader = Reader::account(account.clone(), secret.clone());
        self.writer = Some(Writer {
            author: account.clone().into(),
            session,
            secret,
        });
        self.placed.clear();
        self.tails.clear();
        self.forget_content();
        Ok(())
    }

    /// Sets `profile` or `root` of our account.
    pub fn set_account_key(&mut self, cx: &mut Cx<'_>, key: &str, id: &CoId) -> Result<(), WriteError> {
        let writer = self.writer()?.clone();
        let account = self.account().ok_or(WriteError::NotLoggedIn)?.as_co_id().clone();
        let edit = self.edit_group(cx, &account, writer)?;
        if !matches!(key, "profile" | "root") || !self.may_set(&edit, key, id.as_str()) {
            return Err(WriteError::NotAllowed(account));
        }
        self.set(&edit, key, id.as_str());
        Ok(())
    }
}
