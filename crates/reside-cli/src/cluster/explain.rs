//! Errors of the layers below, with what to do: the libraries know causes, this knows the commands.

use jazz::{LoadError, WriteError};
use reside::rpc::Code;
use reside::{CallError, Identity, RpcError};
use serde_json::Value;

use crate::error::CommandError;

/// A call to a replica gave no response. `replica` and `account` are names.
pub fn call(error: CallError, replica: &str, account: &str) -> CommandError {
    match error {
        CallError::Refused(error) => refused(&error, replica, account),
        CallError::Unanswered(problem) => CommandError::failed(format!("no answer from `{replica}`"))
            .because(format!(
                "{problem}; whether the call was carried out is not known"
            ))
            .help(format!("`reside replica info {replica}` tells how it is doing")),
        CallError::Local(source) => CommandError::failed(format!("cannot call `{replica}`")).because(source),
    }
}

fn refused(error: &RpcError, replica: &str, account: &str) -> CommandError {
    if let Some(command) = granting_command(error, account) {
        return CommandError::failed(format!(
            "`{replica}` refused the call ({})",
            error.code().status()
        ))
        .because(error.message())
        .help(format!("an administrator grants it with `{command}`"));
    }
    let failed = CommandError::failed(format!(
        "`{replica}` refused the call ({})",
        error.code().status()
    ))
    .because(error.message());
    match error.code() {
        Code::Internal => failed.help(format!("its log says more: `reside replica logs {replica}`")),
        Code::NotAuthenticated => failed.help("check that the clocks of both machines are right"),
        Code::Unavailable => failed.help("it is starting or stopping; try again in a moment"),
        _ => failed,
    }
}

fn granting_command(error: &RpcError, account: &str) -> Option<String> {
    let details = error.details()?;
    let contract = details.get("contract")?.as_str()?;
    let permission = details.get("permission")?.as_str()?;
    Some(grant_command(
        contract,
        permission,
        details.get("params"),
        account,
    ))
}

/// The command that grants a permission.
pub fn grant_command(contract: &str, permission: &str, params: Option<&Value>, account: &str) -> String {
    let has_params = params
        .and_then(Value::as_object)
        .is_some_and(|params| !params.is_empty());
    let params = params
        .filter(|_| has_params)
        .map(|params| format!(" --params {}", quote(&params.to_string())));
    let words = [contract, permission, "--account", account].map(quote).join(" ");
    format!("reside permission grant {words}{}", params.unwrap_or_default())
}

/// A word as a shell takes it. What a replica sends must not become a command when it is pasted.
fn quote(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/.:_-@=".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Data of the cluster can't be read; `permission` is what opens it.
pub fn load(
    error: LoadError,
    what: &str,
    contract: &Identity,
    permission: &str,
    account: &str,
) -> CommandError {
    load_instance(error, what, (contract, permission, None), account)
}

/// Data of the cluster can't be read; `permission`, with these params, is what opens it.
pub fn load_instance(
    error: LoadError,
    what: &str,
    permission: (&Identity, &str, Option<&Value>),
    account: &str,
) -> CommandError {
    let failed = CommandError::failed(format!("cannot read {what}"));
    match error {
        LoadError::Unauthorised(_) => lacks(failed, permission, account),
        LoadError::Timeout(_) => failed
            .because(error)
            .help("the cluster is slow or has just stopped; `reside cluster info` tells"),
        _ => failed.because(error),
    }
}

/// The account lacks a permission.
pub fn lacks(
    failed: CommandError,
    (contract, permission, params): (&Identity, &str, Option<&Value>),
    account: &str,
) -> CommandError {
    let command = grant_command(contract.as_str(), permission, params, account);
    failed
        .because(format!(
            "the account `{account}` lacks the permission {contract}:{permission}"
        ))
        .help(format!("an administrator grants it with `{command}`"))
}

/// Data of the cluster can't be written; `permission` is what opens it.
pub fn write(
    error: WriteError,
    what: &str,
    contract: &Identity,
    permission: &str,
    account: &str,
) -> CommandError {
    let failed = CommandError::failed(format!("cannot change {what}"));
    match error {
        WriteError::NotAllowed { .. } => {
            let command = grant_command(contract.as_str(), permission, None, account);
            failed
                .because(format!(
                    "the account `{account}` lacks the permission {contract}:{permission}"
                ))
                .help(format!("an administrator grants it with `{command}`"))
        }
        _ => failed.because(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_missing_permission_is_granted_by_a_command_that_can_be_pasted() {
        let contract = Identity::from_static("ghcr.io/exeteres/reside/contracts/greeter.v1");
        let error = RpcError::missing_permission(&contract, "greeting:create", json!({"language": "en"}));
        assert_eq!(
            granting_command(&error, "admin").unwrap(),
            "reside permission grant ghcr.io/exeteres/reside/contracts/greeter.v1 greeting:create --account admin \
             --params '{\"language\":\"en\"}'"
        );
    }

    #[test]
    fn what_a_replica_sends_is_no_command() {
        let params = json!({"a": "'; rm -rf ~ #"});
        assert_eq!(
            grant_command("c", "p $(x)", Some(&params), "admin"),
            r#"reside permission grant c 'p $(x)' --account admin --params '{"a":"'\''; rm -rf ~ #"}'"#
        );
    }
}
