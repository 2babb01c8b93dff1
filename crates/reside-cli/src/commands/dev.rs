//! `reside dev`

use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use futures::StreamExt;
use futures::stream::BoxStream;
use reside::Manifest;
use reside::manifest::ReplicaManifest;
use reside_image::build::{self, BuildOptions, Built};
use tokio::sync::oneshot;

use super::build::explain;
use crate::cli::App;
use crate::cluster::dev::child::Process;
use crate::cluster::dev::place::Place;
use crate::cluster::dev::sources::Sources;
use crate::cluster::difference::{Difference, Part};
use crate::cluster::records::Replica;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::cluster::signals;
use crate::error::CommandError;
use crate::ui::{GOOD, STRONG};

/// Run a replica from its sources in the place of the one that is loaded
///
/// Builds the crate in a folder, stops the cluster's own instance, and runs the program with the account, the permissions
/// and the address of the replica. When a source file changes it is built and started again. Its log goes to this
/// terminal. The cluster's own instance comes back when this command ends, however it ends.
#[derive(Args, Debug)]
pub struct DevArgs {
    /// Folder of the crate
    #[arg(default_value = ".")]
    folder: PathBuf,

    /// Replica whose place to take, if several were loaded from this crate's image
    #[arg(long, value_name = "REPLICA")]
    replica: Option<ReplicaSelector>,

    /// Profile of cargo
    #[arg(long, value_name = "PROFILE", default_value = "dev")]
    profile: String,
}

/// Runs the command.
pub fn run(app: &App, args: DevArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let stop = signals::stop_requested_or_hangup()?;
        tokio::pin!(stop);
        let session = Session::open(app).await?;
        let (built, sources) = tokio::select! {
            built = first_build(app, &args) => built?,
            () = &mut stop => return Ok(()),
        };
        let manifest = manifest(&built)?;
        let replica = find(&session, &args, &manifest).await?;
        compare(app, &replica, &manifest);
        let name = replica.record.name.clone();
        let place = Place::find(app, &session, replica).await?;
        let mut dev = Dev {
            app,
            args: &args,
            place: &place,
            name: &name,
            built,
            sources,
            running: None,
        };
        place
            .with(async {
                app.ui.say(format_args!(
                    "Running {STRONG}{name}{STRONG:#} from its sources; Ctrl-C gives its place back"
                ));
                let result = tokio::select! {
                    result = dev.run() => result,
                    () = &mut stop => Ok(()),
                };
                dev.stop().await;
                result
            })
            .await?;
        app.ui
            .say(format_args!("The cluster runs {STRONG}{name}{STRONG:#} again"));
        Ok(())
    })
}

/// A session.
struct Dev<'a> {
    app: &'a App,
    args: &'a DevArgs,
    place: &'a Place<'a>,
    name: &'a str,
    built: Built,
    sources: Sources,
    running: Option<Running>,
}

/// A process of the session, and whether it takes calls.
struct Running {
    process: Process,
    ready: BoxStream<'static, bool>,
}

impl Dev<'_> {
    /// Runs the program, and what it becomes, until somebody drops this.
    async fn run(&mut self) -> Result<(), CommandError> {
        self.start().await?;
        loop {
            tokio::select! {
                () = self.sources.changed() => {}
                error = watch(self.app, self.name, self.place, &mut self.running) => return Err(error),
            }
            let seen = self.sources.now();
            match build(self.app, self.args).await {
                Ok(built) => {
                    self.stop().await;
                    self.sources = sources(&built, self.args)?.seen_since(&seen);
                    self.built = built;
                    self.start().await?;
                }
                Err(error) => {
                    self.app.ui.report(&error);
                    self.app
                        .ui
                        .hint("the last program runs on; change the sources to try again");
                    self.sources = seen;
                }
            }
        }
    }

    async fn start(&mut self) -> Result<(), CommandError> {
        let failed = |why: &dyn std::fmt::Display| {
            CommandError::failed(format!("cannot run `{}`", self.name)).because(why.to_string())
        };
        let process = self
            .place
            .launch
            .start(program(&self.built)?)
            .map_err(|why| failed(&why))?;
        let ready = match &self.place.stand_in {
            Some(stand_in) => self
                .place
                .runtime()
                .stand_in(stand_in)
                .await
                .map_err(|why| failed(&why))?,
            None => futures::stream::pending().boxed(),
        };
        self.running = Some(Running { process, ready });
        Ok(())
    }

    /// Ends the process. Calls come no more from the moment on that the announcement is dropped.
    async fn stop(&mut self) {
        if let Some(Running { process, ready }) = self.running.take() {
            drop(ready);
            process.stop().await;
        }
    }
}

