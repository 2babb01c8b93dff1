//! What arrives over HTTP at an account: requests in the Jazz form, and tokens.

use std::cell::RefCell;

use cojson::crypto::{secure_hash, sign};
use cojson::sync::PeerRole;
use cojson::transaction::Timestamp;
use jazz::request::{Receiver, authenticate_request_at};
use jazz::{LocalServer, Node};
use serde_json::{Value, json};

/// The accounts of the recorded requests, which are the seeds of the corpus.
const VECTOR: &str = include_str!("../../cojson/tests/vectors/http.json");

struct Office {
    /// Nobody else keeps it.
    _server: LocalServer,
    runtime: tokio::runtime::Runtime,
    worker: Node,
    vector: Value,
    now: Timestamp,
}

thread_local! {
    static OFFICE: RefCell<Office> = RefCell::new(Office::open());
}

impl Office {
    fn open() -> Self {
        let vector: Value = serde_json::from_str(VECTOR).expect("the vector is JSON");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (server, worker) = runtime.block_on(async {
            let server = LocalServer::new();
            let limits = jazz::transport::QueueLimits::unbounded();
            let (peer, _answers) = server.driver().add_peer(PeerRole::Client, limits);
            for message in vector["accountsContent"].as_array().expect("contents") {
                server.driver().receive_frame(peer, &message.to_string());
            }
            server.driver().remove_peer(peer);
            let account = credentials(&vector["accounts"]["worker"]);
            let node = Node::builder().local_server(&server).account(account);
            (server, node.connect().await.expect("the account is there"))
        });
        let now = Timestamp(vector["cases"][0]["now"].as_u64().expect("a time"));
        Self {
            _server: server,
            runtime,
            worker,
            vector,
            now,
        }
    }

    /// The request, signed by whom it says: chance doesn't hit upon signatures.
    fn signed(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        let members = body.as_object_mut()?;
        members.shift_remove("authToken");
        let caller = credentials(&self.vector["accounts"]["caller"]);
        let signature = sign(
            caller.agent_secret.signer(),
            &json!(secure_hash(&Value::Object(members.clone()))),
        );
        members.insert("authToken".to_owned(), json!(signature));
        Some(body.to_string().into_bytes())
    }
}

fn credentials(of: &Value) -> cojson::Credentials {
    let text = |key: &str| of[key].as_str().expect("a text");
    cojson::Credentials {
        account_id: text("accountID").parse().expect("an id"),
        agent_secret: text("agentSecret").parse().expect("a secret"),
    }
}

/// A body, and the same as a header.
pub fn request(data: &[u8]) {
    OFFICE.with_borrow(|office| {
        let signed = office.signed(data);
        office.runtime.block_on(async {
            for body in [Some(data), signed.as_deref()].into_iter().flatten() {
                // Forgets at once what it has taken.
                let receiver = Receiver::new(&office.worker);
                let _ = receiver.accept_if(body, office.now, |_| Ok(())).await;
            }
            if let Ok(header) = std::str::from_utf8(data) {
                let _ = authenticate_request_at(&office.worker, Some(header), office.now).await;
            }
        });
    });
}
