//! Requests between accounts over HTTP, in the form of `experimental_defineRequest` of jazz-tools: the caller makes a map
//! in a group of itself and the callee, and posts it, whole and signed; the callee answers with another such map.
//!
//! Nothing here speaks HTTP: bodies go in and come out, and whoever has a server or a client carries them.
//!
//! ```
//! use jazz::request::{OutgoingRequest, Receiver, RequestError};
//! use jazz::{AccountId, CoMap, LocalServer, Node};
//!
//! #[derive(CoMap, Debug)]
//! struct Greet { name: String }
//! #[derive(CoMap, Debug)]
//! struct Greeting { text: String }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = LocalServer::new();
//! let ada = Node::builder().local_server(&server).create_account("Ada").connect().await?;
//! let bob = Node::builder().local_server(&server).create_account("Bob").connect().await?;
//!
//! let request = OutgoingRequest::new(&ada, bob.account_id(), &Greet { name: "Bob".into() }).await?;
//!
//! // POST, content type `application/json`, to where Bob listens:
//! let receiver = Receiver::new(&bob);
//! let answer = receiver.handle(request.body(), |greet: Greet, made_by: AccountId| async move {
//!     Ok::<_, RequestError>(Greeting { text: format!("Hello {}, says {made_by}", greet.name) })
//! }).await;
//!
//! let greeting: Greeting = request.response(&answer).await?;
//! assert_eq!(greeting.text, format!("Hello Bob, says {}", ada.account_id()));
//! # Ok(())
//! # }
//! ```
//!
//! # What is accepted
//!
//! The format proves little by itself; this is what a message must be before it counts, and jazz-tools clients make
//! them so:
//!
//! - The body is signed by the current signer of the account that made the message, within a minute of our clock.
//! - The message and its group come whole with the body, and were made within that minute.
//! - That account is the only author of both, and the group consists of exactly caller and callee.
//! - A request is handled once: it is marked, and the mark is durable, before its handler runs.
//!
//! Responses are held to the same, with the account that was called as their author.
//!
//! # What the format can't bind
//!
//! Which method was meant, at which address; whoever sees the body before it arrives can bring it elsewhere *at the same
//! callee*. Put it into the message where that matters. And a response doesn't say which request it answers.
//!
//! Each exchange leaves two groups and two maps at the sync servers of both sides.

mod answer;
mod envelope;
mod error;
mod message;
mod receiver;
mod sender;
mod token;

pub use answer::{Answer, ERROR_HEADER};
pub use envelope::{MAX_BODY_BYTES, TIME_WINDOW};
pub use error::{Invalid, RequestError, SendError};
pub use receiver::{IncomingRequest, Receiver};
pub use sender::OutgoingRequest;
pub use token::{
    MAX_TOKEN_SKEW, TOKEN_LIFE, TokenError, authenticate_request, authenticate_request_at,
    generate_auth_token,
};
