//! When writes are confirmed, and what a node with storage of its own does without a server.

use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use futures::FutureExt as _;
use jazz::transport::{Incoming, read_frame};
use jazz::{Co, LocalServer, Node, Role};

use crate::support::{Note, SOON, note, offline, shared};

/// A server whose every message is delivered by the test.
struct Server {
    core: cojson::Node,
    peer: PeerId,
    outgoing: jazz::transport::OutgoingReceiver,
}

impl Server {
    fn connect(node: &Node) -> Self {
        let (peer, outgoing) = node
            .driver()
            .add_peer(PeerRole::Server, jazz::transport::QueueLimits::unbounded());
        let mut core = cojson::Node::new(false);
        core.peer_connected(PeerId(0), PeerRole::Client);
        Self { core, peer, outgoing }
    }

    /// Takes the next frame and returns the answers.
    async fn answers(&mut self) -> Vec<Message> {
        let frame = self.outgoing.next_frame().await.unwrap();
        for line in read_frame(&frame).unwrap() {
            match line {
                Incoming::Message(message) => {
                    self.core.handle_message(jazz::driver::now(), PeerId(0), message)
                }
                Incoming::Malformed(error) => panic!("{error}"),
            }
        }
        let mut answers = Vec::new();
        while let Some(output) = self.core.poll_output() {
            if let Output::Send { message, .. } = output {
                answers.push(message);
            }
        }
        answers
    }
}

fn is_synced(node: &Node) -> bool {
    node.driver().with(|core, _| {
        let mut unconfirmed = core.unconfirmed();
        core.check_confirmed(&mut unconfirmed)
    })
}

#[tokio::test]
async fn waiting_ends_though_others_never_stop_writing() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let (map, other): (Co<Note>, Co<Note>) = (
        node.create(&group, note("a")).unwrap(),
        node.create(&group, note("b")).unwrap(),
    );
    let mut server = Server::connect(&node);
    let mut waiting = Box::pin(node.wait_for_sync(SOON));
    let mut writes = 0;
    while waiting.as_mut().now_or_never().is_none() {
        // Whatever the server confirms, more has been written by then, to the same values too.
        for answer in server.answers().await {
            writes += 1;
            map.update(|note| note.likes = writes).unwrap();
            other.update(|note| note.likes = writes).unwrap();
            assert!(!is_synced(&node));
            node.driver().receive_frame(server.peer, &answer.to_json());
            assert!(!is_synced(&node));
        }
    }
    assert!(server.core.has(map.id()) && server.core.has(other.id()));
}

#[tokio::test]
async fn waiting_does_not_end_before_the_server_has_answered() {
    let node = offline().await;
    let map = node.create(&node.create_group().unwrap(), note("a")).unwrap();
    let mut server = Server::connect(&node);
    while !is_synced(&node) {
        for answer in server.answers().await {
            node.driver().receive_frame(server.peer, &answer.to_json());
        }
    }
    map.update(|note| note.likes = 1).unwrap();
    let mut waiting = Box::pin(node.wait_for_sync(SOON));
    assert!(waiting.as_mut().now_or_never().is_none());
    let answers = server.answers().await;
    assert!(waiting.as_mut().now_or_never().is_none(), "nothing was answered");
    for answer in answers {
        node.driver().receive_frame(server.peer, &answer.to_json());
    }
    waiting.now_or_never().unwrap().unwrap();
}

#[tokio::test]
async fn what_was_written_offline_is_there_after_a_restart_and_reaches_the_server_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alice.db");
    let alice = Node::builder()
        .storage(&file)
        .create_account("Alice")
        .connect()
        .await
        .unwrap();
    let map = alice.create(&alice.create_group().unwrap(), note("a")).unwrap();
    map.update(|note| note.likes = 1).unwrap();
    let (credentials, reference) = (alice.credentials().unwrap(), map.reference());
    alice.shutdown().await;
    drop((alice, map));

    // Still offline.
    let alice = Node::builder()
        .storage(&file)
        .account(credentials)
        .connect()
        .await
        .unwrap();
    let map = alice.load(&reference).await.unwrap();
    assert_eq!(map.get().unwrap().likes, 1);
    map.update(|note| note.likes = 2).unwrap();

    let server = LocalServer::new();
    let _connection = server.connect(&alice);
    alice.wait_for_sync(SOON).await.unwrap();
    let ours = alice.driver().with(|core, _| core.known_state(map.id()));
    assert_eq!(ours.sessions.len(), 2, "each run writes in a session of its own");
    assert_eq!(server.driver().with(|core, _| core.known_state(map.id())), ours);
}

#[tokio::test]
async fn a_node_with_storage_loads_from_the_server_and_then_offline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob.db");
    let (server, alice, _bob, group) = shared(Role::Writer).await;
    group.set_everyone(Role::Reader).unwrap();
    let reference = alice.create(&group, note("a")).unwrap().reference();
    alice.wait_for_sync(SOON).await.unwrap();
    let carol = Node::builder()
        .storage(&file)
        .local_server(&server)
        .create_account("Carol")
        .connect()
        .await
        .unwrap();
    assert_eq!(carol.load(&reference).await.unwrap().get().unwrap().text, "a");
    let credentials = carol.credentials().unwrap();
    carol.shutdown().await;
    drop(carol);

    let carol = Node::builder()
        .storage(&file)
        .account(credentials)
        .connect()
        .await
        .unwrap();
    assert_eq!(carol.load(&reference).await.unwrap().get().unwrap().text, "a");
}
