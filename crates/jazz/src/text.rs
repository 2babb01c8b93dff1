//! Texts that several can edit at once.

use std::marker::PhantomData;
use std::ops::Range;

use cojson::content::{ListView, graphemes};
use cojson::ids::CoId;
use cojson::transaction::Privacy;
use cojson::{Cx, NewValue, WriteError as CoreError};
use serde_json::Value;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::create::{Owner, new_value};
use crate::error::{LoadError, SchemaError, WriteError};
use crate::load::Child;
use crate::transaction::check_size;
use crate::value::{Co, CoValue, Edit, Raw, Shape};

/// One transaction holds at most so many graphemes.
const MAX_TRANSACTION_GRAPHEMES: usize = 512;

/// A text: [`CoPlainText`] or [`CoRichText`].
///
/// Never made itself: it is the type in `Co<CoPlainText>` and `Ref<CoRichText>`. Positions count *graphemes*, what a
/// reader takes for one character: `e` with an accent is one, and so is a family emoji of five code points.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), jazz::Error> {
/// let node = jazz::Node::builder().create_account("Ada").connect().await?;
/// let group = node.create_group()?;
/// let text = node.create_text(&group, "Hello 👩‍🚀")?;
/// text.insert(5, ", dear")?;
/// text.replace(12..13, "👨‍👩‍👧")?;
/// assert_eq!(text.get()?, "Hello, dear 👨‍👩‍👧");
/// text.apply_diff("Hello, 👨‍👩‍👧!")?; // only what differs is written
/// assert_eq!(text.len()?, 9);
/// # Ok(())
/// # }
/// ```
pub struct CoText<K>(PhantomData<fn() -> K>);

/// A text as it is.
pub type CoPlainText = CoText<Plain>;

/// A text that is HTML. It is edited as text; nothing checks its tags.
pub type CoRichText = CoText<Rich>;

/// Marks plain text.
#[derive(Debug)]
pub enum Plain {}

/// Marks HTML.
#[derive(Debug)]
pub enum Rich {}

/// What a text is. The two kinds there are look the same to other nodes.
pub trait TextKind: 'static {
    #[doc(hidden)]
    const NAME: &'static str;
}

impl TextKind for Plain {
    const NAME: &'static str = "CoPlainText";
}

impl TextKind for Rich {
    const NAME: &'static str = "CoRichText";
}

impl<K: TextKind> CoValue for CoText<K> {
    type Snapshot = String;

    const SHAPE: Shape = Shape::Text;

    fn snapshot(raw: Raw<'_>) -> Result<String, SchemaError> {
        Ok(raw_text::<K>(raw)?.to_text())
    }

    fn children(_: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        Ok(Vec::new())
    }
}

fn raw_text<K: TextKind>(raw: Raw<'_>) -> Result<&ListView, SchemaError> {
    match raw {
        Raw::List(view) => Ok(view),
        _ => Err(SchemaError::new(K::NAME, "", "not a text")),
    }
}

impl<K: TextKind> Co<CoText<K>> {
    /// The text.
    pub fn get(&self) -> Result<String, LoadError> {
        self.read(CoText::<K>::snapshot)
    }

