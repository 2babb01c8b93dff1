//! Finds the keys that act for an account, in the account itself.

use futures::{FutureExt, future::BoxFuture};
use jazz::{AccountId, AgentId, Node};

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
}

impl AgentDirectory for NodeDirectory {
    fn current_agent<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<AgentId, RpcError>> {
        async move {
            let unknown = |_| RpcError::not_authenticated(format!("the account {account} can't be loaded"));
            self.node.load_account(account).await.map_err(unknown)?;
            let revoked =
                || RpcError::not_authenticated(format!("the account {account} has no current keys"));
            let current = self
                .node
                .driver()
                .with(|core, cx| core.current_agent(account, cx.now));
            current.ok_or_else(revoked)
        }
        .boxed()
    }
}
