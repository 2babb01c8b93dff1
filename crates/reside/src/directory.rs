//! Finds the keys that act for an account, in the account itself.

use futures::{FutureExt, future::BoxFuture};
use jazz::{AccountId, AgentId, Node, Role};

use crate::rpc::{AgentDirectory, RpcError};

/// Looks accounts up over a Jazz node. What was loaded once stays up to date by itself.
pub struct NodeDirectory {
    node: Node,
}

impl NodeDirectory {
    /// Looks accounts up over the node.
    pub fn new(node: Node) -> Self {
        Self { node }
    }

    /// Returns the agent that the account was made for, if it still acts for it.
    fn agent_of(&self, account: &AccountId) -> Option<AgentId> {
        self.node.driver().with(|core, cx| {
            let agent = core.log(account.as_co_id())?.header().agent()?.clone();
            let role = core.role_at(agent.as_str(), account.as_co_id(), cx.now);
            (role == Some(Role::Admin)).then_some(agent)
        })
    }
}

impl AgentDirectory for NodeDirectory {
    fn current_agent<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<AgentId, RpcError>> {
        async move {
            let unknown = |_| RpcError::not_authenticated(format!("the account {account} can't be loaded"));
            self.node.load_account(account).await.map_err(unknown)?;
            let revoked =
                || RpcError::not_authenticated(format!("the account {account} has no current keys"));
            self.agent_of(account).ok_or_else(revoked)
        }
        .boxed()
    }
}
