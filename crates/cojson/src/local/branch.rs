//! Branches: a value that starts as a copy of another one and can be merged back.

use serde_json::{Map, Value, json};

use super::WriteError;
use crate::Cx;
use crate::content::{ContentError, Counts, Source, merge_counts};
use crate::group::Role;
use crate::header::{CreatedAt, Header, Kind, Ruleset, Uniqueness};
use crate::ids::CoId;
use crate::limits::MAX_CREATED_TRANSACTION_BYTES;
use crate::log::CoValueLog;
use crate::node::Node;
use crate::transaction::{Privacy, Timestamp};

impl Node {
    /// The id of a branch of a value, made or not. Its owner is the value's unless another one is named.
    pub fn branch_id(&self, id: &CoId, name: &str, owner: Option<&CoId>) -> Result<CoId, WriteError> {
        Ok(self.branch_header(id, name, owner)?.id().clone())
    }

    /// Makes a branch of what is here of a value. Who may only read the value can own the branch elsewhere.
    pub fn create_branch(
        &mut self,
        cx: &mut Cx<'_>,
        id: &CoId,
        name: &str,
        owner: Option<&CoId>,
    ) -> Result<CoId, WriteError> {
        let header = self.branch_header(id, name, owner)?;
        let branch = header.id().clone();
        if self.has(&branch) {
            return Err(WriteError::Exists(branch));
        }
        let (Some(of_source), Some(of_branch)) =
            (self.log(id).and_then(|log| log.header().owner()), header.owner())
        else {
            return Err(WriteError::NotAllowed(id.clone()));
        };
        let (of_source, of_branch) = (of_source.clone(), of_branch.clone());
        self.check_write(cx, &of_branch)?;
        let is_reader = self.my_role(id) == Some(Role::Reader);
        if !is_reader {
            self.check_write(cx, &of_source)?;
        }
        let from = self.log(id).map(CoValueLog::counts).unwrap_or_default();
        self.values.insert(header);
        self.write(cx, &branch, &[], Privacy::Private, Some(&json!({"from": from})))?;
        let mut pointer = Map::from_iter([("branch".to_owned(), name.into())]);
        pointer.extend(owner.map(|owner| ("ownerId".to_owned(), owner.as_str().into())));
        let pointer = Value::Object(pointer);
        if is_reader {
            // Readers may say so in clear, and nothing else.
            let writer = self.writer()?.clone();
            self.check_tail(id)?;
            self.will_write(id, &writer.session, writer.secret.signer());
            let pointer = pointer.to_string();
            self.append_trusting(id, &writer.session, cx.now, "[]".to_owned(), Some(&pointer));
        } else {
            self.write(cx, id, &[], Privacy::Private, Some(&pointer))?;
        }
        Ok(branch)
    }

    /// Copies what was written in a branch, and wasn't merged before, into the value it grew out of. Returns that value.
    pub fn merge_branch(&mut self, cx: &mut Cx<'_>, branch: &CoId) -> Result<CoId, WriteError> {
        let source = self
            .log(branch)
            .ok_or_else(|| ContentError::NotLoaded(branch.clone()))?
            .header()
            .source()
            .ok_or_else(|| ContentError::WrongKind(branch.clone(), "branch"))?;
        let changes = self.unmerged(branch, &source)?;
        let Some(newest) = changes.written.iter().map(|tx| tx.at).max() else {
            return Ok(source);
        };
        let mut permit = self.permit_write(cx, &source, Privacy::Private)?;
        permit.at = permit.at.max(Timestamp(newest.0 + 1));
        for (meta, tx) in changes.metas(permit.at).into_iter().zip(changes.written) {
            self.append_owned(&source, &permit, tx.privacy, tx.changes, Some(meta.to_string()));
        }
        let merged = json!({"merged": changes.counts, "branch": branch});
        self.append_owned(
            &source,
            &permit,
            Privacy::Private,
            "[]".to_owned(),
            Some(merged.to_string()),
        );
        Ok(source)
    }

