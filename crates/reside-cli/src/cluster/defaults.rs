//! The replicas that a cluster has by default: loaded and approved as any other, both at once.

use alpha_v1::{CreateLoadRequest, LoadRequestStatus, ReplicaKey};
use reside::Identity;
use reside_image::Store;
use serde::Serialize;
use user_manager_v1::Register;

use super::local::SystemImages;
use super::period::PeriodArgs;
use super::session::Session;
use crate::cli::App;
use crate::error::CommandError;
use crate::files;

/// What the defaults came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// The replicas, by name.
    pub replicas: Vec<String>,
    /// The number of our account's user.
    pub user_id: u32,
}

impl Session {
    /// Loads the default replicas unless they are loaded, waits until they run, and registers our account as a user.
    pub async fn bootstrap_defaults(
        &self,
        app: &App,
        images: &SystemImages,
    ) -> Result<Defaults, CommandError> {
        let (user_manager, secret) = tokio::try_join!(
            self.ensure(app, images, user_manager::IDENTITY),
            self.ensure(app, images, secret::IDENTITY),
        )?;
        let request = Register {
            name: self.account().to_owned(),
        };
        let registered = self.user_manager().await?.client().register(request).await;
        let user = registered.map_err(self.users_refused())?;
        Ok(Defaults {
            replicas: vec![user_manager, secret],
            user_id: user.id,
        })
    }

    /// Loads a system replica, unless one of its identity is loaded; returns its name.
    async fn ensure(
        &self,
        app: &App,
        images: &SystemImages,
        identity: &'static str,
    ) -> Result<String, CommandError> {
        let key = Identity::from_static(identity);
        let found = alpha_v1::find_replicas(self.data(), &ReplicaKey::Identity(&key)).await;
        let found =
            found.map_err(|error| self.cannot_load::<alpha_v1::ReadReplicas>(error, "the replicas"))?;
        if let Some(id) = found.last() {
            return Ok(self.replica_name(*id).await);
        }
        let request = CreateLoadRequest {
            image: images.image(identity)?,
            replica_id: None,
            name: None,
            owner_id: None,
        };
        let created = self.alpha().create_load_request(request).await;
        let created = created.map_err(self.alpha_refused())?;
        let request = self.arriving_load_request(created.load_request_id).await?;
        let request = self.validated(&request).await?;
        if request.status == LoadRequestStatus::Rejected {
            return Err(CommandError::failed(format!("cannot load {identity}"))
                .because("somebody else has rejected the load request"));
        }
        let approved = self.approve(request.id, &[], &PeriodArgs::default()).await?;
        self.started(app, approved.replica_id, approved.version_id)
            .await?;
        Ok(approved.name)
    }
}

/// The images of this program, in the store of this machine.
pub fn images(app: &App) -> Result<SystemImages, CommandError> {
    let path = app.paths.images();
    files::create_folder(&path)?;
    let store = Store::open(&path).map_err(|why| {
        CommandError::failed(format!("cannot use the image store `{}`", path.display())).because(why)
    })?;
    SystemImages::ensure(&app.paths, &store)
}
