//! Which images the cluster still needs: those of all versions, since each may become current again, and those that wait
//! for an approval. Whoever cleans the place where images are kept leaves them there.

use std::collections::BTreeSet;

use alpha_v1::LoadRequestStatus;
use reside::prelude::*;
use reside_image::{ImageSource, ResolvedImage};
use tokio::sync::Mutex;

use crate::state::State;

/// The images that were said to be needed last.
#[derive(Default)]
pub struct Retained(Mutex<Option<BTreeSet<ResolvedImage>>>);

impl Retained {
    /// Says which images are needed: by the cluster as it is, and `looked_at`, which is about to be. An error means that
    /// this one has gone or that nobody could be told.
    pub async fn keep(
        &self,
        state: &State,
        images: &dyn ImageSource,
        looked_at: Option<&ResolvedImage>,
    ) -> Result<(), BoxError> {
        let mut needed = needed(state).await?;
        needed.extend(looked_at.cloned());
        let mut told = self.0.lock().await;
        if told.as_ref() == Some(&needed) {
            return Ok(());
        }
        images.retain(state.node.account_id().as_str(), &needed).await?;
        *told = Some(needed);
        // It may have been cleaned away after it was found.
        if let Some(image) = looked_at {
            images.image(image).await?;
        }
        Ok(())
    }
}

async fn needed(state: &State) -> Result<BTreeSet<ResolvedImage>, BoxError> {
    let mut needed = BTreeSet::new();
    for replica in state.loaded_replicas().await?.values() {
        for (_, version) in replica.versions.values() {
            needed.insert(version.image.parse()?);
        }
    }
    for plan in state.plans.entries()?.values() {
        needed.insert(plan.image.parse()?);
    }
    for (_, request) in state.all_load_requests().await? {
        let waits = request.status == LoadRequestStatus::RequiresApproval;
        if let Some(validated) = request.validated.filter(|_| waits) {
            needed.insert(ResolvedImage {
                identity: validated.manifest.identity,
                digest: validated.digest.parse()?,
            });
        }
    }
    Ok(needed)
}
