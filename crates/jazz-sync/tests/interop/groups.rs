//! Group rules between jazz-tools and us: invites of every role, members, everybody, parents, removal.

use std::path::Path;

use jazz::{Group, InviteSecret, LoadError, Node, Ref, Role};
use serde_json::{Value, json};

use crate::schema::Leaf;
use crate::support::{JazzTools, SOON, SyncServer, interop_folder, node, our_server, their_server};

const ROLES: [Role; 5] = [
    Role::Reader,
    Role::Writer,
    Role::WriteOnly,
    Role::Manager,
    Role::Admin,
];

#[tokio::test]
async fn group_rules_over_our_server() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    rules(&interop, &server).await;
}

#[tokio::test]
async fn group_rules_over_their_server() {
    let Some(interop) = interop_folder() else { return };
    let server = their_server(&interop).await;
    rules(&interop, &server).await;
}

async fn rules(interop: &Path, server: &SyncServer) {
    let ours = node(&server.url).await;
    let other = node(&server.url).await;
    let mut jazz = JazzTools::start(interop, &server.url).await;
    for role in ROLES {
        their_invite(&ours, &mut jazz, role).await;
        our_invite(&ours, &mut jazz, role).await;
    }
    managers(&ours, &other, &mut jazz).await;
    everybody(&other, &mut jazz).await;
    parents(&ours, &other, &mut jazz).await;
    removal(&ours, &mut jazz).await;
}

async fn create_group(jazz: &mut JazzTools) -> Value {
    jazz.ask(json!({ "request": "createGroup" })).await["group"].clone()
}

async fn load_group(node: &Node, id: &Value) -> Group {
    let id = id.as_str().unwrap().parse().unwrap();
    node.load_group(&id).await.unwrap()
}

/// What jazz-tools writes in a group is read by us.
async fn reads(node: &Node, group: &Value, jazz: &mut JazzTools) {
    let written = jazz
        .ask(json!({ "request": "writeLeaf", "group": group, "name": "theirs" }))
        .await;
    let id: Ref<Leaf> = written["id"].as_str().unwrap().parse().unwrap();
    let leaf = node.load(&id).await.unwrap();
    assert_eq!(leaf.get().unwrap().name, "theirs");
}

/// What we write in a group is read by jazz-tools.
async fn is_read(node: &Node, group: &Group, jazz: &mut JazzTools) {
    let name = "ours".to_owned();
    let leaf = node.create(group, Leaf { name }).unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    let read = jazz.ask(json!({ "request": "readLeaf", "id": leaf.id() })).await;
    assert_eq!(read["name"], "ours", "{read}");
}

async fn their_invite(node: &Node, jazz: &mut JazzTools, role: Role) {
    let group = create_group(jazz).await;
    let invite = jazz
        .ask(json!({ "request": "invite", "group": group, "role": role.as_str() }))
        .await;
    let secret: InviteSecret = invite["secret"].as_str().unwrap().parse().unwrap();
    let id = group.as_str().unwrap().parse().unwrap();
    let ours = node.accept_invite(&id, &secret).await.unwrap();
    assert_eq!(ours.my_role(), Some(role));
    jazz.ask(json!({
        "request": "waitForRole", "group": group, "member": node.account_id(), "role": role.as_str(),
    }))
    .await;
    if role != Role::WriteOnly {
        reads(node, &group, jazz).await;
    }
    if role == Role::Reader {
        assert!(node.create(&ours, Leaf { name: String::new() }).is_err());
    } else {
        is_read(node, &ours, jazz).await;
    }
}

async fn our_invite(node: &Node, jazz: &mut JazzTools, role: Role) {
    let group = node.create_group().unwrap();
    let secret = group.create_invite(role).await.unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    jazz.ask(json!({ "request": "acceptInvite", "group": group.id(), "secret": *secret.expose() }))
        .await;
    role_becomes(&group, &jazz.account.clone(), role).await;
    let id = json!(group.id());
    if role != Role::Reader {
        reads(node, &id, jazz).await;
    }
    if role != Role::WriteOnly {
        is_read(node, &group, jazz).await;
    }
}

