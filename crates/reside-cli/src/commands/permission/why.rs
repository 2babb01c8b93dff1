//! `reside permission why`

use alpha_v1::{GrantRecord, PermissionSource, PermissionState, ReplicaKey};
use clap::Args;
use jazz::{AccountId, Timestamp};
use reside::Identity;
use reside::permission::instance_id;
use serde::Serialize;
use serde_json::{Map, Value};

use super::reason::{problem_text, reason_text};
use super::users::{self, OfUser};
use crate::cli::App;
use crate::cluster::explain::grant_command;
use crate::cluster::period::local_time;
use crate::cluster::permissions::{AccountNames, Filter};
use crate::cluster::session::Session;
use crate::config::Config;
use crate::error::CommandError;
use crate::json;
use crate::ui::{ATTENTION, Drawing, GOOD, STRONG, View};

/// Say whether an account may do something, and why
///
/// Shows what the answer follows from at every replica that implements the contract; if it is no, what is missing and the
/// command that grants it.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// Account: one of yours or a replica by name, or any by its id
    account: String,

    /// Contract that defines the permission
    contract: Identity,

    /// Permission, as `reside contract info` names it
    permission: String,

    /// Params of the permission as a JSON object; those that tell instances apart are needed
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    account_id: String,
    contract: String,
    permission: String,
    instance_id: Option<String>,
    params: Map<String, Value>,
    /// At every replica.
    allowed: bool,
    replicas: Vec<AtReplica>,
    /// What grants it where it is missing.
    command: Option<String>,
    #[serde(skip)]
    account: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AtReplica {
    id: u32,
    name: String,
    allowed: bool,
    facts: Vec<String>,
}

impl View for Answer {
    fn draw(&self) -> Drawing {
        let instance = self
            .instance_id
            .as_ref()
            .map(|id| format!(" ({id})"))
            .unwrap_or_default();
        let (account, permission) = (&self.account, &self.permission);
        let mut text = format!("May {STRONG}{account}{STRONG:#} {STRONG}{permission}{instance}{STRONG:#}?\n");
        for replica in &self.replicas {
            let name = &replica.name;
            text += &if replica.allowed {
                format!("\n{GOOD}yes{GOOD:#}, at {name}:\n")
            } else {
                format!("\n{ATTENTION}no{ATTENTION:#}, not at {name}:\n")
            };
            for fact in &replica.facts {
                // Some of it was written by strangers.
                let fact: String = fact
                    .chars()
                    .map(|char| if char.is_control() { ' ' } else { char })
                    .collect();
                text += &format!("  - {fact}\n");
            }
        }
        if let Some(command) = &self.command {
            text += &format!("\nAn administrator grants it with\n  {command}\n");
        }
        Drawing::Text(text)
    }
}

/// A permission of an account, wherever it is.
struct Question {
    account: AccountId,
    contract: Identity,
    permission: String,
    instance_id: Option<String>,
}

impl Question {
    fn is_of(&self, grant: &GrantRecord) -> bool {
        (&self.account, &self.contract) == (&grant.account, &grant.contract)
            && (&self.permission, &self.instance_id) == (&grant.permission, &grant.instance_id)
    }
}

/// Runs the command.
pub fn run(app: &App, args: WhyArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    let params = args
        .params
        .as_deref()
        .map(|text| json::object("`--params`", text))
        .transpose()?;
    let params = params.unwrap_or_default();
    app.block_on(async {
        let session = Session::open(app).await?;
        let names = session.account_names(&config).await;
        let account = names.find(&config, &args.account)?;
        let instance_id = checked_instance(&session, &args, &params).await?;
        let question = Question {
            account,
            contract: args.contract.clone(),
            permission: args.permission.clone(),
            instance_id,
        };
        let replicas = answers(&session, &names, &question).await?;
        let allowed = replicas.iter().all(|replica| replica.allowed);
        let command = || {
            grant_command(
                args.contract.as_str(),
                &args.permission,
                Some(&params.clone().into()),
                &args.account,
            )
        };
        app.ui.show(&Answer {
            command: replicas.iter().any(needs_grant).then(command),
            account: args.account.clone(),
            account_id: question.account.to_string(),
            contract: question.contract.to_string(),
            permission: question.permission,
            instance_id: question.instance_id,
            params,
            allowed,
            replicas: replicas.into_iter().map(|found| found.shown).collect(),
        })
    })
}

/// What was found at a replica, and whether a grant would help.
struct Found {
    shown: AtReplica,
    allowed: bool,
    is_wanted: bool,
}

fn needs_grant(found: &Found) -> bool {
    !found.is_wanted
}

