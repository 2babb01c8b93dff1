//! Nodes and types that many tests need.

use std::time::Duration;

use jazz::{Co, CoList, CoMap, CoRecord, Group, LocalServer, Node, Ref, Role, Timestamp};

/// Longer than anything takes; nothing depends on its length.
pub const SOON: Duration = Duration::from_secs(20);

#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Note {
    pub text: String,
    pub likes: u32,
    pub edited_at: Option<Timestamp>,
    pub tag: Option<String>,
    pub parent: Option<Ref<Note>>,
    #[co(default)]
    pub labels: Vec<String>,
}

#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Board {
    pub title: String,
    pub notes: Ref<CoList<Ref<Note>>>,
    pub by_name: Ref<CoRecord<Ref<Note>>>,
    pub pinned: Option<Ref<Note>>,
}

pub fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
        likes: 0,
        edited_at: None,
        tag: None,
        parent: None,
        labels: Vec::new(),
    }
}

/// A node that is connected to nobody.
pub async fn offline() -> Node {
    Node::builder().create_account("Alice").connect().await.unwrap()
}

/// A node of a new account.
pub async fn client(server: &LocalServer, name: &str) -> Node {
    Node::builder()
        .local_server(server)
        .create_account(name)
        .load_timeout(SOON)
        .connect()
        .await
        .unwrap()
}

/// A server, and Alice and Bob who share a group in which Bob has this role.
pub async fn shared(role: Role) -> (LocalServer, Node, Node, Group) {
    let server = LocalServer::new();
    let (alice, bob) = (client(&server, "Alice").await, client(&server, "Bob").await);
    let group = alice.create_group().unwrap();
    group.add_member(bob.account_id(), role).await.unwrap();
    (server, alice, bob, group)
}

pub fn board(node: &Node, group: &Group, notes: &[Co<Note>]) -> Co<Board> {
    let list = node.create_list(group, notes.iter().map(Co::reference)).unwrap();
    let named = notes
        .iter()
        .map(|note| (note.get().unwrap().text, note.reference()));
    let record = node.create_record(group, named).unwrap();
    let board = Board {
        title: "Board".into(),
        notes: list.reference(),
        by_name: record.reference(),
        pinned: None,
    };
    node.create(group, board).unwrap()
}
