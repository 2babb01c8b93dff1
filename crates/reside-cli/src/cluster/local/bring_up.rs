//! From a started runtime to a ready cluster with an administrator. Each step is done once and remembered; a run that
//! was cut off is finished by the next one.

use std::fs;
use std::io::ErrorKind;

use alpha_v1::ClaimSuperAdminAccess;
use reside_image::{Identity, Store};
use reside_local::{ClientError, RuntimeClient};
use seed::{Bootstrap, Bootstrapped, SyncServer};

use super::readiness::{self, Part};
use super::settings::{Made, Settings};
use super::state::LocalCluster;
use super::system_images::SystemImages;
use super::updates;
use crate::cli::App;
use crate::cluster::explain;
use crate::cluster::session::Session;
use crate::cluster::target::Target;
use crate::config::{Account, Cluster, Config};
use crate::error::CommandError;

/// What bringing a cluster up needs.
pub struct BringUp<'a> {
    /// Paths and options.
    pub app: &'a App,
    /// The cluster.
    pub cluster: &'a LocalCluster,
    /// Its ports, and what was done before.
    pub settings: Settings,
    /// Its first administrator, if it has none yet.
    pub account: Account,
    /// The images of the system.
    pub images: SystemImages,
    /// The store they are in.
    pub store: Store,
}

/// Forgets the workloads of a bootstrap that was cut off: the next run writes them again, and until then no Alpha may
/// run but its own. Called before the runtime starts.
pub fn forget_half_made(cluster: &LocalCluster, settings: &Settings) -> Result<(), CommandError> {
    if settings.made.is_some() {
        return Ok(());
    }
    match fs::remove_dir_all(cluster.paths().objects()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let what = format!("cannot clean `{}`", cluster.paths().objects().display());
            Err(CommandError::failed(what).because(error))
        }
        _ => Ok(()),
    }
}

impl BringUp<'_> {
    /// Makes what is missing, and waits until everything is ready. `say` is told what is being done. Returns the system
    /// replicas that this program could update.
    pub async fn run(
        mut self,
        runtime: &RuntimeClient,
        say: impl Fn(&str),
    ) -> Result<Vec<Identity>, CommandError> {
        let is_new = self.settings.made.is_none();
        let made = match self.settings.made.clone() {
            Some(made) => made,
            None => self.make(runtime, &say).await?,
        };
        say("Waiting until Alpha takes calls");
        let parts = [
            Part::Object(seed::SYNC_SERVER),
            Part::Replica("alpha"),
            Part::Replica("local-sentinel"),
        ];
        readiness::wait(runtime, &parts).await?;
        if is_new {
            readiness::wait(runtime, &[Part::Replica("seed")]).await?;
        }
        let cluster = self.remember(&made)?;
        if !self.settings.is_claimed {
            say("Making you its administrator");
            self.claim(cluster, made.claim_token).await?;
        }
        updates::available(runtime, &self.images)
            .await
            .map_err(|why| CommandError::failed("cannot read what the cluster runs").because(why))
    }

    async fn make(&mut self, runtime: &RuntimeClient, say: impl Fn(&str)) -> Result<Made, CommandError> {
        say("Starting the sync server");
        self.start_sync_server(runtime).await?;
        say("Making the cluster");
        let paths = self.cluster.paths();
        let Bootstrapped { alpha, claim_token } = seed::bootstrap(Bootstrap {
            runtime: runtime.clone(),
            sync_server_url: self.settings.sync_url(),
            endpoint: self.settings.endpoint(),
            sync_server_image: self.images.sync_server()?,
            sync_server_port: self.settings.sync_port,
            sync_server_storage: paths.database(),
            image_store: self.store.path().to_owned(),
            seed_image: self.images.image(seed::IDENTITY)?,
            alpha_image: self.images.image(alpha::IDENTITY)?,
            sentinel_image: self.images.image(local_sentinel::IDENTITY)?,
            keys: paths.keys(),
        })
        .await
        .map_err(|why| {
            CommandError::failed(format!("cannot make the cluster `{}`", self.cluster.name()))
                .because(why)
                .help("the next `reside up` goes on where this one stopped")
        })?;
        let made = Made { alpha, claim_token };
        self.settings.made = Some(made.clone());
        self.settings.save(paths)?;
        Ok(made)
    }

    async fn start_sync_server(&self, runtime: &RuntimeClient) -> Result<(), CommandError> {
        let failed = |why: ClientError| CommandError::failed("cannot start the sync server").because(why);
        let (image, storage) = (self.images.sync_server()?, self.cluster.paths().database());
        let server = SyncServer {
            image: &image,
            port: self.settings.sync_port,
            storage: &storage,
        };
        for (kind, manifest) in seed::sync_server_objects(&server) {
            runtime
                .apply(kind, seed::SYNC_SERVER, &manifest)
                .await
                .map_err(failed)?;
        }
        readiness::wait(runtime, &[Part::Object(seed::SYNC_SERVER)]).await
    }

    /// Adds the cluster to the configuration; commands find it from now on.
    fn remember(&self, made: &Made) -> Result<Cluster, CommandError> {
        let name = self
            .cluster
            .name()
            .parse()
            .map_err(|why: crate::names::InvalidName| {
                CommandError::usage(format!("`{}` is not a name", self.cluster.name())).because(why)
            })?;
        let cluster = Cluster {
            name,
            namespace: None,
            endpoint: self.settings.endpoint(),
            alpha_replica_id: made.alpha.clone(),
            kube_context: None,
        };
        Config::edit(&self.app.paths, |config| {
            config.add_cluster(cluster.clone(), &self.account.name);
            Ok(cluster)
        })
    }

    async fn claim(&mut self, cluster: Cluster, token: String) -> Result<(), CommandError> {
        let target = Target {
            cluster,
            account: self.account.clone(),
        };
        let session = Session::open_target(self.app, target).await?;
        let claimed = session
            .alpha()
            .claim_super_admin_access(ClaimSuperAdminAccess { token })
            .await;
        if let Err(error) = claimed {
            return Err(explain::call(error, "alpha", self.account.name.as_str()));
        }
        self.settings.is_claimed = true;
        self.settings.save(self.cluster.paths())
    }
}
