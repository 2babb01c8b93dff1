//! What is said of an image that was pushed, pulled or written.

use reside_image::{Digest, Identity, Tag};
use serde::Serialize;

use crate::ui::{Drawing, STRONG, View, size_text};

/// An image, and under which tags.
#[derive(Serialize)]
pub struct Moved {
    pub identity: Identity,
    pub tags: Vec<Tag>,
    pub digest: Digest,
    pub size: u64,
}

impl Moved {
    fn text(&self) -> String {
        let names = self
            .tags
            .iter()
            .map(|tag| format!("{STRONG}{}:{tag}{STRONG:#}\n", self.identity));
        let names = match self.tags.is_empty() {
            true => format!("{STRONG}{}{STRONG:#}\n", self.identity),
            false => names.collect(),
        };
        format!("{names}{} ({})", self.digest, size_text(self.size))
    }
}

impl View for Moved {
    fn draw(&self) -> Drawing {
        Drawing::Text(self.text())
    }
}

/// Several of them.
#[derive(Serialize)]
#[serde(transparent)]
pub struct AllMoved(pub Vec<Moved>);

impl View for AllMoved {
    fn draw(&self) -> Drawing {
        let all: Vec<String> = self.0.iter().map(Moved::text).collect();
        Drawing::Text(all.join("\n"))
    }
}
