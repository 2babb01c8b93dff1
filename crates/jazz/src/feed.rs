//! Feeds: every session appends its own items.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use cojson::content::{StreamItem, StreamView};
use cojson::ids::{AccountId, Author, SessionId};
use cojson::transaction::Privacy;
use serde_json::Value;

use crate::error::{LoadError, SchemaError, WriteError, read_json};
use crate::list::Item;
use crate::load::Child;
use crate::map::to_json;
use crate::value::{Co, CoValue, Edit, Link, Raw, Shape};

/// Items that are only ever appended, by anybody who may write, each known by its author. `T` is any serde type, or a
/// [`Ref`](crate::Ref) to another value.
///
/// Never made itself: it is the type in `Co<CoFeed<T>>` and `Ref<CoFeed<T>>`.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), jazz::Error> {
/// let node = jazz::Node::builder().create_account("Ada").connect().await?;
/// let group = node.create_group()?;
/// let moods = node.create_feed(&group, ["fine".to_owned()])?;
/// moods.push(&"better".to_owned())?;
/// assert_eq!(moods.last_by(node.account_id())?.unwrap().value, "better");
/// assert_eq!(moods.items()?.len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct CoFeed<T>(PhantomData<fn() -> T>);

/// One item of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedItem<T> {
    /// The item.
    pub value: T,
    /// The session that appended it: one run of a node.
    pub session: SessionId,
    /// Who appended it, and when, as they say.
    pub edit: Edit,
}

const NAME: &str = "CoFeed";

/// Reads an item. `index` is its place in its session.
fn read<T: Item>(session: &SessionId, index: usize, item: &StreamItem) -> Result<FeedItem<T>, SchemaError> {
    Ok(FeedItem {
        value: read_json(NAME, || path(session, index), &item.value)?,
        session: session.clone(),
        edit: Edit {
            by: session.author().clone(),
            at: item.at.into(),
        },
    })
}

fn path(session: &SessionId, index: usize) -> String {
    format!("{session}.{index}")
}

fn raw_feed(raw: Raw<'_>) -> Result<&StreamView, SchemaError> {
    match raw {
        Raw::Feed(view) => Ok(view),
        _ => Err(SchemaError::new(NAME, "", "not a feed")),
    }
}

/// The items of the sessions that are chosen, each with its place in its session, in one order: by time, then session,
/// then place.
fn in_order(
    view: &StreamView,
    is_chosen: impl Fn(&SessionId) -> bool,
) -> impl Iterator<Item = (&SessionId, usize, &StreamItem)> {
    let mut items = Vec::new();
    for (session, of_session) in view.sessions().filter(|(session, _)| is_chosen(session)) {
        let of_session = of_session.iter().enumerate();
        items.extend(of_session.map(|(index, item)| (session, index, item)));
    }
    items.sort_by_key(|(session, _, item)| (item.at, *session));
    items.into_iter()
}

fn collect<T: Item>(
    view: &StreamView,
    is_chosen: impl Fn(&SessionId) -> bool,
) -> Result<Vec<FeedItem<T>>, SchemaError> {
    in_order(view, is_chosen)
        .map(|(session, index, item)| read(session, index, item))
        .collect()
}

impl<T: Item> CoValue for CoFeed<T> {
    type Snapshot = Vec<FeedItem<T>>;

    const SHAPE: Shape = Shape::Feed;

    fn snapshot(raw: Raw<'_>) -> Result<Vec<FeedItem<T>>, SchemaError> {
        collect(raw_feed(raw)?, |_| true)
    }

    fn children(raw: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        let mut children = Vec::new();
        for (session, items) in raw_feed(raw)?.sessions() {
            for (index, item) in items.iter().enumerate() {
                let (item, found) = Link::collect(|| read::<T>(session, index, item));
                Child::add(&mut children, &path(session, index), item.err(), found);
            }
        }
        Ok(children)
    }
}

impl<T: Item> Co<CoFeed<T>> {
    /// All items, oldest first.
    pub fn items(&self) -> Result<Vec<FeedItem<T>>, LoadError> {
        self.read(CoFeed::<T>::snapshot)
    }

    /// All items, each by itself: one that doesn't fit the type doesn't hide the others.
    pub fn try_items(&self) -> Result<Vec<Result<FeedItem<T>, SchemaError>>, LoadError> {
        self.read(|raw| {
            let items = in_order(raw_feed(raw)?, |_| true);
            let read =
                |(session, index, item)| read(session, index, item).map_err(|error| error.of(self.id()));
            Ok(items.map(read).collect())
        })
    }

    /// The items of an account, oldest first, whichever of its sessions appended them.
    pub fn items_by(&self, account: &AccountId) -> Result<Vec<FeedItem<T>>, LoadError> {
        self.read(|raw| {
            collect(raw_feed(raw)?, |session| {
                session.author().account() == Some(account)
            })
        })
    }

    /// The items of each session, oldest first.
    pub fn per_session(&self) -> Result<BTreeMap<SessionId, Vec<FeedItem<T>>>, LoadError> {
        self.read(|raw| {
            let sessions = raw_feed(raw)?.sessions();
            let read_all = |(session, items): (&SessionId, &[StreamItem])| {
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| read(session, index, item));
                Ok((session.clone(), items.collect::<Result<_, _>>()?))
            };
            sessions.map(read_all).collect()
        })
    }

    /// The newest item of an account. The feed's length doesn't matter.
    pub fn last_by(&self, account: &AccountId) -> Result<Option<FeedItem<T>>, LoadError> {
        let author = Author::from(account.clone());
        self.read(|raw| {
            let own = raw_feed(raw)?.sessions();
            let last = own
                .filter(|(session, _)| *session.author() == author)
                .filter_map(|(session, items)| Some((session, items.len() - 1, items.last()?)))
                .max_by_key(|(session, _, item)| (item.at, *session));
            last.map(|(session, index, item)| read(session, index, item))
                .transpose()
        })
    }

    /// How many items there are.
    pub fn len(&self) -> Result<usize, LoadError> {
        self.read(|raw| Ok(raw_feed(raw)?.len()))
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> Result<bool, LoadError> {
        Ok(self.len()? == 0)
    }

    /// Appends an item.
    pub fn push(&self, item: &T) -> Result<(), WriteError> {
        self.extend([item])
    }

    /// Appends items, as one transaction.
    pub fn extend<'a>(&self, items: impl IntoIterator<Item = &'a T>) -> Result<(), WriteError> {
        let items: Vec<Value> = items
            .into_iter()
            .map(feed_item_to_json)
            .collect::<Result<_, _>>()?;
        if items.is_empty() {
            return Ok(());
        }
        self.node()
            .write(|core, cx| core.write(cx, self.id(), &items, Privacy::Private, None))
    }
}

/// An item as JSON.
pub(crate) fn feed_item_to_json<T: Item>(item: &T) -> Result<Value, SchemaError> {
    to_json(NAME, "new item", item)
}
