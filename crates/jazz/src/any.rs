//! Values of which nothing is known but the id.

use cojson::group::Role;
use cojson::header::Kind;
use cojson::ids::CoId;
use serde_json::Value;

use crate::account::Account;
use crate::error::{LoadError, WriteError};
use crate::feed::CoFeed;
use crate::file::FileStream;
use crate::group::Group;
use crate::list::CoList;
use crate::node::Node;
use crate::record::CoRecord;
use crate::text::CoPlainText;
use crate::value::{Co, Ref, check_known};

/// A value that was loaded without knowing what it is, as the handle of what it turned out to be. Its content is plain
/// JSON, in which references are ids.
#[derive(Debug, Clone)]
pub enum AnyValue {
    /// A map, whatever struct or record it was made from.
    Map(Co<CoRecord<Value>>),
    /// A list.
    List(Co<CoList<Value>>),
    /// A feed.
    Feed(Co<CoFeed<Value>>),
    /// A text, plain or rich: they look alike.
    Text(Co<CoPlainText>),
    /// A file, or a vector, which is stored as one.
    File(Co<FileStream>),
    /// A group.
    Group(Group),
    /// An account.
    Account(Co<Account>),
}

impl AnyValue {
    /// What it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Map(_) => "map",
            Self::List(_) => "list",
            Self::Feed(_) => "feed",
            Self::Text(_) => "text",
            Self::File(_) => "file",
            Self::Group(_) => "group",
            Self::Account(_) => "account",
        }
    }

    /// The id.
    pub fn id(&self) -> &CoId {
        match self {
            Self::Map(value) => value.id(),
            Self::List(value) => value.id(),
            Self::Feed(value) => value.id(),
            Self::Text(value) => value.id(),
            Self::File(value) => value.id(),
            Self::Group(group) => group.id(),
            Self::Account(account) => account.id(),
        }
    }

    /// The group that owns it; a group and an account own themselves.
    pub fn owner(&self) -> Group {
        match self {
            Self::Map(value) => value.owner(),
            Self::List(value) => value.owner(),
            Self::Feed(value) => value.owner(),
            Self::Text(value) => value.owner(),
            Self::File(value) => value.owner(),
            Self::Group(group) => group.clone(),
            Self::Account(account) => account.owner(),
        }
    }

    /// What our account may do with it.
    pub fn my_role(&self) -> Option<Role> {
        self.owner().my_role()
    }

    /// Deletes it for everybody who hears of it. Only an admin of its group can; groups and accounts stay.
    pub fn delete(&self) -> Result<(), WriteError> {
        self.owner().node().write(|core, cx| core.delete(cx, self.id()))
    }
}

impl Node {
    /// Loads a value of any kind.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), jazz::Error> {
    /// use jazz::AnyValue;
    ///
    /// let node = jazz::Node::builder().create_account("Ada").connect().await?;
    /// let list = node.create_list(&node.create_group()?, [1, 2])?;
    /// match node.load_any(list.id()).await? {
    ///     AnyValue::List(list) => list.push(&"three".into())?,
    ///     other => panic!("{} is a {}", other.id(), other.kind()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn load_any(&self, id: &CoId) -> Result<AnyValue, LoadError> {
        self.make_available(id).await?;
        let kind = self.core(|core, _| check_known(core, id))?;
        let id = || id.clone();
        Ok(match kind {
            Kind::Map => AnyValue::Map(self.loaded(&Ref::new(id()))?),
            Kind::List => AnyValue::List(self.loaded(&Ref::new(id()))?),
            Kind::Stream => AnyValue::Feed(self.loaded(&Ref::new(id()))?),
            Kind::PlainText => AnyValue::Text(self.loaded(&Ref::new(id()))?),
            Kind::Binary => AnyValue::File(self.loaded(&Ref::new(id()))?),
            Kind::Group => AnyValue::Group(self.loaded::<Group>(&Ref::new(id()))?.into()),
            Kind::Account => AnyValue::Account(self.loaded(&Ref::new(id()))?),
            Kind::Other => {
                return Err(LoadError::WrongKind {
                    id: id(),
                    expected: "kind of value that is known here",
                });
            }
        })
    }
}