/// The instance that the params name; params that don't fit the contract are an error.
async fn checked_instance(
    session: &Session,
    args: &WhyArgs,
    params: &Map<String, Value>,
) -> Result<Option<String>, CommandError> {
    let Some(defined) = session.defined(&args.contract, &args.permission).await else {
        return Err(CommandError::failed(format!(
            "the cluster knows no permission {}:{}",
            args.contract, args.permission
        ))
        .help(format!(
            "`reside contract info {}` shows those of the contract",
            args.contract
        )));
    };
    if let Some(missing) = defined
        .instance_keys
        .iter()
        .find(|key| !params.contains_key(*key))
    {
        return Err(CommandError::usage(format!(
            "the params lack {missing:?}, which tells instances apart"
        ))
        .help(format!("name it: `--params '{{\"{missing}\":…}}'`")));
    }
    Ok(instance_id(&defined.instance_keys, params))
}

async fn answers(
    session: &Session,
    names: &AccountNames,
    question: &Question,
) -> Result<Vec<Found>, CommandError> {
    let implementing =
        alpha_v1::find_replicas(session.data(), &ReplicaKey::Contract(&question.contract)).await;
    let implementing =
        implementing.map_err(|error| session.cannot_load::<alpha_v1::ReadReplicas>(error, "the replicas"))?;
    if implementing.is_empty() {
        return Err(
            CommandError::failed(format!("no replica implements {}", question.contract))
                .help("load one first; permissions are granted by replicas"),
        );
    }
    let filter = Filter {
        account: Some(question.account.clone()),
        contract: Some(question.contract.clone()),
        replica: None,
    };
    let states = session
        .permission_states(&filter, Some(&question.permission), false)
        .await?;
    let mut grants = Vec::new();
    for grant in session.grants().await? {
        let grant = session.grant(&grant)?;
        if question.is_of(&grant) {
            grants.push(grant);
        }
    }
    let mut answers = Vec::new();
    for id in implementing {
        let states: Vec<_> = states
            .iter()
            .filter(|state| state.replica_id == id && state.instance_id == question.instance_id)
            .collect();
        let grant = grants.iter().find(|grant| grant.replica_id == id);
        let of_user = users_facts(session, names, question, id, &states).await;
        answers.push(answer(session, names, id, grant, &states, of_user).await);
    }
    Ok(answers)
}

/// Why the user manager grants it at a replica, if it does.
async fn users_facts(
    session: &Session,
    names: &AccountNames,
    question: &Question,
    replica: u32,
    states: &[&PermissionState],
) -> Vec<String> {
    let mut granted = states
        .iter()
        .filter(|state| state.source == PermissionSource::UserManager);
    let Some(state) = granted.find(|state| state.granted) else {
        return Vec::new();
    };
    let asked = OfUser {
        account: &question.account,
        contract: &question.contract,
        permission: &question.permission,
        instance_id: question.instance_id.as_deref(),
    };
    match users::facts(session, names, &asked, replica).await {
        Some(facts) if !facts.is_empty() => facts,
        _ => {
            let until = state.expires_at.map(|end| format!(", until {}", local_time(end)));
            let until = until.unwrap_or_default();
            vec![format!(
                "the user manager grants it to this user, by a set of their own or of all users{until}"
            )]
        }
    }
}

/// The chain of facts at one replica.
async fn answer(
    session: &Session,
    names: &AccountNames,
    id: u32,
    grant: Option<&GrantRecord>,
    states: &[&PermissionState],
    of_user: Vec<String>,
) -> Found {
    let now = Timestamp::now();
    let name = session.replica_name(id).await;
    let mut facts = Vec::new();
    for reason in grant.iter().flat_map(|grant| &grant.reasons) {
        facts.push(reason_text(session, names, reason).await);
    }
    let mut is_wanted = grant.is_some_and(|grant| grant.expected(now).is_granted(now));
    is_wanted |= !of_user.is_empty();
    facts.extend(of_user);
    if !is_wanted {
        let revoked = grant.and_then(|grant| grant.revoked.as_ref());
        facts.push(match revoked {
            Some(revoked) if grant.is_some_and(|grant| grant.reasons.is_empty()) => format!(
                "revoked by {} on {}",
                names.text(revoked.by.as_str()),
                local_time(revoked.at)
            ),
            _ => "nothing grants it now".to_owned(),
        });
    }
    let allowed = states.iter().any(|state| state.effective);
    let pending: Vec<_> = states.iter().filter(|state| !state.carried_out).collect();
    facts.extend(pending.iter().map(|state| problem_text(state)));
    if allowed {
        facts.push(format!("{name} has carried it out"));
    } else if is_wanted && pending.is_empty() {
        facts.push(format!("{name} has not been told yet"));
    }
    Found {
        shown: AtReplica {
            id,
            name,
            allowed,
            facts,
        },
        allowed,
        is_wanted,
    }
}
