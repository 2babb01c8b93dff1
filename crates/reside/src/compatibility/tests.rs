//! What breaks the consumers of a contract, and what doesn't.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::json;

use super::*;

fn contract(parts: Value) -> ContractManifest {
    let text = json!({"en": {"title": "Doors", "description": ""}});
    let mut manifest = json!({
        "type": "contract",
        "identity": "ghcr.io/owner/contracts/doors.v1",
        "displayInfo": text,
    });
    for (kind, entries) in parts.as_object().expect("an object") {
        manifest[kind] = entries.clone();
        for (_, entry) in manifest[kind].as_object_mut().expect("an object") {
            entry["displayInfo"] = text.clone();
        }
    }
    ContractManifest::from_value(manifest).expect("a manifest")
}

fn shown(old: Value, new: Value) -> Vec<String> {
    let mark = |change: &Change| if change.breaks { "!" } else { "+" };
    let changes = compare(&contract(old), &contract(new));
    changes
        .iter()
        .map(|change| format!("{} {change}", mark(change)))
        .collect()
}

/// Compares two versions of a request, then the same two of a response.
fn schemas(old: Value, new: Value) -> (Vec<String>, Vec<String>) {
    let as_part = |part: &str| {
        let method = |schema: &Value| json!({"methods": {"open": {part: schema}}});
        let lines = shown(method(&old), method(&new));
        let lines = lines
            .iter()
            .map(|line| line.replace("method `open`, ", "").replace(part, ""));
        lines.collect::<Vec<_>>()
    };
    (as_part("request"), as_part("response"))
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn of_types<A: JsonSchema, B: JsonSchema>() -> (Vec<String>, Vec<String>) {
    schemas(schema_of::<A>(), schema_of::<B>())
}

#[test]
fn what_is_removed_breaks_and_what_is_added_does_not() {
    let open = json!({"request": {"type": "string"}});
    assert_eq!(
        shown(
            json!({"methods": {"open": open, "close": {}}, "permissions": {"door:open": {}}}),
            json!({"methods": {"open": open, "lock": {}}, "permissions": {"door:close": {}}}),
        ),
        [
            "! permission `door:open`: is removed",
            "! method `close`: is removed",
            "+ permission `door:close`: is added",
            "+ method `lock`: is added",
        ]
    );
}

#[test]
fn params_are_written_and_instance_keys_are_names() {
    let old = json!({"permissions": {"door:open": {"instanceKeys": ["door"], "params": {
        "type": "object", "properties": {"door": {"type": "string"}}, "required": ["door"]}}}});
    let mut new = old.clone();
    new["permissions"]["door:open"]["params"]["properties"]["times"] = json!({"type": "integer"});
    assert_eq!(
        shown(old.clone(), new.clone()),
        ["+ permission `door:open`, `params/times`: is added"]
    );
    new["permissions"]["door:open"]["params"]["required"] = json!(["door", "times"]);
    new["permissions"]["door:open"]["instanceKeys"] = json!(["door", "times"]);
    assert_eq!(
        shown(old, new),
        [
            "! permission `door:open`, `instanceKeys`: is door, times instead of door",
            "! permission `door:open`, `params/times`: is added and required",
        ]
    );
}

#[test]
fn fields_come_and_go() {
    #[derive(JsonSchema)]
    #[expect(dead_code)]
    struct Old {
        name: String,
        language: Option<String>,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code)]
    struct New {
        /// Its text is for people and changes nothing.
        name: String,
        language: Option<String>,
        loud: Option<bool>,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code)]
    struct Strict {
        name: String,
        language: String,
    }
    let ok = Vec::<String>::new();
    assert_eq!(of_types::<Old, Old>(), (ok.clone(), ok));
    assert_eq!(
        of_types::<Old, New>(),
        (
            vec!["+ `/loud`: is added".into()],
            vec!["+ `/loud`: is added".into()]
        )
    );
    assert_eq!(
        of_types::<New, Old>(),
        (
            vec!["! `/loud`: is removed".into()],
            vec!["! `/loud`: is removed".into()]
        )
    );
    assert_eq!(
        of_types::<Old, Strict>(),
        (
            vec![
                "! `/language`: is now required".into(),
                "! `/language`: can't be null any more, only string".into(),
            ],
            vec![
                "+ `/language`: is now always there".into(),
                "+ `/language`: is never null any more".into(),
            ],
        )
    );
    assert_eq!(
        of_types::<Strict, Old>(),
        (
            vec![
                "+ `/language`: is no longer required".into(),
                "+ `/language`: may also be null".into()
            ],
            vec![
                "! `/language`: is no longer always there".into(),
                "! `/language`: may now be null, not only string".into(),
            ],
        )
    );
}

#[test]
fn fields_that_consumers_refuse_cannot_be_added_to_what_they_read() {
    let schema = |fields: &[&str]| {
        let fields: serde_json::Map<_, _> = fields
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect();
        json!({"type": "object", "properties": fields, "additionalProperties": false})
    };
    let (request, response) = schemas(schema(&["a"]), schema(&["a", "b"]));
    assert_eq!(request, ["+ `/b`: is added"]);
    assert_eq!(
        response,
        ["! `/b`: is added, but consumers refuse fields that they don't know"]
    );
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let (request, response) = schemas(open.clone(), schema(&["a"]));
    assert_eq!(request, ["! ``: fields that are not named are now refused"]);
    assert_eq!(response, Vec::<String>::new());
    assert_eq!(schemas(schema(&["a"]), open), (vec![], vec![]));
}

