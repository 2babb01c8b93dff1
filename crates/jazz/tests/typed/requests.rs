//! Requests between accounts: what honest ones do, and what is made of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cojson::NewValue;
use cojson::crypto::{secure_hash, sign};
use cojson::header::ValueType;
use cojson::message::Message;
use cojson::secrets::SignerSecret;
use cojson::transaction::Privacy;
use jazz::request::{Answer, Invalid, OutgoingRequest, Receiver, RequestError, SendError};
use jazz::{AccountId, AgentSecret, CoId, CoMap, Credentials, LocalServer, Node, Role, SecretSeed};
use serde_json::{Value, json};

use crate::support::{SOON, client};

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Order {
    amount: u32,
    note: Option<String>,
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Receipt {
    text: String,
}

/// A server, a caller and a callee.
async fn world() -> (LocalServer, Node, Node) {
    let server = LocalServer::new();
    let (caller, callee) = (client(&server, "Caller").await, client(&server, "Callee").await);
    caller.wait_for_sync(SOON).await.unwrap();
    (server, caller, callee)
}

fn order(amount: u32) -> Order {
    Order { amount, note: None }
}

async fn handle(receiver: &Receiver, body: &[u8]) -> Answer {
    let handler = |order: Order, made_by: AccountId| async move {
        match order.amount {
            0 => Err(RequestError::new(422, "nothing ordered").with_details(json!({"amount": 0}))),
            amount => Ok(Receipt {
                text: format!("{amount} for {made_by}"),
            }),
        }
    };
    receiver.handle(body, handler).await
}

/// A message that the caller makes by hand: `share` decides about the group, then it has an order in it.
fn make(caller: &Node, share: impl FnOnce(&mut cojson::Node, &mut cojson::Cx<'_>, &CoId)) -> CoId {
    caller.driver().with(|core, cx| {
        let group = core.create_group(cx).unwrap();
        share(core, cx, &group);
        let order = vec![json!({"op": "set", "key": "amount", "value": 7})];
        core.create(cx, NewValue::new(ValueType::CoMap, group, order))
            .unwrap()
    })
}

async fn shared_with(caller: &Node, callee: &Node) -> CoId {
    caller.load_account(callee.account_id()).await.unwrap();
    make(caller, |core, cx, group| {
        core.add_member(cx, group, callee.account_id(), Role::Writer)
            .unwrap();
    })
}

fn pieces(node: &Node, id: &CoId) -> Vec<Value> {
    let content = node.driver().with(|core, _| core.export(id));
    let messages = content
        .into_iter()
        .map(|content| Message::Content(Box::new(content)));
    messages
        .map(|message| serde_json::to_value(message).unwrap())
        .collect()
}

fn signed(pieces: &[Value], id: &CoId, at: u64, signer: &SignerSecret) -> Vec<u8> {
    let mut body = json!({"contentPieces": pieces, "id": id, "createdAt": at, "signerID": signer.id()});
    body["authToken"] = json!(sign(signer, &json!(secure_hash(&body))));
    body.to_string().into_bytes()
}

fn now() -> u64 {
    jazz::driver::now().0
}

/// A body with the whole message, signed by its maker now.
fn body(caller: &Node, id: &CoId) -> Vec<u8> {
    let secret = caller.credentials().unwrap().agent_secret;
    signed(&pieces(caller, id), id, now(), secret.signer())
}

async fn refusal(callee: &Node, body: &[u8]) -> Invalid {
    let accepted = Receiver::new(callee).accept(body).await;
    accepted.expect_err("the request was accepted")
}

#[tokio::test]
async fn a_request_is_answered_and_leaves_nothing_in_memory() {
    let (_server, caller, callee) = world().await;
    let receiver = Receiver::new(&callee);
    let request = OutgoingRequest::new(&caller, callee.account_id(), &order(3))
        .await
        .unwrap();
    let before = callee.driver().with(|core, _| core.values().iter().count());
    let answer = handle(&receiver, request.body()).await;
    assert_eq!((answer.status, answer.is_request_error), (200, false));
    let receipt: Receipt = request.response(&answer).await.unwrap();
    assert_eq!(receipt.text, format!("3 for {}", caller.account_id()));
    let after = callee.driver().with(|core, _| core.values().iter().count());
    // The caller's account, and nothing of the exchange.
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn errors_of_handlers_reach_the_caller() {
    let (_server, caller, callee) = world().await;
    let request = OutgoingRequest::new(&caller, callee.account_id(), &order(0))
        .await
        .unwrap();
    let answer = handle(&Receiver::new(&callee), request.body()).await;
    assert_eq!((answer.status, answer.is_request_error), (422, true));
    let expected = json!({"message": "nothing ordered", "code": 422, "details": {"amount": 0}});
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), expected);
    match request.response::<Receipt>(&answer).await {
        Err(SendError::Refused(error)) => assert_eq!(json!(error), expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_is_not_of_the_schema_is_refused() {
    let (_server, caller, callee) = world().await;
    let fields = json!({"amount": "seven"}).as_object().unwrap().clone();
    let request = OutgoingRequest::of_fields(&caller, callee.account_id(), fields)
        .await
        .unwrap();
    let answer = handle(&Receiver::new(&callee), request.body()).await;
    assert_eq!((answer.status, answer.is_request_error), (400, true));
    let error: RequestError = serde_json::from_slice(&answer.body).unwrap();
    let details = error.details.unwrap();
    assert!(details.as_str().unwrap().contains("Order.amount"), "{details}");
}

#[tokio::test]
async fn copies_of_a_request_that_come_at_once_run_it_once() {
    let (_server, caller, callee) = world().await;
    let body = body(&caller, &shared_with(&caller, &callee).await);
    let (receiver, runs) = (Receiver::new(&callee), Arc::new(AtomicU32::new(0)));
    let handled = (0..8).map(|_| {
        receiver.handle(&body, |_: Order, _| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Ok(Receipt { text: String::new() }) }
        })
    });
    let answers = futures::future::join_all(handled).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let successes = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(successes, 1);
    let refused = answers.iter().filter(|answer| answer.status == 400).count();
    assert_eq!(refused, 7);
}

#[tokio::test]
async fn a_request_is_not_run_again_after_a_restart() {
    let (server, caller, callee) = world().await;
    let body = body(&caller, &shared_with(&caller, &callee).await);
    assert_eq!(handle(&Receiver::new(&callee), &body).await.status, 200);
    callee.shutdown().await;
    let restarted = Node::builder()
        .local_server(&server)
        .account(callee.credentials().unwrap())
        .connect()
        .await
        .unwrap();
    assert!(matches!(
        refusal(&restarted, &body).await,
        Invalid::AlreadyHandled
    ));
}

#[tokio::test]
async fn a_request_is_marked_durably_before_it_runs() {
    let (server, caller, callee) = world().await;
    let id = shared_with(&caller, &callee).await;
    let receiver = Receiver::new(&callee);
    let request = receiver.accept(&body(&caller, &id)).await.unwrap();
    let marked = server.driver().with(|core, _| {
        let mut sessions = core.log(&id).unwrap().sessions().keys();
        sessions.any(|session| session.author().account() == Some(callee.account_id()))
    });
    assert!(marked, "the server has no mark");
    drop(request);
    let by_caller = caller.driver().with(|core, _| core.map(&id).unwrap().to_json());
    assert_eq!(
        by_caller["$handled"],
        json!(callee.account_id()),
        "the mark isn't the one of the format"
    );
}

#[tokio::test]
async fn a_request_is_not_run_if_it_cannot_be_marked_durably() {
    let (_server, caller, _) = world().await;
    // A node without storage and server.
    let callee = Node::builder().create_account("Offline").connect().await.unwrap();
    let introduction = callee
        .driver()
        .with(|core, _| core.export(callee.account_id().as_co_id()));
    caller.driver().with(|core, cx| {
        for piece in introduction {
            core.import(cx.now, piece).unwrap();
        }
    });
    let body = body(&caller, &shared_with(&caller, &callee).await);
    tokio::time::pause(); // so that it gives up at once
    assert!(matches!(refusal(&callee, &body).await, Invalid::NotReady(_)));
}

#[tokio::test]
async fn a_request_to_another_account_is_refused() {
    let (server, caller, callee) = world().await;
    let other = client(&server, "Other").await;
    let body = body(&caller, &shared_with(&caller, &callee).await);
    assert!(matches!(refusal(&other, &body).await, Invalid::OtherMembers(_)));
}

#[tokio::test]
async fn a_group_with_anybody_else_in_it_is_refused() {
    let (server, caller, callee) = world().await;
    let other = client(&server, "Other").await;
    caller.load_account(other.account_id()).await.unwrap();
    caller.load_account(callee.account_id()).await.unwrap();
    let parent = caller.create_group().unwrap();
    type Share = Box<dyn Fn(&mut cojson::Node, &mut cojson::Cx<'_>, &CoId)>;
    let third = other.account_id().clone();
    let (former, parent) = (third.clone(), parent.id().clone());
    let shares: Vec<(&str, Role, Share)> = vec![
        ("reader", Role::Reader, Box::new(|_, _, _| {})),
        ("admin", Role::Admin, Box::new(|_, _, _| {})),
        (
            "third",
            Role::Writer,
            Box::new(move |core, cx, group| {
                core.add_member(cx, group, &third, Role::Reader).unwrap();
            }),
        ),
        (
            "former",
            Role::Writer,
            Box::new(move |core, cx, group| {
                core.add_member(cx, group, &former, Role::Reader).unwrap();
                core.remove_member(cx, group, &former).unwrap();
            }),
        ),
        (
            "everyone",
            Role::Writer,
            Box::new(|core, cx, group| {
                core.set_everyone(cx, group, Some(cojson::group::EveryoneRole::Reader))
                    .unwrap();
            }),
        ),
        (
            "parent",
            Role::Writer,
            Box::new(move |core, cx, group| {
                core.extend(cx, group, &parent, cojson::group::Mapping::Extend)
                    .unwrap();
            }),
        ),
        (
            "invite",
            Role::Writer,
            Box::new(|core, cx, group| drop(core.create_invite(cx, group, Role::Reader).unwrap())),
        ),
    ];
    for (name, role, share) in shares {
        let id = make(&caller, |core, cx, group| {
            core.add_member(cx, group, callee.account_id(), role).unwrap();
            share(core, cx, group);
        });
        let refused = refusal(&callee, &body(&caller, &id)).await;
        assert!(matches!(refused, Invalid::OtherMembers(_)), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn who_signs_must_be_who_made_the_message() {
    let (server, caller, callee) = world().await;
    let id = shared_with(&caller, &callee).await;
    let mallory = client(&server, "Mallory").await;
    let pieces = pieces(&caller, &id);
    let secret = mallory.credentials().unwrap().agent_secret;
    let body = signed(&pieces, &id, now(), secret.signer());
    assert!(
        matches!(refusal(&callee, &body).await, Invalid::NotTheSigner(account) if account == *caller.account_id())
    );
}

#[tokio::test]
async fn a_revoked_signer_is_refused() {
    let (_server, caller, callee) = world().await;
    let body = body(&caller, &shared_with(&caller, &callee).await);
    let (account, agent) = (
        caller.account_id().as_co_id().clone(),
        caller.credentials().unwrap().agent_secret.id().clone(),
    );
    caller
        .driver()
        .with(|core, cx| core.revoke_invite(cx, &account, &agent).unwrap());
    caller.wait_for_sync(SOON).await.unwrap();
    assert!(matches!(refusal(&callee, &body).await, Invalid::NotTheSigner(_)));
}

#[tokio::test]
async fn a_request_out_of_time_is_refused() {
    let (_server, caller, callee) = world().await;
    let id = shared_with(&caller, &callee).await;
    let (pieces, signer) = (
        pieces(&caller, &id),
        caller.credentials().unwrap().agent_secret.signer().clone(),
    );
    let old = signed(&pieces, &id, now() - 61_000, &signer);
    assert!(matches!(refusal(&callee, &old).await, Invalid::Expired));
    let ahead = signed(&pieces, &id, now() + 120_000, &signer);
    assert!(matches!(refusal(&callee, &ahead).await, Invalid::FromTheFuture));
}

#[tokio::test]
async fn an_old_message_is_refused_though_its_maker_signs_it_now() {
    let (_server, caller, callee) = world().await;
    let id = shared_with(&caller, &callee).await;
    let (pieces, signer) = (
        pieces(&caller, &id),
        caller.credentials().unwrap().agent_secret.signer().clone(),
    );
    let later = now() + 3_600_000;
    let body = signed(&pieces, &id, later, &signer);
    let refused = Receiver::new(&callee)
        .accept_if(&body, cojson::transaction::Timestamp(later), |_| Ok(()))
        .await;
    assert!(matches!(refused, Err(Invalid::NotFresh(_))), "{refused:?}");
}

#[tokio::test]
async fn a_message_with_another_author_is_refused() {
    let (_server, caller, callee) = world().await;
    let id = shared_with(&caller, &callee).await;
    caller.wait_for_sync(SOON).await.unwrap();
    // The callee has written to it before it was sent.
    callee
        .load::<Order>(&id.to_string().parse().unwrap())
        .await
        .unwrap();
    let change = [json!({"op": "set", "key": "amount", "value": 1})];
    callee
        .driver()
        .with(|core, cx| core.write(cx, &id, &change, Privacy::Private, None).unwrap());
    callee.wait_for_sync(SOON).await.unwrap();
    let mut seen = caller
        .loaded::<Order>(&id.to_string().parse().unwrap())
        .unwrap()
        .subscribe();
    let arrived = seen.wait_for(|order| order.amount == 1);
    tokio::time::timeout(SOON, arrived)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(
        refusal(&callee, &body(&caller, &id)).await,
        Invalid::OtherAuthor(_)
    ));
}

#[tokio::test]
async fn a_message_that_does_not_come_whole_is_refused() {
    let (_server, caller, callee) = world().await;
    let id = shared_with(&caller, &callee).await;
    let signer = caller.credentials().unwrap().agent_secret.signer().clone();
    let all = pieces(&caller, &id);
    for left_out in 0..all.len() {
        if all[left_out]["id"] == json!(callee.account_id()) {
            continue; // The callee knows itself.
        }
        let mut some = all.clone();
        some.remove(left_out);
        let refused = refusal(&callee, &signed(&some, &id, now(), &signer)).await;
        assert!(matches!(refused, Invalid::NotWhole(_)), "{left_out}: {refused:?}");
    }
    // A message of which others have more than comes with the request.
    let first = all.clone();
    let change = [json!({"op": "set", "key": "note", "value": "later"})];
    caller
        .driver()
        .with(|core, cx| core.write(cx, &id, &change, Privacy::Private, None).unwrap());
    caller.wait_for_sync(SOON).await.unwrap();
    let refused = refusal(&callee, &signed(&first, &id, now(), &signer)).await;
    assert!(matches!(refused, Invalid::NotWhole(_)), "{refused:?}");
}

#[tokio::test]
async fn changed_bytes_are_refused() {
    let (_server, caller, callee) = world().await;
    let body: Value = serde_json::from_slice(&body(&caller, &shared_with(&caller, &callee).await)).unwrap();
    let mut changed = body.clone();
    changed["createdAt"] = json!(body["createdAt"].as_u64().unwrap() + 1);
    let refused = refusal(&callee, changed.to_string().as_bytes()).await;
    assert!(matches!(refused, Invalid::Signature), "{refused:?}");
    let mut changed = body.clone();
    changed["contentPieces"].as_array_mut().unwrap().pop();
    let refused = refusal(&callee, changed.to_string().as_bytes()).await;
    assert!(matches!(refused, Invalid::Signature), "{refused:?}");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let (server, caller, callee) = world().await;
    let other = client(&server, "Other").await;
    let id = shared_with(&caller, &other).await;
    let before = callee.driver().with(|core, _| core.values().iter().count());
    refusal(&callee, &body(&caller, &id)).await;
    let after = callee.driver().with(|core, _| core.values().iter().count());
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_response_by_somebody_else_does_not_count() {
    let (server, caller, callee) = world().await;
    let other = client(&server, "Other").await;
    let request = OutgoingRequest::new(&caller, callee.account_id(), &order(1))
        .await
        .unwrap();
    let to_other = OutgoingRequest::new(&caller, other.account_id(), &order(1))
        .await
        .unwrap();
    let answer = handle(&Receiver::new(&other), to_other.body()).await;
    assert_eq!(answer.status, 200);
    let read = request.response::<Receipt>(&answer).await;
    assert!(
        matches!(&read, Err(SendError::Response(Invalid::NotCalled(account))) if account == other.account_id()),
        "{read:?}"
    );
    // A request is no response.
    let echo =
        json!({"type": "success", "payload": serde_json::from_slice::<Value>(request.body()).unwrap()});
    let echo = Answer {
        status: 200,
        is_request_error: false,
        body: echo.to_string().into_bytes(),
    };
    let read = request.response::<Receipt>(&echo).await;
    assert!(matches!(read, Err(SendError::Response(_))), "{read:?}");
}

#[tokio::test]
async fn garbage_is_refused() {
    let (_server, _caller, callee) = world().await;
    let receiver = Receiver::new(&callee);
    for garbage in [&b""[..], b"zzz", b"{}", b"[]", b"{\"a\":1}", b"\xff\xfe"] {
        let answer = handle(&receiver, garbage).await;
        assert_eq!((answer.status, answer.is_request_error), (400, true));
    }
    let long = vec![b' '; jazz::request::MAX_BODY_BYTES + 1];
    assert_eq!(handle(&receiver, &long).await.status, 400);
}

/// An account made from a seed, as the vectors' accounts are known by their secrets.
#[tokio::test]
async fn a_caller_whom_no_server_knows_brings_its_account_along() {
    let (_server, _caller, callee) = world().await;
    let secret = AgentSecret::from_seed(&SecretSeed::from_bytes([7; 32]));
    let stranger = Node::builder().create_account_of(secret, "Stranger");
    let stranger = stranger.connect().await.unwrap();
    let account = callee
        .driver()
        .with(|core, _| core.export(callee.account_id().as_co_id()));
    stranger.driver().with(|core, cx| {
        for piece in account {
            core.import(cx.now, piece).unwrap();
        }
    });
    let id = shared_with(&stranger, &callee).await;
    let answer = handle(&Receiver::new(&callee), &body(&stranger, &id)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn a_node_does_not_answer_itself() {
    let (_server, caller, _) = world().await;
    let id = make(&caller, |_, _, _| {});
    assert!(matches!(
        refusal(&caller, &body(&caller, &id)).await,
        Invalid::OtherMembers(_)
    ));
}

/// Credentials of an account of a vector.
pub fn credentials(account: &Value) -> Credentials {
    let secret: AgentSecret = account["agentSecret"].as_str().unwrap().parse().unwrap();
    let credentials = Credentials::of(secret);
    assert_eq!(json!(credentials.account_id), account["accountID"]);
    credentials
}
