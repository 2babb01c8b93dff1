//! Whether this program brings newer system replicas than a cluster runs. They are updated like any replica: by whoever
//! may approve it, when they want it.

use futures::StreamExt;
use reside_image::Identity;
use reside_local::{ClientError, ObjectEvent, RuntimeClient};

use super::readiness::Workloads;
use super::system_images::SystemImages;

/// Returns the system replicas that run from another image than this program's.
pub async fn available(runtime: &RuntimeClient, images: &SystemImages) -> Result<Vec<Identity>, ClientError> {
    let mut events = runtime.watch().await?;
    let mut workloads = Workloads::default();
    while let Some(event) = events.next().await {
        if matches!(event, ObjectEvent::Synced) {
            break;
        }
        workloads.take(event);
    }
    let mut replaced: Vec<Identity> = workloads
        .replica_images()
        .filter(|image| images.replaces(image))
        .map(|image| image.identity)
        .collect();
    replaced.sort();
    replaced.dedup();
    Ok(replaced)
}

/// The command that updates a system replica.
pub fn command(identity: &Identity) -> String {
    format!("reside replica load {identity}")
}