#[test]
fn choices_may_grow_where_they_are_written_and_shrink_where_they_are_read() {
    #[derive(JsonSchema)]
    #[expect(dead_code)]
    enum Old {
        Front,
        Back { key: u8 },
    }
    #[derive(JsonSchema)]
    #[expect(dead_code)]
    enum New {
        Front,
        Back { key: u16 },
        Roof,
    }
    let (request, response) = of_types::<Old, New>();
    assert_eq!(
        request,
        [
            "+ `/Back/key`: the range is 0 to 65535 instead of 0 to 255",
            "+ ``: may also be \"Roof\""
        ]
    );
    assert_eq!(
        response,
        [
            "! ``: may now be \"Roof\", not only \"Front\" or object (Back)",
            "! `/Back/key`: the range is 0 to 65535 instead of 0 to 255",
        ]
    );
    let (request, response) = of_types::<New, Old>();
    assert_eq!(
        request.iter().filter(|line| line.starts_with('!')).count(),
        2,
        "{request:?}"
    );
    assert!(response.iter().all(|line| line.starts_with('+')), "{response:?}");
}

#[test]
fn tagged_choices_are_compared_by_their_tag() {
    #[derive(JsonSchema)]
    #[schemars(tag = "kind")]
    #[expect(dead_code)]
    enum Old {
        Front { name: String },
        Back { name: String },
    }
    #[derive(JsonSchema)]
    #[schemars(tag = "kind")]
    #[expect(dead_code)]
    enum New {
        Front { name: String },
        Back { name: u32 },
    }
    let (request, response) = of_types::<Old, New>();
    assert_eq!(
        request,
        [
            "! `/name`: can't be string any more, only integer",
            "+ `/name`: may also be integer"
        ]
    );
    assert_eq!(response.len(), 2, "{response:?}");
}

#[test]
fn a_value_becomes_a_choice_of_values() {
    let (free, few) = (json!({"type": "string"}), json!({"enum": ["en", "ru"]}));
    let (request, response) = schemas(free.clone(), few.clone());
    assert_eq!(request, ["! ``: can't be string any more, only \"en\" or \"ru\""]);
    assert_eq!(response, Vec::<String>::new());
    let (request, response) = schemas(few, free);
    assert_eq!(request, Vec::<String>::new());
    assert_eq!(response, ["! ``: may now be string, not only \"en\" or \"ru\""]);
}

#[test]
fn bounds_and_unknown_keywords_count() {
    let (request, response) = schemas(
        json!({"type": "array", "items": {"type": "string", "maxLength": 10}}),
        json!({"type": "array", "items": {"type": "string", "maxLength": 9}, "uniqueItems": true}),
    );
    assert_eq!(
        request,
        [
            "! `/*`: the length is 0 to 9 instead of 0 to 10",
            "! ``: `uniqueItems` is true instead of nothing"
        ]
    );
    assert!(response.iter().all(|line| line.starts_with('+')), "{response:?}");
    let (request, response) = schemas(json!({"type": "integer"}), json!({"type": "number"}));
    assert_eq!(request, Vec::<String>::new());
    assert_eq!(
        response,
        [
            "! ``: may now be number, not only integer",
            "+ ``: is never integer any more"
        ]
    );
    let map = |kind: &str| json!({"type": "object", "additionalProperties": {"type": kind}});
    let (request, response) = schemas(map("string"), map("boolean"));
    assert_eq!(request[0], "! `/*`: can't be string any more, only boolean");
    assert_eq!(response[0], "! `/*`: may now be boolean, not only string");
}

#[test]
fn schemas_that_refer_to_themselves_are_compared() {
    let tree = |kind: &str| {
        json!({"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": kind}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}}})
    };
    assert_eq!(schemas(tree("string"), tree("string")), (vec![], vec![]));
    let (request, _) = schemas(tree("string"), tree("boolean"));
    assert_eq!(request[0], "! `/name`: can't be string any more, only boolean");
}

#[test]
fn what_cannot_be_understood_is_said_and_takes_no_time() {
    let endless = json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}});
    let (request, _) = schemas(endless.clone(), json!({"type": "string"}));
    assert_eq!(request, ["! ``: has changed and is too intricate to be compared"]);
    assert_eq!(schemas(endless.clone(), endless), (vec![], vec![]));
    // Each level has as many pairs of alternatives as the square of its choices.
    let deep = |leaf: &str| {
        (0..5).fold(json!({"type": leaf}), |inner, _| {
            let field = |name: &str| json!({"type": "object", "properties": {name: inner}});
            json!({"anyOf": [field("a"), field("b"), field("c"), field("d")]})
        })
    };
    let (request, _) = schemas(deep("string"), deep("boolean"));
    assert!(request.iter().any(|line| line.starts_with('!')), "{request:?}");
    let wide = json!({"enum": (0..5000).collect::<Vec<_>>()});
    assert!(schemas(wide, json!({"type": "string"})).0[0].starts_with('!'));
}
