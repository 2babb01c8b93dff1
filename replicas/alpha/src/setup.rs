//! What the bootstrap of a cluster does with Alpha's own code, before there is an Alpha to call: load the replicas that
//! a cluster consists of, through ordinary load requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use alpha_v1::{ApproveLoadRequest, CreateLoadRequest, LoadRequestStatus, ReplicaId};
use jazz::AgentSecret;
use kubernetes_sentinel_v1::SentinelData;
use reside::Contract;
use reside::prelude::*;
use reside_image::ImageSource;
use tokio_util::sync::CancellationToken;

use crate::carry_out::Accounts;
use crate::engine::{Engine, existing};
use crate::grants::hash_token;
use crate::settings::ClusterSettings;
use crate::state::AlphaRoot;
use crate::validate::record;

/// A replica that every cluster consists of.
#[derive(Clone, Debug)]
pub struct SystemReplica {
    /// Its number.
    pub id: ReplicaId,
    /// `identity@digest` of its image.
    pub image: String,
    /// The secret of its agent.
    pub secret: AgentSecret,
    /// Its control block, if the bootstrap had to make it before.
    pub control_block: Option<Ref<ControlBlock>>,
}

/// Alpha's code at work inside the bootstrap. Every step may be done again.
pub struct Setup {
    engine: Engine,
    stop: CancellationToken,
}

impl Setup {
    /// Opens Alpha's data in Alpha's name.
    pub async fn open(
        replica: &Replica,
        settings: ClusterSettings,
        images: Arc<dyn ImageSource>,
        accounts: Arc<dyn Accounts>,
    ) -> Result<Self, BoxError> {
        let root = replica.root::<AlphaRoot>().await?;
        if root.get()?.settings.as_ref() != Some(&settings) {
            root.update(|root| root.settings = Some(settings))?;
        }
        let stop = CancellationToken::new();
        let engine = Engine::open(replica, images, accounts, stop.clone()).await?;
        Ok(Self { engine, stop })
    }

    /// Makes a contract known that comes with the program itself.
    pub async fn register<C: Contract>(&self) -> Result<(), BoxError> {
        let state = self.engine.state();
        let identity = C::identity();
        let known = state.contract(&identity).await?;
        let digest = known
            .as_ref()
            .map(|known| known.get())
            .transpose()?
            .and_then(|known| known.digest);
        match record(state, known, &identity, digest, C::manifest()).await {
            Ok(_) => Ok(()),
            Err(problem) => Err(problem.into_error()),
        }
    }

    /// Loads replicas of the cluster, unless they are loaded already, and carries everything out but their workloads.
    pub async fn load(&self, replicas: &[SystemReplica]) -> Result<(), BoxError> {
        for replica in replicas {
            self.load_one(replica).await?;
        }
        self.engine.reconcile().await.map(drop)
    }

    async fn load_one(&self, replica: &SystemReplica) -> Result<(), BoxError> {
        let state = self.engine.state();
        let me = state.node.account_id().clone();
        let plans = state.plans.entries()?;
        let is_planned = plans.values().any(|plan| plan.replica_id == replica.id);
        if is_planned || state.replicas.contains_key(replica.id.to_string())? {
            return Ok(());
        }
        let asked = CreateLoadRequest {
            image: replica.image.clone(),
            replica_id: None,
            name: None,
            owner_id: None,
        };
        // A request that a bootstrap which was cut off has left is used.
        let left = state.all_load_requests().await?;
        let usable = left.iter().map(|(_, request)| request).find(|request| {
            request.image == replica.image
                && matches!(
                    request.status,
                    LoadRequestStatus::Validating | LoadRequestStatus::RequiresApproval
                )
        });
        let id = match usable {
            Some(request) => request.id,
            None => self.engine.create_load_request(&me, asked).await?,
        };
        self.engine.validate_request(id).await?;
        let request = state
            .load_request(id)
            .await?
            .ok_or("the load request has gone")?
            .get()?;
        if let Some(problem) = request.error_message {
            return Err(problem.into());
        }
        let known: Vec<_> = state.loaded_replicas().await?.values().map(existing).collect();
        let approval = ApproveLoadRequest {
            load_request_id: id,
            requirement_replica_ids: BTreeMap::new(),
            expires_at: None,
        };
        self.engine
            .approve_as(&me, approval, &known, Some(replica))
            .await?;
        self.engine.reconcile().await.map(drop)
    }

    /// Writes the objects of all replicas into the sentinel's collections.
    pub async fn write_objects(&self, sentinel: Co<SentinelData>) -> Result<(), BoxError> {
        self.engine.use_sentinel(sentinel);
        self.engine.reconcile().await.map(drop)
    }

    /// Sets the token with which the cluster can be claimed, unless it has been.
    pub fn set_claim_token(&self, token: &str) -> Result<(), BoxError> {
        let state = self.engine.state();
        if state.data.get()?.super_admin_account.is_none() {
            state
                .root
                .update(|root| root.claim_token_hash = Some(hash_token(token)))?;
        }
        Ok(())
    }

    /// Returns the control block of a replica.
    pub async fn control_block(&self, id: ReplicaId) -> Result<Option<Ref<ControlBlock>>, BoxError> {
        Ok(self
            .engine
            .state()
            .replica(id)
            .await?
            .map(|replica| replica.record.rcb))
    }

    /// Ends everything that goes on in the background.
    pub fn close(self) {
        self.stop.cancel();
    }
}
