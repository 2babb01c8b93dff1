//! Answers requests in the Jazz form, as `experimental_defineRequest` of jazz-tools makes them. Who calls, whether it is
//! meant for us, and that it runs once, [`jazz::request`] finds out; here it becomes a call of a method.
//!
//! A request's fields are the members of the method's request. The members of its response become the fields of a map;
//! a response that is no object is its field `value`.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jazz::request::{Answer, ERROR_HEADER, Invalid, Receiver, RequestError};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::call::Call;
use super::client::TIMEOUT;
use super::error::{RpcError, RpcResult};
use super::server::{
    REQUEST_ID_BYTES, RETRY_AFTER, RpcServer, parse_target, random, read_body, set_retry_after,
};
use super::wire::ErrorBody;

/// The content type that tells this form from the native one.
pub(super) const JSON: &str = "application/json";

/// The field of a request that says which method is meant: `{contract identity}/{method}`. The format itself binds a
/// request to nothing but caller and callee; with this field it is good for no other method.
pub const CALL_FIELD: &str = "reside:call";

/// The field of a response that is no object.
const VALUE_FIELD: &str = "value";

/// Why a request got no response.
enum Refusal {
    Invalid(Invalid),
    Rpc(RpcError),
    /// The response could not be made; that has been logged.
    Response(RequestError),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

/// Tells whether a request is in this form.
pub(super) fn is_meant(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(JSON)
}

/// Answers a request.
pub(super) async fn answer(
    server: &RpcServer,
    requests: &Receiver,
    target: &str,
    request: Request,
) -> Response {
    let id = hex::encode(random::<REQUEST_ID_BYTES>());
    match run(server, requests, target, request, &id).await {
        Ok(answer) => respond(answer, None),
        Err(Refusal::Rpc(error)) => refuse(&error, Some(&id)),
        Err(Refusal::Response(error)) => respond(error.into(), None),
        Err(Refusal::Invalid(invalid)) => {
            tracing::info!(request = id, reason = ?invalid, "a request was refused");
            let wait = matches!(invalid, Invalid::NotReady(_)).then_some(RETRY_AFTER);
            respond(RequestError::from(invalid).into(), wait)
        }
    }
}

async fn run(
    server: &RpcServer,
    requests: &Receiver,
    target: &str,
    request: Request,
    id: &str,
) -> Result<Answer, Refusal> {
    let (contract, method) = parse_target(target)?;
    // What can't be run isn't marked as handled.
    let admitted = server.admit(&contract)?;
    admitted.check_method(method)?;
    let body = read_body(request.into_body()).await?;
    let called = format!("{contract}/{method}");
    let is_meant = |fields: &Map<String, Value>| check_call(fields.get(CALL_FIELD), &called);
    let request = requests.accept_if(&body, jazz::driver::now(), is_meant).await?;
    let mut fields = request.fields().clone();
    fields.shift_remove(CALL_FIELD);
    let call = Call::new(request.made_by().clone(), id, Instant::now() + TIMEOUT);
    let message = Value::Object(fields).to_string();
    let response = server.execute(admitted, method, call, message.as_bytes()).await?;
    let answered = request.respond(to_fields(&response)?).await;
    answered.map_err(Refusal::Response)
}

/// Refuses a request that says it is for another method.
fn check_call(meant: Option<&Value>, called: &str) -> Result<(), Invalid> {
    match meant {
        None => Ok(()),
        Some(meant) if meant == called => Ok(()),
        Some(meant) => Err(Invalid::NotMeant(meant.to_string())),
    }
}

/// The map that a response becomes; what is `null` there is absent, as TypeScript has it.
fn to_fields(response: &[u8]) -> RpcResult<Map<String, Value>> {
    let response: Value = serde_json::from_slice(response).map_err(RpcError::internal)?;
    let mut fields = match response {
        Value::Object(fields) => fields,
        value => Map::from_iter([(VALUE_FIELD.to_owned(), value)]),
    };
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}

/// The response that was made of a map by [`to_fields`].
pub(super) fn from_fields(mut fields: Map<String, Value>) -> Value {
    match fields.shift_remove(VALUE_FIELD) {
        Some(value) if fields.is_empty() => value,
        Some(value) => {
            fields.insert(VALUE_FIELD.to_owned(), value);
            Value::Object(fields)
        }
        None => Value::Object(fields),
    }
}

/// An answer that says no.
pub(super) fn refuse(error: &RpcError, request_id: Option<&str>) -> Response {
    let body = ErrorBody::of(error, request_id);
    let request_error = RequestError {
        message: body.message,
        code: body.code,
        details: body.details,
    };
    respond(request_error.into(), error.retry_after())
}

fn respond(answer: Answer, retry_after: Option<Duration>) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = cross_origin();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    if answer.is_request_error {
        let name = HeaderName::from_bytes(ERROR_HEADER.as_bytes()).expect("a header's name");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    let mut response = (status, headers, answer.body).into_response();
    set_retry_after(&mut response, retry_after);
    response
}

/// Answers a browser that asks whether a page may call. Any may: a request is authenticated by what is in it.
pub(super) async fn preflight() -> Response {
    let mut headers = cross_origin();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("content-type"),
    );
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn cross_origin() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let expose = HeaderValue::from_static(ERROR_HEADER);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose);
    headers
}
