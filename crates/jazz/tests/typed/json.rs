//! Values as JSON: the shapes are what `JSON.stringify(value)` of jazz-tools 0.20.19 prints for such values, but for the
//! bytes of a file, and for a group, about which it says that it doesn't know the kind.

use jazz::{CoId, CoMap, FileInfo, LoadError, Ref, Role};
use serde_json::{Value, json};

use crate::support::{offline, shared};

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Node {
    n: u32,
    parent: Option<Ref<Node>>,
}

fn marked(id: &CoId, mut fields: Value) -> Value {
    fields["$jazz"] = json!({"id": id});
    fields
}

#[tokio::test]
async fn every_kind_of_value_has_the_shape_of_jazz_tools() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let child = node.create(&group, Node { n: 1, parent: None }).unwrap();
    let list = node.create_list(&group, [child.reference()]).unwrap();
    let feed = node.create_feed(&group, ["a", "b"].map(str::to_owned)).unwrap();
    let links = node.create_feed(&group, [child.reference()]).unwrap();
    let text = node.create_text(&group, "hi").unwrap();
    let info = FileInfo::new("text/plain").named("a.txt").sized(2);
    let file = node.create_file(&group, info, &b"hi"[..]).await.unwrap();
    let started = node.start_file(&group, FileInfo::new("text/plain")).unwrap();
    let vector = node.create_vector(&group, &[1.0, 0.5, -2.0, 0.1]).unwrap();
    let all = json!({
        "title": "t", "obj": {"a": "x"}, "child": child.id(), "list": list.id(), "feed": feed.id(),
        "links": links.id(), "text": text.id(), "file": file.id(), "started": started.id(),
        "vec": vector.id(), "gr": group.id(), "acc": node.account_id(),
    });
    let record = node
        .create_record(&group, all.as_object().unwrap().clone())
        .unwrap();
    child
        .update(|child| child.parent = Some(Ref::new(record.id().clone())))
        .unwrap();
    let session = node.driver().with(|core, _| core.session().unwrap().to_string());
    let in_record = marked(child.id(), json!({"n": 1, "parent": {"_circular": record.id()}}));
    let expected = json!({
        "title": "t",
        "obj": {"a": "x"},
        "child": in_record,
        "list": [in_record],
        "feed": marked(feed.id(), json!({"in": {&session: "b"}})),
        "links": marked(links.id(), json!({"in": {&session: child.id()}})),
        "text": "hi",
        "file": marked(file.id(), json!({
            "mimeType": "text/plain", "fileName": "a.txt", "totalSizeBytes": 2, "finished": true,
        })),
        "started": marked(started.id(), json!({})),
        "vec": [1, 0.5, -2, f64::from(0.1_f32)],
        "gr": marked(group.id(), json!({})),
        "acc": marked(node.account_id().as_co_id(), json!({})),
    });
    assert_eq!(record.to_json(9).await.unwrap(), marked(record.id(), expected));
    assert_eq!(record.to_json(0).await.unwrap(), marked(record.id(), all));
    let at_one = record.to_json(1).await.unwrap();
    assert_eq!(at_one["list"], json!([child.id()]));
}

#[tokio::test]
async fn what_is_not_here_is_loaded_and_what_may_not_be_read_stays_an_id() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let hidden = alice.create_group().unwrap();
    let secret = alice.create(&hidden, Node { n: 9, parent: None }).unwrap();
    let deep = alice.create_list(&group, ["deep".to_owned()]).unwrap();
    let outer = json!([[1], secret.id(), deep.id(), "co_zNowhere"]);
    let list = alice
        .create_list(&group, outer.as_array().unwrap().clone())
        .unwrap();
    let seen = bob.to_json(list.id(), 5).await.unwrap();
    assert_eq!(seen, json!([[1], secret.id(), ["deep"], "co_zNowhere"]));
    let refused = bob.to_json(secret.id(), 1).await;
    assert_eq!(refused, Err(LoadError::Unauthorised(secret.id().clone())));
}

#[tokio::test]
async fn values_that_refer_to_each_other_many_times_over_stay_bounded() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let mut list = node.create_list(&group, ["bottom".to_owned()]).unwrap();
    for _ in 0..40 {
        let twice = [list.id().to_string(), list.id().to_string()];
        list = node.create_list(&group, twice).unwrap();
    }
    assert!(list.to_json(100).await.unwrap().is_array());
}

#[tokio::test]
async fn values_are_printed_no_deeper_than_the_stack_is() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let mut list = node.create_list(&group, ["bottom".to_owned()]).unwrap();
    for _ in 0..5_000 {
        list = node.create_list(&group, [list.id().to_string()]).unwrap();
    }
    let mut printed = &list.to_json(usize::MAX).await.unwrap();
    let mut depth = 0;
    while let Some(inner) = printed.get(0) {
        printed = inner;
        depth += 1;
    }
    assert_eq!(depth, 101);
    assert!(printed.as_str().unwrap().parse::<CoId>().is_ok(), "{printed}");
}
