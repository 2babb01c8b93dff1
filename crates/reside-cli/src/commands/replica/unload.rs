//! `reside replica unload`

use alpha_v1::UnloadReplica;
use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::cluster::unloading::Unloading;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Seed, Alpha and the sentinel have the numbers up to this one.
const LAST_OF_THE_SYSTEM: u32 = 2;

/// Unload a replica: its process, its permissions and its objects go
///
/// Shows first what depends on it, and what goes and what stays. Its number is never used again; loading the image again
/// adds a new replica.
#[derive(Args, Debug)]
pub struct UnloadArgs {
    /// Replica, by name or number
    replica: ReplicaSelector,

    /// Unload without asking
    #[arg(long, short)]
    yes: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unloaded {
    id: u32,
    name: String,
}

impl View for Unloaded {
    fn draw(&self) -> Drawing {
        Drawing::Text(format!(
            "Unloaded {STRONG}{}{STRONG:#} (replica {})",
            self.name, self.id
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, args: UnloadArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let record = session.replica(&args.replica).await?;
        if record.id <= LAST_OF_THE_SYSTEM {
            let cluster = &session.target().cluster.name;
            return Err(CommandError::failed(format!("cannot unload `{}`", record.name))
                .because(format!("{} is part of the cluster itself", record.name))
                .help(format!(
                    "`reside cluster delete {cluster}` removes the whole cluster"
                )));
        }
        let plan = Unloading::of(&session, &record).await?;
        if !args.yes {
            app.ui.say(app.ui.drawn(&plan));
        }
        if let Some(other) = plan.needed_by() {
            return Err(CommandError::failed(format!("cannot unload `{}`", record.name))
                .because(format!("`{other}` needs it"))
                .help(format!("unload that one first: `reside replica unload {other}`")));
        }
        if !app.ui.confirm("Unload it?", args.yes)? {
            app.ui.say(format_args!("Not unloaded"));
            return Ok(());
        }
        let request = UnloadReplica {
            replica_id: record.id,
        };
        session
            .alpha()
            .unload_replica(request)
            .await
            .map_err(session.alpha_refused())?;
        app.ui.show(&Unloaded {
            id: record.id,
            name: record.name,
        })
    })
}
