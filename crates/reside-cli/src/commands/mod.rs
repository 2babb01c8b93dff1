//! The list of commands, in the order in which a newcomer meets them. Each lies in a file of its own.

mod account;
mod build;
mod call;
mod cluster;
mod completions;
mod contract;
mod dev;
mod down;
mod image;
mod jazz;
mod load_request;
mod manual;
mod new;
mod permission;
mod process;
mod realm;
mod registry;
mod replica;
mod secret;
mod sync;
mod up;
mod user;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

pub use process::Process;

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(subcommand)]
    Account(account::AccountCommand),
    Up(up::UpArgs),
    Down(down::DownArgs),
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    #[command(subcommand)]
    New(new::NewCommand),
    Build(build::BuildArgs),
    Dev(dev::DevArgs),
    #[command(subcommand)]
    Image(image::ImageCommand),
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    #[command(subcommand)]
    Replica(replica::ReplicaCommand),
    #[command(subcommand)]
    LoadRequest(load_request::LoadRequestCommand),
    #[command(subcommand)]
    Contract(contract::ContractCommand),
    Call(call::CallArgs),
    #[command(subcommand)]
    Permission(permission::PermissionCommand),
    #[command(subcommand)]
    User(user::UserCommand),
    #[command(subcommand)]
    Realm(realm::RealmCommand),
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    Sync(sync::SyncArgs),
    Jazz(jazz::JazzArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Manual(manual::ManualArgs),
    #[command(flatten)]
    Process(Process),
}

/// Runs a command.
pub fn run(app: &App, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Account(command) => account::run(app, command),
        Command::Up(args) => up::run(app, args),
        Command::Down(args) => down::run(app, args),
        Command::Cluster(command) => cluster::run(app, command),
        Command::New(command) => new::run(app, command),
        Command::Build(args) => build::run(app, args),
        Command::Dev(args) => dev::run(app, args),
        Command::Image(command) => image::run(app, command),
        Command::Registry(command) => registry::run(app, command),
        Command::Replica(command) => replica::run(app, command),
        Command::LoadRequest(command) => load_request::run(app, command),
        Command::Contract(command) => contract::run(app, command),
        Command::Call(args) => call::run(app, args),
        Command::Permission(command) => permission::run(app, command),
        Command::User(command) => user::run(app, command),
        Command::Realm(command) => realm::run(app, command),
        Command::Secret(command) => secret::run(app, command),
        Command::Sync(args) => sync::run(app, args),
        Command::Jazz(args) => jazz::run(app, args),
        Command::Completions(args) => completions::run(app, args),
        Command::Manual(args) => manual::run(app, args),
        Command::Process(process) => process.run().map(drop),
    }
}
