//! Taking content: what it depends on first, then all of its sessions, each whole or not at all.

use std::collections::BTreeSet;

use indexmap::IndexSet;

use crate::header::{Kind, Ruleset};
use crate::ids::{Author, CoId};
use crate::log::{AppendError, group_dependencies};
use crate::message::Content;
use crate::values::{ReceiveError, Values};

use super::content::Have;
use super::lookup::Job;
use super::peer::{PeerId, PeerRole};
use super::{Output, Sync};

impl Sync {
    pub(super) fn receive(
        &mut self,
        values: &mut Values,
        peer: PeerId,
        content: Box<Content>,
        without: BTreeSet<CoId>,
    ) {
        let id = content.id.clone();
        let may_be_stored = self.may_be_stored(&id) && !without.contains(&id);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let value = entry.values.entry(id.clone()).or_default();
        if value.refused {
            return;
        }
        for have in [&mut value.confirmed, &mut value.sent] {
            have.header |= content.header.is_some();
            for (session, new) in &content.new {
                have.raise(
                    session,
                    new.after.saturating_add(new.new_transactions.len() as u64),
                );
            }
        }
        if !values.contains(&id) {
            if may_be_stored {
                self.find(
                    values,
                    &id,
                    Some(Job::Receive {
                        peer,
                        content,
                        without,
                    }),
                );
                return;
            }
            if content.header.is_none() {
                value.confirmed = Have::default();
                value.sent = Have::default();
                self.acknowledge(peer, &id, true);
                return;
            }
        }
        let needed = needed_by(values, &content);
        let absent = needed
            .iter()
            .find(|needed| !values.contains(needed) && !without.contains(*needed));
        if let Some(absent) = absent {
            self.find(
                values,
                absent,
                Some(Job::Receive {
                    peer,
                    content,
                    without,
                }),
            );
            return;
        }
        // What nobody has may come later, but for an author's account: without it nothing can be verified.
        let unknown_author = authors(&content).find(|author| !values.contains(author)).cloned();
        if let Some(author) = unknown_author {
            self.wait_for(
                &author,
                Job::Receive {
                    peer,
                    content,
                    without,
                },
            );
            return;
        }
        self.ingest(values, peer, *content);
    }

    fn ingest(&mut self, values: &mut Values, peer: PeerId, content: Content) {
        let Content {
            id,
            header,
            new,
            expect_content_until,
            ..
        } = content;
        let is_new = !values.contains(&id);
        if let (true, Some(header)) = (is_new, header) {
            values.insert(header);
        }
        let (mut changed, mut gap, mut problem) = (is_new, false, None);
        for (session, new) in new {
            let received = values.receive(
                self.now,
                &id,
                &session,
                new.after,
                new.new_transactions,
                new.last_signature,
            );
            match received {
                Ok(appended) => changed |= !appended.is_empty(),
                Err(ReceiveError::Append(AppendError::Gap { .. })) => gap = true,
                Err(
                    error @ (ReceiveError::Append(AppendError::InvalidSignature | AppendError::OtherSigner)
                    | ReceiveError::InvalidDeletion(_)),
                ) => {
                    problem = Some(format!("{session}: {error}"));
                }
                // Who passes this on has verified it by its own lights: the value's other sessions are welcome.
                Err(error) => {
                    let reason = format!("{session}: {error}");
                    let id = id.clone();
                    self.out.push_back(Output::Refused { peer, id, reason });
                }
            }
        }
        if let Some(reason) = problem {
            self.refuse(peer, &id, reason);
        }
        self.note_expected(values, peer, &id, expect_content_until);
        if gap {
            // What it was taken to have by sending this, it may have; what we told it to be ahead of, it isn't.
            if let (Some(entry), Some(log)) = (self.peers.get_mut(&peer), values.get(&id)) {
                entry
                    .values
                    .entry(id.clone())
                    .or_default()
                    .sent
                    .merge(true, &log.known_state().sessions);
            }
        }
        self.acknowledge(peer, &id, gap);
        if changed {
            // At once: what waited for the value may tell others of it.
            self.store(values, &id);
            self.dirty.insert(id.clone());
            self.out.push_back(Output::Changed(id.clone()));
            self.found(values, &id);
        }
        if let (Some(entry), Some(log)) = (self.peers.get_mut(&peer), values.get(&id))
            && entry
                .values
                .get(&id)
                .is_some_and(|value| value.confirmed.covers(log))
            && entry.unconfirmed.remove(&id)
        {
            self.out.push_back(Output::Confirmed(id.clone()));
        }
        if let Some(log) = values.get(&id) {
            self.note_synced(log);
        }
        self.acknowledge_settled(peer, Some(&id));
        self.ask_back(values, peer, &id);
    }

    /// A server that has answered our state with content hasn't said what it lacks itself. Asked once more, when it has
    /// nothing left to send, it does.
    fn ask_back(&mut self, values: &Values, peer: PeerId, id: &CoId) {
        let Some(entry) = self
            .peers
            .get_mut(&peer)
            .filter(|peer| peer.role == PeerRole::Server)
        else {
            return;
        };
        let (Some(value), Some(log)) = (entry.values.get_mut(id), values.get(id)) else {
            return;
        };
        let may_lack = !value.refused && !value.confirmed.covers(log);
        if !self.incomplete.contains_key(id) && std::mem::take(&mut value.asked) && may_lack {
            self.introduce(values, peer, id);
        }
    }

    fn note_expected(
        &mut self,
        values: &Values,
        peer: PeerId,
        id: &CoId,
        expected: Option<std::collections::BTreeMap<crate::ids::SessionId, u64>>,
    ) {
        let from_server = self
            .peers
            .get(&peer)
            .is_some_and(|peer| peer.role == PeerRole::Server);
        if let Some(expected) = expected.filter(|_| from_server) {
            self.incomplete.insert(id.clone(), expected);
        }
        let complete = |log: &crate::log::CoValueLog| {
            self.incomplete.get(id).is_some_and(|expected| {
                expected
                    .iter()
                    .all(|(session, count)| log.session_len(session) as u64 >= *count)
            })
        };
        if values.get(id).is_some_and(complete) {
            self.incomplete.remove(id);
        }
    }
}

/// The accounts that wrote the sessions of this content.
fn authors(content: &Content) -> impl Iterator<Item = &CoId> {
    content.new.keys().filter_map(|session| match session.author() {
        Author::Account(account) if *account.as_co_id() != content.id => Some(account.as_co_id()),
        _ => None,
    })
}

/// What has to be here before the content can be taken (protocol, 9.4).
fn needed_by(values: &Values, content: &Content) -> IndexSet<CoId> {
    let mut needed: IndexSet<CoId> = authors(content).cloned().collect();
    let header = content
        .header
        .as_ref()
        .or_else(|| values.get(&content.id).map(|log| log.header()));
    let Some(header) = header else { return needed };
    needed.extend(header.owner().cloned());
    needed.extend(header.source());
    if let Ruleset::Group {
        initial_admin: Author::Account(admin),
    } = header.ruleset()
    {
        needed.insert(admin.as_co_id().clone());
    }
    if matches!(header.kind(), Kind::Group | Kind::Account) {
        let transactions = content.new.values().flat_map(|new| &new.new_transactions);
        needed.extend(transactions.flat_map(group_dependencies));
    }
    needed.swap_remove(&content.id);
    needed
}
