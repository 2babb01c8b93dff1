//! One request to a registry: logged in where it asks for it, followed where it leads, asked again where that makes
//! sense. Everything that comes back is bounded in size and in time.

use std::{collections::HashMap, sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{
    challenge::Challenge,
    credentials::{self, Credentials},
    error::RegistryError,
    settings::{Place, RegistrySettings, authority},
};

/// Registries lead to their storage, and some storages to another one.
const REDIRECTS_MAX: usize = 5;
const ERROR_BYTES_MAX: usize = 16 * 1024;
const MESSAGE_CHARS_MAX: usize = 300;
const TOKEN_BYTES_MAX: usize = 256 * 1024;

/// How patient we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, and for each further piece of it.
    pub answer: Duration,
    /// How often something is tried before it has failed.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles for each further one.
    pub backoff: Duration,
    /// The longest wait that a registry may ask for.
    pub wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            attempts: 4,
            backoff: Duration::from_millis(500),
            wait: Duration::from_secs(60),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub place: &'a Place,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What a token must allow, as `repository:NAME:pull`.
    pub scopes: Vec<String>,
    /// What it is about, for messages.
    pub what: String,
}

impl<'a> Call<'a> {
    /// A request to a path below `/v2/`.
    pub fn new(
        place: &'a Place,
        method: Method,
        path: &str,
        what: impl Into<String>,
    ) -> Result<Self, RegistryError> {
        let uri = format!("{}://{}/v2/{path}", place.scheme, place.authority());
        Self::to(place, method, &uri, what)
    }

    /// A request to an address that the registry named; a path alone is one of its own.
    pub fn to(
        place: &'a Place,
        method: Method,
        uri: &str,
        what: impl Into<String>,
    ) -> Result<Self, RegistryError> {
        let uri = match uri.starts_with('/') {
            true => format!("{}://{}{uri}", place.scheme, place.authority()),
            false => uri.to_owned(),
        };
        let uri: Uri = uri.parse().map_err(|_| RegistryError::Protocol {
            registry: place.registry.clone(),
            reason: format!("`{uri}` is no address"),
        })?;
        let actions = if matches!(method, Method::GET | Method::HEAD) {
            "pull"
        } else {
            "pull,push"
        };
        Ok(Self {
            place,
            method,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            scopes: vec![format!("repository:{}:{actions}", place.repository)],
            what: what.into(),
        })
    }

    pub fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    fn protocol(&self, reason: impl Into<String>) -> RegistryError {
        RegistryError::Protocol {
            registry: self.place.registry.clone(),
            reason: reason.into(),
        }
    }
}

type Connection = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Speaks to registries, and remembers what they want to see.
pub(super) struct Connections {
    pub settings: RegistrySettings,
    pub patience: Patience,
    client: OnceLock<Connection>,
    /// The header by registry and scopes.
    authorizations: Mutex<HashMap<(String, Vec<String>), HeaderValue>>,
}

impl Connections {
    pub fn new(settings: RegistrySettings, patience: Patience) -> Self {
        Self {
            settings,
            patience,
            client: OnceLock::new(),
            authorizations: Mutex::default(),
        }
    }

    /// Asks until there is an answer that is no error, or until it makes no sense to ask again.
    pub async fn call(&self, call: &Call<'_>) -> Result<Response<Incoming>, RegistryError> {
        let mut attempt = 1;
        loop {
            match self.once(call).await {
                Ok(response) => return Ok(response),
                Err(error) => self.wait(&error, &mut attempt).await.map_err(|()| error)?,
            }
        }
    }

    /// Waits before another attempt; an error says that there shall be none.
    pub async fn wait(&self, error: &RegistryError, attempt: &mut u32) -> Result<(), ()> {
        let asked = error.retry_after();
        if !error.may_pass()
            || *attempt >= self.patience.attempts
            || asked.is_some_and(|time| time > self.patience.wait)
        {
            return Err(());
        }
        let own = self.patience.backoff * 2_u32.saturating_pow(*attempt - 1);
        let time = asked.unwrap_or(own);
        tracing::debug!(%error, ?time, attempt, "asking the registry again");
        sleep(time).await;
        *attempt += 1;
        Ok(())
    }

