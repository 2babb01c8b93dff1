//! A node of classic Jazz: shared, end-to-end encrypted data with typed access, kept in step by a sync server.
//!
//! # The data
//!
//! Everything is a **CoValue**: a value with an id, of which every node that may read it holds a copy, and which
//! several can change at once without losing each other's changes.
//!
//! | CoValue | in Rust | what it is |
//! |---|---|---|
//! | map | a struct with [`#[derive(CoMap)]`](macro@CoMap) | fields with one value each; the latest write of a field wins |
//! | list | [`CoList<T>`] | items in an order that survives concurrent insertions |
//! | record | [`CoRecord<T>`] | any text as key, one type of item |
//! | feed | [`CoFeed<T>`] | items that are only appended, each known by its author |
//! | text | [`CoPlainText`], [`CoRichText`] | a text that several can edit at once |
//! | file | [`FileStream`] | bytes with a media type, written and read in pieces |
//! | vector | [`CoVector`] | 32-bit numbers |
//! | image | [`ImageDefinition`] | a map of files, one for each size |
//! | group | [`Group`] | accounts with roles; owns values and so decides who reads and writes them |
//! | account | [`Account`] | a pair of keys with a public profile and a private root |
//!
//! Values refer to others by id. [`Ref<T>`] is such an id with the type of what it leads to, and stands in fields and
//! items like any other type. [`Co<T>`] is a loaded value: a handle with methods to read, write and subscribe, which
//! differ by `T`. Reading never waits, because what is loaded stays up to date by itself.
//!
//! # A complete example
//!
//! ```
//! use std::time::Duration;
//!
//! use jazz::{CoList, CoMap, LocalServer, Node, Ref, Role, Timestamp};
//!
//! #[derive(CoMap, Clone, Debug, PartialEq)]
//! struct Greeting {
//!     text: String,
//!     at: Timestamp,
//!     note: Option<String>,
//! }
//!
//! #[derive(CoMap, Clone, Debug, PartialEq)]
//! struct GuestBook {
//!     title: String,
//!     greetings: Ref<CoList<Ref<Greeting>>>,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), jazz::Error> {
//! let server = LocalServer::new(); // or `.sync_server("wss://…")` below
//! let ada = Node::builder().local_server(&server).create_account("Ada").connect().await?;
//! let bob = Node::builder().local_server(&server).create_account("Bob").connect().await?;
//! bob.wait_for_sync(Duration::from_secs(10)).await?; // from now on others find his account
//!
//! // Ada's book belongs to a group in which Bob may write.
//! let group = ada.create_group()?;
//! group.add_member(bob.account_id(), Role::Writer).await?;
//! let greetings = ada.create_list(&group, [])?;
//! let book = ada.create(&group, GuestBook { title: "Guests".into(), greetings: greetings.reference() })?;
//! ada.wait_for_sync(Duration::from_secs(10)).await?;
//!
//! // Bob loads it with everything in it, and writes: the greeting and its place in the list, or neither.
//! let mine = bob.load_deep(&book.reference(), 2).await?.complete()?;
//! let list = bob.loaded(&mine.get()?.greetings)?;
//! bob.transaction(|tx| {
//!     let hello = Greeting { text: "Hello!".into(), at: Timestamp::now(), note: None };
//!     let hello = tx.create(&mine.owner(), hello)?;
//!     tx.push(&list, &hello.reference())
//! })?;
//!
//! // Ada sees it.
//! let mut changes = greetings.subscribe();
//! let items = changes.wait_for(|items| !items.is_empty()).await.expect("the node runs")?;
//! let hello = ada.load(&items[0]).await?;
//! assert_eq!(hello.get()?.text, "Hello!");
//! assert_eq!(hello.edit("text").and_then(|edit| edit.account().cloned()).as_ref(), Some(bob.account_id()));
//!
//! hello.update(|greeting| greeting.note = Some("from Bob".into()))?;
//! # Ok(())
//! # }
//! ```
//!
//! # More
//!
//! | for | see |
//! |---|---|
//! | a map that can have different shapes | `#[co(tag = "…")]` of [the macro](macro@CoMap) |
//! | content and accounts of older versions | `#[co(migrate = "…")]`, [`NodeBuilder::migration`] |
//! | what a value was, and who made it so | [`Co::at`], `history` and `edit` of each kind |
//! | working on a copy, to be merged later | [`Co::branch`], [`Co::merge`] |
//! | printing whatever it is | [`Node::to_json`] |
//! | loading whatever it is | [`Node::load_any`] |
//! | values whose id follows from what they are for | [`Node::get_or_create_unique`] and its like |
//!
//! # What to know
//!
//! - **Writes apply at once** and travel later. [`Node::wait_for_sync`] tells when the server has them.
//! - **Loads end**: in a value, or in a [`LoadError`] that says whether it is unavailable, unauthorised, deleted or
//!   late.
//! - **Roles** come from the owning group alone. A member that is removed keeps what it could read before.
//! - **Numbers** are JavaScript's: integers beyond 2⁵³ lose digits on other nodes.
//! - **Times** of edits are their authors' claims.
//! - What jazz-tools wrote can be anything: reading checks it against the type, and a [`SchemaError`] names the field.
//!
//! This crate must know nothing of ReSide.

pub mod driver;
pub mod request;
pub mod storage;
pub mod transport;

mod account;
mod any;
mod branch;
mod create;
mod error;
mod feed;
mod file;
mod group;
mod history;
mod image;
mod json;
mod list;
mod load;
mod map;
mod node;
mod record;
mod subscribe;
mod text;
mod time;
mod transaction;
mod value;
mod vector;

pub use account::Account;
pub use any::AnyValue;
pub use cojson::Credentials;
pub use cojson::content::{FileInfo, ListAction};
pub use cojson::group::Role;
pub use cojson::header::Uniqueness;
pub use cojson::ids::{AccountId, AgentId, Author, CoId, ParseIdError, SessionId};
pub use cojson::secrets::{AgentSecret, InviteSecret, SecretSeed};
pub use create::Owner;
pub use driver::{LocalConnection, NotSynced};
pub use error::{ConnectError, Error, LoadError, SchemaError, WriteError};
pub use feed::{CoFeed, FeedItem};
pub use file::{FileError, FileReader, FileStatus, FileStream};
pub use group::{Group, Member};
pub use history::{FieldEdit, ItemEdit};
pub use image::{ImageDefinition, ImageSize};
pub use jazz_macros::CoMap;
pub use list::{CoList, Item};
pub use load::{FailedLoad, Loaded};
pub use map::{CoMap, Field, MapReader, MapWriter};
pub use node::{LocalServer, Node, NodeBuilder};
pub use record::CoRecord;
pub use subscribe::Subscription;
pub use text::{CoPlainText, CoRichText, CoText, Plain, Rich, TextKind};
pub use time::{ParseTimestampError, Timestamp};
pub use transaction::Transaction;
pub use value::{Co, CoValue, Edit, Ref};
pub use vector::CoVector;
