//! Whether everything that one JSON Schema allows is allowed by another one, as far as the schemas of contracts go.
//!
//! A schema is taken apart into alternatives, each of which allows one type or one value; then every alternative of the
//! side that writes needs one on the side that reads. What isn't understood counts as compatible only if it is the same.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::alternatives::{Schema, Side, label, type_of};

/// Schemas come from strangers: more work than this isn't done for them.
const STEPS_MAX: u32 = 20_000;
const DEPTH_MAX: u32 = 64;

/// Who writes the values of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The consumer does: the new schema has to allow what the old one allowed.
    ConsumerWrites,
    /// The consumer reads them: the old schema has to allow what the new one allows.
    ConsumerReads,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where, as a path that begins with a slash, or nothing.
    pub path: String,
    pub what: String,
    pub breaks: bool,
}

/// Compares two versions of a schema.
pub(super) fn compare(old: &Value, new: &Value, flow: Flow) -> Vec<Found> {
    let mut comparison = Comparison {
        old: Side::new(old),
        new: Side::new(new),
        flow,
        visiting: HashSet::new(),
        steps: STEPS_MAX,
        depth: 0,
        path: String::new(),
    };
    comparison.schemas(old, new)
}

struct Comparison<'a> {
    old: Side<'a>,
    new: Side<'a>,
    flow: Flow,
    /// References being compared: a recursive schema comes back to them.
    visiting: HashSet<(String, String)>,
    steps: u32,
    depth: u32,
    path: String,
}

