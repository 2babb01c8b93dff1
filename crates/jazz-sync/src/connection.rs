//! One client's connection, from the upgrade to the farewell.

use std::time::Duration;

use cojson::message::Message;
use cojson::sync::{PeerId, PeerRole};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jazz::driver::now;
use jazz::transport::{Incoming, Outgoing, OutgoingEnd, OutgoingReceiver, UnreadableFrame, ping, read_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use crate::Shared;

/// Clients take ten seconds of silence for a broken connection.
const PING_INTERVAL: Duration = Duration::from_millis(1500);
/// How long a client may take to read one frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to read why the connection ends.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// Every idle connection has a buffer of this size. Longer frames get a longer one for as long as they take.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// After so many questions it is awaited what storage makes of them: whether there is room for the answers, which may be
/// much longer, is only known once they have been read.
const QUESTIONS_AT_ONCE: u64 = 16;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a connection isn't begun, or ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooManyConnections,
    TooManyFromAddress,
    TooLong,
    Binary,
    NotJson,
    TooManyMessages,
    Protocol,
    StorageFull,
    TooSlow,
    TooMuchHeld,
}

impl Refusal {
    pub const ALL: [Self; 10] = [
        Self::TooManyConnections,
        Self::TooManyFromAddress,
        Self::TooLong,
        Self::Binary,
        Self::NotJson,
        Self::TooManyMessages,
        Self::Protocol,
        Self::StorageFull,
        Self::TooSlow,
        Self::TooMuchHeld,
    ];

    /// The name for metrics and the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooManyConnections => "connections",
            Self::TooManyFromAddress => "address",
            Self::TooLong => "frame-size",
            Self::Binary => "binary",
            Self::NotJson => "not-json",
            Self::TooManyMessages => "frame-messages",
            Self::Protocol => "protocol",
            Self::StorageFull => "storage-full",
            Self::TooSlow => "slow",
            Self::TooMuchHeld => "held",
        }
    }
}

/// How a connection ends.
enum End {
    /// The client closed it, or is gone.
    Gone,
    /// The server stops.
    Stopping,
    /// The client did something that isn't accepted; the text tells it what.
    Refused(Refusal, String),
}

impl End {
    fn refused(refusal: Refusal, why: impl Into<String>) -> Self {
        Self::Refused(refusal, why.into())
    }

    fn close_frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Gone => return None,
            Self::Stopping => (CloseCode::Away, "the server stops"),
            Self::Refused(refusal, why) => {
                let code = match refusal {
                    Refusal::TooLong => CloseCode::Size,
                    Refusal::Binary => CloseCode::Unsupported,
                    Refusal::NotJson => CloseCode::Invalid,
                    Refusal::Protocol => CloseCode::Protocol,
                    Refusal::StorageFull | Refusal::TooManyConnections => CloseCode::Again,
                    Refusal::TooManyFromAddress
                    | Refusal::TooManyMessages
                    | Refusal::TooSlow
                    | Refusal::TooMuchHeld => CloseCode::Policy,
                };
                (code, why.as_str())
            }
        };
        Some(CloseFrame {
            code,
            reason: reason.into(),
        })
    }
}

/// Serves a client until it leaves, is refused, or the server stops.
pub async fn run(io: TokioIo<Upgraded>, shared: &Shared) {
    let frame_bytes_max = shared.limits.frame_bytes_max;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_frame_size(Some(frame_bytes_max))
        .max_message_size(Some(frame_bytes_max));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    let (peer, mut outgoing) = shared.driver.add_peer(PeerRole::Client, shared.queues.clone());
    let mut incoming = Reader {
        peer,
        answers: outgoing.sender(),
        shared,
        questions: 0,
    };
    let end = {
        let mut writing = std::pin::pin!(write(&mut sink, &mut outgoing, shared));
        let ended = tokio::select! {
            end = &mut writing => Some(end),
            end = incoming.run(&mut stream) => Some(end),
            () = shared.stopping.cancelled() => None,
        };
        if let Some(end) = ended {
            shared.driver.remove_peer(peer);
            end
        } else {
            // What was taken is stored and acknowledged before we go.
            shared.driver.wait_for_storage().await;
            shared.driver.remove_peer(peer);
            writing.await
        }
    };
    if let End::Refused(refusal, why) = &end {
        shared.metrics.refused(*refusal);
        tracing::info!(peer = peer.0, reason = refusal.label(), why, "ended a connection");
    }
    if let (Some(frame), Ok(socket)) = (end.close_frame(), stream.reunite(sink)) {
        // Nothing more can be done for a client that doesn't read it.
        let _ = timeout(FAREWELL_TIME, say_goodbye(socket, frame)).await;
    }
}

