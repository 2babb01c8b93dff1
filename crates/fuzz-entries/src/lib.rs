//! What the fuzz targets call: one function per decoder that takes bytes from outside. The targets in `fuzz/` need
//! nightly Rust; the test of this crate runs the same functions over the kept corpora with the stable one.
//!
//! An entry panics where something is wrong and returns otherwise; it remembers nothing from one call to the next.

mod format;
mod images;
mod logs;
mod requests;
mod storage;
mod sync;
mod world;

/// An entry and the name of its corpus.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: &[Entry] = &[
    ("json", format::json),
    ("header", format::header),
    ("message", format::message),
    ("rpc", format::rpc),
    ("group", logs::group),
    ("content", logs::content),
    ("sync", sync::sync),
    ("storage", storage::storage),
    ("request", requests::request),
    ("manifest", images::manifest),
    ("layer", images::layer),
];

/// Runs the entry of a name.
pub fn run(name: &str, data: &[u8]) {
    let (_, entry) = ENTRIES
        .iter()
        .find(|(entry, _)| *entry == name)
        .unwrap_or_else(|| panic!("no entry {name}"));
    entry(data);
}
