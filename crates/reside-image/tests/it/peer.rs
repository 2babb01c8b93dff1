//! A server that answers as a test tells it to: wrongly, slowly, in pieces, or not at all.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    head: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Whole,
    /// The connection breaks after that much of the body.
    Breaks(usize),
    /// Nothing comes any more after that much of the body.
    Stalls(usize),
    /// The connection breaks before there is an answer.
    Silent,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            ending: Ending::Whole,
        }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn breaks_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::Breaks(bytes);
        self
    }

    pub fn stalls_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::Stalls(bytes);
        self
    }

    pub fn silent() -> Self {
        Self {
            ending: Ending::Silent,
            ..Self::new(200, "")
        }
    }
}

/// A running server; it ends with the test's runtime.
pub struct Peer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Peer {
    /// Starts a server. Each request is one connection.
    pub async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move {
                    // A client that goes away is none of our business.
                    drop(serve(stream, &log, &*answer).await);
                });
            }
        });
        Self { address, asked }
    }

    /// Everything that was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a path with this ending was asked for.
    pub fn times(&self, method: &str, ending: &str) -> usize {
        let asked = self.asked();
        let fits = |one: &&Asked| one.method == method && one.path.ends_with(ending);
        asked.iter().filter(fits).count()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let asked = read(&mut stream).await?;
    log.lock().unwrap().push(asked.clone());
    let reply = answer(&asked);
    if matches!(reply.ending, Ending::Silent) {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    if asked.method == "HEAD" {
        return Ok(());
    }
    match reply.ending {
        Ending::Whole | Ending::Silent => stream.write_all(&reply.body).await,
        Ending::Breaks(bytes) => stream.write_all(&reply.body[..bytes]).await,
        Ending::Stalls(bytes) => {
            stream.write_all(&reply.body[..bytes]).await?;
            std::future::pending().await
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut words = head.split(' ');
    let mut asked = Asked {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        body: bytes[end..].to_vec(),
        head,
    };
    let length = asked
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    while asked.body.len() < length {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        asked.body.extend_from_slice(&buffer[..count]);
    }
    Ok(asked)
}
