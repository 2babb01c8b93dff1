//! Takes a JSON Schema apart into alternatives, each of one type or one value.

use serde_json::{Map, Value, json};

/// A schema without references and choices.
pub(super) type Schema = Map<String, Value>;

const ALTERNATIVES_MAX: usize = 1000;
const DEPTH_MAX: usize = 32;
/// Keywords for people, and those that only hold what others refer to.
const ANNOTATIONS: [&str; 13] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "$anchor",
];

/// One of the two versions: what its references lead to.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    root: &'a Value,
}

impl<'a> Side<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root }
    }

    pub(super) fn has_same_definitions(&self, other: &Side<'_>) -> bool {
        self.root == other.root
            || ["$defs", "definitions"]
                .iter()
                .all(|key| self.root.get(key).is_none() && other.root.get(key).is_none())
    }

    /// Returns the alternatives; none if there are too many, or if a reference leads nowhere.
    pub(super) fn alternatives(&self, schema: &Value) -> Option<Vec<Schema>> {
        self.expand(schema, 0)
    }

    /// Whether a schema of this side allows a value.
    pub(super) fn allows(&self, schema: &Schema, value: &Value) -> bool {
        let mut schema = schema.clone();
        for key in ["$defs", "definitions"] {
            if let Some(definitions) = self.root.get(key) {
                schema.insert(key.to_owned(), definitions.clone());
            }
        }
        jsonschema::validator_for(&Value::Object(schema)).is_ok_and(|validator| validator.is_valid(value))
    }

    fn expand(&self, schema: &Value, depth: usize) -> Option<Vec<Schema>> {
        if depth > DEPTH_MAX {
            return None;
        }
        let schema = match schema {
            Value::Bool(true) => return Some(vec![Schema::new()]),
            Value::Bool(false) => return Some(Vec::new()),
            Value::Object(schema) => schema,
            _ => return None,
        };
        let mut own = schema.clone();
        own.retain(|keyword, _| !ANNOTATIONS.contains(&keyword.as_str()));
        let reference = own.remove("$ref");
        let (any, one, all) = (own.remove("anyOf"), own.remove("oneOf"), own.remove("allOf"));
        let mut result = split(own);
        if let Some(reference) = reference {
            let target = reference.as_str()?.strip_prefix('#')?;
            let target = self.expand(self.root.pointer(target)?, depth + 1)?;
            result = product(&result, &target)?;
        }
        for choice in [any, one].into_iter().flatten() {
            let mut choices = Vec::new();
            for one in choice.as_array()? {
                choices.extend(self.expand(one, depth + 1)?);
            }
            result = product(&result, &choices)?;
        }
        for part in all.iter().flat_map(Value::as_array).flatten() {
            result = product(&result, &self.expand(part, depth + 1)?)?;
        }
        (result.len() <= ALTERNATIVES_MAX).then_some(result)
    }
}

/// One alternative for each type and each listed value.
fn split(mut schema: Schema) -> Vec<Schema> {
    if let Some(Value::Array(values)) = schema.remove("enum") {
        schema.remove("type");
        let alternative = |value: Value| {
            let mut one = schema.clone();
            one.insert("const".to_owned(), value);
            one
        };
        return values.into_iter().map(alternative).map(plain).collect();
    }
    match schema.get("type") {
        Some(Value::Array(types)) => types
            .clone()
            .into_iter()
            .map(|kind| {
                let mut one = schema.clone();
                one.insert("type".to_owned(), kind);
                one
            })
            .map(plain)
            .collect(),
        _ => vec![plain(schema)],
    }
}

/// Drops what says nothing of the one type or value that the alternative is.
fn plain(mut schema: Schema) -> Schema {
    match schema.get("const") {
        Some(Value::Null) => return Schema::from_iter([("type".to_owned(), json!("null"))]),
        Some(value) => return Schema::from_iter([("const".to_owned(), value.clone())]),
        None => {}
    }
    let keep: &[&str] = match schema.get("type").and_then(Value::as_str) {
        Some("null" | "boolean") => &[],
        Some("integer" | "number") => &[
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "format",
        ],
        Some("string") => &[
            "minLength",
            "maxLength",
            "pattern",
            "format",
            "contentEncoding",
            "contentMediaType",
        ],
        _ => return schema,
    };
    schema.retain(|keyword, _| keyword == "type" || keep.contains(&keyword.as_str()));
    schema
}

/// Every alternative of one together with every alternative of the other.
fn product(one: &[Schema], other: &[Schema]) -> Option<Vec<Schema>> {
    if one.len().saturating_mul(other.len()) > ALTERNATIVES_MAX {
        return None;
    }
    let pairs = one
        .iter()
        .flat_map(|one| other.iter().map(move |other| (one, other)));
    Some(pairs.filter_map(|(one, other)| merge(one, other)).collect())
}

/// What both allow; none if that is nothing.
fn merge(one: &Schema, other: &Schema) -> Option<Schema> {
    let mut merged = one.clone();
    for (keyword, value) in other {
        let Some(present) = merged.get_mut(keyword) else {
            merged.insert(keyword.clone(), value.clone());
            continue;
        };
        if present == value {
            continue;
        }
        match (keyword.as_str(), present, value) {
            ("type" | "const", ..) => return None,
            ("properties", Value::Object(present), Value::Object(more)) => {
                for (name, field) in more {
                    let both = present
                        .get(name)
                        .filter(|one| *one != field)
                        .map(|one| json!({"allOf": [one, field]}));
                    present.insert(name.clone(), both.unwrap_or_else(|| field.clone()));
                }
            }
            ("required", Value::Array(present), Value::Array(more)) => {
                for name in more {
                    if !present.contains(name) {
                        present.push(name.clone());
                    }
                }
            }
            (_, present, value) => *present = json!({"allOf": [present.clone(), value]}),
        }
    }
    Some(merged)
}

/// The one type of an alternative.
pub(super) fn type_of(schema: &Schema) -> Option<&str> {
    match schema.get("const") {
        Some(Value::String(_)) => Some("string"),
        Some(Value::Bool(_)) => Some("boolean"),
        Some(Value::Number(number)) => Some(if number.is_f64() { "number" } else { "integer" }),
        Some(Value::Array(_)) => Some("array"),
        Some(Value::Object(_)) => Some("object"),
        Some(Value::Null) => Some("null"),
        None => schema.get("type").and_then(Value::as_str),
    }
}

/// What tells an object from the other alternatives of a choice: a field with one value, or its only field.
pub(super) fn tag(schema: &Schema) -> Option<String> {
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required")?.as_array()?;
    let constant = properties
        .iter()
        .find_map(|(name, field)| Some((name, constant(field)?)));
    if let Some((name, value)) = constant {
        return Some(format!("{name} {value}"));
    }
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    match required.as_slice() {
        [Value::String(name)] if is_closed && properties.len() == 1 => Some(name.clone()),
        _ => None,
    }
}

fn constant(field: &Value) -> Option<&Value> {
    let values = field.get("enum").and_then(Value::as_array);
    field
        .get("const")
        .or_else(|| values.filter(|values| values.len() == 1)?.first())
}

/// A short name for people.
pub(super) fn label(schema: &Schema) -> String {
    if let Some(value) = schema.get("const") {
        return value.to_string().chars().take(60).collect();
    }
    let kind = type_of(schema).unwrap_or("anything");
    match tag(schema) {
        Some(tag) => format!("{kind} ({tag})"),
        None => kind.to_owned(),
    }
}
