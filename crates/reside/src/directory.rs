//! Finds the keys that act for an account, in the account itself.

use std::collections::HashMap;

use futures::{FutureExt, future::BoxFuture};
use jazz::driver::Watch;
use jazz::{AccountId, AgentId, Node};
use parking_lot::Mutex;

use crate::rpc::{AgentDirectory, RpcError};

/// Most accounts that are remembered; beyond it all are looked up anew.
const ACCOUNTS_MAX: usize = 4096;

/// Looks accounts up over a Jazz node. What was loaded once stays up to date by itself.
pub struct NodeDirectory {
    node: Node,
    /// Agents that act for accounts which have not changed since.
    current: Mutex<HashMap<AccountId, (AgentId, Watch)>>,
}

impl NodeDirectory {
    /// Looks accounts up over the node.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            current: Mutex::default(),
        }
    }

    fn unchanged(&self, account: &AccountId) -> Option<AgentId> {
        let current = self.current.lock();
        let (agent, changes) = current.get(account)?;
        (!changes.has_changed()).then(|| agent.clone())
    }

    fn remember(&self, account: &AccountId, agent: &AgentId, changes: Watch) {
        let mut current = self.current.lock();
        if current.len() >= ACCOUNTS_MAX {
            current.clear();
        }
        current.insert(account.clone(), (agent.clone(), changes));
    }

    async fn look_up(&self, account: &AccountId) -> Result<AgentId, RpcError> {
        // Begun first, so that no change is missed.
        let changes = self.node.driver().watch(account.as_co_id());
        let unknown = |_| RpcError::not_authenticated(format!("the account {account} can't be loaded"));
        self.node.load_account(account).await.map_err(unknown)?;
        let revoked = || RpcError::not_authenticated(format!("the account {account} has no current keys"));
        let current = self.node.driver().with(|core, _| core.current_agent(account));
        let agent = current.ok_or_else(revoked)?;
        self.remember(account, &agent, changes);
        Ok(agent)
    }
}

impl AgentDirectory for NodeDirectory {
    fn current_agent<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<AgentId, RpcError>> {
        match self.unchanged(account) {
            Some(agent) => std::future::ready(Ok(agent)).boxed(),
            None => self.look_up(account).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jazz::LocalServer;

    use super::*;

    #[tokio::test]
    async fn an_agent_that_is_revoked_after_a_call_is_refused_from_then_on() {
        let server = LocalServer::new();
        let connect = async |name| {
            let node = Node::builder().local_server(&server).create_account(name);
            node.connect().await.expect("the server is here")
        };
        let (ada, bob) = (connect("Ada").await, connect("Bob").await);
        let directory = NodeDirectory::new(bob.clone());
        let credentials = ada.credentials().expect("it is logged in");
        let agent = credentials.agent_secret.id().clone();
        for _ in 0..2 {
            let current = directory.current_agent(ada.account_id()).await;
            assert_eq!(current.expect("nobody has revoked it"), agent);
        }

        let account = ada.account_id().as_co_id().clone();
        let mut heard = bob.driver().watch(&account);
        let revoke =
            |core: &mut cojson::Node, cx: &mut cojson::Cx<'_>| core.revoke_invite(cx, &account, &agent);
        ada.driver()
            .with(revoke)
            .expect("an account may revoke its agent");
        heard.changed().await;
        assert!(directory.current_agent(ada.account_id()).await.is_err());
    }
}
