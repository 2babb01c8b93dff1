//! Groups: who may do what.

use cojson::content::ContentError;
use cojson::group::{EveryoneRole, Mapping, Role};
use cojson::ids::{AccountId, CoId};
use cojson::secrets::InviteSecret;
use cojson::{Cx, WriteError as CoreError};

use crate::error::{LoadError, SchemaError, WriteError};
use crate::load::Child;
use crate::node::Node;
use crate::subscribe::Subscription;
use crate::time::Timestamp;
use crate::value::{Co, CoValue, Raw, Ref, Shape};

/// Loading what a change of members needs ends after so many rounds, each of which brings something new.
const LOAD_ROUNDS_MAX: usize = 10_000;

/// A group: accounts with roles, which apply to all values it owns. A handle that is cheap to clone.
///
/// ```no_run
/// # async fn example(node: jazz::Node, friend: jazz::AccountId) -> Result<(), jazz::Error> {
/// use jazz::Role;
///
/// let group = node.create_group()?;
/// group.add_member(&friend, Role::Writer).await?;
/// assert_eq!(group.role_of(&friend), Some(Role::Writer));
/// group.remove_member(&friend).await?; // what is written from now on, they can't read
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(Co<Group>);

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// Its role in the group itself, without what it inherits.
    pub role: Role,
}

impl CoValue for Group {
    type Snapshot = Vec<Member>;

    const SHAPE: Shape = Shape::Group;

    fn snapshot(raw: Raw<'_>) -> Result<Vec<Member>, SchemaError> {
        match raw {
            Raw::Group(view, at) => Ok(view
                .members_at(at)
                .filter_map(|(author, grant)| {
                    Some(Member {
                        account: author.account()?.clone(),
                        role: grant.role()?,
                    })
                })
                .collect()),
            _ => Err(SchemaError::new("Group", "", "not a group")),
        }
    }

    fn children(_: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        Ok(Vec::new())
    }
}

impl From<Co<Group>> for Group {
    fn from(group: Co<Group>) -> Self {
        Self(group)
    }
}

impl Group {
    pub(crate) fn new(node: &Node, id: CoId) -> Self {
        Self(Co::new(node, id.clone(), id))
    }

    /// The id.
    pub fn id(&self) -> &CoId {
        self.0.id()
    }

    /// A reference to the group, to link to it.
    pub fn reference(&self) -> Ref<Self> {
        self.0.reference()
    }

    /// The node that holds it.
    pub fn node(&self) -> &Node {
        self.0.node()
    }

    /// What an account may do, by whatever way: as a member, by a parent group, or because everybody may.
    pub fn role_of(&self, account: &AccountId) -> Option<Role> {
        self.node().core(|core, _| core.role_of(account, self.id()))
    }

    /// What our account may do.
    pub fn my_role(&self) -> Option<Role> {
        self.0.my_role()
    }

    /// The accounts that are members of this group itself.
    pub fn members(&self) -> Result<Vec<Member>, LoadError> {
        self.0.read(Self::snapshot)
    }

    /// The members at a moment, by the times that those who changed them claim.
    pub fn members_at(&self, moment: Timestamp) -> Result<Vec<Member>, LoadError> {
        self.0.at(moment)
    }

    /// What everybody may do, logged in or not.
    pub fn everyone(&self) -> Option<Role> {
        self.node()
            .core(|core, _| core.group(self.id()).ok()?.direct_grant("everyone")?.role())
    }

