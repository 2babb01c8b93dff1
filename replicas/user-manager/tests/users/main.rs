//! The User Manager on the cluster in memory: who is a user, what users may do, and acting as one.

mod impersonation;
mod permissions;
mod support;
mod users;
