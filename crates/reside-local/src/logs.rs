//! What processes print: kept in a file per workload, cut off when it gets long, and told to whoever follows.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::broadcast;

/// A file that gets longer becomes the old one; the former old one goes.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What is longer is cut.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines a slow follower may be behind before it misses some.
const FOLLOW_MAX: usize = 1024;

/// A printed line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was printed, as ISO text.
    pub time: String,
    /// The line.
    pub text: String,
}

/// The logs of all workloads.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    open: Mutex<HashMap<String, Arc<Log>>>,
}

struct Log {
    file: Mutex<Option<File>>,
    path: PathBuf,
    lines: broadcast::Sender<LogLine>,
}

impl Logs {
    /// Keeps logs in this folder.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self(Arc::new(Inner {
            folder,
            open: Mutex::default(),
        })))
    }

    fn log(&self, name: &str) -> Arc<Log> {
        let mut open = self.0.open.lock();
        let make = || {
            let path = self.0.folder.join(format!("{name}.log"));
            Arc::new(Log {
                file: Mutex::new(None),
                path,
                lines: broadcast::Sender::new(FOLLOW_MAX),
            })
        };
        open.entry(name.to_owned()).or_insert_with(make).clone()
    }

    /// Writes everything a process prints, until it closes its end.
    pub fn capture(
        &self,
        name: &str,
        output: impl AsyncRead + Unpin + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let log = self.log(name);
        tokio::spawn(async move {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while let Ok(true) = read_line(&mut reader, &mut line).await {
                log.write(&line);
            }
        })
    }

    /// Writes a line of the runtime's own.
    pub fn note(&self, name: &str, text: &str) {
        self.log(name).write(text.as_bytes());
    }

    /// Returns the last lines, and those to come.
    pub fn follow(
        &self,
        name: &str,
        tail: usize,
    ) -> io::Result<(Vec<LogLine>, broadcast::Receiver<LogLine>)> {
        let log = self.log(name);
        // Under the lock, so that no line is in both or in neither.
        let _file = log.file.lock();
        Ok((log.tail(tail)?, log.lines.subscribe()))
    }
}

impl Log {
    fn write(&self, text: &[u8]) {
        let line = LogLine {
            time: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
                .to_string(),
            text: String::from_utf8_lossy(text).into_owned(),
        };
        let mut file = self.file.lock();
        if let Err(error) = self.append(&mut file, &line) {
            // A full disk must not stop the process that prints.
            tracing::warn!(path = %self.path.display(), %error, "cannot write a log");
            *file = None;
        }
        let _ = self.lines.send(line);
    }

    fn append(&self, file: &mut Option<File>, line: &LogLine) -> io::Result<()> {
        if let Some(open) = file.as_ref()
            && open.metadata()?.len() > FILE_BYTES_MAX
        {
            *file = None;
            fs::rename(&self.path, self.former())?;
        }
        let open = match file {
            Some(open) => open,
            None => file.insert(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(&self.path)?,
            ),
        };
        writeln!(open, "{} {}", line.time, line.text)
    }

    /// The last lines, from the former file too if this one has fewer.
    fn tail(&self, count: usize) -> io::Result<Vec<LogLine>> {
        let lines = last_lines(&self.path, count)?;
        if lines.len() == count {
            return Ok(lines);
        }
        let mut all = last_lines(&self.former(), count - lines.len())?;
        all.extend(lines);
        Ok(all)
    }

    /// Where the lines before those of the file are.
    fn former(&self) -> PathBuf {
        self.path.with_extension("log.old")
    }
}

/// Reads the last lines of a file; one that isn't there has none.
fn last_lines(path: &Path, count: usize) -> io::Result<Vec<LogLine>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let line = |line: &&str| {
        let (time, text) = line.split_once(' ').unwrap_or(("", line));
        LogLine {
            time: time.to_owned(),
            text: text.to_owned(),
        }
    };
    let last = &lines[lines.len().saturating_sub(count)..];
    Ok(last.iter().map(line).collect())
}

/// Reads a line without its end; what is longer than a line may be is dropped.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}
