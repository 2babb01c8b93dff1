//! `reside replica rollback`

use alpha_v1::RollbackReplica;
use clap::Args;

use super::load::Loaded;
use crate::cli::App;
use crate::cluster::rollout::status_text;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// Make an older version of a replica the current one
///
/// `reside replica history` lists the versions. Undo with the same command and the number of the newer version.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// Replica, by name or number
    replica: ReplicaSelector,

    /// Version to go back to; the one before the current one unless said
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,

    /// Return without waiting until it runs
    #[arg(long)]
    no_wait: bool,
}

/// Runs the command.
pub fn run(app: &App, args: RollbackArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let record = session.replica(&args.replica).await?;
        let request = RollbackReplica {
            replica_id: record.id,
            version_id: args.version,
        };
        let now = session
            .alpha()
            .rollback_replica(request)
            .await
            .map_err(session.alpha_refused())?;
        let status = match args.no_wait {
            true => None,
            false => Some(session.started(app, record.id, now.version_id).await?.1),
        };
        let (replica_id, version, status) = (record.id, now.version_id, status.map(status_text));
        app.ui.show(&Loaded {
            replica_id,
            name: record.name,
            version,
            status,
        })
    })
}
