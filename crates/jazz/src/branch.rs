//! Branches: a copy of a value to work on, which is merged back when it is ready.

use crate::create::Owner;
use crate::error::{LoadError, WriteError};
use crate::value::{Co, CoValue, Ref};

impl<T: CoValue> Co<T> {
    /// The branch of this value with this name. If there is none, it is made of what the value is now.
    ///
    /// A branch is a value like any other; what it refers to is not copied. Maps, records, lists, texts and feeds can
    /// have branches.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), jazz::Error> {
    /// let node = jazz::Node::builder().create_account("Ada").connect().await?;
    /// let group = node.create_group()?;
    /// let text = node.create_text(&group, "Hello")?;
    /// let draft = text.branch("draft").await?;
    /// draft.push_str(" world")?;
    /// text.insert(0, "> ")?;
    /// assert_eq!(draft.get()?, "Hello world");
    /// draft.merge()?;
    /// assert_eq!(text.get()?, "> Hello world");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn branch(&self, name: &str) -> Result<Self, WriteError> {
        self.branch_of(name, None).await
    }

    /// As [`branch`](Self::branch), in a group of one's own: for who may read the value and not write to it.
    pub async fn branch_in(&self, owner: &impl Owner, name: &str) -> Result<Self, WriteError> {
        self.branch_of(name, Some(owner.owner_id())).await
    }

    async fn branch_of(&self, name: &str, owner: Option<&crate::CoId>) -> Result<Self, WriteError> {
        let node = self.node();
        let id = node.write(|core, _| core.branch_id(self.id(), name, owner))?;
        match node.load(&Ref::new(id)).await {
            Err(LoadError::Unavailable(_)) => {}
            found => return Ok(found?),
        }
        let id = node.write(|core, cx| core.create_branch(cx, self.id(), name, owner))?;
        Ok(node.loaded(&Ref::new(id))?)
    }

    /// Brings what was written in this branch into the value it was made of, and returns that. What was merged before
    /// isn't merged again; where both were changed, the later change wins.
    pub fn merge(&self) -> Result<Self, WriteError> {
        let source = self.node().write(|core, cx| core.merge_branch(cx, self.id()))?;
        Ok(self.node().loaded(&Ref::new(source))?)
    }
}