impl Comparison<'_> {
    fn breaking(&self, what: impl Into<String>) -> Found {
        Found {
            path: self.path.clone(),
            what: what.into(),
            breaks: true,
        }
    }

    fn compatible(&self, what: impl Into<String>) -> Found {
        Found {
            path: self.path.clone(),
            what: what.into(),
            breaks: false,
        }
    }

    /// Of two things, the one of the side that writes, then the one of the side that reads.
    fn ordered<T>(&self, old: T, new: T) -> (T, T) {
        match self.flow {
            Flow::ConsumerWrites => (old, new),
            Flow::ConsumerReads => (new, old),
        }
    }

    fn at<T>(&mut self, step: &str, compare: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(step);
        let result = compare(self);
        self.path.truncate(length);
        result
    }

    fn schemas(&mut self, old: &Value, new: &Value) -> Vec<Found> {
        if self.steps == 0 || self.depth == DEPTH_MAX {
            return vec![self.breaking("is too intricate to be compared")];
        }
        self.steps -= 1;
        let visit = (old.to_string(), new.to_string());
        if (old == new && self.old.has_same_definitions(&self.new)) || !self.visiting.insert(visit.clone()) {
            return Vec::new();
        }
        self.depth += 1;
        let found = match (self.old.alternatives(old), self.new.alternatives(new)) {
            (Some(old), Some(new)) => self.unions(&old, &new),
            _ => vec![self.breaking("has changed and is too intricate to be compared")],
        };
        self.depth -= 1;
        self.visiting.remove(&visit);
        found
    }

    /// Looks for each alternative that may be written for one that reads it.
    fn unions(&mut self, old: &[Schema], new: &[Schema]) -> Vec<Found> {
        let (written, read) = self.ordered(old, new);
        let mut all = Vec::new();
        for one in written {
            let mut best: Option<Vec<Found>> = None;
            for other in read {
                if !may_match(one, other) {
                    continue;
                }
                let (old, new) = self.ordered(one, other);
                let found = self.alternatives(old, new);
                let breaks = |found: &[Found]| found.iter().filter(|one| one.breaks).count();
                if best.as_ref().is_none_or(|best| breaks(&found) < breaks(best)) {
                    best = Some(found);
                }
                if best.as_ref().is_some_and(|best| breaks(best) == 0) {
                    break;
                }
            }
            match best {
                Some(found) => all.extend(found),
                None => all.push(self.unmatched(one, read)),
            }
        }
        for unused in read
            .iter()
            .filter(|one| !written.iter().any(|other| is_related(other, one)))
        {
            all.push(self.compatible(match self.flow {
                Flow::ConsumerWrites => format!("may also be {}", label(unused)),
                Flow::ConsumerReads => format!("is never {} any more", label(unused)),
            }));
        }
        all.dedup();
        all
    }

    fn unmatched(&self, written: &Schema, read: &[Schema]) -> Found {
        let others: Vec<String> = read.iter().map(label).take(5).collect();
        let others = if others.is_empty() {
            "nothing".to_owned()
        } else {
            others.join(" or ")
        };
        match self.flow {
            Flow::ConsumerWrites => {
                self.breaking(format!("can't be {} any more, only {others}", label(written)))
            }
            Flow::ConsumerReads => self.breaking(format!("may now be {}, not only {others}", label(written))),
        }
    }

    /// Compares two alternatives, each of one type or one value.
    fn alternatives(&mut self, old: &Schema, new: &Schema) -> Vec<Found> {
        if self.steps == 0 {
            return vec![self.breaking("is too intricate to be compared")];
        }
        self.steps -= 1;
        let (written, read) = self.ordered(old, new);
        match (written.get("const"), read.get("const")) {
            (Some(value), Some(allowed)) if value == allowed => return Vec::new(),
            (Some(value), None) => {
                let reader = self.ordered(&self.old, &self.new).1;
                if reader.allows(read, value) {
                    return Vec::new();
                }
                return vec![self.unmatched(written, std::slice::from_ref(read))];
            }
            (_, Some(_)) => return vec![self.unmatched(written, std::slice::from_ref(read))],
            (None, None) => {}
        }
        let mut found = Vec::new();
        for range in [NUMBERS, LENGTHS, ITEMS] {
            self.ranges(range, old, new, &mut found);
        }
        self.items(old, new, &mut found);
        if type_of(new) == Some("object") || new.contains_key("properties") {
            self.fields(old, new, &mut found);
        }
        self.rest(old, new, &mut found);
        found
    }

    fn ranges(&self, range: Range, old: &Schema, new: &Schema, found: &mut Vec<Found>) {
        let (old, new) = (range.of(old), range.of(new));
        if old == new {
            return;
        }
        let (written, read) = self.ordered(old, new);
        let shown = |(from, to): (f64, f64)| format!("{from} to {to}").replace("inf", "∞");
        let what = format!("{} is {} instead of {}", range.what, shown(new), shown(old));
        if written.0 < read.0 || written.1 > read.1 {
            found.push(self.breaking(what));
        } else {
            found.push(self.compatible(what));
        }
    }

    fn items(&mut self, old: &Schema, new: &Schema, found: &mut Vec<Found>) {
        let anything = Value::Bool(true);
        let tuple = |schema: &Schema| match schema.get("prefixItems") {
            Some(Value::Array(items)) => items.clone(),
            _ => Vec::new(),
        };
        let (old_tuple, new_tuple) = (tuple(old), tuple(new));
        let (old_rest, new_rest) = (
            old.get("items").unwrap_or(&anything),
            new.get("items").unwrap_or(&anything),
        );
        for at in 0..old_tuple.len().max(new_tuple.len()) {
            let old = old_tuple.get(at).unwrap_or(old_rest);
            let new = new_tuple.get(at).unwrap_or(new_rest);
            found.extend(self.at(&at.to_string(), |this| this.schemas(old, new)));
        }
        if old.contains_key("items") || new.contains_key("items") {
            found.extend(self.at("*", |this| this.schemas(old_rest, new_rest)));
        }
    }

    fn fields(&mut self, old: &Schema, new: &Schema, found: &mut Vec<Found>) {
        let nothing = Map::new();
        let properties = |schema| Schema::get(schema, "properties").and_then(Value::as_object);
        let old_fields = properties(old).unwrap_or(&nothing);
        let new_fields = properties(new).unwrap_or(&nothing);
        for (name, old_field) in old_fields {
            self.at(name, |this| match new_fields.get(name) {
                Some(new_field) => {
                    found.extend(this.need(is_required(old, name), is_required(new, name)));
                    found.extend(this.schemas(old_field, new_field));
                }
                None => found.push(this.breaking("is removed")),
            });
        }
        for name in new_fields.keys().filter(|name| !old_fields.contains_key(*name)) {
            self.at(name, |this| {
                let added = match this.flow {
                    Flow::ConsumerWrites if is_required(new, name) => this.breaking("is added and required"),
                    Flow::ConsumerReads if old.get("additionalProperties") == Some(&Value::Bool(false)) => {
                        this.breaking("is added, but consumers refuse fields that they don't know")
                    }
                    _ => this.compatible("is added"),
                };
                found.push(added);
            });
        }
        self.other_fields(old, new, found);
    }

    /// Whether a field has to be there.
    fn need(&self, old: bool, new: bool) -> Option<Found> {
        match (self.flow, old, new) {
            (Flow::ConsumerWrites, false, true) => Some(self.breaking("is now required")),
            (Flow::ConsumerWrites, true, false) => Some(self.compatible("is no longer required")),
            (Flow::ConsumerReads, true, false) => Some(self.breaking("is no longer always there")),
            (Flow::ConsumerReads, false, true) => Some(self.compatible("is now always there")),
            (_, true, true) | (_, false, false) => None,
        }
    }

    /// Fields that aren't named: the entries of a map, or what is unknown.
    fn other_fields(&mut self, old: &Schema, new: &Schema, found: &mut Vec<Found>) {
        let anything = Value::Bool(true);
        let others = |schema| Schema::get(schema, "additionalProperties").unwrap_or(&anything);
        let (old, new) = (others(old), others(new));
        match (self.flow, old, new) {
            // Nobody is obliged to send what isn't named; programs don't.
            (Flow::ConsumerReads, _, Value::Bool(_)) | (_, _, Value::Bool(true)) => {}
            (Flow::ConsumerWrites, Value::Bool(true), Value::Bool(false)) => {
                found.push(self.breaking("fields that are not named are now refused"));
            }
            _ => found.extend(self.at("*", |this| this.schemas(old, new))),
        }
    }

    /// Keywords without a rule of their own have to stay, or to go on the side that reads.
    fn rest(&self, old: &Schema, new: &Schema, found: &mut Vec<Found>) {
        let keywords: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for keyword in keywords {
            let (before, after) = (old.get(keyword), new.get(keyword));
            let is_ruled = RULED.contains(&keyword.as_str())
                || [before, after].into_iter().flatten().any(is_number_format);
            if before == after || is_ruled {
                continue;
            }
            let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), shortened);
            let what = format!("`{keyword}` is {} instead of {}", shown(after), shown(before));
            let (_, read) = self.ordered(before, after);
            found.push(match read {
                Some(_) => self.breaking(what),
                None => self.compatible(what),
            });
        }
    }
}