/// Tells how the process is doing. Ends only if the runtime does.
async fn watch(app: &App, name: &str, place: &Place<'_>, running: &mut Option<Running>) -> CommandError {
    while let Some(Running { process, ready }) = running {
        tokio::select! {
            is_ready = ready.next() => match is_ready {
                Some(true) => {
                    let at = place.url().map(|url| format!(" at {url}")).unwrap_or_default();
                    app.ui.say(format_args!("{STRONG}{name}{STRONG:#} is {GOOD}ready{GOOD:#}{at}"));
                }
                Some(false) => {}
                None => return CommandError::failed("the cluster has stopped")
                    .help("start it, then run `reside dev` again"),
            },
            ended = process.ended() => {
                let how = ended.map_or_else(|why| why.to_string(), |status| status.to_string());
                app.ui.warn(format_args!("the process of `{name}` has ended: {how}"));
                app.ui.hint("change the sources to run it again");
                *running = None;
            }
        }
    }
    std::future::pending().await
}

async fn first_build(app: &App, args: &DevArgs) -> Result<(Built, Sources), CommandError> {
    let built = build(app, args).await?;
    let sources = sources(&built, args)?;
    Ok((built, sources))
}

/// Builds in a thread of its own: whoever does not want to wait any more needn't.
async fn build(app: &App, args: &DevArgs) -> Result<Built, CommandError> {
    app.ui.say(format_args!("Building {}", args.folder.display()));
    let mut options = BuildOptions::new(&args.folder);
    options.profile.clone_from(&args.profile);
    let (done, built) = oneshot::channel();
    thread::spawn(move || {
        // Whoever does not wait any more needs no answer.
        drop(done.send(build::compile(&options)));
    });
    match built.await {
        Ok(built) => built.map_err(|error| explain(error, &args.folder.display().to_string())),
        Err(_) => Err(CommandError::failed("the build broke off")),
    }
}

fn sources(built: &Built, args: &DevArgs) -> Result<Sources, CommandError> {
    let folder = std::path::absolute(&args.folder).unwrap_or_else(|_| Path::new("/").to_owned());
    let program = program(built)?;
    Sources::of(program, &folder).map_err(|why| {
        CommandError::failed("cannot tell which files the program was made of")
            .because(format!("{}: {why}", program.with_extension("d").display()))
    })
}

fn program(built: &Built) -> Result<&Path, CommandError> {
    let program = built.program.as_ref().map(|program| program.path.as_path());
    program.ok_or_else(is_contract)
}

fn is_contract() -> CommandError {
    CommandError::usage("this crate is a contract")
        .help("name the folder of a replica's crate: `reside dev FOLDER`")
}

fn manifest(built: &Built) -> Result<ReplicaManifest, CommandError> {
    let json = built.manifest.json().to_string();
    match Manifest::parse(json.as_bytes()) {
        Ok(Manifest::Replica(manifest)) => Ok(manifest),
        Ok(Manifest::Contract(_)) => Err(is_contract()),
        Err(why) => Err(CommandError::failed("cannot read the manifest of the program").because(why)),
    }
}

/// The replica that was loaded from the image of this crate.
async fn find(
    session: &Session,
    args: &DevArgs,
    manifest: &ReplicaManifest,
) -> Result<Replica, CommandError> {
    let identity = &manifest.identity;
    let mut loaded = session.replicas().await?;
    loaded.retain(|replica| replica.record.identity == *identity);
    if let Some(selector) = &args.replica {
        let meant = session.replica(selector).await?;
        loaded.retain(|replica| replica.record.id == meant.id);
        if loaded.is_empty() {
            return Err(
                CommandError::usage(format!("`{selector}` is another replica")).because(format!(
                    "it was loaded from {}, and this crate is {identity}",
                    meant.identity
                )),
            );
        }
    }
    match loaded.len() {
        1 => Ok(loaded.remove(0)),
        0 => {
            let folder = args.folder.display();
            Err(
                CommandError::failed(format!("{identity} is not loaded in this cluster"))
                    .because("a replica gets its account and its permissions when it is loaded")
                    .help(format!(
                        "`reside build {folder}`, then `reside replica load {identity}:latest`"
                    )),
            )
        }
        _ => {
            let names: Vec<_> = loaded
                .iter()
                .map(|replica| replica.record.name.as_str())
                .collect();
            Err(
                CommandError::usage(format!("several replicas were loaded from {identity}"))
                    .because(names.join(", "))
                    .help(format!("choose one with `--replica {}`", names[0])),
            )
        }
    }
}

/// Warns of what the sources want and the loaded version hasn't got.
fn compare(app: &App, replica: &Replica, manifest: &ReplicaManifest) {
    let mut manifest = manifest.clone();
    manifest.fill_replica_name(&replica.record.name);
    let version = &replica.version;
    if manifest.info != version.manifest.info {
        app.ui
            .warn("`info` differs from that of the loaded replica; such a version can't be loaded");
    }
    let difference = Difference::from(version.id, false, &version.manifest, &manifest);
    for part in difference.added {
        let what = match part {
            Part::Permission { contract, permission } => format!("the permission {permission} of {contract}"),
            Part::Uses { contract } => format!("a replica that implements {contract}"),
            Part::Implements { contract } => format!("callers of {contract}"),
        };
        app.ui.warn(format_args!(
            "it has not got {what}: version {} was loaded without",
            version.id
        ));
    }
}
