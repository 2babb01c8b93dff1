//! Why permissions are there, or aren't, in words.

use alpha_v1::{GrantKind, GrantReason, PermissionState};
use jazz::Timestamp;

use crate::cluster::period::local_time;
use crate::cluster::permissions::AccountNames;
use crate::cluster::session::Session;

/// A reason with its end.
pub async fn reason_text(session: &Session, names: &AccountNames, reason: &GrantReason) -> String {
    let why = match &reason.kind {
        GrantKind::Static {
            replica_id,
            version_id,
        } => {
            let replica = session.replica_name(*replica_id).await;
            format!("asked for by {replica}, version {version_id}")
        }
        GrantKind::Manual { by, at } => {
            let by = names.text(by.as_str());
            format!("granted by {by} on {}", local_time(*at))
        }
        GrantKind::Dynamic { request_id, by, at } => {
            let by = names.text(by.as_str());
            format!("request {request_id}, approved by {by} on {}", local_time(*at))
        }
    };
    format!("{why}{}", end_text(reason))
}

/// When a reason ends or has ended.
fn end_text(reason: &GrantReason) -> String {
    match reason.expires_at {
        None => String::new(),
        Some(end) if reason.is_active(Timestamp::now()) => format!(", until {}", local_time(end)),
        Some(end) => format!(", expired {}", local_time(end)),
    }
}

/// What is to be done yet, and what hinders it.
pub fn problem_text(state: &PermissionState) -> String {
    let what = if state.granted {
        "not granted yet"
    } else {
        "not taken back yet"
    };
    match &state.failure {
        None => format!("{what}: the replica has yet to carry it out"),
        Some(failure) => format!(
            "{what}: its handler has failed {} times: {}; next try {}",
            failure.attempts,
            failure.message,
            local_time(failure.retry_at)
        ),
    }
}
