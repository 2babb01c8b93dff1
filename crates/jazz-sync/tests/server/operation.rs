//! What operators rely on: health, metrics, limits, TLS, stopping, and memory that stays small.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use jazz::Node;
use jazz::transport::{Trust, TrustError};
use jazz_sync::{Server, Settings, TlsFiles};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Running, SOON, count, create_public_map, load, set};

#[tokio::test]
async fn health_readiness_and_metrics_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("jazz.db")).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(server.get("/").await.0, 426);
    server.serves_others().await;
    for counter in [
        "connections_total",
        "received_messages_total",
        "received_bytes_total",
        "sent_messages_total",
        "sent_bytes_total",
        "values",
        "values_bytes",
        "storage_bytes",
        "storage_write_seconds_count",
        "storage_write_seconds_bucket{le=\"+Inf\"}",
        "storage_read_seconds_count",
    ] {
        assert!(server.metric(counter).await > 0.0, "{counter}");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limits_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path().join("jazz.db"));
    settings.limits.connections_max = 2;
    let server = Running::with(settings).await;
    let (first, _second) = (server.raw().await, server.raw().await);
    let refused = tokio_tungstenite::connect_async(&server.url).await;
    let Err(Error::Http(answer)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(answer.status(), 503);
    assert_eq!(server.get("/healthz").await.0, 200, "health is told all the same");
    drop(first);
    server
        .metric_until("connections", |connections| connections == 1.0)
        .await;
    server.raw().await.works().await;
    server.stop().await;

    let mut settings = Settings::new(folder.path().join("other.db"));
    settings.limits.connections_per_address_max = Some(1);
    let server = Running::with(settings).await;
    let _first = server.raw().await;
    let refused = tokio_tungstenite::connect_async(&server.url).await;
    let Err(Error::Http(answer)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(answer.status(), 429);
    server.stop().await;
}

#[tokio::test]
async fn a_full_storage_takes_nothing_and_still_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    let alice = server.client("Alice").await;
    let id = create_public_map(&alice);
    alice.wait_for_sync(SOON).await.unwrap();
    server.stop().await;

    let mut settings = Settings::new(file);
    settings.limits.storage_bytes_max = Some(1);
    let server = Running::with(settings).await;
    let mut raw = server.raw().await;
    raw.send(load(id.as_str())).await;
    loop {
        let message = raw.next().await;
        if message["action"] == "content" && message["id"] == id.as_str() {
            raw.send(message.to_string()).await;
            break;
        }
    }
    let why = "the server's storage is full".to_owned();
    assert_eq!(raw.closed().await, (1013, why));
    server.stop().await;
}

#[tokio::test]
async fn who_is_connected_when_the_server_stops_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("jazz.db")).await;
    let mut idle = server.raw().await;
    idle.works().await;
    let (closed, ()) = tokio::join!(idle.closed(), server.stop());
    assert_eq!(closed, (1001, "the server stops".to_owned()));
}

#[tokio::test]
async fn values_not_used_for_long_leave_memory_and_stay_served() {
    const LIMIT: usize = 256 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path().join("jazz.db"));
    settings.limits.cache_bytes_max = LIMIT;
    let server = Running::with(settings).await;
    let follower = server.client("Follower").await;
    let writer = server.client("Writer").await;
    let followed = create_public_map(&writer);
    writer.wait_for_sync(SOON).await.unwrap();
    follower.load(&followed, SOON).await.unwrap();

    // Clients that write and leave: several times as much as may be held.
    let mut ids = Vec::new();
    for _ in 0..4 {
        let guest = server.client("Guest").await;
        ids.extend((0..200).map(|_| create_public_map(&guest)));
        guest.wait_for_sync(SOON).await.unwrap();
        guest.shutdown().await;
    }
    let is_small = |bytes: f64| bytes <= LIMIT as f64;
    server.metric_until("values_bytes", is_small).await;
    assert!(server.metric("values").await < 300.0, "of more than 1600");

    // Everything is still there, and the one that is followed is pushed though it has left memory.
    let reader = server.client("Reader").await;
    for id in ids.iter().step_by(20) {
        reader.load(id, SOON).await.unwrap();
        assert_eq!(count(&reader, id), Some(1));
    }
    let mut watch = follower.watch(&followed);
    set(&writer, &followed, "count", 2);
    while count(&follower, &followed) != Some(2) {
        tokio::time::timeout(SOON, watch.changed()).await.unwrap();
    }
    server.metric_until("values_bytes", is_small).await;
    server.stop().await;
}

/// Writes a new certificate for localhost; returns it.
fn write_certificate(files: &TlsFiles) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// Connects by TLS, trusting this certificate alone.
async fn connect_tls(address: &str, trusted: &CertificateDer<'static>) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut socket, _) = tokio_tungstenite::client_async("wss://localhost/", stream)
        .await
        .unwrap();
    let ping = socket.next().await.unwrap().unwrap();
    assert!(ping.to_text().unwrap().contains("\"ping\""));
    Ok(())
}

fn tls_files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    }
}

#[tokio::test]
async fn tls_by_files_that_can_be_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let files = tls_files(folder.path());
    let first = write_certificate(&files);
    let mut settings = Settings::new(folder.path().join("jazz.db"));
    settings.tls = Some(files.clone());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings)
        .await
        .unwrap();
    let address = server.address().unwrap().to_string();
    let certificate = server.certificate().unwrap();
    tokio::spawn(server.run(std::future::pending()));

    connect_tls(&address, &first).await.unwrap();
    // Who speaks no TLS is not served.
    assert!(
        tokio_tungstenite::connect_async(format!("ws://{address}"))
            .await
            .is_err()
    );

    let second = write_certificate(&files);
    connect_tls(&address, &first)
        .await
        .expect("the old one until it is reloaded");
    certificate.reload().unwrap();
    connect_tls(&address, &second).await.unwrap();
    connect_tls(&address, &first)
        .await
        .expect_err("the old one is gone");

    std::fs::write(&files.key, "no key").unwrap();
    certificate.reload().unwrap_err();
    connect_tls(&address, &second)
        .await
        .expect("nothing changes if the files are wrong");
}

#[tokio::test]
async fn nodes_connect_by_tls_and_trust_whom_they_are_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let files = tls_files(folder.path());
    write_certificate(&files);
    let mut settings = Settings::new(folder.path().join("jazz.db"));
    settings.tls = Some(files.clone());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings)
        .await
        .unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.run(std::future::pending()));

    let node = Node::builder()
        .sync_server(format!("wss://localhost:{}/", address.port()))
        .certificate_authority(&files.certificate)
        .create_account("Ada")
        .connect()
        .await
        .unwrap();
    node.wait_for_sync(SOON).await.unwrap();

    // Nobody else vouches for it.
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Trust::system().config()).connect(name, stream);
    connecting.await.expect_err("it is not trusted");

    let not_pem = folder.path().join("empty.pem");
    std::fs::write(&not_pem, "nothing").unwrap();
    let empty = Trust::with_authority(&not_pem);
    assert!(matches!(empty, Err(TrustError::Empty(_))), "{empty:?}");
    let absent = Trust::with_authority(&folder.path().join("absent.pem"));
    assert!(matches!(absent, Err(TrustError::File { .. })), "{absent:?}");
}
