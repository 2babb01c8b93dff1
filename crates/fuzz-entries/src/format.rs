//! Texts that are decoded by themselves: what is understood is written and understood again as the same.

use cojson::header::Header;
use cojson::json::stable_stringify;
use cojson::message::Message;
use cojson::transaction::Transaction;
use reside::rpc::wire::{CallHeader, ErrorBody};
use serde_json::Value;

/// Stable JSON, and the canonical text of transactions.
pub fn json(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        let stable = stable_stringify(&value);
        // Texts that the format prints unescaped may leave nothing that could be read again.
        if !has_unescaped(&value) {
            let again: Value = serde_json::from_str(&stable).expect("stable JSON is JSON");
            assert_eq!(stable_stringify(&again), stable);
            assert!(is_alike(&again, &value), "{again} was {value}");
        }
    }
    if let Ok(transaction) = serde_json::from_slice::<Transaction>(data) {
        let canonical = transaction.canonical();
        let again: Transaction = serde_json::from_str(&canonical).expect("canonical transactions are ones");
        assert_eq!(again, transaction);
        let encoded = serde_json::to_string(&transaction).expect("a transaction is JSON");
        let again: Transaction = serde_json::from_str(&encoded).expect("encoded transactions are ones");
        assert_eq!(again.canonical(), canonical);
    }
}

fn is_unescaped(text: &str) -> bool {
    text.starts_with("encrypted_U") || text.starts_with("binary_U")
}

fn has_unescaped(value: &Value) -> bool {
    match value {
        Value::String(text) => is_unescaped(text),
        Value::Array(items) => items.iter().any(has_unescaped),
        Value::Object(members) => members.values().any(has_unescaped),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether JavaScript sees the same in both: numbers are doubles.
fn is_alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| is_alike(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

/// Headers of CoValues.
pub fn header(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if let Ok(header) = Header::from_json(json) {
        let (_, _, _, _) = (header.kind(), header.owner(), header.agent(), header.source());
        let again = Header::from_json(header.to_json()).expect("what is written can be read");
        assert_eq!(again, header);
        assert_eq!(again.id(), header.id());
    }
}

/// Messages of the sync protocol, and frames of them.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = jazz::transport::read_frame(text);
    if let Ok(message) = Message::parse(text) {
        let _ = (message.size(), message.priority(), message.id());
        let again = Message::parse(&message.to_json()).expect("what is written can be read");
        assert_eq!(again, message);
    }
}

/// What calls carry beside their sealed content.
pub fn rpc(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Also as if it had been encoded: chance doesn't hit upon base64 of JSON.
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    for header in [text, &encoded] {
        if let Ok(header) = CallHeader::parse(header) {
            assert_eq!(CallHeader::parse(header.as_str()).ok(), Some(header));
        }
    }
    if let Ok(body) = serde_json::from_str::<ErrorBody>(text) {
        let error = body.into_error();
        let _ = (error.to_string(), ErrorBody::of(&error, Some("request")));
    }
}
