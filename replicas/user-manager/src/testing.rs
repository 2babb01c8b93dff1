//! The User Manager in the cluster in memory, beside an Alpha that knows replicas and contracts and does nothing else: for
//! tests of replicas that have users.

use std::time::Duration;

use alpha_v1::{AlphaContract, AlphaData, ContractRecord, ManagementBlock, ReplicaId, ReplicaRecord};
use reside::Contract;
use reside::prelude::*;
use reside::testing::{Cluster, TestReplica};
use user_manager_v1::UserManagerContract;

use crate::{definition, run};

/// How long what was written may take to arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The User Manager, and the Alpha that it knows.
pub struct Users {
    /// The User Manager.
    pub manager: TestReplica,
    alpha: TestReplica,
}

impl Users {
    /// Adds both to a cluster.
    pub async fn add_to(cluster: &Cluster) -> Result<Self, BoxError> {
        let texts = (
            "ghcr.io/exeteres/reside/replicas/test-alpha",
            Info::long_running("alpha"),
        );
        let alpha = ReplicaDefinition::new(texts.0, texts.1)
            .en("Alpha", "Knows replicas and contracts")
            .implements::<AlphaContract>("alpha");
        let idle = |replica: Replica| async move {
            replica.shutdown_requested().await;
            Ok(())
        };
        let alpha = cluster.add(alpha, idle).await?;
        let manager = cluster.add(definition(), run).await?;
        let users = Self { manager, alpha };
        users.knows::<AlphaContract>().await?;
        users.knows::<UserManagerContract>().await?;
        users.loaded(&users.alpha, &[AlphaContract::identity()]).await?;
        users
            .loaded(&users.manager, &[UserManagerContract::identity()])
            .await?;
        Ok(users)
    }

    /// Alpha's data, as Alpha itself has them.
    pub fn alpha(&self) -> Result<Co<AlphaData>, BoxError> {
        Ok(self
            .alpha
            .replica()
            .implementation::<AlphaContract>()?
            .data()
            .clone())
    }

    /// Stops the User Manager and starts it again.
    pub async fn restarted(self, cluster: &Cluster) -> Result<Self, BoxError> {
        let manager = cluster.restart(self.manager, definition(), run).await?;
        Ok(Self { manager, ..self })
    }

    /// Has Alpha know a contract.
    pub async fn knows<C: Contract>(&self) -> Result<(), BoxError> {
        let data = self.alpha()?;
        let contracts = data.node().load(&data.get()?.contracts).await?;
        let record = ContractRecord {
            id: u32::try_from(contracts.len()? + 1)?,
            identity: C::identity(),
            digest: None,
            manifest: C::manifest(),
        };
        let unique = format!("contract/{}", C::IDENTITY);
        let record = data.node().create_unique(&contracts.owner(), unique, record)?;
        contracts.insert(C::IDENTITY, &record.reference())?;
        Ok(())
    }

    /// Has Alpha know a replica, and the User Manager see it.
    pub async fn loaded(&self, replica: &TestReplica, implementations: &[Identity]) -> Result<(), BoxError> {
        let (data, block) = (self.alpha()?, replica.control_block());
        let (node, seen) = (data.node(), replica.replica());
        let group = block.owner();
        group.add_member(self.manager.account_id(), Role::Writer).await?;
        let replicas = node.load(&data.get()?.replicas).await?;
        let management = ManagementBlock {
            enabled: true,
            placement_group: None,
            dev: None,
        };
        let record = ReplicaRecord {
            id: seen.id(),
            name: seen.name().to_owned(),
            identity: format!("example.org/replicas/{}", seen.name()).parse()?,
            info: Info::long_running(seen.name()),
            display_info: DisplayInfo::default(),
            account: replica.account_id().clone(),
            rcb: block.reference(),
            management: node.create(&replicas.owner(), management)?.reference(),
            versions: node.create_record::<&str, _>(&replicas.owner(), [])?.reference(),
            current_version: 1,
            implementations: implementations.to_vec(),
            owner_id: None,
            permission_request_group: None,
            unloaded_at: None,
        };
        let record = node.create(&replicas.owner(), record)?;
        self.change(seen.id(), &record.reference()).await
    }

    /// Links a record, and waits until the User Manager sees it.
    async fn change(&self, id: ReplicaId, record: &Ref<ReplicaRecord>) -> Result<(), BoxError> {
        let data = self.alpha()?;
        let replicas = data.node().load(&data.get()?.replicas).await?;
        replicas.insert(id.to_string(), record)?;
        let node = self.manager.replica().node();
        let seen = node.load(&replicas.reference()).await?;
        let arrived = async {
            let mut changes = seen.subscribe();
            changes
                .wait_for(|replicas| replicas.contains_key(&id.to_string()))
                .await
        };
        tokio::time::timeout(ARRIVAL_TIMEOUT, arrived).await?;
        Ok(())
    }

    /// Makes an account the super administrator of the cluster.
    pub async fn claimed_by(&self, account: &AccountId) -> Result<(), BoxError> {
        let data = self.alpha()?;
        data.update(|data| data.super_admin_account = Some(account.clone()))?;
        let seen = self.manager.replica().node().load(&data.reference()).await?;
        let arrived = async {
            let mut changes = seen.subscribe();
            changes.wait_for(|data| data.super_admin_account.is_some()).await
        };
        tokio::time::timeout(ARRIVAL_TIMEOUT, arrived).await?;
        Ok(())
    }
}