/// Keywords that are compared by a rule of their own.
const RULED: [&str; 15] = [
    "type",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "items",
    "prefixItems",
    "properties",
    "required",
    "additionalProperties",
];

/// Whether it is worth while to compare two alternatives: they have the same type, and the same tag if they have one.
fn may_match(written: &Schema, read: &Schema) -> bool {
    let types = match (type_of(written), type_of(read)) {
        (_, None) | (Some("integer"), Some("number")) => true,
        (None, Some(_)) => written.contains_key("const"),
        (Some(written), Some(read)) => written == read,
    };
    if !types {
        return false;
    }
    match (written.get("const"), read.get("const")) {
        (Some(written), Some(read)) => written == read,
        (None, Some(_)) => false,
        _ => match (super::alternatives::tag(written), super::alternatives::tag(read)) {
            (Some(written), Some(read)) => written == read,
            _ => true,
        },
    }
}

/// Whether a part of one alternative is a part of the other one too.
fn is_related(one: &Schema, other: &Schema) -> bool {
    may_match(one, other)
        || (!one.contains_key("const") && type_of(one) == type_of(other) && other.contains_key("const"))
}

fn is_required(schema: &Schema, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|one| one == name))
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// A pair of keywords that bound the same.
#[derive(Clone, Copy)]
struct Range {
    what: &'static str,
    least: &'static str,
    most: &'static str,
}

const NUMBERS: Range = Range {
    what: "the range",
    least: "minimum",
    most: "maximum",
};
const LENGTHS: Range = Range {
    what: "the length",
    least: "minLength",
    most: "maxLength",
};
const ITEMS: Range = Range {
    what: "the number of items",
    least: "minItems",
    most: "maxItems",
};

impl Range {
    fn of(self, schema: &Schema) -> (f64, f64) {
        let number = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        if self.least != NUMBERS.least {
            return (
                number(self.least).unwrap_or(0.0),
                number(self.most).unwrap_or(f64::INFINITY),
            );
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let (from, to) = number_format(format).unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        let from = [self.least, "exclusiveMinimum"]
            .into_iter()
            .filter_map(number)
            .fold(from, f64::max);
        let to = [self.most, "exclusiveMaximum"]
            .into_iter()
            .filter_map(number)
            .fold(to, f64::min);
        (from, to)
    }
}

fn is_number_format(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|format| number_format(format).is_some())
}

/// The numbers that a format of the SDK's schemas allows.
fn number_format(format: &str) -> Option<(f64, f64)> {
    let signed = |bits: i32| (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1));
    let unsigned = |bits: i32| (0.0, 2f64.powi(bits));
    Some(match format {
        "int8" => signed(8),
        "int16" => signed(16),
        "int32" => signed(32),
        "int" | "int64" => signed(64),
        "int128" => signed(128),
        "uint8" => unsigned(8),
        "uint16" => unsigned(16),
        "uint32" => unsigned(32),
        "uint" | "uint64" => unsigned(64),
        "uint128" => unsigned(128),
        "float" | "double" => (f64::NEG_INFINITY, f64::INFINITY),
        _ => return None,
    })
}
