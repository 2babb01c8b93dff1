//! A cluster in this process: started, brought up, shown, and stopped in order.

use std::sync::Arc;

use reside_local::{Runtime, RuntimeConfig, RuntimeError};

use super::background::Report;
use super::bring_up::{self, BringUp};
use super::live;
use super::programs::Programs;
use super::settings::Settings;
use super::state::LocalCluster;
use super::system_images::SystemImages;
use crate::cli::App;
use crate::cluster::{signals, target};
use crate::config::{Account, Config};
use crate::error::CommandError;
use crate::files;
use crate::images;

/// What to bring up.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The cluster.
    pub name: String,
    /// Port of its gateway, if it was said.
    pub port: Option<u16>,
}

/// Runs a cluster until somebody stops it.
pub async fn run(app: &App, options: &UpOptions, report: &mut Report) -> Result<(), CommandError> {
    let stop = signals::stop_requested()?;
    tokio::pin!(stop);
    let account = first_account(app)?;
    let cluster = LocalCluster::new(app, &options.name);
    files::create_folder(cluster.paths().folder())?;
    let (runtime, bring_up) = start(app, options, &cluster, account, report).await?;
    let client = runtime.client();
    let endpoint = bring_up.settings.endpoint();
    let brought_up = tokio::select! {
        result = bring_up.run(&client, |text| report.progress(text)) => Some(result),
        () = &mut stop => None,
        () = runtime.stop_requested() => None,
    };
    let result = match brought_up {
        Some(Ok(updates)) => {
            report.ready(&options.name, &endpoint, updates);
            tokio::select! {
                () = live(app, report, &client) => {}
                () = &mut stop => {}
                () = runtime.stop_requested() => {}
            }
            Ok(())
        }
        Some(Err(error)) => Err(error),
        None => Err(CommandError::failed(format!(
            "the cluster `{}` was stopped before it was ready",
            options.name
        ))),
    };
    report.stopping();
    runtime.shutdown().await;
    result
}

/// Shows changes if somebody watches, and never ends by itself.
async fn live(app: &App, report: &Report, client: &reside_local::RuntimeClient) {
    if report.is_foreground() {
        live::follow(&app.ui, client).await;
    }
    std::future::pending::<()>().await;
}

async fn start<'a>(
    app: &'a App,
    options: &UpOptions,
    cluster: &'a LocalCluster,
    account: Account,
    report: &Report,
) -> Result<(Runtime, BringUp<'a>), CommandError> {
    let store = images::open_store(app)?;
    remember_home(app)?;
    if let Some(pid) = cluster.process()? {
        return Err(running_already(cluster, pid));
    }
    let settings = Settings::open(cluster.paths(), options.port)?;
    report.progress("Preparing the images of the system");
    let system = SystemImages::ensure(&app.paths, &store)?;
    let lock_held = |error| explain(error, cluster, &settings);
    bring_up::forget_half_made(cluster, &settings)?;
    let runtime = Runtime::start(RuntimeConfig {
        folder: cluster.paths().folder().to_owned(),
        gateway: settings.gateway(),
        images: Arc::new(Programs {
            store: store.clone(),
            folder: app.paths.unpacked(),
            system: system.clone(),
        }),
        trampoline: trampoline()?,
        settings: reside_local::Settings::default(),
    })
    .await
    .map_err(lock_held)?;
    Ok((
        runtime,
        BringUp {
            app,
            cluster,
            settings,
            account,
            images: system,
            store,
        },
    ))
}

/// Alpha asks registries too, but its home is its own: Docker's logins are in that of whoever starts the cluster.
fn remember_home(app: &App) -> Result<(), CommandError> {
    images::edit_settings(app, |settings| {
        settings.home = std::env::home_dir();
        Ok(())
    })
}

/// The default account: it becomes the administrator of a new cluster.
fn first_account(app: &App) -> Result<Account, CommandError> {
    let config = Config::load(&app.paths)?;
    match &app.globals.account {
        Some(_) => target::account(&config, &app.globals).cloned(),
        None => config.default_account().cloned().ok_or_else(target::no_account),
    }
}

/// How the runtime starts processes: by this program.
fn trampoline() -> Result<Vec<std::ffi::OsString>, CommandError> {
    let program = std::env::current_exe()
        .map_err(|why| CommandError::failed("cannot find this program itself").because(why))?;
    Ok(vec![program.into_os_string(), "supervised".into()])
}

fn running_already(cluster: &LocalCluster, pid: u32) -> CommandError {
    let name = cluster.name();
    CommandError::failed(format!("the cluster `{name}` is running already"))
        .because(format!("its process is {pid}"))
        .help(format!(
            "`reside cluster info {name}` shows it, `reside down {name}` stops it"
        ))
}

fn explain(error: RuntimeError, cluster: &LocalCluster, settings: &Settings) -> CommandError {
    let failed = CommandError::failed(format!("cannot start the cluster `{}`", cluster.name()));
    match error {
        RuntimeError::AlreadyRunning { pid } => running_already(cluster, pid),
        RuntimeError::Listen { .. } => {
            let help = match settings.made {
                Some(_) => "stop what uses the port: the cluster's replicas have published addresses with it",
                None => "stop what uses the port, or choose another with `--port`",
            };
            failed.because(error).help(help)
        }
        RuntimeError::Folder { .. } => failed.because(error),
    }
}