    /// Asks once. An answer that is an error becomes one.
    pub async fn once(&self, call: &Call<'_>) -> Result<Response<Incoming>, RegistryError> {
        let key = (call.place.registry.clone(), call.scopes.clone());
        let known = self.authorizations.lock().get(&key).cloned();
        let response = self.follow(call, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.checked(call, response).await;
        }
        // Not known yet, or expired.
        let challenge = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = challenge
            .iter()
            .filter_map(|header| header.to_str().ok())
            .find_map(Challenge::parse);
        let Some(challenge) = challenge else {
            return self.checked(call, response).await;
        };
        let Some(authorization) = self.log_in(call, &challenge).await? else {
            return self.checked(call, response).await;
        };
        let response = self.follow(call, Some(&authorization)).await?;
        let response = self.checked(call, response).await?;
        self.authorizations.lock().insert(key, authorization);
        Ok(response)
    }

    /// Follows redirects. What tells who we are goes to the registry alone.
    async fn follow(
        &self,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut uri = call.uri.clone();
        for _ in 0..=REDIRECTS_MAX {
            let is_own = uri.scheme_str() == Some(call.place.scheme)
                && uri.authority().map(|to| to.as_str()) == Some(call.place.authority());
            self.check_scheme(call, &uri)?;
            let response = self.send(call, &uri, authorization.filter(|_| is_own)).await?;
            let leads_on = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !leads_on {
                return Ok(response);
            }
            let location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|to| to.to_str().ok());
            let location = location.ok_or_else(|| call.protocol("it redirects to nowhere"))?;
            if !matches!(call.method, Method::GET | Method::HEAD) {
                return Err(redirect(
                    call,
                    location,
                    "which is only followed when something is read",
                ));
            }
            uri = join(&uri, location).ok_or_else(|| call.protocol(format!("`{location}` is no address")))?;
        }
        Err(redirect(call, &uri.to_string(), "after too many other redirects"))
    }

    /// Plain text is spoken only where it is allowed, wherever a registry sends us.
    fn check_scheme(&self, call: &Call<'_>, uri: &Uri) -> Result<(), RegistryError> {
        let host = uri.authority().map(|to| to.as_str()).unwrap_or_default();
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if host == call.place.authority() && call.place.scheme == "http" => Ok(()),
            Some("http") if self.settings.scheme(host) == "http" => Ok(()),
            Some("http") => Err(redirect(call, &uri.to_string(), "which is plain HTTP")),
            _ => Err(redirect(
                call,
                &uri.to_string(),
                "which is neither HTTP nor HTTPS",
            )),
        }
    }

    async fn send(
        &self,
        call: &Call<'_>,
        uri: &Uri,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = call.headers.clone();
        let agent = HeaderValue::from_static(concat!("reside/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        if let Some(authorization) = authorization {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization.clone());
        }
        let client = self.client.get_or_init(|| connect(self.patience.connect));
        match timeout(self.patience.answer, client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(RegistryError::Unreachable {
                registry: call.place.registry.clone(),
                reason: causes(&error),
            }),
            Err(_) => Err(self.stalled(call.place)),
        }
    }

    fn stalled(&self, place: &Place) -> RegistryError {
        RegistryError::Stalled {
            registry: place.registry.clone(),
            time: self.patience.answer,
        }
    }

    /// Returns the next piece of a body.
    pub async fn next(&self, place: &Place, body: &mut Incoming) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let frame = timeout(self.patience.answer, body.frame()).await;
            let frame = frame.map_err(|_| self.stalled(place))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| RegistryError::Unreachable {
                registry: place.registry.clone(),
                reason: causes(&error),
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// Reads a whole body; `None` if it is longer than that.
    pub async fn read(
        &self,
        place: &Place,
        mut body: Incoming,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next(place, &mut body).await? {
            if bytes.len() + piece.len() > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    async fn checked(
        &self,
        call: &Call<'_>,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(retry_after);
        let body = self.read(call.place, response.into_body(), ERROR_BYTES_MAX).await;
        let message = body.ok().flatten().map(|body| message(&body)).unwrap_or_default();
        let (registry, what) = (call.place.registry.clone(), call.what.clone());
        Err(match status {
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { registry, message },
            StatusCode::FORBIDDEN => RegistryError::Denied {
                registry,
                what,
                message,
            },
            StatusCode::NOT_FOUND => RegistryError::NotFound {
                registry,
                what,
                message,
            },
            _ => RegistryError::Refused {
                registry,
                what,
                status,
                message,
                retry_after,
            },
        })
    }

    /// Returns what the registry wants to see; `None` if we have nothing to show.
    async fn log_in(
        &self,
        call: &Call<'_>,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let settings = self.settings.clone();
        let registry = call.place.registry.clone();
        let found = tokio::task::spawn_blocking(move || credentials::find(&settings, &registry)).await;
        let found = found.map_err(|error| call.protocol(error.to_string()))??;
        let header = match (challenge, found) {
            (Challenge::Basic, Some(Credentials::Basic(basic))) => format!("Basic {basic}"),
            (Challenge::Basic, _) => return Ok(None),
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                found,
            ) => {
                let scopes = match scope {
                    Some(scope) if call.scopes.is_empty() => vec![scope.clone()],
                    _ => call.scopes.clone(),
                };
                format!(
                    "Bearer {}",
                    self.token(call, realm, service.as_deref(), &scopes, found)
                        .await?
                )
            }
        };
        let mut header =
            HeaderValue::from_str(&header).map_err(|_| call.protocol("its token is not a header's value"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Fetches a token from the registry's token server.
    async fn token(
        &self,
        call: &Call<'_>,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        credentials: Option<Credentials>,
    ) -> Result<String, RegistryError> {
        let mut fields: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        let joined = scopes.join(" ");
        let mut authorization = None;
        let mut ask = if let Some(Credentials::Identity(token)) = &credentials {
            fields.extend([
                ("grant_type", "refresh_token"),
                ("client_id", "reside"),
                ("scope", &joined),
            ]);
            fields.push(("refresh_token", token));
            let mut ask = Call::to(call.place, Method::POST, realm, "a token")?;
            ask.body = encoded(&fields).into();
            ask.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        } else {
            fields.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
            let separator = if realm.contains('?') { '&' } else { '?' };
            let uri = format!("{realm}{separator}{}", encoded(&fields));
            if let Some(Credentials::Basic(basic)) = &credentials {
                authorization = HeaderValue::from_str(&format!("Basic {basic}")).ok();
            }
            Call::to(call.place, Method::GET, &uri, "a token")?
        };
        ask.scopes.clear();
        self.check_scheme(&ask, &ask.uri)?;
        let uri = ask.uri.clone();
        let response = self.send(&ask, &uri, authorization.as_ref()).await?;
        let response = self.checked(&ask, response).await?;
        let body = self
            .read(call.place, response.into_body(), TOKEN_BYTES_MAX)
            .await?;
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let answer: Option<Answer> = body.and_then(|body| serde_json::from_slice(&body).ok());
        let token = answer.and_then(|answer| answer.token.or(answer.access_token));
        token.ok_or_else(|| call.protocol("its token server gives no token"))
    }
}

/// A client that trusts who the system trusts, and who browsers trust where the system has no list.
fn connect(time: Duration) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(time));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1();
    Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp))
}

fn redirect(call: &Call<'_>, to: &str, reason: &'static str) -> RegistryError {
    RegistryError::Redirect {
        registry: call.place.registry.clone(),
        // What follows may be a signature that opens the storage.
        to: to
            .split('?')
            .next()
            .unwrap_or_default()
            .chars()
            .take(MESSAGE_CHARS_MAX)
            .collect(),
        reason,
    }
}

/// Resolves where a redirect leads to.
fn join(from: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let path = location.strip_prefix('/')?;
    format!("{}://{}/{path}", from.scheme_str()?, from.authority()?)
        .parse()
        .ok()
}

/// Seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let seconds = date.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

/// What a registry says is wrong, in the form of the protocol or in whatever form.
fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let said = json
        .as_ref()
        .and_then(|json| json["errors"][0]["message"].as_str());
    let said = said.or_else(|| json.as_ref()?["message"].as_str());
    let text = match (said, &json) {
        (Some(said), _) => said,
        // A page for browsers says nothing here.
        (None, None) if !text.trim_start().starts_with('<') => text.trim(),
        _ => "",
    };
    let shown = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character });
    shown.take(MESSAGE_CHARS_MAX).collect()
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// Encodes fields as a query or a form.
fn encoded(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect::<String>()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    pairs.join("&")
}

/// The account of a login that is only checked.
pub(super) fn check_place(settings: &RegistrySettings, registry: &str) -> Place {
    Place {
        registry: registry.to_owned(),
        repository: String::new(),
        scheme: settings.scheme(authority(registry)),
    }
}
