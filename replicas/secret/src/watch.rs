//! Looks at every value that is written, and says what doesn't fit: in the log and in the secret's record, never with the
//! value.

use std::collections::HashSet;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use jazz::Co;
use reside::prelude::*;
use secret_v1::{Secret, SecretData, SecretError, checked_value};

/// Checks all values, now and whenever one changes. Ends when the node is shut down.
pub async fn values(data: &Co<SecretData>) -> RunResult {
    let secrets = data.node().load(&data.get()?.secrets).await?;
    let mut changes = SelectAll::<BoxStream<'static, Option<Co<Secret>>>>::new();
    changes.push(secrets.subscribe().map(|_| None).boxed());
    let mut watched = HashSet::new();
    while let Some(change) = changes.next().await {
        if let Some(secret) = change {
            check(&secret).await?;
            continue;
        }
        for reference in secrets.entries()?.into_values() {
            if !watched.insert(reference.id().clone()) {
                continue;
            }
            let secret = data.node().load(&reference).await?;
            let value = data.node().load(&secret.get()?.value).await?;
            changes.push(value.subscribe().map(move |_| Some(secret.clone())).boxed());
        }
    }
    Ok(())
}

/// Checks the value of a secret, and writes down what is wrong with it.
pub async fn check(secret: &Co<Secret>) -> Result<(), BoxError> {
    let now = secret.get()?;
    let value = secret.node().load(&now.value).await?;
    let problem = match checked_value(&now, &value) {
        Ok(_) => None,
        Err(SecretError::NotDefined(_)) => {
            Some("it has a value, and nobody has said which values fit".to_owned())
        }
        Err(SecretError::Invalid { problem, .. }) => Some(problem),
        // Not even an object of this shape.
        Err(SecretError::Load(_)) => Some("it can't be read".to_owned()),
        Err(error) => return Err(error.into()),
    };
    if now.problem != problem {
        if let Some(problem) = &problem {
            let by = value
                .edit("value")
                .and_then(|edit| edit.account().map(ToString::to_string));
            tracing::warn!(
                secret = now.name,
                problem,
                by,
                "a value that doesn't fit was written"
            );
        }
        secret.update(|secret| secret.problem = problem)?;
    }
    Ok(())
}
