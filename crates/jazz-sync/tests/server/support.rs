//! A running server, clients of all kinds, and what they write.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use cojson::Node;
use cojson::group::EveryoneRole;
use cojson::header::ValueType;
use cojson::ids::CoId;
use cojson::local::NewValue;
use cojson::message::Message;
use cojson::transaction::Privacy;
use futures::{SinkExt as _, StreamExt as _};
use jazz::driver::Driver;
use jazz::transport::Trust;
use jazz_sync::{Server, ServerError, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

pub const SOON: Duration = Duration::from_secs(60);

pub struct Running {
    pub address: String,
    pub url: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub async fn start(storage: &Path) -> Self {
        Self::with(Settings::new(storage.to_owned())).await
    }

    pub async fn with(settings: Settings) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings)
            .await
            .unwrap();
        let address = server.address().unwrap().to_string();
        let url = format!("ws://{address}");
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self {
            address,
            url,
            stop,
            task,
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// A client with an account of its own, connected.
    pub async fn client(&self, name: &str) -> Driver {
        let client = Driver::new(Node::new(false));
        client.connect_websocket(self.url.clone(), Trust::system());
        client
            .with(|node, cx| node.create_account(cx, None, name))
            .unwrap();
        assert!(client.connected(SOON).await);
        client
    }

    /// A client that can say anything.
    pub async fn raw(&self) -> Raw {
        let (socket, _) = tokio_tungstenite::connect_async(&self.url).await.unwrap();
        Raw {
            socket,
            unread: VecDeque::new(),
        }
    }

    /// Asks by HTTP; returns the status and the body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// One figure of `/metrics`, by its name and labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("jazz_sync_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in:\n{page}"))
            .parse()
            .unwrap()
    }

    /// Waits until a figure is as it should be.
    pub async fn metric_until(&self, name: &str, is_right: impl Fn(f64) -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let value = self.metric(name).await;
            if is_right(value) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{name} stays {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Another client, whose writes arrive and are read, whatever somebody else does.
    pub async fn serves_others(&self) {
        let (alice, bob) = (self.client("Alice").await, self.client("Bob").await);
        let id = create_public_map(&alice);
        alice.wait_for_sync(SOON).await.unwrap();
        bob.load(&id, SOON).await.unwrap();
        assert_eq!(count(&bob, &id), Some(1));
    }
}

/// A WebSocket without a node behind it.
pub struct Raw {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages of a frame that was read.
    unread: VecDeque<Value>,
}

impl Raw {
    pub async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Frame::text(text.into())).await.unwrap();
    }

    pub async fn send_message(&mut self, message: &Message) {
        self.send(message.to_json()).await;
    }

    /// Returns the next message of the protocol.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some(message) = self.unread.pop_front() {
                return message;
            }
            let frame = tokio::time::timeout(SOON, self.socket.next())
                .await
                .expect("an answer in time");
            let frame = frame.expect("the connection is open").unwrap();
            let Frame::Text(text) = frame else {
                panic!("got {frame:?}")
            };
            let messages = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            self.unread
                .extend(messages.filter(|message| message["type"] != "ping"));
        }
    }

    /// Reads until the server closes; returns the code and the reason.
    pub async fn closed(mut self) -> (u16, String) {
        let closing = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Frame::Close(Some(frame)))) => {
                        return (u16::from(frame.code), frame.reason.to_string());
                    }
                    Some(Ok(_)) => {}
                    other => panic!("ended without a reason: {other:?}"),
                }
            }
        };
        tokio::time::timeout(SOON, closing)
            .await
            .expect("it is closed in time")
    }

    /// Asks for a value and expects that there is none: the connection works.
    pub async fn works(&mut self) {
        let id = unknown_id(0);
        self.send(load(&id)).await;
        loop {
            let answer = self.next().await;
            if answer["id"] == id {
                assert_eq!(
                    (&answer["action"], &answer["header"]),
                    (&json!("known"), &json!(false))
                );
                return;
            }
        }
    }
}

/// The id of a value that nobody has.
pub fn unknown_id(number: u64) -> String {
    let header = json!({
        "type": "comap", "ruleset": {"type": "unsafeAllowAll"}, "meta": null, "uniqueness": format!("z{number}"),
    });
    cojson::header::Header::from_json(header)
        .unwrap()
        .id()
        .to_string()
}

pub fn load(id: &str) -> String {
    json!({"action": "load", "id": id, "header": false, "sessions": {}}).to_string()
}

/// Makes a map that everybody can read.
pub fn create_public_map(client: &Driver) -> CoId {
    client.with(|node, cx| {
        let group = node.create_group(cx).unwrap();
        node.set_everyone(cx, &group, Some(EveryoneRole::Reader)).unwrap();
        let init = vec![json!({"op": "set", "key": "count", "value": 1})];
        node.create(cx, NewValue::new(ValueType::CoMap, group, init))
            .unwrap()
    })
}

pub fn set(client: &Driver, id: &CoId, key: &str, value: impl Into<Value>) {
    let change = json!({"op": "set", "key": key, "value": value.into()});
    client
        .with(|node, cx| node.write(cx, id, &[change], Privacy::Private, None))
        .unwrap();
}

pub fn count(client: &Driver, id: &CoId) -> Option<u64> {
    client.with(|node, _| {
        node.map(id)
            .unwrap()
            .get("count")
            .and_then(|count| count.as_u64())
    })
}

/// Everything a node wrote without being connected, in the order in which it is to be sent.
pub fn everything_of(client: &Driver, ids: &[CoId]) -> Vec<Message> {
    client.with(|node, _| {
        node.flush();
        ids.iter()
            .map(|id| {
                let log = node.log(id).unwrap();
                let new = log.sessions().iter().map(|(session, content)| {
                    let new = cojson::message::NewContent {
                        after: 0,
                        new_transactions: content.transactions().to_vec(),
                        last_signature: content.signature().unwrap().clone(),
                    };
                    (session.clone(), new)
                });
                Message::Content(Box::new(cojson::message::Content {
                    id: id.clone(),
                    priority: cojson::message::priority(log.header().kind()),
                    header: Some(log.header().clone()),
                    new: new.collect(),
                    expect_content_until: None,
                }))
            })
            .collect()
    })
}
