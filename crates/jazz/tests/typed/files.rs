//! Files and vectors.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use jazz::{CoVector, FileError, FileInfo, FileStream, LoadError, Ref, Role};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::support::{offline, shared};

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 31 + n / 256) as u8).collect()
}

#[tokio::test]
async fn a_file_is_read_elsewhere_as_it_was_written() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let content = bytes(3 * 102_400 + 17);
    let info = FileInfo::new("image/png")
        .named("a.png")
        .sized(content.len() as u64);
    let file = alice
        .create_file(&group, info.clone(), content.as_slice())
        .await
        .unwrap();
    let same = bob.load(&file.reference()).await.unwrap();
    let mut read = Vec::new();
    assert_eq!(same.copy_to(&mut read).await.unwrap(), content.len() as u64);
    assert!(read == content);
    let status = same.status().unwrap();
    assert_eq!((status.info.as_ref(), status.is_complete), (Some(&info), true));
    assert_eq!(status.progress(), Some(1.0));
    let again = file.write_from(&b"more"[..]).await;
    assert!(matches!(again, Err(FileError::Complete(id)) if id == *file.id()));
}

#[tokio::test]
async fn a_reader_follows_the_writer() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let file = alice
        .start_file(&group, FileInfo::new("text/plain").sized(12))
        .unwrap();
    let same = bob.load(&file.reference()).await.unwrap();
    assert_eq!(same.status().unwrap().progress(), Some(0.0));
    let (mut source, sink) = tokio::io::duplex(64);
    let writing = tokio::spawn(async move { file.write_from(sink).await });
    let mut reader = same.reader();
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        reader.read_to_string(&mut text).await.map(|_| text)
    });
    source.write_all(b"hello ").await.unwrap();
    source.write_all(b"world!").await.unwrap();
    drop(source);
    assert_eq!(writing.await.unwrap().unwrap(), 12);
    assert_eq!(reading.await.unwrap().unwrap(), "hello world!");
}

/// Yields one chunk and fails.
struct Broken(bool);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Err(io::Error::other("gone")));
        }
        let room = buffer.remaining().min(102_400);
        buffer.put_slice(&vec![7; room]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_a_failing_source_leaves_has_no_end_and_can_be_continued() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let file = node.start_file(&group, FileInfo::new("x/y")).unwrap();
    let failed = file.write_from(Broken(false)).await;
    assert!(matches!(failed, Err(FileError::Io(_))), "{failed:?}");
    let status = file.status().unwrap();
    assert!(!status.is_complete);
    assert_eq!(status.progress(), None);
    assert_eq!(file.write_from(&b"rest"[..]).await.unwrap(), 4);
    let status = file.status().unwrap();
    assert!(status.is_complete);
    let mut read = Vec::new();
    file.copy_to(&mut read).await.unwrap();
    assert_eq!(read.len() as u64, status.bytes);
    assert!(read.ends_with(b"\x07rest") || read == b"rest");
}

#[tokio::test]
async fn empty_files_end() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let info = FileInfo::new("text/plain").sized(0);
    let file = node.create_file(&group, info, &b""[..]).await.unwrap();
    let mut read = Vec::new();
    assert_eq!(file.copy_to(&mut read).await.unwrap(), 0);
    assert_eq!(file.status().unwrap().progress(), Some(1.0));
}

#[tokio::test]
async fn a_reader_ends_when_the_node_does() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let file = node.start_file(&group, FileInfo::new("x/y")).unwrap();
    let mut reader = file.reader();
    let reading = tokio::spawn(async move { reader.read_u8().await.map_err(|error| error.to_string()) });
    node.shutdown().await;
    assert_eq!(reading.await.unwrap(), Err("the node was shut down".to_owned()));
}

#[tokio::test]
async fn vectors_are_whole_or_not_there() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let numbers: Vec<f32> = (0..30_000).map(|n| n as f32 / 7.0).collect();
    let vector = alice.create_vector(&group, &numbers).unwrap();
    let same = bob.load(&vector.reference()).await.unwrap();
    assert_eq!(same.get().unwrap(), numbers);
    let file = alice
        .start_file(&group, FileInfo::new("application/vector+octet-stream"))
        .unwrap();
    let partial = alice.loaded(&Ref::<CoVector>::new(file.id().clone())).unwrap();
    assert!(matches!(partial.get(), Err(LoadError::Schema(_))));
    let text = alice.create_text(&group, "").unwrap();
    let wrong = alice.loaded(&Ref::<FileStream>::new(text.id().clone()));
    assert!(matches!(wrong, Err(LoadError::WrongKind { .. })));
}
