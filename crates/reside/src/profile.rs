//! The public side of a replica's account: its name, where it is reached, the data of the contracts it implements, and
//! what it has granted; and the private side, its root.

use jazz::{Account, Co, CoId, CoMap, CoRecord, Group, Node, Ref, Role};
use serde::{Deserialize, Serialize};

use crate::{
    contract::{BoxError, Contract, Migrate},
    grants::PublishedGrants,
};

/// The profile of a replica's account.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ReplicaProfile {
    /// The replica's name in the cluster.
    pub name: String,
    /// The replica's number in the cluster.
    pub replica_id: Option<u32>,
    /// Where it is reached.
    pub endpoints: Option<Endpoints>,
    /// Contract identity to the data of that contract.
    pub contracts: Option<Ref<CoRecord<CoId>>>,
    /// Account to what was granted to it.
    pub grants: Option<Ref<CoRecord<Ref<PublishedGrants>>>>,
}

/// Where a replica is reached; absent if it isn't from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// From inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<String>,
    /// From outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
}

/// The account of this replica, with everything that it publishes.
pub(crate) struct Profile {
    account: Co<Account>,
    /// The public group that owns what is published.
    owner: Group,
    contracts: Co<CoRecord<CoId>>,
    pub(crate) grants: Co<CoRecord<Ref<PublishedGrants>>>,
}

impl Profile {
    /// Opens the profile of the node's own account, and makes what it lacks. Whatever a crash leaves half done is
    /// found again: ids follow from what the values are for.
    pub(crate) async fn open(
        node: &Node,
        name: &str,
        replica_id: u32,
        endpoints: Endpoints,
    ) -> Result<Self, BoxError> {
        let account = node.account();
        let profile = match account.profile_id() {
            Some(profile) => node.load(&Ref::<ReplicaProfile>::new(profile)).await?,
            None => {
                let owner = public_group(node)?;
                let (replica_id, endpoints, contracts, grants) = Default::default();
                let profile = ReplicaProfile {
                    name: name.to_owned(),
                    replica_id,
                    endpoints,
                    contracts,
                    grants,
                };
                let profile = node.create(&owner, profile)?;
                account.set_profile(profile.id())?;
                profile
            }
        };
        let owner = profile.owner();
        let contracts = node
            .get_or_create_unique_record(&owner, "reside/contracts")
            .await?;
        let grants = node.get_or_create_unique_record(&owner, "reside/grants").await?;
        profile.update(|profile| {
            profile.name = name.to_owned();
            profile.replica_id = Some(replica_id);
            profile.endpoints = Some(endpoints.clone());
            profile.contracts = Some(contracts.reference());
            profile.grants = Some(grants.reference());
        })?;
        Ok(Self {
            account,
            owner,
            contracts,
            grants,
        })
    }

    /// Returns the data of a contract that the replica implements: made if there are none, migrated in any case.
    pub(crate) async fn contract_data<C: Contract>(&self, node: &Node) -> Result<Co<C::Data>, BoxError> {
        let unique = format!("reside/contract/{}", C::IDENTITY);
        let data = match self.contracts.get(C::IDENTITY)? {
            Some(id) => node.load(&Ref::<C::Data>::new(id)).await?,
            None => {
                let data = match node
                    .load_unique::<C::Data>(self.owner.id(), unique.as_str())
                    .await?
                {
                    Some(data) => data,
                    None => {
                        let data = C::Data::init(node, &self.owner).await?;
                        node.get_or_create_unique(&self.owner, unique, data).await?
                    }
                };
                self.contracts.insert(C::IDENTITY, data.id())?;
                data
            }
        };
        <C::Data as Migrate>::migrate(&data).await?;
        Ok(data)
    }

    /// Returns the private root: made if there is none, migrated in any case.
    pub(crate) async fn root<T: Migrate>(&self, node: &Node) -> Result<Co<T>, BoxError> {
        let root = match self.account.root_id() {
            Some(root) => node.load(&Ref::<T>::new(root)).await?,
            None => {
                let owner = node.create_group()?;
                let root = T::init(node, &owner).await?;
                let root = node.create(&owner, root)?;
                self.account.set_root(root.id())?;
                root
            }
        };
        <T as Migrate>::migrate(&root).await?;
        Ok(root)
    }
}

fn public_group(node: &Node) -> Result<Group, BoxError> {
    let group = node.create_group()?;
    group.set_everyone(Role::Reader)?;
    Ok(group)
}
