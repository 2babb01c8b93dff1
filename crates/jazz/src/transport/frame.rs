//! Frames: one message or several, joined by line breaks.

use cojson::message::{Message, MessageError};
use serde::Deserialize;

/// Longest frame that is accepted: well above the longest message of an honest peer.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A line of a frame.
#[derive(Debug)]
pub enum Incoming {
    /// A message of the protocol.
    Message(Message),
    /// Something that looks like one and can't be understood.
    Malformed(MessageError),
}

/// Most lines of a frame, so that a frame of nothing but line breaks isn't blown up. Honest peers stay well below.
const LINES_MAX: usize = 50_000;

/// A frame is dropped whole if any line of it is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableFrame {
    /// Some line isn't JSON.
    #[error("a frame holds something that is not JSON")]
    NotJson,
    /// More messages than any honest peer puts into one.
    #[error("a frame holds more than {LINES_MAX} messages")]
    TooManyMessages,
}

/// Reads the lines of a frame; pings and empty lines mean nothing but a sign of life.
pub fn read_frame(text: &str) -> Result<Vec<Incoming>, UnreadableFrame> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<std::borrow::Cow<'a, str>>,
    }
    let mut messages = Vec::new();
    for (index, line) in text
        .split('\n')
        .filter(|line| !line.trim().is_empty())
        .enumerate()
    {
        if index == LINES_MAX {
            return Err(UnreadableFrame::TooManyMessages);
        }
        match Message::parse(line) {
            Ok(message) => messages.push(Incoming::Message(message)),
            Err(error) => match serde_json::from_str::<Kind<'_>>(line) {
                Ok(Kind { kind: Some(kind) }) if kind == "ping" => {}
                Ok(_) => messages.push(Incoming::Malformed(error)),
                Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok() => {
                    messages.push(Incoming::Malformed(error));
                }
                Err(_) => return Err(UnreadableFrame::NotJson),
            },
        }
    }
    Ok(messages)
}

/// The sign of life that a server sends; clients reconnect when nothing comes for ten seconds.
pub fn ping(now_millis: u64) -> String {
    format!(r#"{{"type":"ping","time":{now_millis},"dc":"reside"}}"#)
}
