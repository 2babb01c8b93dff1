//! What the derive macro can express, and what it says about content that doesn't fit.

use std::collections::BTreeMap;

use jazz::{
    Co, CoFeed, CoList, CoMap, CoPlainText, CoRecord, FileStream, LoadError, Ref, Role, Timestamp, WriteError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{offline, shared};

#[derive(CoMap, Clone, Debug, PartialEq)]
#[co(tag = "type")]
enum Pet {
    Dog {
        name: String,
        toys: Option<Ref<CoList<String>>>,
    },
    #[co(rename = "house-cat")]
    Cat {
        name: String,
        lives_left: u32,
    },
    Unknown,
}

fn raw<T: CoMap>(map: &Co<T>) -> Value {
    json!(map.as_record().entries().unwrap())
}

#[tokio::test]
async fn an_enum_is_a_map_whose_tag_says_what_it_is() {
    let vector = include_str!("../../../cojson/tests/vectors/jazz-layout.json");
    let vector: Value = serde_json::from_str(vector).unwrap();
    let node = offline().await;
    let group = node.create_group().unwrap();
    let rex = Pet::Dog {
        name: "Rex".into(),
        toys: None,
    };
    let pet = node.create(&group, rex.clone()).unwrap();
    assert_eq!(raw(&pet), vector["values"]["discriminatedUnion"]["item"]);
    assert_eq!(pet.get().unwrap(), rex);

    let tom = Pet::Cat {
        name: "Tom".into(),
        lives_left: 9,
    };
    pet.replace(&tom).unwrap();
    assert_eq!(
        raw(&pet),
        json!({"type": "house-cat", "name": "Tom", "livesLeft": 9})
    );
    // What only the former variant has goes with it.
    pet.update(|pet| *pet = Pet::Unknown).unwrap();
    assert_eq!(raw(&pet), json!({"type": "unknown"}));
    let pets = node.create_list(&group, [pet.reference()]).unwrap();
    let loaded = node.load_deep(&pets.reference(), 1).await.unwrap();
    assert_eq!(loaded.failed(), []);

    pet.as_record().insert("type", &json!("fish")).unwrap();
    let error = pet.get().unwrap_err().to_string();
    assert!(error.contains("Pet.type of co_z"), "{error}");
    assert!(
        error.contains(r#""fish" is no variant: expected one of dog, house-cat, unknown"#),
        "{error}"
    );
    pet.as_record().remove("type").unwrap();
    let error = pet.get().unwrap_err().to_string();
    assert!(error.contains("missing: expected one of dog"), "{error}");
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Low,
    High,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Shape {
    Circle { radius: f64 },
    Square { side: f64 },
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Place {
    name: String,
    at: (f64, f64),
}

fn seven() -> u32 {
    7
}

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Everything {
    level: Level,
    shape: Shape,
    places: Vec<Place>,
    due: Option<Timestamp>,
    #[co(default = "seven")]
    days: u32,
    #[co(default)]
    labels: BTreeMap<String, bool>,
    text: Option<Ref<CoPlainText>>,
    file: Option<Ref<FileStream>>,
    log: Ref<CoFeed<Ref<Pet>>>,
    pets: Ref<CoRecord<Ref<Pet>>>,
}

#[tokio::test]
async fn fields_of_all_kinds_are_stored_as_jazz_tools_stores_them() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let pet = alice.create(&group, Pet::Unknown).unwrap();
    let text = alice.create_text(&group, "hi").unwrap();
    let value = Everything {
        level: Level::High,
        shape: Shape::Square { side: 1.5 },
        places: vec![Place {
            name: "here".into(),
            at: (1.0, 2.5),
        }],
        due: None,
        days: 1,
        labels: BTreeMap::new(),
        text: Some(text.reference()),
        file: None,
        log: alice.create_feed(&group, [pet.reference()]).unwrap().reference(),
        pets: alice
            .create_record(&group, [("p", pet.reference())])
            .unwrap()
            .reference(),
    };
    let map = alice.create(&group, value.clone()).unwrap();
    let stored = json!({
        "level": "high",
        "shape": {"kind": "square", "side": 1.5},
        "places": [{"name": "here", "at": [1.0, 2.5]}],
        "days": 1,
        "labels": {},
        "text": text.id(),
        "log": value.log.id(),
        "pets": value.pets.id(),
    });
    assert_eq!(raw(&map), stored);
    map.as_record().remove("days").unwrap();
    assert_eq!(map.get().unwrap().days, 7);
    let same = bob
        .load_deep(&map.reference(), 2)
        .await
        .unwrap()
        .complete()
        .unwrap();
    assert_eq!(
        bob.loaded(&value.log).unwrap().items().unwrap()[0].value,
        pet.reference()
    );
    assert_eq!(bob.loaded(&pet.reference()).unwrap().get().unwrap(), Pet::Unknown);
    assert_eq!(same.get().unwrap().text, value.text);
}

#[tokio::test]
async fn errors_name_the_place_and_what_was_expected() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let places = json!([{"name": "a", "at": [1, 2]}, {"name": "b", "at": [1, "two"]}]);
    let record = node.create_record(&group, [("places", places.clone())]).unwrap();
    let list = node
        .create_list(&group, places.as_array().unwrap().clone())
        .unwrap();
    let list = node
        .loaded(&Ref::<CoList<Place>>::new(list.id().clone()))
        .unwrap();
    let Err(LoadError::Schema(error)) = list.items() else {
        panic!("the second place doesn't fit")
    };
    assert_eq!((error.path(), error.id()), ("1.at.1", Some(list.id())));
    assert!(error.to_string().contains("expected f64"), "{error}");
    // The first one is there all the same.
    let each = list.try_items().unwrap();
    assert_eq!(each[0].as_ref().unwrap().name, "a");
    assert_eq!(each[1].as_ref().unwrap_err().path(), "1.at.1");

    let record = node
        .loaded(&Ref::<CoRecord<Vec<Place>>>::new(record.id().clone()))
        .unwrap();
    let entries = record.try_entries().unwrap();
    assert_eq!(entries["places"].as_ref().unwrap_err().path(), "places.1.at.1");
}

fn to_version_2(map: &Co<Settings>) -> Result<(), WriteError> {
    let record = map.as_record();
    if record.contains_key("themeName")? {
        return Ok(());
    }
    let theme = record.get("theme")?.unwrap_or_else(|| "light".into());
    record.insert("themeName", &theme)?;
    record.remove("theme")
}

#[derive(CoMap, Clone, Debug, PartialEq)]
#[co(migrate = "to_version_2")]
struct Settings {
    theme_name: String,
}

#[tokio::test]
async fn a_map_is_migrated_when_it_is_loaded_by_who_may_write() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let old = alice
        .create_record(&group, [("theme", "dark".to_owned())])
        .unwrap();
    let list = alice.create_list(&group, [old.id().clone()]).unwrap();
    let reference = Ref::<Settings>::new(old.id().clone());
    let read_only = bob.load(&reference).await.unwrap();
    assert!(matches!(read_only.get(), Err(LoadError::Schema(_))));

    let links = Ref::<CoList<Ref<Settings>>>::new(list.id().clone());
    let loaded = alice.load_deep(&links, 1).await.unwrap();
    assert_eq!(loaded.failed(), []);
    let settings = alice.load(&reference).await.unwrap();
    assert_eq!(settings.get().unwrap().theme_name, "dark");
    assert_eq!(raw(&settings), json!({"themeName": "dark"}));
    assert_eq!(settings.history("theme_name").unwrap().len(), 1);
    let mut changes = read_only.subscribe();
    let seen = loop {
        if let Ok(settings) = changes.next().await.unwrap() {
            break settings;
        }
    };
    assert_eq!(seen.theme_name, "dark");
}

fn refuse(_: &Co<Stubborn>) -> Result<(), WriteError> {
    Err(WriteError::aborted("no way"))
}

#[derive(CoMap, Clone, Debug, PartialEq)]
#[co(migrate = "refuse")]
struct Stubborn {}

#[tokio::test]
async fn a_migration_that_fails_is_told() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, Stubborn {}).unwrap();
    let failed = node.load(&map.reference()).await;
    let Err(LoadError::Migration { id, reason }) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(id, *map.id());
    assert!(reason.contains("no way"), "{reason}");
}

#[tokio::test]
async fn the_migration_of_an_account_runs_at_each_login() {
    let server = jazz::LocalServer::new();
    let migrate = async |node: jazz::Node| {
        let account = node.account();
        match account.root::<Settings>().await? {
            Some(root) => root.update(|root| root.theme_name.push('+'))?,
            None => {
                let group = node.create_group()?;
                let theme_name = "dark".to_owned();
                account.set_root(node.create(&group, Settings { theme_name })?.id())?;
            }
        }
        Ok::<_, jazz::Error>(())
    };
    let node = jazz::Node::builder()
        .local_server(&server)
        .create_account("Ada")
        .migration(migrate)
        .connect()
        .await
        .unwrap();
    let again = jazz::Node::builder()
        .local_server(&server)
        .account(node.credentials().unwrap())
        .migration(migrate)
        .connect()
        .await
        .unwrap();
    let root = again.account().root::<Settings>().await.unwrap().unwrap();
    assert_eq!(root.get().unwrap().theme_name, "dark+");
    let failed = jazz::Node::builder()
        .create_account("Eve")
        .migration(async |_| Err(WriteError::aborted("no way").into()))
        .connect()
        .await;
    assert!(matches!(failed, Err(jazz::ConnectError::Migration(_))));
}