    /// How many graphemes there are.
    pub fn len(&self) -> Result<usize, LoadError> {
        self.read(|raw| Ok(raw_text::<K>(raw)?.len()))
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> Result<bool, LoadError> {
        Ok(self.len()? == 0)
    }

    /// Who wrote the grapheme at a position, and when.
    pub fn edit(&self, index: usize) -> Option<Edit> {
        let edit = self.read(|raw| Ok(raw_text::<K>(raw)?.get(index).map(|item| item.edit)));
        edit.ok()?.map(Edit::from)
    }

    /// Inserts a text so that it begins at this position.
    pub fn insert(&self, index: usize, text: &str) -> Result<(), WriteError> {
        self.write(|_| vec![TextChange::Insert(index, items(text))])
    }

    /// Adds a text at the end.
    pub fn push_str(&self, text: &str) -> Result<(), WriteError> {
        self.write(|view| vec![TextChange::Insert(view.len(), items(text))])
    }

    /// Removes what is at these positions.
    pub fn remove(&self, range: Range<usize>) -> Result<(), WriteError> {
        self.write(|_| vec![TextChange::Remove(range)])
    }

    /// Puts a text in the place of what is at these positions.
    pub fn replace(&self, range: Range<usize>, text: &str) -> Result<(), WriteError> {
        // Inserted behind what goes, so that it follows what comes before.
        let insert = TextChange::Insert(range.end, items(text));
        self.write(|_| vec![insert, TextChange::Remove(range)])
    }

    /// Makes the text equal to `text`, and writes only what differs, so that what others write elsewhere in the text at
    /// the same time stays.
    pub fn apply_diff(&self, text: &str) -> Result<(), WriteError> {
        self.write(|view| differences(view, text))
    }

    fn write(&self, changes: impl FnOnce(&ListView) -> Vec<TextChange>) -> Result<(), WriteError> {
        let _updates = self.node().lock_updates();
        let changes = self.read(|raw| {
            let view = raw_text::<K>(raw)?;
            Ok((changes(view), view.len()))
        });
        let (changes, mut len) = changes?;
        for change in &changes {
            len = change.check(len)?;
        }
        self.node().write(|core, cx| {
            changes
                .into_iter()
                .try_for_each(|change| change.write(core, cx, self.id()))
        })
    }
}

/// The graphemes of a text, as items.
fn items(text: &str) -> Vec<Value> {
    graphemes(text).map(Value::from).collect()
}

/// What makes a text equal to another one, from the end on, so that positions before stay what they are.
fn differences(view: &ListView, text: &str) -> Vec<TextChange> {
    let before: Vec<&str> = view
        .values()
        .map(|value| value.as_str().unwrap_or_default())
        .collect();
    let after: Vec<&str> = graphemes(text).collect();
    let mut changes = Vec::new();
    let mut position = 0;
    for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
        let (tag, old, new) = op.as_tag_tuple();
        if tag == DiffTag::Equal {
            position += old.len();
            continue;
        }
        let end = position + old.len();
        if !old.is_empty() {
            changes.push(TextChange::Remove(position..end));
        }
        if !new.is_empty() {
            let items = after[new].iter().map(|grapheme| Value::from(*grapheme)).collect();
            changes.push(TextChange::Insert(end, items));
        }
        position = end;
    }
    changes.reverse();
    changes
}

/// A change of a text, by positions.
#[derive(Debug)]
pub(crate) enum TextChange {
    Insert(usize, Vec<Value>),
    Remove(Range<usize>),
}

impl TextChange {
    /// Checks positions and sizes in a text of this length, and returns the length after the change.
    pub fn check(&self, len: usize) -> Result<usize, WriteError> {
        let (index, after) = match self {
            Self::Insert(index, graphemes) => {
                for chunk in graphemes.chunks(MAX_TRANSACTION_GRAPHEMES) {
                    check_size(chunk)?;
                }
                (*index, len + graphemes.len())
            }
            Self::Remove(range) => (range.end, len.saturating_sub(range.len())),
        };
        if index <= len {
            Ok(after)
        } else {
            Err(WriteError::OutOfBounds { index, len })
        }
    }

    /// Writes the change as other nodes would: in pieces, and what comes before everything begins with one grapheme of
    /// its own.
    pub fn write(self, core: &mut cojson::Node, cx: &mut Cx<'_>, id: &CoId) -> Result<(), CoreError> {
        let mut write = |core: &mut cojson::Node, changes: Vec<Value>| match changes.as_slice() {
            [] => Ok(()),
            changes => core.write(cx, id, changes, Privacy::Private, None),
        };
        match self {
            Self::Insert(mut index, mut graphemes) => {
                while !graphemes.is_empty() {
                    let view = core.list(id)?;
                    let is_first = index == 0 && !view.is_empty();
                    let most = if is_first { 1 } else { MAX_TRANSACTION_GRAPHEMES };
                    let rest = graphemes.split_off(most.min(graphemes.len()));
                    let count = graphemes.len();
                    let changes = view.insert_changes(index, graphemes);
                    write(core, changes)?;
                    index += count;
                    graphemes = rest;
                }
                Ok(())
            }
            Self::Remove(range) => {
                // The operations are named before any of them is gone.
                let changes = core.list(id)?.remove_changes(range);
                let mut pieces = changes.chunks(MAX_TRANSACTION_GRAPHEMES);
                pieces.try_for_each(|piece| write(core, piece.to_vec()))
            }
        }
    }
}

/// A text to be made: its first transaction, and what is to be inserted afterwards. An empty one has no transaction.
pub(crate) fn new_text(owner: &impl Owner, text: &str) -> (NewValue, Option<TextChange>) {
    let mut first = items(text);
    let rest = first.split_off(MAX_TRANSACTION_GRAPHEMES.min(first.len()));
    let rest = (!rest.is_empty()).then_some(TextChange::Insert(first.len(), rest));
    let init = ListView::default().push_changes(first);
    (new_value(owner, Shape::Text, init), rest)
}
