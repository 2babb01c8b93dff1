//! Calls to `https://` addresses.

use std::sync::Arc;

use jazz::transport::Trust;
use reside::rpc::wire::SEALED;
use reside::rpc::{HttpTransport, Transport as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Answers every connection once, with a body that says that it is sealed.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = acceptor.accept(stream).await else {
            continue;
        };
        let mut request = Vec::new();
        while !request.ends_with(b"sealed body") {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "the request ends early");
            request.extend(&bytes[..count]);
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {SEALED}\r\ncontent-length: 6\r\n\r\nanswer");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn calls_go_over_tls_to_whom_one_trusts() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));

    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let transport = HttpTransport::trusting(Trust::with_authority(&authority).unwrap());
    let body = || b"sealed body".to_vec();
    let reply = transport
        .post(url.clone(), "call".to_owned(), body())
        .await
        .unwrap();
    assert_eq!(
        (reply.status, reply.is_sealed, &*reply.body),
        (200, true, &b"answer"[..])
    );

    let refused = HttpTransport::default()
        .post(url, "call".to_owned(), body())
        .await;
    assert!(refused.unwrap_err().never_sent());
}
