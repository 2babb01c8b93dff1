//! Files: streams of one start, chunks of bytes, and an end.
//!
//! The view knows where the chunks are and how long they are; their bytes stay encrypted in the log until they are read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Needs, Order, View};
use crate::crypto::{from_base64, to_base64};
use crate::ids::SessionId;

/// What is said about a file at its start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileInfo {
    /// The media type, as in `image/png`.
    pub mime_type: String,
    /// The name, if it has one.
    pub file_name: Option<String>,
    /// How many bytes it will have, if that was known.
    pub total_size: Option<u64>,
}

impl FileInfo {
    /// A file of this media type.
    pub fn new(mime_type: impl Into<String>) -> Self {
        Self {
            mime_type: mime_type.into(),
            file_name: None,
            total_size: None,
        }
    }

    /// With a name.
    pub fn named(mut self, file_name: impl Into<String>) -> Self {
        self.file_name = Some(file_name.into());
        self
    }

    /// With a size in bytes, so that readers can tell how much is to come.
    pub fn sized(mut self, bytes: u64) -> Self {
        self.total_size = Some(bytes);
        self
    }

    /// The item that starts a file.
    pub fn to_item(&self) -> Value {
        let mut item = Map::new();
        item.insert("type".to_owned(), "start".into());
        item.insert("mimeType".to_owned(), self.mime_type.clone().into());
        if let Some(name) = &self.file_name {
            item.insert("fileName".to_owned(), name.clone().into());
        }
        if let Some(size) = self.total_size {
            item.insert("totalSizeBytes".to_owned(), size.into());
        }
        Value::Object(item)
    }

    fn from_item(item: &Value) -> Self {
        let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            mime_type: text("mimeType").unwrap_or_else(|| "application/octet-stream".to_owned()),
            file_name: text("fileName"),
            total_size: item.get("totalSizeBytes").and_then(Value::as_u64),
        }
    }
}

/// The item that holds some bytes of a file.
pub fn chunk_item(bytes: &[u8]) -> Value {
    json!({"type": "chunk", "chunk": format!("binary_U{}", to_base64(bytes))})
}

/// The item that ends a file.
pub fn end_item() -> Value {
    json!({"type": "end"})
}

pub(crate) fn bytes_of_chunk(item: &Value) -> Option<Vec<u8>> {
    from_base64(item.get("chunk")?.as_str()?.strip_prefix("binary_U")?)
}

/// The content of a file, without its bytes.
///
/// One session writes a file. If several do, their parts follow each other in the order in which they began, and nothing
/// counts after the first end.
#[derive(Debug, Default, PartialEq)]
pub struct FileView {
    parts: BTreeMap<SessionId, Part>,
}

/// What one session wrote, up to its end.
#[derive(Debug, PartialEq)]
struct Part {
    began: Order,
    info: Option<FileInfo>,
    chunks: Vec<Chunk>,
    bytes: u64,
    has_ended: bool,
}

/// Where a chunk is in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub tx_index: u32,
    pub change_index: u32,
}

impl FileView {
    /// What was said at the start. Until then there is no file.
    pub fn info(&self) -> Option<&FileInfo> {
        self.parts().filter_map(|(_, part)| part.info.as_ref()).last()
    }

    /// How many bytes are here.
    pub fn len(&self) -> u64 {
        self.parts().map(|(_, part)| part.bytes).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many chunks are here.
    pub fn chunk_count(&self) -> usize {
        self.parts().map(|(_, part)| part.chunks.len()).sum()
    }

    /// Whether all of the file is here.
    pub fn is_complete(&self) -> bool {
        self.info().is_some() && self.parts().any(|(_, part)| part.has_ended)
    }

    pub(crate) fn chunk(&self, mut index: usize) -> Option<(&SessionId, Chunk)> {
        for (session, part) in self.parts() {
            match index.checked_sub(part.chunks.len()) {
                Some(left) => index = left,
                None => return Some((session, part.chunks[index])),
            }
        }
        None
    }

    /// The parts that count, in order.
    fn parts(&self) -> impl Iterator<Item = (&SessionId, &Part)> {
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(_, part)| &part.began);
        let ended = parts.iter().position(|(_, part)| part.has_ended);
        parts.truncate(ended.map_or(parts.len(), |ended| ended + 1));
        parts.into_iter()
    }
}

impl View for FileView {
    const NEEDS: Needs = Needs::OrderOfArrival;

    fn apply(&mut self, order: &Order, changes: Vec<Value>, counts: bool) {
        if !counts {
            return;
        }
        let new = || Part {
            began: order.clone(),
            info: None,
            chunks: Vec::new(),
            bytes: 0,
            has_ended: false,
        };
        let part = self.parts.entry(order.written_in().clone()).or_insert_with(new);
        for (index, item) in changes.iter().enumerate() {
            if part.has_ended {
                return;
            }
            match item.get("type").and_then(Value::as_str) {
                Some("start") => part.info = Some(FileInfo::from_item(item)),
                Some("chunk") => {
                    if let Some(bytes) = bytes_of_chunk(item) {
                        part.bytes += bytes.len() as u64;
                        part.chunks.push(Chunk {
                            tx_index: order.index,
                            change_index: index as u32,
                        });
                    }
                }
                Some("end") => part.has_ended = true,
                _ => {}
            }
        }
    }
}