async fn role_becomes(group: &Group, member: &jazz::AccountId, role: Role) {
    let mut changes = group.subscribe();
    let waiting = changes.wait_for(|_| group.role_of(member) == Some(role));
    tokio::time::timeout(SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("no {role}"))
        .expect("the node runs")
        .unwrap();
}

/// jazz-tools makes us a manager, and we make somebody a reader.
async fn managers(ours: &Node, other: &Node, jazz: &mut JazzTools) {
    let group = create_group(jazz).await;
    jazz.ask(
        json!({ "request": "addMember", "group": group, "member": ours.account_id(), "role": "manager" }),
    )
    .await;
    let managed = load_group(ours, &group).await;
    role_becomes(&managed, ours.account_id(), Role::Manager).await;
    managed
        .add_member(other.account_id(), Role::Reader)
        .await
        .unwrap();
    ours.wait_for_sync(SOON).await.unwrap();
    jazz.ask(
        json!({ "request": "waitForRole", "group": group, "member": other.account_id(), "role": "reader" }),
    )
    .await;
    reads(other, &group, jazz).await;
}

/// jazz-tools opens a group, and somebody who is no member reads and writes.
async fn everybody(other: &Node, jazz: &mut JazzTools) {
    let group = create_group(jazz).await;
    jazz.ask(json!({ "request": "addEveryone", "group": group, "role": "writer" }))
        .await;
    let open = load_group(other, &group).await;
    assert_eq!(open.everyone(), Some(Role::Writer));
    reads(other, &group, jazz).await;
    is_read(other, &open, jazz).await;
}

/// Members are inherited, whoever made the parent, the child, and the link.
async fn parents(ours: &Node, other: &Node, jazz: &mut JazzTools) {
    let parent = ours.create_group().unwrap();
    parent.add_member(other.account_id(), Role::Writer).await.unwrap();
    ours.wait_for_sync(SOON).await.unwrap();
    let child = create_group(jazz).await;
    jazz.ask(json!({ "request": "extend", "group": child, "parent": parent.id(), "role": "inherit" }))
        .await;
    let inherited = load_group(other, &child).await;
    assert_eq!(inherited.my_role(), Some(Role::Writer));
    reads(other, &child, jazz).await;
    is_read(other, &inherited, jazz).await;

    let theirs = load_group(ours, &create_group(jazz).await).await;
    let child = ours.create_group().unwrap();
    child.extend_as(&theirs, Role::Reader).await.unwrap();
    is_read(ours, &child, jazz).await;
}

/// What is written after a removal is not read by who was removed.
async fn removal(ours: &Node, jazz: &mut JazzTools) {
    let group = ours.create_group().unwrap();
    group.add_member(&jazz.account, Role::Writer).await.unwrap();
    is_read(ours, &group, jazz).await;
    group.remove_member(&jazz.account).await.unwrap();
    let secret = Leaf {
        name: "secret".to_owned(),
    };
    let secret = ours.create(&group, secret).unwrap();
    ours.wait_for_sync(SOON).await.unwrap();
    let read = jazz
        .ask(json!({ "request": "readLeaf", "id": secret.id() }))
        .await;
    assert!(read["name"].is_null(), "{read}");

    let id = json!(group.id());
    jazz.ask(json!({ "request": "waitForRole", "group": id, "member": jazz.account, "role": null }))
        .await;
    let written = jazz
        .attempt(json!({ "request": "writeLeaf", "group": id, "name": "late" }))
        .await;
    if let Ok(written) = written {
        // Not refused there; it doesn't count here.
        let late: Ref<Leaf> = written["id"].as_str().unwrap().parse().unwrap();
        let late = ours.load(&late).await.and_then(|late| late.get());
        assert!(
            matches!(late, Err(LoadError::Unauthorised(_) | LoadError::Schema(_))),
            "{late:?}"
        );
    }
}
