//! Files: bytes of any length with a media type, written and read in pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cojson::NewValue;
use cojson::content::{FileInfo, FileView, chunk_item, end_item};
use cojson::ids::CoId;
use cojson::transaction::Privacy;
use futures::Stream as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::create::{Owner, new_value};
use crate::error::{LoadError, SchemaError, WriteError};
use crate::load::Child;
use crate::node::Node;
use crate::subscribe::Subscription;
use crate::value::{Co, CoValue, Raw, Shape};

/// How many bytes go into one transaction.
pub(crate) const CHUNK_BYTES: usize = 102_400;

/// An upload doesn't run further ahead of the connection than this.
const UNSENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A file. Its bytes are encrypted, sent, and stored in chunks, and can be read while it is still being written.
///
/// Never made itself: it is the type in `Co<FileStream>` and `Ref<FileStream>`.
///
/// ```
/// use jazz::FileInfo;
/// use tokio::io::AsyncReadExt as _;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = jazz::Node::builder().create_account("Ada").connect().await?;
/// let group = node.create_group()?;
/// let source = &b"any AsyncRead: a file, a socket, bytes in memory"[..];
/// let info = FileInfo::new("text/plain").named("notes.txt").sized(source.len() as u64);
/// let file = node.create_file(&group, info, source).await?;
///
/// let mut text = String::new();
/// file.reader().read_to_string(&mut text).await?;
/// assert!(text.starts_with("any AsyncRead"));
/// assert!(file.status()?.is_complete);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum FileStream {}

/// How much of a file is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// What was said at its start; `None` until that is here.
    pub info: Option<FileInfo>,
    /// How many bytes are here.
    pub bytes: u64,
    /// Whether that is all: the writer has ended it, and nothing is missing.
    pub is_complete: bool,
}

impl FileStatus {
    /// How much of it is here, from 0 to 1, if its size was told.
    pub fn progress(&self) -> Option<f64> {
        match self.info.as_ref()?.total_size? {
            0 => Some(f64::from(u8::from(self.is_complete))),
            total => Some((self.bytes as f64 / total as f64).min(1.0)),
        }
    }
}

/// A file was not written or read to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The other side, from which bytes come or to which they go, fails.
    #[error("the bytes can't be read or written")]
    Io(#[from] io::Error),
    /// A chunk can't be written. Those before it are.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file can't be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is nothing to add: its end was written.
    #[error("{0} is complete already")]
    Complete(CoId),
}

fn raw_file(raw: Raw<'_>) -> Result<&FileView, SchemaError> {
    match raw {
        Raw::File(view) => Ok(view),
        _ => Err(SchemaError::new("FileStream", "", "not a file")),
    }
}

impl CoValue for FileStream {
    type Snapshot = FileStatus;

    const SHAPE: Shape = Shape::File;

    fn snapshot(raw: Raw<'_>) -> Result<FileStatus, SchemaError> {
        let view = raw_file(raw)?;
        Ok(FileStatus {
            info: view.info().cloned(),
            bytes: view.len(),
            is_complete: view.is_complete(),
        })
    }

    fn children(_: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        Ok(Vec::new())
    }
}

impl Node {
    /// Makes a file of everything that `bytes` yields. Never more than a few chunks of it are in memory besides what
    /// the node itself keeps of every value: its encrypted log.
    ///
    /// If `bytes` fails, what was read so far stays behind as a file without an end.
    pub async fn create_file(
        &self,
        owner: &impl Owner,
        info: FileInfo,
        bytes: impl AsyncRead + Unpin,
    ) -> Result<Co<FileStream>, FileError> {
        let file = self.start_file(owner, info)?;
        file.write_from(bytes).await?;
        Ok(file)
    }

    /// Makes a file without bytes, to link to it before [`Co::write_from`] has brought them.
    pub fn start_file(&self, owner: &impl Owner, info: FileInfo) -> Result<Co<FileStream>, WriteError> {
        self.create_value(new_file(owner, &info))
    }
}

/// A file to be made.
pub(crate) fn new_file(owner: &impl Owner, info: &FileInfo) -> NewValue {
    new_value(owner, Shape::File, vec![info.to_item()])
}

impl Co<FileStream> {
    /// How much of the file is here.
    pub fn status(&self) -> Result<FileStatus, LoadError> {
        self.read(FileStream::snapshot)
    }

    /// Appends everything that `bytes` yields, then ends the file. Returns how many bytes that were.
    pub async fn write_from(&self, mut bytes: impl AsyncRead + Unpin) -> Result<u64, FileError> {
        if self.status()?.is_complete {
            return Err(FileError::Complete(self.id().clone()));
        }
        let mut total = 0;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            (&mut bytes)
                .take(CHUNK_BYTES as u64)
                .read_to_end(&mut chunk)
                .await?;
            if chunk.is_empty() {
                break;
            }
            total += chunk.len() as u64;
            self.write(chunk_item(&chunk))?;
            let driver = self.node().driver();
            driver.room_to_send(UNSENT_BYTES_MAX).await;
            driver.room().await;
        }
        self.write(end_item())?;
        Ok(total)
    }

    fn write(&self, item: Value) -> Result<(), WriteError> {
        self.node()
            .write(|core, cx| core.write(cx, self.id(), &[item], Privacy::Private, None))
    }

    /// The bytes from the start on. Where the file isn't complete yet, reading waits for the rest.
    pub fn reader(&self) -> FileReader {
        FileReader {
            changes: self.subscribe(),
            file: self.clone(),
            chunk: io::Cursor::default(),
            next: 0,
        }
    }

    /// Writes all bytes to `writer`, and waits for the rest where the file isn't complete yet. Returns how many there
    /// were.
    pub async fn copy_to(&self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<u64, FileError> {
        let copied = tokio::io::copy(&mut self.reader(), writer).await?;
        writer.flush().await?;
        Ok(copied)
    }

    fn chunk(&self, index: usize) -> Result<Chunk, LoadError> {
        let is_complete = self.status()?.is_complete;
        let bytes = self.node().core(|core, _| core.file_chunk(self.id(), index))?;
        Ok(match bytes {
            Some(bytes) => Chunk::Bytes(bytes),
            None if is_complete => Chunk::End,
            None => Chunk::Pending,
        })
    }
}

enum Chunk {
    Bytes(Vec<u8>),
    End,
    Pending,
}

/// Reads a [`FileStream`] from the start on. It holds one chunk at a time.
#[derive(Debug)]
#[must_use = "nothing is read until it is polled"]
pub struct FileReader {
    file: Co<FileStream>,
    changes: Subscription<FileStatus>,
    chunk: io::Cursor<Vec<u8>>,
    /// The chunk after this one.
    next: usize,
}

impl FileReader {
    /// Waits until there are bytes to give, or there will be none.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.chunk.position() < self.chunk.get_ref().len() as u64 {
                return Poll::Ready(Ok(()));
            }
            match self.file.chunk(self.next).map_err(io::Error::other)? {
                Chunk::Bytes(bytes) => {
                    self.chunk = io::Cursor::new(bytes);
                    self.next += 1;
                }
                Chunk::End => return Poll::Ready(Ok(())),
                Chunk::Pending => match ready!(Pin::new(&mut self.changes).poll_next(cx)) {
                    Some(status) => drop(status.map_err(io::Error::other)?),
                    None => return Poll::Ready(Err(io::Error::other("the node was shut down"))),
                },
            }
        }
    }
}

impl AsyncRead for FileReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        Pin::new(&mut self.chunk).poll_read(cx, buffer)
    }
}
