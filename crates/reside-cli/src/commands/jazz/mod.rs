//! Values of a sync server, for people who debug or script.

mod account;
mod append;
mod create;
mod delete;
mod download;
mod get;
mod group;
mod history;
mod push;
mod session;
mod set;
mod upload;
mod watch;
mod whoami;

use clap::{Args, Subcommand};

use self::session::SessionArgs;
use crate::cli::App;
use crate::error::CommandError;

/// Read and write Jazz values, to debug and to script
///
/// Each command logs into a sync server, does one thing, and ends when the server has confirmed what was written.
/// Values are named by their ids, `co_z…`.
#[derive(Args, Debug)]
pub struct JazzArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(subcommand)]
    command: JazzCommand,
}

#[derive(Debug, Subcommand)]
enum JazzCommand {
    #[command(subcommand)]
    Account(account::AccountCommand),
    Whoami(whoami::WhoamiArgs),
    #[command(subcommand)]
    Create(create::CreateCommand),
    Get(get::GetArgs),
    Set(set::SetArgs),
    Push(push::PushArgs),
    Append(append::AppendArgs),
    Upload(upload::UploadArgs),
    Download(download::DownloadArgs),
    Watch(watch::WatchArgs),
    #[command(subcommand)]
    Group(group::GroupCommand),
    Delete(delete::DeleteArgs),
}

/// Runs one of them.
pub fn run(app: &App, args: JazzArgs) -> Result<(), CommandError> {
    let session = &args.session;
    match args.command {
        JazzCommand::Account(command) => account::run(app, session, command),
        JazzCommand::Whoami(args) => whoami::run(app, session, args),
        JazzCommand::Create(command) => create::run(app, session, command),
        JazzCommand::Get(args) => get::run(app, session, args),
        JazzCommand::Set(args) => set::run(app, session, args),
        JazzCommand::Push(args) => push::run(app, session, args),
        JazzCommand::Append(args) => append::run(app, session, args),
        JazzCommand::Upload(args) => upload::run(app, session, args),
        JazzCommand::Download(args) => download::run(app, session, args),
        JazzCommand::Watch(args) => watch::run(app, session, args),
        JazzCommand::Group(command) => group::run(app, session, command),
        JazzCommand::Delete(args) => delete::run(app, session, args),
    }
}
