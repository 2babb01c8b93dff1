//! The vector `http`: requests, responses and tokens as the real packages made them. Where a case has a note, what is
//! expected here is what the note asks for.

use cojson::message::Message;
use cojson::sync::PeerRole;
use cojson::transaction::Timestamp;
use jazz::request::{Answer, Invalid, Receiver, RequestError, TokenError, authenticate_request_at};
use jazz::{LocalServer, Node};
use serde_json::{Value, json};

use crate::requests::credentials;

fn vector() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cojson/tests/vectors/http.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A server that knows the vector's accounts, and a node of one of them.
async fn node_of(vector: &Value, name: &str) -> (LocalServer, Node) {
    let server = LocalServer::new();
    let (peer, _answers) = server
        .driver()
        .add_peer(PeerRole::Client, jazz::transport::QueueLimits::unbounded());
    for message in vector["accountsContent"].as_array().unwrap() {
        server.driver().receive_frame(peer, &message.to_string());
    }
    server.driver().remove_peer(peer);
    let node = Node::builder()
        .local_server(&server)
        .account(credentials(&vector["accounts"][name]))
        .connect()
        .await
        .unwrap();
    (server, node)
}

#[tokio::test]
async fn requests() {
    let vector = vector();
    let (_server, worker) = node_of(&vector, "worker").await;
    let receiver = Receiver::new(&worker);
    for case in vector["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let body = match &case["body"] {
            Value::String(text) if text == "as request.body" => vector["request"]["body"].to_string(),
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let now = Timestamp(case["now"].as_u64().unwrap());
        let accepted = receiver.accept_if(body.as_bytes(), now, |_| Ok(())).await;
        let expected = &case["result"];
        match (name, accepted) {
            ("valid request", Ok(request)) => {
                assert_eq!(
                    Value::from(request.fields().clone()),
                    expected["handlerGot"]["value"]
                );
                let caller = &vector["accounts"]["caller"]["accountID"];
                assert_eq!(json!(request.made_by()), *caller);
                let response = json!({"done": true}).as_object().unwrap().clone();
                assert_eq!(request.respond(response).await.unwrap().status, 200);
            }
            // Accepted by the reference; refused here, as the notes ask.
            ("far in the future, signed by an unrelated key", Err(error)) => {
                assert!(matches!(error, Invalid::FromTheFuture), "{error:?}");
            }
            ("forged by mallory in the caller's name", Err(error)) => {
                assert!(matches!(error, Invalid::OtherAuthor(_)), "{error:?}");
            }
            // The reference makes no answer of it.
            ("not JSON", Err(error)) => assert_eq!(Answer::from(RequestError::from(error)).status, 400),
            (_, Err(error)) => {
                let answer = Answer::from(RequestError::from(error));
                assert_eq!(json!(answer.status), expected["status"], "{name}");
                assert_eq!(
                    json!(answer.is_request_error.to_string()),
                    expected["errorHeader"],
                    "{name}"
                );
                let body: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(body["message"], expected["body"]["message"], "{name}");
            }
            (_, Ok(_)) => panic!("{name}: accepted"),
        }
    }
}

/// The message that is signed in the vector is signed here with the same result.
#[tokio::test]
async fn signatures() {
    let vector = vector();
    let caller = credentials(&vector["accounts"]["caller"]);
    let mut members = vector["request"]["body"].clone();
    let signature = members
        .as_object_mut()
        .unwrap()
        .shift_remove("authToken")
        .unwrap();
    let hash = cojson::crypto::secure_hash(&members);
    assert_eq!(json!(hash), vector["signing"]["secureHash"]);
    let signed = cojson::crypto::sign(caller.agent_secret.signer(), &json!(hash));
    assert_eq!(json!(signed), signature);
    for piece in members["contentPieces"].as_array().unwrap() {
        let parsed = Message::parse(&piece.to_string()).unwrap();
        assert!(matches!(parsed, Message::Content(_)));
    }
}

#[tokio::test]
async fn tokens() {
    let vector = vector();
    let (_server, worker) = node_of(&vector, "worker").await;
    for case in vector["token"]["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let now = Timestamp(case["now"].as_u64().unwrap());
        let checked = authenticate_request_at(&worker, case["authorization"].as_str(), now).await;
        if name == "a year in the future" {
            // Accepted by the reference; refused here, as the note asks.
            assert_eq!(checked, Err(TokenError::FromTheFuture));
            continue;
        }
        let result = match checked {
            Ok(None) => json!({}),
            Ok(Some(account)) => json!({"account": account}),
            Err(error) => json!({"error": error.to_string()}),
        };
        assert_eq!(result, case["result"], "{name}");
    }
}
