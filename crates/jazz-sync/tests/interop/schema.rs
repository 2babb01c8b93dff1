//! The values that the tests share; `interop/schema.mjs` describes the same for jazz-tools.

use cojson::json::stable_stringify;
use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll, select_all};
use jazz::{
    Co, CoFeed, CoList, CoMap, CoPlainText, CoRecord, CoRichText, CoVector, FileInfo, FileStream, Group,
    LoadError, Node, Ref, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::support::SOON;

#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Note {
    pub title: String,
    pub count: u32,
    pub at: Timestamp,
    pub comment: Option<String>,
    pub tags: Ref<CoList<String>>,
}

#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Leaf {
    pub name: String,
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    Small,
    Large,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Place {
    x: f64,
    y: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

#[derive(CoMap, Clone, Debug, PartialEq)]
#[co(tag = "type")]
pub enum Pet {
    Dog { name: String },
    Cat { lives_left: u32 },
}

/// One field of each kind.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Everything {
    pub title: String,
    pub count: f64,
    pub done: bool,
    pub at: Timestamp,
    pub valid_until: Option<Timestamp>,
    pub comment: Option<String>,
    pub size: Size,
    pub place: Place,
    pub tags: Ref<CoList<String>>,
    pub leaves: Ref<CoList<Ref<Leaf>>>,
    pub scores: Ref<CoRecord<f64>>,
    pub log: Ref<CoFeed<String>>,
    pub text: Ref<CoPlainText>,
    pub html: Ref<CoRichText>,
    pub file: Ref<FileStream>,
    pub vector: Ref<CoVector>,
    pub leaf: Option<Ref<Leaf>>,
    pub pet: Ref<Pet>,
}

/// Makes one value of each kind.
pub async fn make(node: &Node, group: &Group, title: &str, file_length: usize) -> Co<Everything> {
    let bytes: Vec<u8> = (0..file_length)
        .map(|index| ((index * 31 + 1) % 251) as u8)
        .collect();
    let info = FileInfo::new("text/x-test").sized(file_length as u64);
    let file = node.create_file(group, info, &bytes[..]).await.unwrap();
    let first = Leaf {
        name: "first".to_owned(),
    };
    let first = node.create(group, first).unwrap().reference();
    let rex = Pet::Dog {
        name: "Rex".to_owned(),
    };
    let everything = Everything {
        title: title.to_owned(),
        count: 1.5,
        done: false,
        at: Timestamp(1_750_000_000_123),
        valid_until: None,
        comment: None,
        size: Size::Small,
        place: Place {
            x: 1.0,
            y: -2.5,
            label: None,
        },
        tags: node
            .create_list(group, ["a".to_owned(), "é".to_owned()])
            .unwrap()
            .reference(),
        leaves: node.create_list(group, [first]).unwrap().reference(),
        scores: node.create_record(group, [("one", 1.0)]).unwrap().reference(),
        log: node.create_feed(group, ["made".to_owned()]).unwrap().reference(),
        text: node.create_text(group, "Hello 👨‍👩‍👧!").unwrap().reference(),
        html: node.create_rich_text(group, "<p>Hello</p>").unwrap().reference(),
        file: file.reference(),
        vector: node.create_vector(group, &[1.0, 0.5, -2.0]).unwrap().reference(),
        leaf: None,
        pet: node.create(group, rex).unwrap().reference(),
    };
    node.create(group, everything).unwrap()
}

/// Changes something in each value that can be changed: the same as `edit` in `interop/everything.mjs`.
pub async fn edit(it: &Co<Everything>, title: &str) {
    let (node, owner) = (it.node(), it.owner());
    let fields = it.get().unwrap();
    let tags = node.load(&fields.tags).await.unwrap();
    tags.push(&"pushed".to_owned()).unwrap();
    tags.remove(0).unwrap();
    let leaves = node.load(&fields.leaves).await.unwrap();
    let leaf = |name: &str| {
        let leaf = Leaf {
            name: name.to_owned(),
        };
        node.create(&owner, leaf).unwrap().reference()
    };
    leaves.insert(0, &leaf(title)).unwrap();
    let last = leaves.items().unwrap().pop().unwrap();
    let last = node.load(&last).await.unwrap();
    last.update(|leaf| leaf.name = "renamed".to_owned()).unwrap();
    let scores = node.load(&fields.scores).await.unwrap();
    scores.insert("two", &2.0).unwrap();
    scores.remove("one").unwrap();
    node.load(&fields.log)
        .await
        .unwrap()
        .push(&title.to_owned())
        .unwrap();
    let text = node.load(&fields.text).await.unwrap();
    text.insert(5, " ✎").unwrap();
    text.remove(0..1).unwrap();
    let html = node.load(&fields.html).await.unwrap();
    html.apply_diff("<p>Hello <b>there</b></p>").unwrap();
    let tom = node
        .create(&owner, Pet::Cat { lives_left: 9 })
        .unwrap()
        .reference();
    it.update(|it| {
        it.leaf = Some(leaf("one"));
        it.pet = tom;
        it.valid_until = Some(Timestamp(1_760_000_000_000));
        it.comment = Some("edited".to_owned());
        it.size = Size::Large;
        it.place = Place {
            x: 0.0,
            y: 0.0,
            label: Some("home".to_owned()),
        };
        it.done = true;
        it.title = title.to_owned();
    })
    .unwrap();
}

