//! Checking everything a database holds: every id, hash chain and signature. Reading it back for work trusts it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use cojson::header::Header;
use cojson::ids::{Author, CoId, SignerId};
use cojson::log::{CoValueLog, StoredSession};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::{failed, load_sessions, open_beside};
use crate::storage::StorageError;

/// How many values a thread takes at once.
const VALUES_AT_ONCE: i64 = 64;
/// Most problems that are described; the others are only counted.
const PROBLEMS_MAX: usize = 1_000;

/// What a database holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// CoValues looked at.
    pub values: u64,
    /// Their sessions.
    pub sessions: u64,
    /// Transactions whose signatures were checked.
    pub transactions: u64,
    /// How many problems there are.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// Something that isn't as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The CoValue; none if the file itself is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The session, if one alone is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl VerifyReport {
    fn add(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    fn merge(&mut self, other: Self) {
        self.values += other.values;
        self.sessions += other.sessions;
        self.transactions += other.transactions;
        self.problem_count += other.problem_count;
        let room = PROBLEMS_MAX - self.problems.len();
        self.problems.extend(other.problems.into_iter().take(room));
    }
}

/// Checks a database that others may be using: that the file is sound, and that every value's id, every session's hash
/// chain and every signature are right. Uses all cores; `progress` gets how many values were done, and how many there
/// are. What is wrong is in the report; the error is that it can't be read at all.
pub fn verify(path: &Path, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<VerifyReport, StorageError> {
    let connection = open_beside(path)?;
    let mut report = VerifyReport::default();
    check_file(&connection, &mut report)?;
    let (count, last): (i64, i64) = connection
        .query_row(
            "SELECT COUNT(*), COALESCE(MAX(row), 0) FROM covalues",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(failed("counting values"))?;
    let work = Work {
        path,
        next: AtomicI64::new(1),
        last,
        done: AtomicU64::new(0),
        count: count.cast_unsigned(),
        progress,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    for part in parts {
        report.merge(part?);
    }
    report
        .problems
        .sort_by(|a, b| (&a.id, &a.session).cmp(&(&b.id, &b.session)));
    Ok(report)
}

/// What SQLite says of the file, and rows that belong to nothing.
fn check_file(connection: &Connection, report: &mut VerifyReport) -> Result<(), StorageError> {
    let said: Vec<String> = connection
        .prepare("PRAGMA integrity_check(100)")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .map_err(failed("checking the file"))?;
    let lost = [
        (
            "sessions",
            "SELECT COUNT(*) FROM sessions WHERE covalue NOT IN (SELECT row FROM covalues)",
        ),
        (
            "transactions",
            "SELECT COUNT(*) FROM transactions WHERE session NOT IN (SELECT row FROM sessions)",
        ),
        (
            "checkpoints",
            "SELECT COUNT(*) FROM checkpoints WHERE session NOT IN (SELECT row FROM sessions)",
        ),
    ];
    let mut problems: Vec<String> = said.into_iter().filter(|line| line != "ok").collect();
    for (what, query) in lost {
        let count: i64 = connection
            .query_row(query, [], |row| row.get(0))
            .map_err(failed("looking for lost rows"))?;
        if count > 0 {
            problems.push(format!("{count} {what} belong to nothing"));
        }
    }
    for problem in problems {
        report.add(Problem {
            id: None,
            session: None,
            problem,
        });
    }
    Ok(())
}

/// What the threads share.
struct Work<'a> {
    path: &'a Path,
    /// The next row of a value that nobody has taken.
    next: AtomicI64,
    last: i64,
    done: AtomicU64,
    count: u64,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl Work<'_> {
    fn run(&self) -> Result<VerifyReport, StorageError> {
        let connection = open_beside(self.path)?;
        let mut checker = Checker {
            connection: &connection,
            signers: HashMap::new(),
            report: VerifyReport::default(),
        };
        loop {
            let first = self.next.fetch_add(VALUES_AT_ONCE, Ordering::Relaxed);
            if first > self.last {
                return Ok(checker.report);
            }
            let before = checker.report.values;
            checker.check_rows(first, first + VALUES_AT_ONCE)?;
            let checked = checker.report.values - before;
            let done = self.done.fetch_add(checked, Ordering::Relaxed) + checked;
            (self.progress)(done, self.count);
        }
    }
}

/// Why something didn't pass.
enum Fault {
    /// It isn't as it was written.
    Wrong(String),
    /// It can't be read at all.
    Unreadable(StorageError),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Damaged { problem, .. } => Self::Wrong(problem),
            error => Self::Unreadable(error),
        }
    }
}

struct Checker<'a> {
    connection: &'a Connection,
    /// The keys of the accounts met so far; `None` for those that aren't there.
    signers: HashMap<CoId, Option<SignerId>>,
    report: VerifyReport,
}

