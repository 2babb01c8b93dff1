//! `reside call`

use alpha_v1::ReplicaRecord;
use clap::Args;
use reside::Identity;

use crate::cli::App;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::json;

/// Call a method of a replica
///
/// Prints the response as JSON. When a permission is missing, the error shows the command that grants it.
#[derive(Args, Debug)]
pub struct CallArgs {
    /// Replica to call, by name or number
    replica: ReplicaSelector,

    /// Method, as its contract names it
    method: String,

    /// Request as JSON
    #[arg(default_value = "{}")]
    request: String,

    /// Contract that has the method, if the replica implements several that do
    #[arg(long, value_name = "IDENTITY")]
    contract: Option<Identity>,
}

/// Runs the command.
pub fn run(app: &App, args: CallArgs) -> Result<(), CommandError> {
    let request = json::value("`REQUEST`", &args.request)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let replica = session.replica(&args.replica).await?;
        let contract = match &args.contract {
            Some(contract) => contract.clone(),
            None => find_contract(&session, &replica, &args.method).await?,
        };
        let response = session.call(&replica, &contract, &args.method, &request).await?;
        app.ui.json(&response)
    })
}

/// Finds the only contract of the replica that has the method.
async fn find_contract(
    session: &Session,
    replica: &ReplicaRecord,
    method: &str,
) -> Result<Identity, CommandError> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for identity in &replica.implementations {
        let contract = alpha_v1::contract_by_identity(session.data(), identity).await;
        let contract = contract
            .and_then(|contract| contract.map(|contract| contract.get()).transpose())
            .map_err(|why| {
                CommandError::failed(format!("cannot read the contract {identity}")).because(why)
            })?;
        let methods = contract
            .map(|contract| contract.manifest.methods)
            .unwrap_or_default();
        if methods.contains_key(method) {
            found.push(identity.clone());
        }
        others.extend(methods.into_keys());
    }
    match found.as_slice() {
        [contract] => Ok(contract.clone()),
        [] => {
            let why = match others.as_slice() {
                [] => "it has no methods".to_owned(),
                others => format!("its methods are {}", others.join(", ")),
            };
            Err(CommandError::failed(format!("`{}` has no method `{method}`", replica.name)).because(why))
        }
        [first, ..] => {
            let all: Vec<_> = found.iter().map(ToString::to_string).collect();
            Err(CommandError::usage(format!(
                "`{}` has the method `{method}` in several contracts",
                replica.name
            ))
            .because(all.join(", "))
            .help(format!("say which: `--contract {first}`")))
        }
    }
}
