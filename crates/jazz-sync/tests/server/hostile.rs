//! Clients that do what no honest client does. The server stays up, holds no more than its bounds, says why it closes,
//! and nobody else notices.

use cojson::Node;
use cojson::ids::CoId;
use cojson::message::{Content, Message, NewContent};
use cojson::transaction::{Timestamp, Transaction, TrustingTransaction};
use futures::SinkExt as _;
use jazz::driver::{Driver, now};
use jazz_sync::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{Raw, Running, SOON, count, create_public_map, everything_of, load, set, unknown_id};

/// Starts a server for the length of a test.
async fn server() -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("jazz.db")).await;
    (folder, server)
}

/// The bytes of a masked text frame's head that announces `length` bytes.
fn head_of(length: u64) -> Vec<u8> {
    [&[0x81, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat()
}

async fn write_bytes(raw: &mut Raw, bytes: &[u8]) {
    raw.socket.get_mut().write_all(bytes).await.unwrap();
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    let (_folder, server) = server().await;
    for garbage in ["{", "garbage", "{\"action\":\"load\"}\nnot json", "\u{0}\u{1}"] {
        let mut raw = server.raw().await;
        raw.send(garbage).await;
        let why = "a frame holds something that is not JSON".to_owned();
        assert_eq!(raw.closed().await, (1007, why), "{garbage:?}");
    }
    assert!(server.metric("refused_total{reason=\"not-json\"}").await >= 4.0);
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn binary_frames_are_not_understood() {
    let (_folder, server) = server().await;
    let mut raw = server.raw().await;
    raw.socket.send(Frame::binary(vec![1, 2, 3])).await.unwrap();
    let why = "only text frames are understood".to_owned();
    assert_eq!(raw.closed().await, (1003, why));
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_connection() {
    let (_folder, server) = server().await;
    let mut raw = server.raw().await;
    write_bytes(&mut raw, &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await;
    assert_eq!(raw.closed().await.0, 1007);
    server.stop().await;
}

#[tokio::test]
async fn half_messages_are_dropped_with_their_connection() {
    let (_folder, server) = server().await;
    // A message whose last part never comes, and a frame that is cut off.
    let mut raw = server.raw().await;
    let part = RawFrame::message(b"{\"action\":".to_vec(), OpCode::Data(Data::Text), false);
    raw.socket.send(Frame::Frame(part)).await.unwrap();
    let mut cut = server.raw().await;
    write_bytes(&mut cut, &head_of(1000)).await;
    server
        .metric_until("connections", |connections| connections == 2.0)
        .await;
    drop((raw, cut));
    server
        .metric_until("connections", |connections| connections == 0.0)
        .await;
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_announces_a_gigabyte_is_refused_before_it_comes() {
    let (_folder, server) = server().await;
    let mut raw = server.raw().await;
    write_bytes(&mut raw, &head_of(1 << 30)).await;
    let why = "a frame is longer than 16777216 bytes".to_owned();
    assert_eq!(raw.closed().await, (1009, why));

    // The same in parts of which each is short enough.
    let mut raw = server.raw().await;
    let part = vec![b' '; 4 << 20];
    let refused = async {
        for number in 0..8 {
            let kind = if number == 0 { Data::Text } else { Data::Continue };
            let part = RawFrame::message(part.clone(), OpCode::Data(kind), false);
            if raw.socket.send(Frame::Frame(part)).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    server
        .metric_until("refused_total{reason=\"frame-size\"}", |refused| refused == 2.0)
        .await;
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn a_state_of_100_000_sessions_is_refused_and_nothing_else() {
    let (_folder, server) = server().await;
    let author = unknown_id(1);
    let session = |number: u64| format!("{author}_session_z{}", bs58(number));
    let sessions: serde_json::Map<_, _> = (0..100_000).map(|number| (session(number), json!(1))).collect();
    let mut raw = server.raw().await;
    let id = unknown_id(2);
    raw.send(json!({"action": "known", "id": id, "header": true, "sessions": sessions}).to_string())
        .await;
    assert_eq!(raw.next().await["id"], json!(id), "it is answered");
    let values: Vec<_> = (0..100_000)
        .map(|number| json!([unknown_id(number), "shortHash_z1"]))
        .collect();
    raw.send(json!({"action": "reconcile", "id": "batch", "values": values}).to_string())
        .await;
    raw.works().await;
    assert!(server.metric("refused_content_total").await >= 1.0);
    server.serves_others().await;
    server.stop().await;
}

/// A number in base58, always as long.
fn bs58(number: u64) -> String {
    const DIGITS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let digit = |place: u32| char::from(DIGITS[(number / 58_u64.pow(place) % 58) as usize]);
    (0..11)
        .rev()
        .map(|place| if place == 10 { '2' } else { digit(place) })
        .collect()
}

/// An account with a group and a map, of a node that isn't connected.
struct Offline {
    node: Driver,
    map: CoId,
    messages: Vec<Message>,
}

fn offline(name: &str) -> Offline {
    let node = Driver::new(Node::new(false));
    node.with(|node, cx| node.create_account(cx, None, name)).unwrap();
    let map = create_public_map(&node);
    let (account, group) = node.with(|node, _| {
        let account = node.account().unwrap().as_co_id().clone();
        (account, node.log(&map).unwrap().header().owner().unwrap().clone())
    });
    let messages = everything_of(&node, &[account, group, map.clone()]);
    Offline { node, map, messages }
}

fn content_of(message: &Message) -> Content {
    match message {
        Message::Content(content) => (**content).clone(),
        other => panic!("not content: {other:?}"),
    }
}

/// Sends what is honest and waits until it is acknowledged.
async fn send_all(raw: &mut Raw, messages: &[Message]) {
    for message in messages {
        raw.send_message(message).await;
        let answer = raw.next().await;
        assert_eq!(answer["id"], json!(message.id()), "{answer}");
        assert_eq!(answer["header"], json!(true), "{answer}");
    }
}

#[tokio::test]
async fn a_signature_of_another_session_is_refused() {
    let (_folder, server) = server().await;
    let (honest, other) = (offline("Honest"), offline("Other"));
    let mut raw = server.raw().await;
    send_all(&mut raw, &honest.messages[..2]).await;
    let mut forged = content_of(&honest.messages[2]);
    let foreign = content_of(&other.messages[2]).new[0].last_signature.clone();
    forged.new[0].last_signature = foreign;
    raw.send_message(&Message::Content(Box::new(forged))).await;
    let answer = raw.next().await;
    assert_eq!(answer["sessions"], json!({}), "nothing was taken: {answer}");

    // Somebody else can still bring the real one.
    let mut honest_raw = server.raw().await;
    send_all(&mut honest_raw, &honest.messages).await;
    let reader = server.client("Reader").await;
    reader.load(&honest.map, SOON).await.unwrap();
    assert_eq!(count(&reader, &honest.map), Some(1));
    server.stop().await;
}

/// Two continuations of one session, both properly signed.
fn fork(offline: &Offline) -> [Message; 2] {
    ["left", "right"].map(|side| {
        offline.node.with(|node, _| {
            let mut log = node.log(&offline.map).unwrap().clone();
            let (session, len) = log
                .sessions()
                .first()
                .map(|(id, log)| (id.clone(), log.len()))
                .unwrap();
            let change = json!([{"op": "set", "key": "side", "value": side}]).to_string();
            let transaction = Transaction::Trusting(TrustingTransaction {
                made_at: Timestamp(now().0),
                changes: change.into(),
                meta: None,
            });
            log.append_own(&session, transaction);
            log.sign_own(&session, node.credentials().unwrap().agent_secret.signer());
            let content = &log.sessions()[&session];
            let new = NewContent {
                after: len as u64,
                new_transactions: content.transactions()[len..].to_vec(),
                last_signature: content.signature().unwrap().clone(),
            };
            let mut whole = content_of(&offline.messages[2]);
            whole.header = None;
            whole.new = [(session, new)].into_iter().collect();
            Message::Content(Box::new(whole))
        })
    })
}

#[tokio::test]
async fn of_a_log_that_forks_the_first_side_stays() {
    let (_folder, server) = server().await;
    let twofold = offline("Twofold");
    let [left, right] = fork(&twofold);
    let (mut first, mut second) = (server.raw().await, server.raw().await);
    send_all(&mut first, &twofold.messages).await;
    send_all(&mut second, &twofold.messages).await;
    send_all(&mut first, &[left]).await;
    // The other side is as long, so there is nothing in it that isn't known by its count.
    second.send_message(&right).await;
    let reader = server.client("Reader").await;
    reader.load(&twofold.map, SOON).await.unwrap();
    let side = reader.with(|node, _| node.map(&twofold.map).unwrap().get("side").cloned());
    assert_eq!(side, Some(json!("left")));
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path().join("jazz.db"));
    settings.limits.queue_bytes_max = 1 << 20;
    let server = Running::with(settings).await;
    let writer = server.client("Writer").await;
    let id = create_public_map(&writer);
    set(&writer, &id, "text", "x".repeat(100_000));
    writer.wait_for_sync(SOON).await.unwrap();
    // Much more than the operating system keeps for a connection; it waits, and the client is asked for nothing more.
    let mut deaf = server.raw().await;
    deaf.send(vec![load(id.as_str()); 1_000].join("\n")).await;
    server
        .metric_until("queue_bytes", |bytes| bytes > f64::from(1 << 18))
        .await;
    // What others write is pushed to it all the same, until the server has had enough.
    for _ in 0..10 {
        set(&writer, &id, "text", "x".repeat(100_000));
    }
    let cut_off = async {
        let mut number = 0;
        while server.metric("refused_total{reason=\"slow\"}").await == 0.0 {
            number += 1;
            set(&writer, &id, "number", number);
            writer.wait_for_sync(SOON).await.unwrap();
        }
    };
    tokio::time::timeout(SOON, cut_off).await.unwrap();
    server.metric_until("queue_bytes", |bytes| bytes == 0.0).await;
    writer.wait_for_sync(SOON).await.unwrap();
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_asks_for_much_more_than_it_holds_does_not_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path().join("jazz.db"));
    settings.limits.queue_bytes_max = 4 << 20;
    let server = Running::with(settings).await;
    let writer = server.client("Writer").await;
    let id = create_public_map(&writer);
    set(&writer, &id, "text", "x".repeat(500_000));
    writer.wait_for_sync(SOON).await.unwrap();
    // Ten thousand answers of half a megabyte, which nobody reads.
    let mut greedy = server.raw().await;
    greedy.send(vec![load(id.as_str()); 10_000].join("\n")).await;
    let fills = |bytes: f64| bytes >= f64::from(1 << 20);
    server.metric_until("queue_bytes", fills).await;
    for _ in 0..5 {
        server.serves_others().await;
        assert!(server.metric("queue_bytes").await <= f64::from(5 << 20));
    }
    drop(greedy);
    server.metric_until("queue_bytes", |bytes| bytes == 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn who_takes_too_long_to_upgrade_is_disconnected() {
    let (_folder, server) = server().await;
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        .await
        .unwrap();
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    for stream in [&mut slow, &mut silent] {
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut answer));
        ended.await.expect("it is closed in time").unwrap();
    }
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn thousands_of_unknown_values_are_all_answered() {
    let (_folder, server) = server().await;
    let mut raw = server.raw().await;
    let loads: Vec<String> = (0..5_000).map(|number| load(&unknown_id(number))).collect();
    raw.send(loads.join("\n")).await;
    let mut answers = 0;
    while answers < 5_000 {
        use futures::StreamExt as _;
        let frame = tokio::time::timeout(SOON, raw.socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        answers += frame.to_text().unwrap().matches("\"known\"").count();
    }
    assert_eq!(server.metric("values").await, 0.0);
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn nested_huge_and_strange_messages_are_refused_one_by_one() {
    let (_folder, server) = server().await;
    let mut raw = server.raw().await;
    let id = unknown_id(1);
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let header =
        json!({"type": "comap", "ruleset": {"type": "unsafeAllowAll"}, "meta": null, "uniqueness": "z1"});
    let strange = [
        nested.clone(),
        format!(r#"{{"action":"load","id":{nested}}}"#),
        format!(r#"{{"action":"load","id":"{}"}}"#, "z".repeat(5_000_000)),
        format!(r#"{{"action":"load","id":"{id}","header":1e999,"sessions":{{}}}}"#),
        format!(r#"{{"action":"known","id":"{id}","header":true,"sessions":{{"{id}_session_z2":99999999999999999999}}}}"#),
        format!(r#"{{"action":"content","id":"{id}","priority":1e400,"new":{{}}}}"#),
        json!({"action": "content", "id": unknown_id(3), "priority": 3, "header": header, "new": {}}).to_string(),
        json!({
            "action": "content", "id": id, "priority": 3, "header": header,
            "new": { format!("{id}_session_z2"): {
                "after": u64::MAX, "newTransactions": [], "lastSignature": format!("signature_z{}", "1".repeat(64)),
            }},
        })
        .to_string(),
        r#"{"action":"explode","id":"co_z1"}"#.to_owned(),
        "17".to_owned(),
        "null".to_owned(),
        "\n\n\n".to_owned(),
        String::new(),
    ];
    for text in strange {
        raw.send(text).await;
    }
    raw.works().await;
    raw.send("1\n".repeat(60_000)).await;
    let why = "a frame holds more than 50000 messages".to_owned();
    assert_eq!(raw.closed().await, (1008, why));
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_reconciliations_ends_the_connection() {
    let (_folder, server) = server().await;
    let mut raw = server.raw().await;
    // Asked for what it has of each value, this client never answers.
    for batch in 0..50 {
        let values = [json!([
            unknown_id(batch),
            format!("shortHash_z{}", "1".repeat(19))
        ])];
        let message = json!({"action": "reconcile", "id": format!("batch {batch}"), "values": values});
        if raw.socket.send(Frame::text(message.to_string())).await.is_err() {
            break;
        }
    }
    let why = "too many reconciliations at once".to_owned();
    assert_eq!(raw.closed().await, (1008, why));
    server.serves_others().await;
    server.stop().await;
}

#[tokio::test]
async fn what_waits_for_values_that_never_come_is_bounded() {
    let (_folder, server) = server().await;
    let lonely = offline("Lonely");
    let mut raw = server.raw().await;
    // A map whose group and author the server asks for, in vain, in ever more versions.
    let mut content = content_of(&lonely.messages[2]);
    let text: String = "x".repeat(1_000_000);
    content.new[0].new_transactions = (0..10)
        .map(|_| {
            Transaction::Trusting(TrustingTransaction {
                made_at: Timestamp(now().0),
                changes: text.clone().into(),
                meta: None,
            })
        })
        .collect();
    let frame = Message::Content(Box::new(content)).to_json();
    for _ in 0..20 {
        raw.send(frame.as_str()).await;
    }
    // All of it was taken, most of it dropped, and the connection is of use as before.
    raw.works().await;
    server.serves_others().await;
    server.stop().await;
}
