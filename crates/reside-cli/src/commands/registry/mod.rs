//! What this machine knows of registries.

mod list;
mod login;
mod logout;
mod mirror;
mod plain_http;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// Log in to registries, and say where images are kept
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Mirror(mirror::MirrorArgs),
    PlainHttp(plain_http::PlainHttpArgs),
    List(list::ListArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: RegistryCommand) -> Result<(), CommandError> {
    match command {
        RegistryCommand::Login(args) => login::run(app, args),
        RegistryCommand::Logout(args) => logout::run(app, &args),
        RegistryCommand::Mirror(args) => mirror::run(app, args),
        RegistryCommand::PlainHttp(args) => plain_http::run(app, args),
        RegistryCommand::List(args) => list::run(app, args),
    }
}

/// Reads the name of a registry: a host, perhaps with a port.
fn registry_name(text: &str) -> Result<String, String> {
    let is_name = !text.contains('/') && reside_image::reference::is_identity(&format!("{text}/x"));
    match is_name {
        true => Ok(text.to_owned()),
        false => Err("expected a registry, as `ghcr.io` or `localhost:5000`".to_owned()),
    }
}