    /// The groups whose members are members here too.
    pub fn parents(&self) -> Result<Vec<Ref<Self>>, LoadError> {
        let parents = |raw: Raw<'_>| match raw {
            Raw::Group(view, _) => Ok(view.parents().map(|(id, _)| Ref::new(id.clone())).collect()),
            _ => Err(SchemaError::new("Group", "", "not a group")),
        };
        self.0.read(parents)
    }

    /// The members, then what they become. See [`Co::subscribe`].
    pub fn subscribe(&self) -> Subscription<Vec<Member>> {
        self.0.subscribe()
    }

    /// Gives an account a role, or another one than it has. Its account is loaded first: keys are sealed for it.
    pub async fn add_member(&self, account: &AccountId, role: Role) -> Result<(), WriteError> {
        self.change(|core, cx| core.add_member(cx, self.id(), account, role))
            .await
    }

    /// Takes an account out; what is written from now on it can't read. What it inherits from a parent group, or may
    /// do as everybody, it keeps.
    pub async fn remove_member(&self, account: &AccountId) -> Result<(), WriteError> {
        self.change(|core, cx| core.remove_member(cx, self.id(), account))
            .await
    }

    /// Lets everybody, logged in or not, be reader, writer or write-only.
    pub fn set_everyone(&self, role: Role) -> Result<(), WriteError> {
        let role = match role {
            Role::Reader => EveryoneRole::Reader,
            Role::Writer => EveryoneRole::Writer,
            Role::WriteOnly => EveryoneRole::WriteOnly,
            Role::Manager | Role::Admin => return Err(WriteError::InvalidEveryoneRole(role)),
        };
        self.node()
            .write(|core, cx| core.set_everyone(cx, self.id(), Some(role)))
    }

    /// Takes back what everybody may do; what is written from now on only members can read.
    pub async fn remove_everyone(&self) -> Result<(), WriteError> {
        self.change(|core, cx| core.set_everyone(cx, self.id(), None))
            .await
    }

    /// Makes the members of another group members of this one, with the roles they have there.
    pub async fn extend(&self, parent: &Group) -> Result<(), WriteError> {
        self.change(|core, cx| core.extend(cx, self.id(), parent.id(), Mapping::Extend))
            .await
    }

    /// Makes the members of another group members of this one, all with the same role.
    pub async fn extend_as(&self, parent: &Group, role: Role) -> Result<(), WriteError> {
        self.change(|core, cx| core.extend(cx, self.id(), parent.id(), Mapping::As(role)))
            .await
    }

    /// Takes the members of another group out again.
    pub async fn revoke_extend(&self, parent: &Group) -> Result<(), WriteError> {
        self.change(|core, cx| core.revoke_extend(cx, self.id(), parent.id()))
            .await
    }

    /// Makes an invite: whoever has its secret can give their account the role with
    /// [`accept_invite`](Node::accept_invite), any number of times.
    pub async fn create_invite(&self, role: Role) -> Result<InviteSecret, WriteError> {
        self.change(|core, cx| core.create_invite(cx, self.id(), role))
            .await
    }

    /// Carries out a change of members. The core names what it lacks, accounts mostly, and is asked again with it; it
    /// writes nothing before it has everything.
    async fn change<R>(
        &self,
        change: impl Fn(&mut cojson::Node, &mut Cx<'_>) -> Result<R, CoreError>,
    ) -> Result<R, WriteError> {
        let mut lacking = None;
        for _ in 0..LOAD_ROUNDS_MAX {
            let lacks = match self.node().write(&change) {
                Err(WriteError::Load(LoadError::Unavailable(id))) if lacking.as_ref() != Some(&id) => id,
                result => return result,
            };
            self.node().make_available(&lacks).await?;
            lacking = Some(lacks);
        }
        Err(LoadError::from(ContentError::NotLoaded(self.id().clone())).into())
    }
}

impl Node {
    /// Makes a group with our account as its admin.
    pub fn create_group(&self) -> Result<Group, WriteError> {
        let id = self.write(|core, cx| core.create_group(cx))?;
        Ok(Group::new(self, id))
    }

    /// Loads a group.
    pub async fn load_group(&self, id: &CoId) -> Result<Group, LoadError> {
        self.load(&Ref::<Group>::new(id.clone())).await.map(Group)
    }

    /// Makes our account a member of a group by an invite.
    pub async fn accept_invite(&self, group: &CoId, invite: &InviteSecret) -> Result<Group, WriteError> {
        let group = self.load_group(group).await?;
        group
            .change(|core, cx| core.accept_invite(cx, group.id(), invite))
            .await?;
        Ok(group)
    }
}
