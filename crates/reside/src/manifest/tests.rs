//! Manifests as they travel, good and bad.

use serde_json::json;

use super::*;

fn contract() -> Value {
    json!({
        "type": "contract",
        "identity": "ghcr.io/owner/contracts/doors.v1",
        "displayInfo": {"en": {"title": "Doors", "description": "Opens doors"}},
        "permissions": {"door:open": {
            "displayInfo": {"en": {"title": "Open the door {door}", "description": ""}},
            "instanceKeys": ["door"],
            "params": {
                "type": "object",
                "properties": {"door": {"type": "string"}, "times": {"type": "integer"}},
                "required": ["door"],
                "additionalProperties": false,
            },
        }},
        "methods": {"openDoor": {
            "displayInfo": {"en": {"title": "Open", "description": ""}},
            "request": {"type": "object"},
            "response": {"type": "string"},
        }},
    })
}

fn replica() -> Value {
    json!({
        "type": "replica",
        "identity": "ghcr.io/owner/replicas/visitor",
        "info": {"name": "visitor", "class": "oneshot", "exclusive": false, "scalable": true},
        "displayInfo": {"en": {"title": "Visitor", "description": "Visits"}},
        "implementations": {"visits": {"identity": "ghcr.io/owner/contracts/visits.v1"}},
        "requirements": {"doors": {
            "identity": "ghcr.io/owner/contracts/doors.v1",
            "optional": true,
            "permissions": [
                {"name": "door:open", "instanceId": "of-{replica.name}", "params": {"door": "of-{replica.name}"}},
            ],
        }},
    })
}

/// Returns the manifest with one value, found by its JSON pointer, replaced.
fn with(mut manifest: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = manifest.pointer_mut(parent).expect("an object on the way");
    parent
        .as_object_mut()
        .expect("an object")
        .insert(key.to_owned(), value);
    manifest
}

fn parse(manifest: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(manifest.to_string().as_bytes())
}

#[test]
fn manifests_are_written_as_they_were_read() {
    for manifest in [contract(), replica()] {
        let written = match parse(&manifest).expect("a valid manifest") {
            Manifest::Contract(contract) => serde_json::to_value(contract),
            Manifest::Replica(replica) => serde_json::to_value(replica),
        };
        assert_eq!(written.expect("JSON"), manifest);
    }
}

#[test]
fn what_breaks_the_rules_is_refused_and_named() {
    let long = "a".repeat(41);
    let two = json!({"a": {"identity": "ghcr.io/o/c"}, "b": {"identity": "ghcr.io/o/c"}});
    let twice = json!([{"name": "a"}, {"name": "a"}]);
    for (manifest, expected) in [
        (
            json!([]),
            "the manifest is of type `none`, expected `contract` or `replica`",
        ),
        (
            with(contract(), "/type", json!("pod")),
            "the manifest is of type `pod`",
        ),
        (with(contract(), "/extra", json!(1)), "the manifest is malformed"),
        (
            with(contract(), "/identity", json!("doors:latest")),
            "the manifest is malformed",
        ),
        (
            with(contract(), "/displayInfo", json!({"en": {"title": ""}})),
            "the manifest is malformed",
        ),
        (
            with(
                contract(),
                "/permissions/Door Open",
                contract()["permissions"]["door:open"].clone(),
            ),
            "permission `Door Open`",
        ),
        (
            with(
                contract(),
                "/methods/open-door",
                contract()["methods"]["openDoor"].clone(),
            ),
            "method `open-door`",
        ),
        (
            with(contract(), "/permissions/door:open/instanceKeys", json!(["a b"])),
            "instance key `a b`",
        ),
        (
            with(replica(), "/info/name", json!("Visitor")),
            "replica name `Visitor`",
        ),
        (with(replica(), "/info/name", json!("1st")), "replica name `1st`"),
        (with(replica(), "/info/name", json!(long)), "replica name"),
        (
            with(replica(), "/info/class", json!("daemon")),
            "the manifest is malformed",
        ),
        (
            with(replica(), "/info/size", json!("big")),
            "the manifest is malformed",
        ),
        (
            with(replica(), "/implementations", two),
            "the contract ghcr.io/o/c is implemented twice",
        ),
        (
            with(
                replica(),
                "/implementations/a key",
                replica()["implementations"]["visits"].clone(),
            ),
            "implementation key",
        ),
        (
            with(replica(), "/requirements/doors/permissions", twice),
            "asks for permission `a` twice",
        ),
    ] {
        let error = parse(&manifest).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} instead of {expected}");
    }
    assert!(matches!(Manifest::parse(b"{"), Err(ManifestError::Malformed(_))));
    assert!(matches!(
        Manifest::parse(&vec![b' '; MANIFEST_BYTES_MAX + 1]),
        Err(ManifestError::TooLarge(_))
    ));
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(matches!(
        Manifest::parse(nested.as_bytes()),
        Err(ManifestError::Malformed(_))
    ));
    assert!(matches!(
        ContractManifest::parse(replica().to_string().as_bytes()),
        Err(ManifestError::WrongType {
            expected: "contract",
            ..
        })
    ));
}

fn check(replica: Value) -> Vec<String> {
    let contract = ContractManifest::from_value(contract()).expect("a valid manifest");
    let replica = ReplicaManifest::from_value(replica).expect("a valid manifest");
    let errors = replica.check_against(&[contract]).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_replica_asks_for_is_checked_against_the_contracts() {
    assert!(check(replica()).is_empty());
    let asked = |permission: Value| {
        check(with(
            replica(),
            "/requirements/doors/permissions",
            json!([permission]),
        ))
    };
    for (permission, expected) in [
        (
            json!({"name": "door:close"}),
            "defines no permission `door:close`",
        ),
        (json!({"name": "door:open"}), "`door` is missing"),
        (json!({"name": "door:open", "params": {"door": 1}}), "not of type"),
        (
            json!({"name": "door:open", "params": {"door": "a", "colour": "b"}}),
            "colour",
        ),
        (
            json!({"name": "door:open", "params": {"door": "a"}}),
            "instance id ``, expected `a`",
        ),
        (
            json!({"name": "door:open", "params": {"door": "a"}, "instanceId": "b"}),
            "instance id `b`, expected `a`",
        ),
    ] {
        let errors = asked(permission);
        assert!(
            errors.len() == 1 && errors[0].contains(expected),
            "{errors:?} instead of {expected}"
        );
    }
    let other = with(
        replica(),
        "/requirements/doors/identity",
        json!("ghcr.io/owner/contracts/windows.v1"),
    );
    assert_eq!(check(other).len(), 1);
}

#[test]
fn the_name_is_filled_into_what_is_asked_for() {
    let mut manifest = ReplicaManifest::from_value(replica()).expect("a valid manifest");
    manifest.fill_replica_name("visitor-2");
    let asked = &manifest.requirements["doors"].permissions[0];
    assert_eq!(asked.instance_id.as_deref(), Some("of-visitor-2"));
    assert_eq!(asked.params["door"], "of-visitor-2");
}
