//! Stable JSON: the one text of a value that is hashed, signed, sealed or used as nonce material.
//!
//! Strings here are Rust strings, so they never hold lone surrogates. JavaScript can write them (as `\ud800`);
//! `serde_json` refuses such text. A transaction whose changes hold one keeps its place in the log, is stored and
//! forwarded byte for byte, and is skipped as content.

use serde_json::{Number, Value};

/// Integers beyond this have no exact JavaScript number and are printed as the nearest one.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Prints `value` without spaces, members sorted by UTF-16 code units, numbers as JavaScript prints them.
///
/// ```
/// let value = serde_json::json!({"b": 1.0, "a": [true, null]});
/// assert_eq!(cojson::json::stable_stringify(&value), r#"{"a":[true,null],"b":1}"#);
/// ```
pub fn stable_stringify(value: &Value) -> String {
    let mut out = String::with_capacity(64);
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_stable_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, &members[key]);
            }
            out.push('}');
        }
    }
}

fn write_number(out: &mut String, number: &Number) {
    let integer = number.as_i64().filter(|n| n.unsigned_abs() <= MAX_SAFE_INTEGER);
    if let Some(integer) = integer {
        out.push_str(&integer.to_string());
    } else {
        let float = number.as_f64().filter(|n| n.is_finite());
        match float {
            Some(float) => out.push_str(ryu_js::Buffer::new().format(float)),
            None => out.push_str("null"),
        }
    }
}

fn write_stable_string(out: &mut String, text: &str) {
    if text.starts_with("encrypted_U") || text.starts_with("binary_U") {
        // The format prints these without escaping, whatever they contain.
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        write_string(out, text);
    }
}

/// Appends `text` as a JSON string: `"`, `\` and control characters escaped, the rest raw.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < '\u{20}') {
        out.push_str(&rest[..at]);
        let c = rest.as_bytes()[at];
        match c {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => out.push_str(&format!("\\u{other:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
