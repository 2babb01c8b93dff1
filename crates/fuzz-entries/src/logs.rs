//! Logs of transactions that their writers may well have signed, whatever is in them: what groups and values make of them.
//!
//! An input is lines of `{value}{writer}{time} {changes}[ TAB {meta}]`: who, as `A`, `B` or `C`, writes what to which value,
//! so many milliseconds after its beginning. In changes and meta `$g`, `$A` and so on stand for ids.

use std::collections::HashMap;

use cojson::Cx;
use cojson::group::{EveryoneRole, Mapping, Role};
use cojson::log::CoValueLog;
use cojson::transaction::{Privacy, Timestamp, Transaction, TrustingTransaction};
use serde_json::json;

use crate::world::{Counting, NOW, World, shown};

/// More lines are one test after another, and slow.
const LINES_MAX: usize = 40;

/// Transactions of groups.
pub fn group(data: &[u8]) {
    run(data, "gp");
}

/// Transactions of values, with a few of their group.
pub fn content(data: &[u8]) {
    run(data, "mlsbtg");
}

struct Line {
    value: char,
    writer: usize,
    transaction: Transaction,
}

fn parse(world: &World, line: &str, values: &str) -> Option<Line> {
    let (head, texts) = line.split_once(' ')?;
    let mut head = head.chars();
    let value = head.next().filter(|value| values.contains(*value))?;
    let writer = "ABC".find(head.next()?)?;
    let offset: u32 = head.as_str().parse().ok()?;
    let (changes, meta) = match texts.split_once('\t') {
        Some((changes, meta)) => (changes, Some(meta)),
        None => (texts, None),
    };
    let transaction = Transaction::Trusting(TrustingTransaction {
        made_at: Timestamp(NOW.0 + u64::from(offset)),
        changes: world.fill_in(changes).into(),
        meta: meta.map(|meta| world.fill_in(meta).into()),
    });
    Some(Line {
        value,
        writer,
        transaction,
    })
}

fn run(data: &[u8], values: &str) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let world = World::get();
    let lines = text.lines().filter_map(|line| parse(world, line, values));
    let lines: Vec<Line> = lines.take(LINES_MAX).collect();
    // One looks at everything after each transaction, the other only at the end.
    let (mut eager, mut lazy) = (world.node(), world.node());
    let _ = shown(&mut eager, world);
    let mut writing: HashMap<char, CoValueLog> = HashMap::new();
    for line in lines {
        let Some(of) = world.log(line.value) else { continue };
        let person = &world.people[line.writer];
        // In its own session of another value the world's maker has written already.
        let session = &person.session;
        let log = writing.entry(line.value).or_insert_with(|| of.clone());
        let after = log.append_own(session, line.transaction.clone()) as u64;
        log.sign_own(session, person.credentials.agent_secret.signer());
        let signature = log.sessions()[session].signature().expect("signed above").clone();
        for node in [&mut eager, &mut lazy] {
            let batch = vec![line.transaction.clone()];
            let now = Timestamp(NOW.0 + u64::from(u32::MAX));
            let _ = node
                .values_mut()
                .receive(now, of.id(), session, after, batch, signature.clone());
        }
        let _ = shown(&mut eager, world);
    }
    let at_last = shown(&mut lazy, world);
    assert_eq!(shown(&mut eager, world), at_last, "looking at it changed it");
    look_back(&mut eager, world);
    write(&mut eager, world);
}

/// Looks at the past.
fn look_back(node: &mut cojson::Node, world: &World) {
    let at = Timestamp(NOW.0 + 5);
    for (_, log) in &world.values {
        let id = log.id();
        let _ = (node.map_at(id, at).is_ok(), node.list_at(id, at).is_ok());
        let _ = (node.file_at(id, at).is_ok(), node.stream_at(id, at).is_ok());
        let _ = (node.map_history(id).is_ok(), node.list_history(id).is_ok());
        let _ = node.export(id);
    }
}

/// Writes into what is there now, as far as the roles allow it.
fn write(node: &mut cojson::Node, world: &World) {
    let mut rng = Counting::from(7);
    let mut cx = Cx {
        now: Timestamp(NOW.0 + 1_000),
        rng: &mut rng,
    };
    let id = |name: char| world.log(name).expect("there is one").id();
    let (group, parent) = (id('g'), id('p'));
    let carol = &world.people[2].credentials.account_id;
    let _ = node.extend(&mut cx, group, parent, Mapping::Extend);
    let _ = node.add_member(&mut cx, group, carol, Role::WriteOnly);
    let _ = node.remove_member(&mut cx, group, carol);
    let _ = node.set_everyone(&mut cx, group, Some(EveryoneRole::Reader));
    let _ = node.create_invite(&mut cx, group, Role::Writer);
    let change = [json!({"op": "set", "key": "k", "value": 1})];
    let written = node.write(&mut cx, id('m'), &change, Privacy::Private, None);
    if written.is_ok() {
        let map = node.map(id('m')).expect("it was written to");
        let _ = map.get("k");
    }
    if let Ok(branch) = node.create_branch(&mut cx, id('m'), "b", None) {
        let _ = node.write(&mut cx, &branch, &change, Privacy::Private, None);
        let _ = node.merge_branch(&mut cx, &branch);
    }
    let _ = node.delete(&mut cx, id('l'));
    node.flush();
    let _ = shown(node, world);
}
