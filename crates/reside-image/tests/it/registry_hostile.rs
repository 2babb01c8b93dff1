//! Registries that are broken, slow or hostile: each has its error, what may pass is tried again, and the store stays as it
//! was.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reside_image::{
    Digest, Image, ImageError, Reference, Registry, RegistryError, RegistrySettings, ResolvedImage, Tag, oci,
    registry::{Login, Patience},
};
use serde_json::{Value, json};

use crate::{
    peer::{Asked, Peer, Reply},
    support::{GREETER, Home, identity},
};

/// Everything is tried three times, and nothing is waited for.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(10),
    attempts: 3,
    backoff: Duration::from_millis(1),
    wait: Duration::from_secs(60),
};

/// An image as an honest registry has it.
struct Served {
    image: Image,
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Served {
    fn new() -> Arc<Self> {
        let home = Home::new();
        let image = home.replica(&[7; 100_000], &[Tag::latest()]);
        let read = |digest: &Digest| fs::read(home.blob_path(digest)).unwrap();
        Arc::new(Self {
            manifest: read(&image.digest),
            config: read(&image.manifest.config.digest),
            layer: read(&image.manifest.layers[0].digest),
            image,
        })
    }

    /// What an honest registry answers.
    fn honest(&self, asked: &Asked) -> Reply {
        let last = asked.path.rsplit('/').next().unwrap_or_default();
        let manifest = &self.image.manifest;
        if asked.path.contains("/manifests/") {
            Reply::new(200, self.manifest.clone()).header("docker-content-digest", self.image.digest)
        } else if last == manifest.config.digest.to_string() {
            Reply::new(200, self.config.clone())
        } else if last == manifest.layers[0].digest.to_string() {
            Reply::new(200, self.layer.clone())
        } else {
            Reply::new(404, "")
        }
    }

    fn is_layer(&self, asked: &Asked) -> bool {
        asked
            .path
            .ends_with(&self.image.manifest.layers[0].digest.to_string())
    }

    fn is_config(&self, asked: &Asked) -> bool {
        asked
            .path
            .ends_with(&self.image.manifest.config.digest.to_string())
    }
}

fn settings(peer: &Peer) -> RegistrySettings {
    let mirror = peer.address.to_string();
    RegistrySettings {
        mirrors: [("ghcr.io/exeteres".parse().unwrap(), mirror.parse().unwrap())].into(),
        ..RegistrySettings::default()
    }
}

async fn pull_with(registry: &Registry, home: &Home) -> Result<ResolvedImage, ImageError> {
    let reference: Reference = GREETER.parse().unwrap();
    registry.pull(&reference, &home.store, &|_| {}).await
}

/// Pulls from a peer, and looks whether the store is as it should be.
async fn pull(peer: &Peer) -> Result<ResolvedImage, ImageError> {
    let home = Home::new();
    let before = home.replica(b"what was there before", &[Tag::latest()]);
    let registry = Registry::with_patience(settings(peer), PATIENCE);
    let pulled = pull_with(&registry, &home).await;
    let latest = home.store.resolve(&GREETER.parse().unwrap()).unwrap().digest;
    match &pulled {
        Ok(image) => assert!(home.store.has(&image.digest) && latest == image.digest),
        Err(_) => assert_eq!(latest, before.digest, "the tag has moved to what is not there"),
    }
    let left: Vec<_> = fs::read_dir(home.store.path().join(".tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    for blob in fs::read_dir(home.store.path().join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let found = crate::support::digest_of(&fs::read(&path).unwrap());
        assert!(path.ends_with(found.hex()), "{}", path.display());
    }
    pulled
}

/// Pulls from a peer that answers so where it isn't honest; returns the error and the peer.
async fn refused(
    answer: impl Fn(&Served, &Asked) -> Option<Reply> + Send + Sync + 'static,
) -> (ImageError, Peer) {
    let served = Served::new();
    let peer = Peer::start(move |asked| answer(&served, asked).unwrap_or_else(|| served.honest(asked))).await;
    let error = pull(&peer).await.unwrap_err();
    (error, peer)
}

/// Answers with an image that has this manifest.
fn manifest(value: &Value) -> impl Fn(&Served, &Asked) -> Option<Reply> + Send + Sync + 'static {
    let text = value.to_string();
    move |_, asked| {
        asked
            .path
            .contains("/manifests/")
            .then(|| Reply::new(200, text.clone()))
    }
}

#[tokio::test]
async fn an_honest_registry_is_pulled_from() {
    let served = Served::new();
    let digest = served.image.digest;
    let peer = Peer::start(move |asked| served.honest(asked)).await;
    assert_eq!(pull(&peer).await.unwrap().digest, digest);
}

#[tokio::test]
async fn what_breaks_off_is_taken_up_where_it_broke() {
    for ranges in [true, false] {
        let served = Served::new();
        let (layer, count) = (served.layer.clone(), AtomicUsize::new(0));
        let half = layer.len() / 2;
        let peer = Peer::start(move |asked| {
            if !served.is_layer(asked) {
                return served.honest(asked);
            }
            match (count.fetch_add(1, Ordering::Relaxed), asked.header("range")) {
                (0, None) => Reply::new(200, layer.clone()).breaks_after(half),
                (_, Some(range)) if ranges => {
                    assert_eq!(range, format!("bytes={half}-"));
                    let place = format!("bytes {half}-{}/{}", layer.len() - 1, layer.len());
                    Reply::new(206, &layer[half..]).header("content-range", place)
                }
                _ => Reply::new(200, layer.clone()),
            }
        })
        .await;
        pull(&peer).await.unwrap();
    }
}

#[tokio::test]
async fn layers_that_are_not_what_they_should_be() {
    // As a proxy would do it that has lost the rest.
    let (error, peer) = refused(|served, asked| {
        served
            .is_layer(asked)
            .then(|| Reply::new(200, &served.layer[..served.layer.len() - 1]))
    })
    .await;
    assert!(error.to_string().contains("bytes of the blob sha256:"), "{error}");
    let layers = peer
        .asked()
        .iter()
        .filter(|asked| asked.path.contains("/blobs/"))
        .count();
    assert_eq!(layers, 1 + 3, "the configuration once, the layer three times");

    let (error, _) = refused(|served, asked| {
        let layer = Reply::new(200, served.layer.clone());
        served
            .is_layer(asked)
            .then(|| layer.breaks_after(served.layer.len() / 3))
    })
    .await;
    assert!(
        matches!(error, ImageError::Registry(RegistryError::Unreachable { .. })),
        "{error}"
    );

    let (error, peer) = refused(|served, asked| {
        let mut layer = served.layer.clone();
        layer[10] ^= 1;
        served.is_layer(asked).then(|| Reply::new(200, layer))
    })
    .await;
    assert!(matches!(error, ImageError::DigestMismatch { .. }), "{error}");
    let layers = peer
        .asked()
        .iter()
        .filter(|asked| asked.path.contains("/blobs/"))
        .count();
    assert_eq!(layers, 2, "a wrong answer stays wrong");

    let (error, _) = refused(|served, asked| {
        let layer = [&served.layer[..], &[0; 100]].concat();
        served.is_layer(asked).then(|| Reply::new(200, layer))
    })
    .await;
    assert!(matches!(error, ImageError::SizeMismatch { .. }), "{error}");
}

#[tokio::test]
async fn manifests_that_are_not_what_they_should_be() {
    let descriptor =
        |kind: &str| json!({"mediaType": kind, "digest": format!("sha256:{}", "0".repeat(64)), "size": 7});
    let image = |config: Value, layers: Value| json!({"schemaVersion": 2, "mediaType": oci::MANIFEST, "config": config, "layers": layers});
    let mut huge = descriptor(oci::LAYER_GZIP);
    huge["size"] = json!(1_u64 << 50);
    for (value, reason) in [
        (
            json!({"schemaVersion": 2, "mediaType": oci::INDEX, "manifests": []}),
            oci::INDEX,
        ),
        (
            json!({"schemaVersion": 2, "mediaType": oci::DOCKER_INDEX, "manifests": []}),
            oci::DOCKER_INDEX,
        ),
        (json!({"schemaVersion": 2, "manifests": []}), oci::INDEX),
        (json!({"schemaVersion": 1, "fsLayers": []}), "missing field"),
        (json!("text"), "not valid"),
        (
            image(descriptor("application/vnd.cncf.helm.config.v1+json"), json!([])),
            "helm",
        ),
        (image(descriptor(oci::CONFIG), json!([huge])), "larger than"),
        (
            image(
                json!({"mediaType": oci::CONFIG, "digest": "sha256:0", "size": 1}),
                json!([]),
            ),
            "not a digest",
        ),
    ] {
        let (error, _) = refused(manifest(&value)).await;
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
    let (error, _) = refused(|_, asked| {
        asked
            .path
            .contains("/manifests/")
            .then(|| Reply::new(200, "<html>"))
    })
    .await;
    assert!(matches!(error, ImageError::Invalid { .. }), "{error}");
    let (error, _) = refused(|served, asked| {
        let other = Reply::new(200, served.manifest.clone())
            .header("docker-content-digest", served.image.manifest.config.digest);
        asked.path.contains("/manifests/").then_some(other)
    })
    .await;
    assert!(matches!(error, ImageError::DigestMismatch { .. }), "{error}");
    let (error, _) = refused(|_, asked| {
        asked
            .path
            .contains("/manifests/")
            .then(|| Reply::new(200, vec![b' '; 5 << 20]))
    })
    .await;
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");

    // An image that is asked for by its digest has it.
    let served = Served::new();
    let other = served.manifest.clone();
    let peer = Peer::start(move |_| Reply::new(200, other.clone())).await;
    let registry = Registry::with_patience(settings(&peer), PATIENCE);
    let asked_for = ResolvedImage {
        identity: identity(GREETER),
        digest: served.image.manifest.config.digest,
    };
    assert!(matches!(
        registry.image(&asked_for).await,
        Err(ImageError::DigestMismatch { .. })
    ));
}

#[tokio::test]
async fn a_configuration_that_is_none() {
    let replace = |text: &'static str| {
        let digest = crate::support::digest_of(text.as_bytes());
        let config = json!({"mediaType": oci::CONFIG, "digest": digest, "size": text.len()});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": oci::MANIFEST, "config": config, "layers": []})
                .to_string();
        move |_: &Served, asked: &Asked| {
            let body = if asked.path.contains("/manifests/") {
                manifest.clone()
            } else {
                text.to_owned()
            };
            Some(Reply::new(200, body))
        }
    };
    for text in [
        "{}",
        "not JSON",
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0"]}}"#,
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"files"}}"#,
    ] {
        let (error, _) = refused(replace(text)).await;
        assert!(matches!(error, ImageError::Invalid { .. }), "{text}: {error}");
    }
    let (error, _) = refused(|served, asked| {
        served
            .is_config(asked)
            .then(|| Reply::new(200, vec![b' '; served.config.len()]))
    })
    .await;
    assert!(matches!(error, ImageError::DigestMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_registry_that_stalls_is_left() {
    let patience = Patience {
        answer: Duration::from_millis(100),
        attempts: 2,
        ..PATIENCE
    };
    for at in [0, 1000] {
        let served = Served::new();
        let peer = Peer::start(move |asked| match served.is_layer(asked) {
            true => Reply::new(200, served.layer.clone()).stalls_after(at.min(served.layer.len() / 2)),
            false => served.honest(asked),
        })
        .await;
        let registry = Registry::with_patience(settings(&peer), patience);
        let error = pull_with(&registry, &Home::new()).await.unwrap_err();
        assert!(
            matches!(error, ImageError::Registry(RegistryError::Stalled { .. })),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_asked_again() {
    let (error, peer) = refused(|_, _| Some(Reply::silent())).await;
    assert!(
        matches!(error, ImageError::Registry(RegistryError::Unreachable { .. })),
        "{error}"
    );
    assert_eq!(peer.asked().len(), 3);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = RegistrySettings {
        mirrors: [("ghcr.io".parse().unwrap(), address.to_string().parse().unwrap())].into(),
        ..RegistrySettings::default()
    };
    let error = pull_with(&Registry::with_patience(settings, PATIENCE), &Home::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn answers_that_may_pass_are_waited_for() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (served, count) = (Served::new(), AtomicUsize::new(0));
        let peer = Peer::start(move |asked| match count.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Reply::new(status, "").header("retry-after", 0),
            _ => served.honest(asked),
        })
        .await;
        pull(&peer).await.unwrap();
        assert_eq!(peer.times("GET", "/manifests/latest"), 2, "{status}");

        let (error, peer) = refused(move |_, _| {
            Some(Reply::new(
                status,
                r#"{"errors":[{"code":"X","message":"not\u001b now"}]}"#,
            ))
        })
        .await;
        assert_eq!(peer.asked().len(), 3, "{status}");
        assert!(error.to_string().contains("not  now"), "{error}");
    }
    let (error, peer) = refused(|_, _| Some(Reply::new(429, "").header("retry-after", 3600))).await;
    assert_eq!(peer.asked().len(), 1, "nobody waits for an hour");
    assert!(error.to_string().contains("429"), "{error}");
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let (_, peer) = refused(move |_, _| Some(Reply::new(503, "").header("retry-after", date))).await;
    assert_eq!(peer.asked().len(), 3);
}

#[tokio::test]
async fn answers_that_stay_are_not_asked_for_again() {
    type Fits = fn(&RegistryError) -> bool;
    let cases: [(u16, Fits); 4] = [
        (401, |error| matches!(error, RegistryError::Unauthorized { .. })),
        (403, |error| matches!(error, RegistryError::Denied { .. })),
        (404, |error| matches!(error, RegistryError::NotFound { .. })),
        (400, |error| matches!(error, RegistryError::Refused { .. })),
    ];
    for (status, fits) in cases {
        let (error, peer) = refused(move |_, _| Some(Reply::new(status, "<html>no</html>"))).await;
        let ImageError::Registry(error) = error else {
            panic!("{error}")
        };
        assert!(fits(&error) && !error.to_string().contains("html"), "{error}");
        assert_eq!(peer.asked().len(), 1);
    }
}

fn with_login(peer: &Peer) -> RegistrySettings {
    RegistrySettings {
        logins: [(peer.address.to_string(), Login::new("ada", "secret"))].into(),
        ..settings(peer)
    }
}

#[tokio::test]
async fn logins_do_not_follow_redirects_to_others() {
    let served = Served::new();
    let storage = {
        let served = served.clone();
        Peer::start(move |asked| served.honest(asked)).await
    };
    let to = storage.address;
    let peer = Peer::start(move |asked| {
        if asked.header("authorization").is_none() {
            return Reply::new(401, "").header("www-authenticate", "Basic realm=\"r\"");
        }
        match served.is_layer(asked) {
            true => Reply::new(307, "").header("location", format!("http://{to}{}", asked.path)),
            false => served.honest(asked),
        }
    })
    .await;
    let registry = Registry::with_patience(with_login(&peer), PATIENCE);
    pull_with(&registry, &Home::new()).await.unwrap();
    let asked = storage.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), None);
    assert!(
        peer.asked()
            .iter()
            .any(|asked| asked.header("authorization") == Some("Basic YWRhOnNlY3JldA=="))
    );
}

#[tokio::test]
async fn redirects_lead_neither_in_circles_nor_into_plain_text() {
    for (location, reason) in [
        ("http://registry.example.org/x?signature=secret", "plain HTTP"),
        ("file:///etc/passwd", "is no address"),
        ("gopher://example.org/", "neither HTTP nor HTTPS"),
        ("x", "is no address"),
    ] {
        let (error, peer) = refused(move |_, _| Some(Reply::new(302, "").header("location", location))).await;
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(peer.asked().len(), 1);
    }
    let (error, peer) =
        refused(|_, asked| Some(Reply::new(302, "").header("location", asked.path.clone()))).await;
    assert!(error.to_string().contains("too many"), "{error}");
    assert!(peer.asked().len() < 10);
    let (error, _) = refused(|_, _| Some(Reply::new(302, ""))).await;
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test]
async fn tokens_are_fetched_for_what_is_done() {
    let served = Served::new();
    let peer = Peer::start(move |asked| {
        let host = asked.header("host").unwrap_or_default().to_owned();
        if asked.path.starts_with("/token") {
            assert_eq!(asked.header("authorization"), Some("Basic YWRhOnNlY3JldA=="));
            return Reply::new(200, r#"{"token":"opens"}"#);
        }
        if asked.header("authorization") != Some("Bearer opens") {
            let realm = format!(r#"Bearer realm="http://{host}/token",service="s",scope="ignored""#);
            return Reply::new(401, "").header("www-authenticate", realm);
        }
        served.honest(asked)
    })
    .await;
    let registry = Registry::with_patience(with_login(&peer), PATIENCE);
    pull_with(&registry, &Home::new()).await.unwrap();
    let asked = peer.asked();
    let tokens: Vec<&str> = asked
        .iter()
        .filter(|one| one.path.starts_with("/token"))
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!(
        tokens,
        ["/token?service=s&scope=repository%3Areside%2Freplicas%2Fgreeter%3Apull"],
        "one for all"
    );
}

#[tokio::test]
async fn token_servers_may_be_broken_too() {
    for (reply, reason) in [
        (Reply::new(200, "{}"), "gives no token"),
        (Reply::new(200, "<html>"), "gives no token"),
        (Reply::new(200, r#"{"token":"a\nb"}"#), "not a header's value"),
        (Reply::new(200, vec![b' '; 1 << 20]), "gives no token"),
        (Reply::new(401, ""), "asks for a login"),
        (Reply::new(403, ""), "refuses access to a token"),
    ] {
        let (error, _) = refused(move |_, asked| {
            let host = asked.header("host").unwrap_or_default();
            let realm = format!(r#"Bearer realm="http://{host}/token""#);
            Some(match asked.path.starts_with("/token") {
                true => reply.clone(),
                false => Reply::new(401, "").header("www-authenticate", realm),
            })
        })
        .await;
        assert!(error.to_string().contains(reason), "{error}");
    }
    let realm = r#"Bearer realm="http://token.example.org/token""#;
    let (error, _) = refused(move |_, _| Some(Reply::new(401, "").header("www-authenticate", realm))).await;
    assert!(error.to_string().contains("plain HTTP"), "{error}");
}

/// An upload that loses its connection goes on with what hasn't arrived.
#[tokio::test]
async fn an_upload_goes_on_where_it_broke() {
    const CHUNK: usize = 8 << 20;
    let home = Home::new();
    let mut state = 1_u32;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(2 * CHUNK)
    .collect();
    let image = home.replica(&content, &[Tag::latest()]);
    let size = image.manifest.layers[0].size as usize;
    let patches = AtomicUsize::new(0);
    let peer = Peer::start(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("HEAD", _) => Reply::new(404, ""),
        ("POST", _) => Reply::new(202, "").header("location", "/upload?at=0"),
        // The first piece arrives by half before the connection breaks.
        ("PATCH", _) if patches.fetch_add(1, Ordering::Relaxed) == 0 => Reply::silent(),
        ("PATCH", _) => Reply::new(202, "").header("location", "/upload?at=2"),
        ("GET", "/upload?at=0") => {
            let range = format!("0-{}", CHUNK / 2 - 1);
            Reply::new(204, "")
                .header("location", "/upload?at=1")
                .header("range", range)
        }
        ("PUT", _) => Reply::new(201, ""),
        _ => Reply::new(404, ""),
    })
    .await;
    let registry = Registry::with_patience(settings(&peer), PATIENCE);
    let pushed = ResolvedImage {
        identity: identity(GREETER),
        digest: image.digest,
    };
    registry
        .push(&pushed, &[Tag::latest()], &home.store, &|_| {})
        .await
        .unwrap();
    let asked = peer.asked();
    let ranges: Vec<&str> = asked
        .iter()
        .filter_map(|one| one.header("content-range"))
        .collect();
    let half = CHUNK / 2;
    assert_eq!(
        ranges,
        [format!("0-{}", CHUNK - 1), format!("{half}-{}", half + CHUNK - 1)]
    );
    let last = asked.iter().find(|one| one.method == "PUT").unwrap();
    assert_eq!(last.body.len(), size - half - CHUNK);
    assert!(
        last.path.starts_with("/upload?at=2&digest=sha256:"),
        "{}",
        last.path
    );
}

#[tokio::test]
async fn a_registry_that_stores_something_else_is_found_out() {
    let home = Home::new();
    let image = home.replica(b"program", &[Tag::latest()]);
    let config = image.manifest.config.digest;
    let peer = Peer::start(move |asked| match asked.method.as_str() {
        "PUT" => Reply::new(201, "").header("docker-content-digest", config),
        _ => Reply::new(200, ""),
    })
    .await;
    let pushed = ResolvedImage {
        identity: identity(GREETER),
        digest: image.digest,
    };
    let registry = Registry::with_patience(settings(&peer), PATIENCE);
    let error = registry
        .push(&pushed, &[], &home.store, &|_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("as another image"), "{error}");
    assert_eq!(peer.times("PUT", &image.digest.to_string()), 1);

    let peer = Peer::start(|asked| match asked.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        _ => Reply::new(202, ""),
    })
    .await;
    let registry = Registry::with_patience(settings(&peer), PATIENCE);
    let error = registry
        .push(&pushed, &[], &home.store, &|_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("where an upload goes"), "{error}");
}
