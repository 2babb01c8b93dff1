//! S8: a group gets many members one by one, then one is removed, which changes its keys.

use std::path::Path;
use std::time::Instant;

use jazz::{AccountId, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::process::{Child, CpuClock, Steps, tell};
use crate::server::{AccountArgs, SYNC_TIMEOUT, SyncServer, accounts};
use crate::stats::millis;

/// How many members.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::Args)]
pub struct Options {
    /// Members
    #[arg(long, default_value_t = 200)]
    pub n: usize,
}

/// What the roles are told.
#[derive(Serialize, Deserialize)]
pub struct Args {
    url: String,
    account: AccountArgs,
    members: Vec<AccountId>,
    group: Option<jazz::CoId>,
}

#[derive(Serialize, Deserialize)]
struct Changed {
    group: jazz::CoId,
    add_ms: f64,
    add_synced_ms: f64,
    rotate_ms: f64,
    rotate_synced_ms: f64,
}

/// Runs the scenario once.
pub fn run(options: Options, directory: &Path) -> Result<Value, Error> {
    let server = SyncServer::start(directory)?;
    let mut all = accounts(&server, options.n + 1, directory)?;
    let reader = all[1].clone();
    let account = all.remove(0);
    let members = all
        .iter()
        .map(|account| account.id.parse())
        .collect::<Result<_, _>>()?;
    let url = server.url.clone();
    let mut args = Args {
        url,
        account,
        members,
        group: None,
    };
    let mut admin = Child::start("s8_admin", &args, directory)?;
    admin.line()?;
    admin.go()?;
    let clock = CpuClock::start([server.child(), &admin])?;
    let changed: Changed = admin.read()?;
    let [server_cpu, admin_cpu] = clock.elapsed()?;
    args.account = reader;
    args.group = Some(changed.group.clone());
    let member = Child::start("s8_member", &args, directory)?;
    let load_ms: f64 = member.read()?;
    let figures = json!({
        "add_ms": changed.add_ms, "add_synced_ms": changed.add_synced_ms,
        "rotate_ms": changed.rotate_ms, "rotate_synced_ms": changed.rotate_synced_ms,
        "member_cold_load_ms": load_ms,
        "server_cpu_s": server_cpu, "admin_cpu_s": admin_cpu,
        "server": server.memory()?, "admin": admin.memory()?,
    });
    member.stop()?;
    admin.stop()?;
    server.stop()?;
    Ok(figures)
}

/// Adds the members and removes one.
pub async fn admin_role(args: Args) -> Result<(), Error> {
    let node = args.account.connect(&args.url).await?;
    for member in &args.members {
        node.load_account(member).await?;
    }
    let group = node.create_group()?;
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    let mut steps = Steps::listen();
    tell(&"up")?;
    steps.next().await;
    let start = Instant::now();
    for member in &args.members {
        group.add_member(member, Role::Reader).await?;
    }
    let added = start.elapsed();
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    let added_synced = start.elapsed();
    let removed = &args.members[args.members.len() / 2];
    let start = Instant::now();
    group.remove_member(removed).await?;
    let rotated = start.elapsed();
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    let rotated_synced = start.elapsed();
    if group.members()?.len() != args.members.len() || group.role_of(removed).is_some() {
        return Err("the group has other members".into());
    }
    tell(&Changed {
        group: group.id().clone(),
        add_ms: millis(added),
        add_synced_ms: millis(added_synced),
        rotate_ms: millis(rotated),
        rotate_synced_ms: millis(rotated_synced),
    })?;
    steps.finished().await;
    Ok(())
}

/// Loads the group as one of its members.
pub async fn member_role(args: Args) -> Result<(), Error> {
    let id = args.group.ok_or("no group to load")?;
    let node = args.account.connect(&args.url).await?;
    let start = Instant::now();
    let group = node.load_group(&id).await?;
    let took = start.elapsed();
    if group.my_role() != Some(Role::Reader) {
        return Err("not a reader of the group".into());
    }
    tell(&millis(took))?;
    Steps::listen().finished().await;
    Ok(())
}
