//! Calls between accounts: one HTTP request each. Native ones are sealed between the keys of both and leave nothing
//! behind; those in the Jazz form are there for TypeScript, and for browsers.

mod call;
mod client;
mod error;
mod jazz_caller;
mod jazz_form;
mod pairs;
mod replay;
pub mod seal;
mod server;
mod transport;
pub mod wire;

pub use call::Call;
pub use client::{Callee, RpcClient, TIMEOUT};
pub use error::{CallError, Code, RpcError, RpcResult};
pub use jazz_caller::JazzCaller;
pub use jazz_form::CALL_FIELD;
pub use replay::TIME_WINDOW;
pub use server::{AgentDirectory, BODY_BYTES_MAX, RpcServer, Settle};
pub use transport::{HttpTransport, InMemoryTransport, Reply, Transport, TransportError};
