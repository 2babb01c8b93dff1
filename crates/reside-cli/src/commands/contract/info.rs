//! `reside contract info`

use alpha_v1::{ContractRecord, ReplicaKey};
use clap::Args;
use futures::future::join_all;
use reside::Identity;
use reside::manifest::ContractManifest;
use serde::Serialize;
use serde_json::Map;

use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// Show a contract: its methods, its permissions and who implements it
///
/// With `--output json` the whole manifest is shown, schemas included.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Identity of the contract
    identity: Identity,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    id: u32,
    identity: String,
    digest: Option<String>,
    implemented_by: Option<Vec<String>>,
    manifest: ContractManifest,
}

impl View for Info {
    fn draw(&self) -> Drawing {
        let text = self.manifest.display_info.lookup("en");
        let mut fields = Fields::default();
        fields.field("Contract", format!("{} ({})", self.identity, self.id));
        fields.optional("Title", text.map(|text| text.title.clone()));
        fields.optional(
            "Description",
            text.map(|text| text.description.clone())
                .filter(|text| !text.is_empty()),
        );
        fields.optional("Digest", self.digest.clone());
        fields.optional(
            "Implemented by",
            self.implemented_by.as_ref().map(|names| names.join(", ")),
        );
        let mut methods = Table::new(["METHOD", "MEANING"], "None");
        for (name, method) in &self.manifest.methods {
            methods.row([
                name.clone(),
                method.display_info.title("en", &Map::new()).unwrap_or_default(),
            ]);
        }
        fields.table("Methods", methods);
        let mut permissions = Table::new(["PERMISSION", "RISK", "INSTANCE KEYS", "MEANING"], "None");
        for (name, permission) in &self.manifest.permissions {
            // Without params, the placeholders of a title stay as they are.
            let title = permission
                .display_info
                .lookup("en")
                .map(|text| text.title.clone());
            permissions.row([
                name.clone(),
                permission.risk.to_string(),
                permission.instance_keys.join(", "),
                title.unwrap_or_default(),
            ]);
        }
        fields.table("Permissions", permissions);
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, args: InfoArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let failed =
            |why| CommandError::failed(format!("cannot read the contract {}", args.identity)).because(why);
        let found = alpha_v1::contract_by_identity(session.data(), &args.identity)
            .await
            .map_err(failed)?;
        let record: ContractRecord = match found {
            Some(contract) => contract.get().map_err(failed)?,
            None => {
                return Err(CommandError::failed(format!(
                    "the cluster does not know the contract {}",
                    args.identity
                ))
                .help("`reside contract list` shows those that it knows"));
            }
        };
        // Who implements it is for those to know who may see replicas.
        let ids = alpha_v1::find_replicas(session.data(), &ReplicaKey::Contract(&args.identity))
            .await
            .ok();
        let implemented_by = match ids {
            Some(ids) => Some(join_all(ids.iter().map(|id| session.replica_name(*id))).await),
            None => None,
        };
        let (id, identity, digest) = (record.id, record.identity.to_string(), record.digest);
        app.ui.show(&Info {
            id,
            identity,
            digest,
            implemented_by,
            manifest: record.manifest,
        })
    })
}
