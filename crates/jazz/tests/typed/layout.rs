//! What we write is laid out as jazz-tools lays it out, and what jazz-tools wrote is read: the vector `jazz-layout`.

use std::collections::{BTreeMap, HashMap};

use cojson::crypto::{Nonce, decrypt};
use cojson::group::{Groups, Reader};
use cojson::header::Header;
use cojson::sync::PeerRole;
use cojson::transaction::{Privacy, Transaction};
use jazz::{
    Co, CoFeed, CoId, CoList, CoMap, CoPlainText, CoRecord, CoRichText, Credentials, FileInfo, Group,
    ImageDefinition, LocalServer, Node, Ref, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::offline;

fn vector() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../cojson/tests/vectors/jazz-layout.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Child {
    n: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    b: u32,
    a: Vec<String>,
}

/// The schema `map` of the vector.
#[derive(CoMap, Clone, Debug, PartialEq)]
struct Everything {
    str: String,
    num: f64,
    bool: bool,
    date: Timestamp,
    en: String,
    lit: String,
    nul: Value,
    obj: Inner,
    arr: Vec<u32>,
    tup: (u32, String),
    rec: BTreeMap<String, u32>,
    codec: String,
    child: Ref<Child>,
    text: Ref<CoPlainText>,
    rich: Ref<CoRichText>,
    list: Ref<CoList<String>>,
    opt_date: Option<Timestamp>,
    opt: Option<String>,
    opt_child: Option<Ref<Child>>,
}

fn everything(
    child: &Co<Child>,
    text: &Co<CoPlainText>,
    rich: &Co<CoRichText>,
    list: &Co<CoList<String>>,
) -> Everything {
    Everything {
        str: "s".into(),
        num: 1.5,
        bool: true,
        date: Timestamp(1_750_000_000_000),
        en: "b".into(),
        lit: "x".into(),
        nul: Value::Null,
        obj: Inner {
            b: 1,
            a: vec!["q".into()],
        },
        arr: vec![1, 2],
        tup: (1, "t".into()),
        rec: BTreeMap::from([("k".into(), 1)]),
        codec: "60".into(),
        child: child.reference(),
        text: text.reference(),
        rich: rich.reference(),
        list: list.reference(),
        opt_date: None,
        opt: None,
        opt_child: None,
    }
}

/// The transactions of a value in the form of the vector, with ids replaced.
fn transactions(node: &Node, id: &CoId, replace: &HashMap<String, String>) -> Vec<Value> {
    let credentials = node.credentials().unwrap();
    let reader = Reader::account(credentials.account_id, credentials.agent_secret);
    node.driver().with(|core, _| {
        let log = core.log(id).unwrap();
        let owner = log.header().owner().unwrap();
        let mut groups = Groups::default();
        groups.refresh(core.values(), owner);
        let mut found = Vec::new();
        for (session, content) in log.sessions() {
            for (index, tx) in content.transactions().iter().enumerate() {
                let (changes, meta) = match tx {
                    Transaction::Trusting(tx) => {
                        (tx.changes.to_string(), tx.meta.as_deref().map(str::to_owned))
                    }
                    Transaction::Private(tx) => {
                        let secret = groups
                            .secret(core.values(), &reader, owner, &tx.key_used)
                            .unwrap();
                        let nonce = Nonce::of_transaction(id, session, index);
                        let plain = |text: &str| decrypt(text, &secret, &nonce).unwrap();
                        (plain(&tx.encrypted_changes), tx.meta.as_deref().map(plain))
                    }
                };
                let privacy = if tx.privacy() == Privacy::Private {
                    "private"
                } else {
                    "trusting"
                };
                let mut text = json!({"txIndex": index, "privacy": privacy}).to_string();
                text.pop();
                text.push_str(&format!(r#","changes":{changes}"#));
                meta.iter()
                    .for_each(|meta| text.push_str(&format!(r#","meta":{meta}"#)));
                text.push('}');
                for (from, to) in replace {
                    text = text.replace(from, to);
                }
                found.push(serde_json::from_str(&text).unwrap());
            }
        }
        found
    })
}

/// The transactions of the vector without their times.
fn expected(value: &Value) -> Vec<Value> {
    let mut transactions = value["transactions"].as_array().unwrap().clone();
    for transaction in &mut transactions {
        transaction.as_object_mut().unwrap().shift_remove("madeAt");
    }
    transactions
}

fn header(node: &Node, id: &CoId) -> Value {
    node.driver()
        .with(|core, _| core.log(id).unwrap().header().to_json())
}

/// Compares headers but for what differs by chance.
fn assert_same_header(ours: &Value, theirs: &Value) {
    let members = |header: &Value| {
        header
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(members(ours), members(theirs));
    assert_eq!(ours["type"], theirs["type"]);
    assert_eq!(ours["meta"], theirs["meta"]);
    assert_eq!(ours["ruleset"]["type"], theirs["ruleset"]["type"]);
    assert_eq!(members(&ours["ruleset"]), members(&theirs["ruleset"]));
}

/// Our session and the vector's.
fn sessions(node: &Node) -> (String, String) {
    let session = node.driver().with(|core, _| core.session().unwrap().to_string());
    (
        session,
        "co_zRqnSHjELfvYBAsWgjDr2Tvqw66_session_zhErjdChPpD".into(),
    )
}

async fn prepared() -> (Node, Group, Co<Child>, HashMap<String, String>) {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let child = node.create(&group, Child { n: 1 }).unwrap();
    let replace = HashMap::from([
        (child.id().to_string(), "co_zEC4QL72p1uj3T7hXwvEdVsnxhF".into()),
        sessions(&node),
    ]);
    (node, group, child, replace)
}

#[tokio::test]
async fn maps_are_written_as_jazz_tools_does() {
    let vector = vector();
    let theirs = &vector["values"]["map"];
    let (node, group, child, mut replace) = prepared().await;
    let text = node.create_text(&group, "plain").unwrap();
    let rich = node.create_rich_text(&group, "<p>rich</p>").unwrap();
    let list = node.create_list(&group, ["l".to_owned()]).unwrap();
    let map = node
        .create(&group, everything(&child, &text, &rich, &list))
        .unwrap();
    map.update(|map| map.opt_date = Some(Timestamp(0))).unwrap();
    map.update(|map| map.opt_date = None).unwrap();
    map.update(|map| map.opt = Some("x".into())).unwrap();
    map.update(|map| map.opt = None).unwrap();
    map.update(|map| map.opt_child = Some(child.reference())).unwrap();
    map.update(|map| map.opt_child = None).unwrap();
    map.update(|map| map.nul = "set".into()).unwrap();

    let raw = &theirs["raw"];
    replace.insert(text.id().to_string(), raw["text"].as_str().unwrap().into());
    replace.insert(rich.id().to_string(), raw["rich"].as_str().unwrap().into());
    replace.insert(list.id().to_string(), raw["list"].as_str().unwrap().into());
    let ours = transactions(&node, map.id(), &replace);
    let mut theirs_then = expected(theirs);
    // They clear optional JSON in two ways, by `set` without a value and then by `del`; we by `del`.
    theirs_then.remove(4);
    let del = theirs_then.remove(6);
    theirs_then.insert(4, del);
    for (index, transaction) in theirs_then.iter_mut().enumerate() {
        transaction["txIndex"] = index.into();
    }
    assert_eq!(ours.len(), theirs_then.len());
    for (ours, theirs) in ours.iter().zip(&theirs_then) {
        assert_eq!(
            ours.to_string(),
            theirs.to_string(),
            "in the same order of members too"
        );
    }
    assert_same_header(&header(&node, map.id()), &theirs["header"]);
}

#[tokio::test]
async fn maps_of_jazz_tools_are_read() {
    let vector = vector();
    let theirs = &vector["values"]["map"];
    let (node, group, ..) = prepared().await;
    let map = node.create_record(&group, Vec::<(&str, Value)>::new()).unwrap();
    let typed = node.loaded(&Ref::<Everything>::new(map.id().clone())).unwrap();
    let transactions = theirs["transactions"].as_array().unwrap();
    let mut seen = Vec::new();
    for transaction in transactions {
        let changes = transaction["changes"].as_array().unwrap();
        node.driver()
            .with(|core, cx| core.write(cx, map.id(), changes, Privacy::Private, None))
            .unwrap();
        let now = typed.get().unwrap();
        seen.push((now.opt_date, now.opt, now.opt_child.is_some()));
    }
    let x = || Some("x".to_owned());
    let expected = [
        (None, None, false),
        (Some(Timestamp(0)), None, false),
        (None, None, false),
        (None, x(), false),
        (None, None, false),
        (None, None, true),
        (None, None, false),
        (None, None, false),
        (None, None, false),
    ];
    assert_eq!(seen, expected);
    let last = typed.get().unwrap();
    assert_eq!(
        (last.num, last.date, last.tup),
        (1.5, Timestamp(1_750_000_000_000), (1, "t".into()))
    );
    assert_eq!(
        (last.obj, last.nul),
        (
            Inner {
                b: 1,
                a: vec!["q".into()]
            },
            Value::from("set")
        )
    );
    assert_eq!(last.child.id().as_str(), theirs["raw"]["child"].as_str().unwrap());
}

#[tokio::test]
async fn lists_are_written_as_jazz_tools_does() {
    let vector = vector();
    let (node, group, child, mut replace) = prepared().await;
    let dates = node.create_list(&group, [Timestamp(0), Timestamp(1000)]).unwrap();
    assert_eq!(
        transactions(&node, dates.id(), &replace),
        expected(&vector["values"]["dateList"])
    );

    let theirs = &vector["values"]["refList"];
    let other = node.create(&group, Child { n: 2 }).unwrap();
    let their_other = theirs["transactions"][1]["changes"][0]["value"].as_str().unwrap();
    replace.insert(other.id().to_string(), their_other.into());
    let links = node.create_list(&group, [child.reference()]).unwrap();
    links.push(&other.reference()).unwrap();
    links.remove(0).unwrap();
    links.set(0, &child.reference()).unwrap();
    links.insert(0, &child.reference()).unwrap();
    assert_eq!(transactions(&node, links.id(), &replace), expected(theirs));
    assert_same_header(&header(&node, links.id()), &theirs["header"]);

    let empty = node.create_list(&group, Vec::<u8>::new()).unwrap();
    assert_eq!(
        transactions(&node, empty.id(), &replace),
        expected(&vector["values"]["emptyList"])
    );
}

#[tokio::test]
async fn records_and_empty_maps_are_written_as_jazz_tools_does() {
    let vector = vector();
    let (node, group, _, replace) = prepared().await;
    let record = node.create_record(&group, [("one", 1)]).unwrap();
    record.insert("two", &2).unwrap();
    record.remove("one").unwrap();
    assert_eq!(
        transactions(&node, record.id(), &replace),
        expected(&vector["values"]["record"])
    );
    let empty = node.create_record(&group, Vec::<(&str, u8)>::new()).unwrap();
    assert_eq!(
        transactions(&node, empty.id(), &replace),
        expected(&vector["values"]["emptyMap"])
    );
    let owned = node
        .create_record(&node.account(), [("a", "1".to_owned())])
        .unwrap();
    assert_eq!(
        transactions(&node, owned.id(), &replace),
        expected(&vector["values"]["ownedByAccount"])
    );
    assert_eq!(
        header(&node, owned.id())["ruleset"]["group"],
        node.account_id().as_str()
    );
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Unique {
    v: u32,
}

#[tokio::test]
async fn unique_values_are_written_as_jazz_tools_does() {
    let vector = vector();
    let unique = &vector["values"]["unique"];
    let owner: CoId = vector["ownerGroup"]["id"].as_str().unwrap().parse().unwrap();
    let by_text = Node::unique_ref::<Unique>(&owner, "settings");
    assert_eq!(by_text.id().as_str(), unique["string"]["id"].as_str().unwrap());
    let marks = BTreeMap::from([
        ("kind".to_owned(), "x".to_owned()),
        ("id".to_owned(), "7".to_owned()),
    ]);
    let by_object = Node::unique_ref::<Unique>(&owner, marks.clone());
    assert_eq!(by_object.id().as_str(), unique["object"]["id"].as_str().unwrap());

    let (node, group, _, replace) = prepared().await;
    let upserted = node
        .upsert_unique(&group, "settings", Unique { v: 1 })
        .await
        .unwrap();
    assert_eq!(
        transactions(&node, upserted.id(), &replace),
        expected(&unique["string"])
    );
    assert_same_header(&header(&node, upserted.id()), &unique["string"]["header"]);
    let created = node
        .get_or_create_unique(&group, marks, Unique { v: 2 })
        .await
        .unwrap();
    assert_eq!(
        transactions(&node, created.id(), &replace),
        expected(&unique["object"])
    );

    let list = node
        .get_or_create_unique_list::<u8>(&group, "list")
        .await
        .unwrap();
    let first = &transactions(&node, list.id(), &replace)[0];
    assert_eq!(
        (&first["privacy"], &first["changes"]),
        (&json!("trusting"), &json!([]))
    );
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Profile {
    name: String,
    inbox: Ref<InboxRoot>,
    inbox_invite: String,
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct InboxRoot {
    messages: Ref<CoFeed<CoId>>,
    processed: Ref<CoFeed<String>>,
    failed: Ref<CoFeed<Value>>,
}

#[tokio::test]
async fn an_account_of_jazz_tools_is_used() {
    let vector = vector();
    let account = &vector["account"];
    let server = LocalServer::new();
    let (peer, _outgoing) = server
        .driver()
        .add_peer(PeerRole::Client, jazz::transport::QueueLimits::unbounded());
    for content in account["content"].as_array().unwrap() {
        server.driver().receive_frame(peer, &content.to_string());
    }
    let credentials = Credentials {
        account_id: account["accountID"].as_str().unwrap().parse().unwrap(),
        agent_secret: account["agentSecret"].as_str().unwrap().parse().unwrap(),
    };
    let node = Node::builder()
        .local_server(&server)
        .account(credentials)
        .connect()
        .await
        .unwrap();
    let profile = node.profile::<Profile>().await.unwrap();
    assert_eq!(profile.get().unwrap().name, "Alice");
    let loaded = node
        .load_deep(&profile.reference(), 1)
        .await
        .unwrap()
        .complete()
        .unwrap();
    let inbox = node.loaded(&loaded.get().unwrap().inbox).unwrap().get().unwrap();
    assert_eq!(
        inbox.messages.id().as_str(),
        account["inboxRoot"]["messages"].as_str().unwrap()
    );
    profile
        .update(|profile| profile.name = "Alice Liddell".into())
        .unwrap();
    assert_eq!(profile.get().unwrap().name, "Alice Liddell");
}

#[tokio::test]
async fn our_accounts_are_laid_out_as_those_of_jazz_tools() {
    let vector = vector();
    let node = offline().await;
    let secret = node.credentials().unwrap().agent_secret.clone();
    let account = node.account();
    let keys = |raw: &Value, agent: &str| {
        let readable = |key: &String| {
            let key = key.replace(agent, "AGENT");
            if key.starts_with("key_") {
                "KEY_for_AGENT".to_owned()
            } else {
                key
            }
        };
        raw.as_object()
            .unwrap()
            .keys()
            .map(readable)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let raw: Value = node.driver().with(|core, _| {
        let view = core.group(account.id()).unwrap();
        view.entries()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect()
    });
    let their_secret: jazz::AgentSecret = vector["account"]["agentSecret"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let theirs = keys(&vector["account"]["raw"], their_secret.id().as_str());
    assert_eq!(keys(&raw, secret.id().as_str()), theirs);
    assert_eq!(*account.id(), *Header::account(secret.id()).id());
    let profile = account.profile::<ProfileOnly>().await.unwrap();
    let replace = HashMap::new();
    let ours = transactions(&node, profile.id(), &replace);
    assert_eq!(
        ours[0]["changes"],
        json!([{"op": "set", "key": "name", "value": "Alice"}])
    );
    assert_eq!(ours[0]["privacy"], "private");
    let record = node
        .loaded(&Ref::<CoRecord<Value>>::new(profile.id().clone()))
        .unwrap();
    assert_eq!(record.keys().unwrap(), ["name"]);
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct ProfileOnly {
    name: String,
}

#[tokio::test]
async fn feeds_are_written_as_jazz_tools_does() {
    let vector = vector();
    let (node, group, child, replace) = prepared().await;
    let feed = node.create_feed(&group, ["f0".to_owned()]).unwrap();
    feed.push(&"f1".to_owned()).unwrap();
    let theirs = &vector["values"]["feed"];
    assert_eq!(transactions(&node, feed.id(), &replace), expected(theirs));
    assert_same_header(&header(&node, feed.id()), &theirs["header"]);
    let links = node.create_feed(&group, [child.reference()]).unwrap();
    let theirs = &vector["values"]["refFeed"];
    assert_eq!(transactions(&node, links.id(), &replace), expected(theirs));
}

#[tokio::test]
async fn files_vectors_and_images_are_written_as_jazz_tools_does() {
    let vector = vector();
    let (node, group, _, mut replace) = prepared().await;
    let info = FileInfo::new("text/plain").sized(5);
    let file = node.create_file(&group, info, &b"hello"[..]).await.unwrap();
    let theirs = &vector["values"]["fileStream"];
    assert_eq!(transactions(&node, file.id(), &replace), expected(theirs));
    assert_same_header(&header(&node, file.id()), &theirs["header"]);

    let numbers = node.create_vector(&group, &[1.0, 0.5, -2.0]).unwrap();
    let theirs = &vector["values"]["vector"];
    assert_eq!(transactions(&node, numbers.id(), &replace), expected(theirs));
    assert_same_header(&header(&node, numbers.id()), &theirs["header"]);
    assert_eq!(json!(numbers.get().unwrap()), json!([1.0, 0.5, -2.0]));
    assert_eq!(theirs["decoded"], json!([1, 0.5, -2]));

    let theirs = &vector["values"]["image"];
    let their_file = theirs["raw"]["original"].as_str().unwrap();
    replace.insert(file.id().to_string(), their_file.into());
    let image = ImageDefinition {
        original: file.reference(),
        original_size: (10, 20),
        placeholder_data_url: None,
        progressive: false,
    };
    let image = node
        .create_image(&group, image, [((10, 20), file.reference())])
        .unwrap();
    assert_eq!(transactions(&node, image.id(), &replace), expected(theirs));
    assert_eq!(
        image.sizes().unwrap(),
        BTreeMap::from([((10, 20), file.reference())])
    );
    image.add_size((5, 10), &file.reference()).unwrap();
    assert_eq!(image.sizes().unwrap().len(), 2);
    assert_eq!(image.get().unwrap().original_size, (10, 20));
}

#[tokio::test]
async fn append_only_lists_are_written_as_jazz_tools_does() {
    let vector = vector();
    let (node, group, _, replace) = prepared().await;
    let list = node.create_append_only_list(&group, ["x".to_owned()]).unwrap();
    let theirs = &vector["values"]["appendOnlyList"];
    assert_eq!(transactions(&node, list.id(), &replace), expected(theirs));
    assert_same_header(&header(&node, list.id()), &theirs["header"]);
    assert_eq!(header(&node, list.id())["ruleset"]["restrictDeletion"], true);
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Titled {
    title: String,
    child: Ref<Child>,
}

#[tokio::test]
async fn a_child_in_a_group_of_its_own_is_laid_out_as_an_inline_child() {
    let vector = vector();
    let theirs = &vector["values"]["inlineChild"];
    let (node, group, _, mut replace) = prepared().await;
    let inner = node.create_group().unwrap();
    inner.extend(&group).await.unwrap();
    let child = node.create(&inner, Child { n: 2 }).unwrap();
    let titled = Titled {
        title: "inline".into(),
        child: child.reference(),
    };
    let parent = node.create(&group, titled).unwrap();
    replace.insert(
        child.id().to_string(),
        theirs["child"]["id"].as_str().unwrap().into(),
    );
    assert_eq!(
        transactions(&node, parent.id(), &replace),
        expected(&theirs["parent"])
    );
    assert_eq!(
        transactions(&node, child.id(), &replace),
        expected(&theirs["child"])
    );
    // The same keys in the same order, but for ids.
    let keys = |raw: &Value| -> Vec<String> {
        let kinds = raw.as_object().unwrap().keys().map(|key| {
            let parts = key.split('_').filter(|part| !part.starts_with('z'));
            parts.collect::<Vec<_>>().join("_")
        });
        let mut kinds: Vec<String> = kinds.collect();
        kinds.sort();
        kinds
    };
    let raw: Value = node.driver().with(|core, _| {
        let view = core.group(inner.id()).unwrap();
        view.entries()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect()
    });
    assert_eq!(keys(&raw), keys(&theirs["childGroup"]));
}

#[tokio::test]
async fn a_child_of_a_unique_value_has_an_id_that_follows() {
    let vector = vector();
    let theirs = &vector["values"]["unique"]["inlineChildOfUnique"];
    let owner: CoId = vector["ownerGroup"]["id"].as_str().unwrap().parse().unwrap();
    for (unique, value) in [("parent", &theirs["parent"]), ("parent@@c", &theirs["child"])] {
        let reference = Node::unique_ref::<Unique>(&owner, unique);
        assert_eq!(reference.id().as_str(), value["id"].as_str().unwrap());
    }
}

#[tokio::test]
async fn accounts_with_a_root_are_laid_out_as_those_of_jazz_tools() {
    let vector = vector();
    let theirs = &vector["accountWithRoot"];
    let node = offline().await;
    let group = node.create_group().unwrap();
    let root = node.create(&group, Child { n: 1 }).unwrap();
    node.account().set_root(root.id()).unwrap();
    let secret: jazz::AgentSecret = theirs["agentSecret"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        Header::account(secret.id()).id().as_str(),
        theirs["accountID"].as_str().unwrap()
    );
    // What is set, without ids and keys: they set the root before the profile.
    let kinds = |sets: Vec<(String, String)>| {
        let mut kinds: Vec<String> = sets
            .into_iter()
            .map(|(privacy, key)| match key.split('_').next() {
                Some(kind @ ("key" | "sealer")) => format!("{privacy} {kind}"),
                _ => format!("{privacy} {key}"),
            })
            .collect();
        kinds.sort();
        kinds
    };
    let of_theirs = theirs["accountTransactions"].as_array().unwrap().iter();
    let of_theirs = of_theirs.map(|tx| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&tx["privacy"]), text(&tx["changes"][0]["key"]))
    });
    let of_ours = node.driver().with(|core, _| {
        let log = core.log(node.account_id().as_co_id()).unwrap();
        let transactions = log.sessions().values().flat_map(|session| session.transactions());
        let sets = transactions.map(|tx| match tx {
            Transaction::Trusting(tx) => {
                let changes: Value = serde_json::from_str(&tx.changes).unwrap();
                (
                    "trusting".to_owned(),
                    changes[0]["key"].as_str().unwrap().to_owned(),
                )
            }
            Transaction::Private(_) => ("private".to_owned(), String::new()),
        });
        sets.collect::<Vec<_>>()
    });
    assert_eq!(kinds(of_ours), kinds(of_theirs.collect()));
}
