//! Roles and the order among them.

use std::fmt;
use std::str::FromStr;

use crate::ids::ParseIdError;

/// The member key that stands for anybody.
pub(crate) const EVERYONE: &str = "everyone";

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Writer,
    /// Writes, and reads only what it wrote itself.
    WriteOnly,
    /// Reads, writes, and manages members below admin.
    Manager,
    /// Everything.
    Admin,
}

impl Role {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::WriteOnly => "writeOnly",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }

    /// Whether the role holds the group's read key.
    pub fn can_read(self) -> bool {
        self != Self::WriteOnly
    }

    /// Whether transactions in the group's values count.
    pub fn can_write(self) -> bool {
        self != Self::Reader
    }

    /// Whether the role may change members and keys.
    pub fn can_manage(self) -> bool {
        matches!(self, Self::Admin | Self::Manager)
    }

    /// How much a role may do; an invite gives its role only to who has less.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::WriteOnly => 0,
            Self::Reader => 1,
            Self::Writer => 2,
            Self::Manager => 3,
            Self::Admin => 4,
        }
    }
}

impl FromStr for Role {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Ok(match text {
            "reader" => Self::Reader,
            "writer" => Self::Writer,
            "writeOnly" => Self::WriteOnly,
            "manager" => Self::Manager,
            "admin" => Self::Admin,
            _ => return Err(ParseIdError::new("role")),
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What everybody may do, member or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EveryoneRole {
    /// Read.
    Reader,
    /// Read and write.
    Writer,
    /// Write.
    WriteOnly,
}

impl From<EveryoneRole> for Role {
    fn from(role: EveryoneRole) -> Self {
        match role {
            EveryoneRole::Reader => Self::Reader,
            EveryoneRole::Writer => Self::Writer,
            EveryoneRole::WriteOnly => Self::WriteOnly,
        }
    }
}

/// The value of a member's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A member.
    Member(Role),
    /// An agent whose secret travels as an invite, and who may make others members.
    Invite(Role),
    /// A member no more.
    Revoked,
}

impl Grant {
    /// The role, of a member.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Member(role) => Some(role),
            Self::Invite(_) | Self::Revoked => None,
        }
    }

    /// Whether the member is to be given the read key: everybody but those who only write.
    pub(crate) fn can_read(self) -> bool {
        matches!(self, Self::Member(role) | Self::Invite(role) if role.can_read())
    }
}

impl FromStr for Grant {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.strip_suffix("Invite") {
            Some(role) => role.parse().map(Self::Invite),
            None if text == "revoked" => Ok(Self::Revoked),
            None => text.parse().map(Self::Member),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(role) => role.fmt(f),
            Self::Invite(role) => write!(f, "{role}Invite"),
            Self::Revoked => f.write_str("revoked"),
        }
    }
}

/// Which role the members of a parent get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// The one they have there.
    Extend,
    /// This one, whatever they have there.
    As(Role),
}

impl Mapping {
    /// The role in the child of who has `role` in the parent. Write-only members are never inherited.
    pub(crate) fn apply(self, role: Role) -> Option<Role> {
        match (role, self) {
            (Role::WriteOnly, _) => None,
            (role, Self::Extend) => Some(role),
            (_, Self::As(role)) => Some(role),
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extend => f.write_str("extend"),
            Self::As(role) => role.fmt(f),
        }
    }
}

impl FromStr for Mapping {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text == "extend" {
            Ok(Self::Extend)
        } else {
            text.parse().map(Self::As)
        }
    }
}

/// Raises a direct role by an inherited one, as roles are read (protocol, 6.3).
pub(crate) fn raise(direct: Option<Role>, inherited: Role) -> Option<Role> {
    let replaces = match inherited {
        Role::Admin => direct != Some(Role::Admin),
        Role::Manager => !matches!(direct, Some(Role::Manager | Role::Admin)),
        Role::Writer => matches!(direct, None | Some(Role::Reader | Role::WriteOnly)),
        Role::Reader => direct.is_none(),
        Role::WriteOnly => false,
    };
    if replaces { Some(inherited) } else { direct }
}

/// Raises the role of a transaction's author, as its validity is decided (protocol, 6.4): like [`raise`], but who may
/// only write stays so under a parent's writers.
pub(crate) fn raise_author(direct: Option<Grant>, inherited: Role) -> Option<Grant> {
    let direct_role = match direct {
        // An invite is a role of its own that nothing but managing roles replaces.
        Some(Grant::Invite(_)) if !inherited.can_manage() => return direct,
        Some(Grant::Member(role)) => Some(role),
        _ => None,
    };
    if (direct_role, inherited) == (Some(Role::WriteOnly), Role::Writer) {
        return direct;
    }
    match raise(direct_role, inherited) {
        Some(role) if Some(role) != direct_role => Some(Grant::Member(role)),
        _ => direct,
    }
}
