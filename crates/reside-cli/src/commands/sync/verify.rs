//! `reside sync verify`

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use jazz::storage::{self, VerifyReport};
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Check everything a database holds: every id, hash and signature
///
/// May run beside the server, and on backups. Ends with exit code 1 if anything isn't as it was written.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The server's SQLite file, or a backup
    #[arg(long, value_name = "FILE", default_value = "jazz.db")]
    storage: PathBuf,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Report(VerifyReport);

impl View for Report {
    fn draw(&self) -> Drawing {
        let report = &self.0;
        let mut fields = Fields::default();
        fields.field("Values", report.values.to_string());
        fields.field("Sessions", report.sessions.to_string());
        fields.field("Transactions", report.transactions.to_string());
        fields.field("Problems", report.problem_count.to_string());
        if !report.problems.is_empty() {
            let mut table = Table::new(["VALUE", "SESSION", "PROBLEM"], "");
            for problem in &report.problems {
                table.row([
                    problem.id.clone().unwrap_or_default(),
                    problem.session.clone().unwrap_or_default(),
                    problem.problem.clone(),
                ]);
            }
            fields.table("Problems", table);
        }
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, VerifyArgs { storage }: VerifyArgs) -> Result<(), CommandError> {
    let progress = app.ui.progress(format_args!("Checking {}", storage.display()));
    let told = Mutex::new(Instant::now());
    let report = storage::verify(&storage, &|done, all| {
        // Whoever finds it taken leaves the telling to the other thread.
        if let Ok(mut told) = told.try_lock()
            && told.elapsed() >= PROGRESS_INTERVAL
        {
            *told = Instant::now();
            progress.now(format!("Checked {done} of {all} values"));
        }
    });
    drop(progress);
    let report = report.map_err(|error| {
        super::storage_failed(format!("cannot read {}", storage.display()), &storage, error)
    })?;
    let problems = report.problem_count;
    app.ui.show(&Report(report))?;
    if problems == 0 {
        return Ok(());
    }
    Err(
        CommandError::failed(format!("{} is damaged in {problems} places", storage.display()))
            .help("restore a backup that `reside sync verify` finds sound; clients send again what it lacks"),
    )
}
