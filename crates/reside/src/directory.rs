//! Finds the keys that act for an account, in the account itself.

use cojson::ids::AgentId;
use futures::{FutureExt, future::BoxFuture};
use jazz::{AccountId, Node};

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
            let account = self.node.load_account(account).await.map_err(unknown)?;
            account
                .current_agent()
                .ok_or_else(|| RpcError::not_authenticated("the account has no current keys"))
        }
        .boxed()
    }
}