/// Waits until everything is as expected, however it gets there.
pub async fn wait_until(it: &Co<Everything>, expected: &Value) {
    let wanted = stable_stringify(expected);
    let mut shown = String::new();
    let waiting = async {
        let mut changes = changes(it).await;
        while shown != wanted {
            shown = stable_stringify(&show(it).await.unwrap());
            if shown != wanted {
                changes.next().await.expect("the node runs");
            }
        }
    };
    let in_time = tokio::time::timeout(SOON, waiting).await.is_ok();
    assert!(in_time, "still {shown}\nnot   {wanted}");
}

/// Something each time one of the values changes.
async fn changes(it: &Co<Everything>) -> SelectAll<BoxStream<'static, ()>> {
    let (node, fields) = (it.node(), it.get().unwrap());
    let leaves = node.load(&fields.leaves).await.unwrap();
    let mut changes = vec![
        it.subscribe().map(drop).boxed(),
        leaves.subscribe().map(drop).boxed(),
        node.load(&fields.tags)
            .await
            .unwrap()
            .subscribe()
            .map(drop)
            .boxed(),
        node.load(&fields.scores)
            .await
            .unwrap()
            .subscribe()
            .map(drop)
            .boxed(),
        node.load(&fields.log)
            .await
            .unwrap()
            .subscribe()
            .map(drop)
            .boxed(),
        node.load(&fields.text)
            .await
            .unwrap()
            .subscribe()
            .map(drop)
            .boxed(),
        node.load(&fields.html)
            .await
            .unwrap()
            .subscribe()
            .map(drop)
            .boxed(),
    ];
    for leaf in leaves.items().unwrap() {
        changes.push(node.load(&leaf).await.unwrap().subscribe().map(drop).boxed());
    }
    select_all(changes)
}

/// What `show` in `interop/everything.mjs` shows.
pub async fn show(it: &Co<Everything>) -> Result<Value, LoadError> {
    let node = it.node();
    let fields = it.get()?;
    let mut leaves = Vec::new();
    for leaf in node.load(&fields.leaves).await?.items()? {
        leaves.push(node.load(&leaf).await?.get()?.name);
    }
    let mut log: Vec<String> = node
        .load(&fields.log)
        .await?
        .items()?
        .into_iter()
        .map(|item| item.value)
        .collect();
    log.sort();
    let file = node.load(&fields.file).await?;
    let mut bytes = Vec::new();
    file.reader().read_to_end(&mut bytes).await.unwrap();
    let leaf = match &fields.leaf {
        Some(leaf) => Some(node.load(leaf).await?.get()?.name),
        None => None,
    };
    let pet = match node.load(&fields.pet).await?.get()? {
        Pet::Dog { name } => json!({"type": "dog", "name": name}),
        Pet::Cat { lives_left } => json!({"type": "cat", "livesLeft": lives_left}),
    };
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(json!({
        "title": fields.title,
        "count": fields.count,
        "done": fields.done,
        "at": fields.at.0,
        "validUntil": fields.valid_until.map(|until| until.0),
        "comment": fields.comment,
        "size": fields.size,
        "place": fields.place,
        "tags": node.load(&fields.tags).await?.items()?,
        "leaves": leaves,
        "scores": node.load(&fields.scores).await?.entries()?,
        "log": log,
        "text": node.load(&fields.text).await?.get()?,
        "html": node.load(&fields.html).await?.get()?,
        "file": {"type": file.status()?.info.unwrap().mime_type, "length": bytes.len(), "sha256": hash},
        "vector": node.load(&fields.vector).await?.get()?,
        "leaf": leaf,
        "pet": pet,
    }))
}
