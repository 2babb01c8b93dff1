//! Grants and permission requests, as commands look at them.

use alpha_v1::{
    ApprovePermissionRequests, GrantPermissions, GrantRecord, PermissionState, PermissionStates,
    RequestedPermission,
};
use clap::Args;
use futures::future::try_join_all;
use jazz::{AccountId, Co};
use reside::Identity;
use reside::manifest::{PermissionManifest, Risk};

use super::grants::account_id;
use super::records::load_all;
use super::selector::ReplicaSelector;
use super::session::Session;
use crate::config::Config;
use crate::error::CommandError;

/// Which grants are meant.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// Only of this account: one of yours or a replica by name, or any by its id
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    /// Only at this replica
    #[arg(long, value_name = "REPLICA")]
    replica: Option<ReplicaSelector>,

    /// Only of this contract
    #[arg(long, value_name = "CONTRACT")]
    contract: Option<Identity>,
}

/// The same, looked up.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only at this replica.
    pub replica: Option<u32>,
    /// Only of this contract.
    pub contract: Option<Identity>,
}

impl FilterArgs {
    /// Looks up what was named.
    pub async fn resolve(
        &self,
        session: &Session,
        config: &Config,
        names: &AccountNames,
    ) -> Result<Filter, CommandError> {
        let account = self.account.as_deref().map(|account| names.find(config, account));
        let replica = match &self.replica {
            Some(replica) => Some(session.replica(replica).await?.id),
            None => None,
        };
        Ok(Filter {
            account: account.transpose()?,
            replica,
            contract: self.contract.clone(),
        })
    }
}

impl Filter {
    /// Tells whether a grant is meant.
    pub fn means(&self, grant: &GrantRecord) -> bool {
        self.account
            .as_ref()
            .is_none_or(|account| *account == grant.account)
            && self.replica.is_none_or(|replica| replica == grant.replica_id)
            && self
                .contract
                .as_ref()
                .is_none_or(|contract| *contract == grant.contract)
    }
}

impl Session {
    /// The accounts that have names. Those of replicas are for those to know who may see replicas.
    pub async fn account_names(&self, config: &Config) -> AccountNames {
        let own = config.accounts.iter();
        let own = own.map(|account| (account.name.to_string(), account.account_id.clone()));
        let mut replicas = self.replica_records().await.unwrap_or_default();
        // A name may have been that of another one before.
        replicas.sort_by_key(|replica| replica.unloaded_at.is_some());
        let replicas = replicas
            .into_iter()
            .map(|replica| (replica.name, replica.account));
        AccountNames(own.chain(replicas).collect())
    }

    /// All grants that Alpha knows of, those that have ended too.
    pub async fn grants(&self) -> Result<Vec<Co<GrantRecord>>, CommandError> {
        let what = "the permissions";
        let record = self
            .load::<GrantPermissions, _>(what, &self.alpha_data()?.grants)
            .await?;
        let entries = record
            .entries()
            .map_err(|error| self.cannot_load::<GrantPermissions>(error, what))?;
        let loads = entries.values().map(|reference| self.node().load(reference));
        try_join_all(loads)
            .await
            .map_err(|error| self.cannot_load::<GrantPermissions>(error, what))
    }

    /// Reads a grant.
    pub fn grant(&self, grant: &Co<GrantRecord>) -> Result<GrantRecord, CommandError> {
        grant
            .get()
            .map_err(|error| self.cannot_load::<GrantPermissions>(error, "a permission"))
    }

    /// What became of permissions where they are carried out.
    pub async fn permission_states(
        &self,
        filter: &Filter,
        permission: Option<&str>,
        pending_only: bool,
    ) -> Result<Vec<PermissionState>, CommandError> {
        let asked = PermissionStates {
            account_id: filter.account.as_ref().map(ToString::to_string),
            contract: filter.contract.as_ref().map(ToString::to_string),
            permission: permission.map(str::to_owned),
            replica_id: filter.replica,
            pending_only,
        };
        let states = self.alpha().permission_states(asked).await;
        Ok(states.map_err(self.alpha_refused())?.states)
    }

    /// All that replicas have asked for at run time, by number.
    pub async fn permission_requests(&self) -> Result<Vec<RequestedPermission>, CommandError> {
        let read = async { load_all(self.node(), &alpha_v1::permission_requests(self.data()).await?).await };
        read.await
            .map_err(|error| self.cannot_load::<ApprovePermissionRequests>(error, "the permission requests"))
    }

    /// Finds a permission request.
    pub async fn permission_request(&self, id: u32) -> Result<RequestedPermission, CommandError> {
        let mut requests = self.permission_requests().await?.into_iter();
        requests.find(|request| request.id == id).ok_or_else(|| {
            CommandError::failed(format!("there is no permission request {id}"))
                .help("`reside permission request list` shows all of them")
        })
    }

    /// A permission as its contract defines it, if the cluster knows the contract.
    pub async fn defined(&self, contract: &Identity, permission: &str) -> Option<PermissionManifest> {
        let contract = alpha_v1::contract_by_identity(self.data(), contract)
            .await
            .ok()??;
        contract.get().ok()?.manifest.permissions.get(permission).cloned()
    }

    /// What a permission allows at worst; the worse if nobody says.
    pub async fn risk(&self, contract: &Identity, permission: &str) -> Risk {
        let defined = self.defined(contract, permission).await;
        defined.map(|defined| defined.risk).unwrap_or_default()
    }
}

/// The accounts that have names: a person's own, and those of replicas.
pub struct AccountNames(Vec<(String, AccountId)>);

impl AccountNames {
    /// An account as people know it: by its name, or else by its id.
    pub fn text(&self, account: &str) -> String {
        let known = self.0.iter().find(|(_, id)| id.as_str() == account);
        known.map_or_else(|| account.to_owned(), |(name, _)| name.clone())
    }

    /// Finds an account that was given by its name or by its id.
    pub fn find(&self, config: &Config, text: &str) -> Result<AccountId, CommandError> {
        match self.0.iter().find(|(name, _)| name == text) {
            Some((_, account)) => Ok(account.clone()),
            None => account_id(config, text),
        }
    }
}
