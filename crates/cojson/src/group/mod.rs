//! Groups: who may do what, when, and with which keys.
//!
//! A group is a log of trusting transactions that set one key each. Which of them count is decided by running through
//! all of them in the order of time (`eval`); roles (`roles`) and key secrets (`keys`) are read from those that count.

mod eval;
mod keys;
mod role;
mod view;

pub use eval::Groups;
pub use keys::Reader;
pub use role::{EveryoneRole, Grant, Mapping, Role};
pub use view::{Entry, GroupView};

pub(crate) use eval::WRITE_KEY;
pub(crate) use keys::sealer_of;
pub(crate) use role::EVERYONE;
