//! Native RPC: one HTTP request per call, sealed between the keys of two accounts.

mod call;
mod client;
mod error;
mod pairs;
mod replay;
pub mod seal;
mod server;
mod transport;
pub mod wire;

pub use call::Call;
pub use client::{Callee, RpcClient, TIMEOUT};
pub use error::{CallError, Code, RpcError, RpcResult};
pub use replay::TIME_WINDOW;
pub use server::{AgentDirectory, BODY_BYTES_MAX, RpcServer, Settle};
pub use transport::{HttpTransport, InMemoryTransport, Reply, Transport, TransportError};