    fn branch_header(&self, id: &CoId, name: &str, owner: Option<&CoId>) -> Result<Header, WriteError> {
        let log = self.log(id).ok_or_else(|| ContentError::NotLoaded(id.clone()))?;
        let header = log.header();
        let of_source = header
            .owner()
            .filter(|_| header.kind() != Kind::Binary)
            .ok_or_else(|| ContentError::WrongKind(id.clone(), "value that can have branches"))?;
        let ruleset = Ruleset::OwnedByGroup {
            group: owner.unwrap_or(of_source).clone(),
            restrict_deletion: None,
        };
        let meta = Map::from_iter([
            ("branch".to_owned(), name.into()),
            ("source".to_owned(), id.as_str().into()),
        ]);
        Ok(Header::new(
            header.value_type().clone(),
            ruleset,
            Some(meta),
            CreatedAt::Absent,
            Uniqueness::Text("".into()),
        ))
    }

    /// What counts in a branch and isn't in its source yet.
    fn unmerged(&mut self, branch: &CoId, source: &CoId) -> Result<Unmerged, WriteError> {
        self.refresh_for_reading(branch)?;
        self.refresh_for_reading(source)?;
        let log = |id: &CoId| {
            self.values
                .get(id)
                .ok_or_else(|| ContentError::NotLoaded(id.clone()))
        };
        let (branch_log, source_log) = (log(branch)?, log(source)?);
        let mut reading = Source {
            values: &self.values,
            groups: &mut self.groups,
            reader: &self.reader,
            until: Timestamp::MAX,
        };
        let mut before = Counts::new();
        for (_, tx) in reading.transactions(source_log) {
            let is_of_branch = tx
                .meta
                .as_ref()
                .is_some_and(|meta| meta["branch"] == branch.as_str());
            if let Some(counts) = tx.counts("merged").filter(|_| is_of_branch) {
                merge_counts(&mut before, counts);
            }
        }
        let (read, closed) = reading.readable(branch_log);
        // What can't be read yet, and what its writer wrote after it, is left for a later merge.
        let mut counts = branch_log.counts();
        for place in closed {
            if let Some(count) = counts.get_mut(branch_log.session_id(place)) {
                *count = u64::from(place.index).min(*count);
            }
        }
        let mut written = Vec::new();
        for (place, tx) in read {
            let session = branch_log.session_id(place);
            let known = before.get(session).copied().unwrap_or_default();
            let range = known..counts[session];
            if !range.contains(&place.index.into()) || tx.changes.is_empty() {
                continue;
            }
            let changes = Value::Array(tx.changes).to_string();
            if changes.len() > MAX_CREATED_TRANSACTION_BYTES {
                return Err(WriteError::TooLarge(changes.len()));
            }
            written.push(ToMerge {
                at: tx.order.at,
                session: tx.order.session.to_string(),
                index: tx.order.index,
                branch: tx.order.branch,
                privacy: branch_log.transaction(place).privacy(),
                changes,
            });
        }
        counts.retain(|session, count| before.get(session).copied().unwrap_or_default() < *count);
        Ok(Unmerged { written, counts })
    }
}

struct Unmerged {
    written: Vec<ToMerge>,
    /// How much of each session is merged then.
    counts: Counts,
}

struct ToMerge {
    at: Timestamp,
    session: String,
    index: u32,
    branch: Option<CoId>,
    privacy: Privacy,
    changes: String,
}

impl Unmerged {
    /// What each transaction says about where it comes from; what is as in the one before isn't repeated.
    fn metas(&self, at: Timestamp) -> Vec<Value> {
        let mut metas = Vec::with_capacity(self.written.len());
        let mut before: Option<&ToMerge> = None;
        for tx in &self.written {
            let mut meta = Map::from_iter([("mi".to_owned(), tx.index.into())]);
            if before.is_none_or(|before| before.at != tx.at) {
                meta.insert("t".to_owned(), (at.0 - tx.at.0).into());
            }
            if before.is_none_or(|before| before.session != tx.session) {
                meta.insert("s".to_owned(), tx.session.as_str().into());
            }
            if let Some(branch) = &tx.branch
                && before.is_none_or(|before| before.branch.as_ref() != Some(branch))
            {
                meta.insert("b".to_owned(), branch.as_str().into());
            }
            metas.push(Value::Object(meta));
            before = Some(tx);
        }
        metas
    }
}