/// Takes what the client sends, no faster than storage works and the client reads the answers.
struct Reader<'a> {
    peer: PeerId,
    answers: Outgoing,
    shared: &'a Shared,
    /// How many messages were taken that aren't content: what is sent to us is acknowledged in few words.
    questions: u64,
}

impl Reader<'_> {
    async fn run(&mut self, stream: &mut SplitStream<Socket>) -> End {
        loop {
            match stream.next().await {
                None | Some(Ok(Frame::Close(_))) => return End::Gone,
                Some(Ok(Frame::Text(text))) => {
                    if let Err(end) = self.take(&text).await {
                        return end;
                    }
                }
                Some(Ok(Frame::Binary(_))) => {
                    return End::refused(Refusal::Binary, "only text frames are understood");
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
                Some(Err(Error::Capacity(_))) => {
                    let why = format!(
                        "a frame is longer than {} bytes",
                        self.shared.limits.frame_bytes_max
                    );
                    return End::refused(Refusal::TooLong, why);
                }
                Some(Err(Error::Utf8(_))) => {
                    return End::refused(Refusal::NotJson, "a text frame is not UTF-8");
                }
                Some(Err(Error::Protocol(error))) => {
                    return End::refused(Refusal::Protocol, error.to_string());
                }
                Some(Err(_)) => return End::Gone,
            }
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), End> {
        let shared = self.shared;
        shared.metrics.bytes_received.add(text.len() as u64);
        let messages = read_frame(text).map_err(|error| {
            let refusal = match error {
                UnreadableFrame::NotJson => Refusal::NotJson,
                UnreadableFrame::TooManyMessages => Refusal::TooManyMessages,
            };
            End::refused(refusal, error.to_string())
        })?;
        // One by one: a frame may ask for much more than it holds.
        for message in messages {
            shared.metrics.messages_received.add(1);
            let is_question = !matches!(message, Incoming::Message(Message::Content(_)));
            if let Incoming::Message(message) = &message {
                self.look_at(message)?;
            }
            shared.driver.room().await;
            self.answers.room(shared.limits.queue_bytes_max / 4).await;
            shared.driver.receive(self.peer, [message]);
            self.questions += u64::from(is_question);
            if is_question && self.questions.is_multiple_of(QUESTIONS_AT_ONCE) {
                shared.driver.wait_for_storage().await;
            }
        }
        Ok(())
    }

    fn look_at(&self, message: &Message) -> Result<(), End> {
        let shared = self.shared;
        if let Message::Content(_) = message
            && let Some(max) = shared.limits.storage_bytes_max
            && shared.metrics.storage_bytes.get() >= max
        {
            return Err(End::refused(Refusal::StorageFull, "the server's storage is full"));
        }
        if let Some(id) = message.id() {
            shared.cache.used(id);
        }
        Ok(())
    }
}

/// Sends what waits, and signs of life.
async fn write(sink: &mut SplitSink<Socket, Frame>, outgoing: &mut OutgoingReceiver, shared: &Shared) -> End {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            frame = outgoing.next_frame() => frame,
            _ = pings.tick() => Ok(ping(now().0)),
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(OutgoingEnd::Closed) => return End::Stopping,
            Err(OutgoingEnd::Overflown) => return End::refused(Refusal::TooSlow, "you read too slowly"),
            Err(OutgoingEnd::CutOff(why)) => return End::refused(Refusal::TooMuchHeld, why),
        };
        let lines = frame.bytes().filter(|byte| *byte == b'\n').count() as u64 + 1;
        shared.metrics.messages_sent.add(lines);
        shared.metrics.bytes_sent.add(frame.len() as u64);
        match timeout(WRITE_TIMEOUT, sink.send(Frame::text(frame))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Gone,
            Err(_) => return End::refused(Refusal::TooSlow, "you read too slowly"),
        }
    }
}

/// Says why the connection ends. What the client is still sending is read and thrown away: if it weren't, the
/// operating system would reset the connection, and the client might never see the reason.
async fn say_goodbye(mut socket: Socket, frame: CloseFrame) -> std::io::Result<()> {
    if socket.send(Frame::Close(Some(frame))).await.is_err() {
        return Ok(());
    }
    let mut io = socket.into_inner();
    io.shutdown().await?;
    let mut rest = [0; 1024];
    while io.read(&mut rest).await? > 0 {}
    Ok(())
}