impl Checker<'_> {
    /// Checks the values with rows from `first` up to but without `end`, as they are at one moment.
    fn check_rows(&mut self, first: i64, end: i64) -> Result<(), StorageError> {
        let moment = self
            .connection
            .unchecked_transaction()
            .map_err(failed("reading values"))?;
        let rows: Vec<(i64, String, String)> = moment
            .prepare_cached("SELECT row, id, header FROM covalues WHERE row >= ?1 AND row < ?2")
            .and_then(|mut query| {
                query
                    .query_map([first, end], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .map_err(failed("reading headers"))?;
        for (row, id, header) in rows {
            self.report.values += 1;
            let checked = self.check_value(row, &id, &header);
            self.note(checked, &id, None)?;
        }
        Ok(())
    }

    fn check_value(&mut self, row: i64, id: &str, header: &str) -> Result<(), Fault> {
        let co_id: CoId = id
            .parse()
            .map_err(|error| Fault::Wrong(format!("the id: {error}")))?;
        let header: Header =
            serde_json::from_str(header).map_err(|error| Fault::Wrong(format!("the header: {error}")))?;
        if *header.id() != co_id {
            return Err(Fault::Wrong(format!("the header belongs to {}", header.id())));
        }
        let mut log = CoValueLog::new(header);
        for session in load_sessions(self.connection, &co_id, row)? {
            self.report.sessions += 1;
            self.report.transactions += session.transactions.len() as u64;
            let name = session.session.clone();
            let checked = self
                .check_counts(row, &session)
                .and_then(|()| self.check_signatures(&mut log, session));
            self.note(checked, id, Some(name.as_str()))?;
        }
        Ok(())
    }

    /// Transactions are numbered without gaps, and are as many as the session says.
    fn check_counts(&self, value: i64, session: &StoredSession) -> Result<(), Fault> {
        let (count, last): (i64, Option<i64>) = self
            .connection
            .prepare_cached(
                "SELECT count, (SELECT MAX(idx) FROM transactions WHERE session = sessions.row) FROM sessions
                 WHERE covalue = ?1 AND session = ?2",
            )
            .and_then(|mut query| {
                query.query_row(params![value, session.session.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
            })
            .map_err(failed("counting transactions"))?;
        let there = session.transactions.len() as i64;
        if count != there {
            let problem = format!("{count} transactions were stored, {there} are there");
            return Err(Fault::Wrong(problem));
        }
        if last != Some(there - 1) {
            return Err(Fault::Wrong("transactions are missing before others".to_owned()));
        }
        Ok(())
    }

    /// Appends the session to the log as if it came from a stranger, piece by piece up to each signature.
    fn check_signatures(&mut self, log: &mut CoValueLog, stored: StoredSession) -> Result<(), Fault> {
        let signer = match stored.session.author() {
            Author::Agent(agent) => agent.signer().clone(),
            Author::Account(account) => self
                .signer_of(account.as_co_id())?
                .ok_or_else(|| Fault::Wrong(format!("its author {account} is not in the database")))?,
        };
        let total = stored.transactions.len();
        let mut transactions = stored.transactions.into_iter();
        let checkpoints = stored
            .checkpoints
            .into_iter()
            .map(|(last, signature)| (last + 1, signature));
        let mut done = 0;
        for (end, signature) in checkpoints.chain([(total, stored.signature)]) {
            let piece: Vec<_> = transactions.by_ref().take(end.saturating_sub(done)).collect();
            if piece.is_empty() {
                continue;
            }
            log.append(&stored.session, done as u64, piece, signature, &signer)
                .map_err(|error| Fault::Wrong(format!("transactions {done} to {}: {error}", end - 1)))?;
            done = end;
        }
        Ok(())
    }

    /// Writes down what is wrong; goes on unless the database can't be read.
    fn note(
        &mut self,
        checked: Result<(), Fault>,
        id: &str,
        session: Option<&str>,
    ) -> Result<(), StorageError> {
        match checked {
            Ok(()) => {}
            Err(Fault::Wrong(problem)) => self.report.add(Problem {
                id: Some(id.to_owned()),
                session: session.map(str::to_owned),
                problem,
            }),
            Err(Fault::Unreadable(error)) => return Err(error),
        }
        Ok(())
    }

    fn signer_of(&mut self, account: &CoId) -> Result<Option<SignerId>, StorageError> {
        if let Some(signer) = self.signers.get(account) {
            return Ok(signer.clone());
        }
        let header: Option<String> = self
            .connection
            .prepare_cached("SELECT header FROM covalues WHERE id = ?1")
            .and_then(|mut query| query.query_row([account.as_str()], |row| row.get(0)).optional())
            .map_err(failed("reading an account"))?;
        let header = header.and_then(|header| serde_json::from_str::<Header>(&header).ok());
        let agent = header
            .as_ref()
            .filter(|header| header.id() == account)
            .and_then(Header::agent);
        let signer = agent.map(|agent| agent.signer().clone());
        self.signers.insert(account.clone(), signer.clone());
        Ok(signer)
    }
}
