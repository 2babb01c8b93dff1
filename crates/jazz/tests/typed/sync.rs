//! When writes are confirmed.

use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use futures::FutureExt as _;
use jazz::transport::{Incoming, read_frame};
use jazz::{Co, Node};

use crate::support::{Note, SOON, note, offline};

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
