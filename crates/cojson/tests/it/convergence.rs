//! Properties of content: whatever the order of delivery, in whatever pieces, all replicas show the same, and a view kept
//! up to date shows what a view built anew shows.

use cojson::group::Role;
use cojson::header::ValueType;
use cojson::ids::{CoId, SessionId};
use cojson::log::CoValueLog;
use cojson::transaction::{Privacy, Timestamp, Transaction};
use cojson::values::ReceiveError;
use cojson::{Cx, NewValue, Node};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{NOW, Net, Seeded, cases, set};

/// What a writer does next.
#[derive(Debug, Clone)]
enum Act {
    Set {
        key: u8,
        value: u8,
    },
    Remove {
        key: u8,
    },
    Push {
        value: u8,
    },
    Insert {
        at: u8,
        value: u8,
    },
    Take {
        at: u8,
    },
    Append {
        value: u8,
    },
    /// Makes the other account a member, or no member, of the group.
    Membership {
        role: u8,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..4u8, any::<u8>()).prop_map(|(key, value)| Act::Set { key, value }),
        1 => (0..4u8).prop_map(|key| Act::Remove { key }),
        2 => any::<u8>().prop_map(|value| Act::Push { value }),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(at, value)| Act::Insert { at, value }),
        2 => any::<u8>().prop_map(|at| Act::Take { at }),
        1 => any::<u8>().prop_map(|value| Act::Append { value }),
        1 => (0..4u8).prop_map(|role| Act::Membership { role }),
    ]
}

/// One step: who acts, how much time has passed, and whether everybody hears of everything after it.
type Step = (bool, u8, bool, Act);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((any::<bool>(), 0..3u8, prop::bool::weighted(0.3), act()), 1..40)
}

struct World {
    net: Net,
    group: CoId,
    map: CoId,
    list: CoId,
    stream: CoId,
}

impl World {
    fn new() -> Self {
        let mut net = Net::new(2, 77);
        let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
        let mut create = |value_type| {
            let new = NewValue {
                init: None,
                ..NewValue::new(value_type, group.clone(), Vec::new())
            };
            net.run(0, |node, cx| node.create(cx, new).unwrap())
        };
        let (map, list, stream) = (
            create(ValueType::CoMap),
            create(ValueType::CoList),
            create(ValueType::CoStream),
        );
        let other = net.account(1);
        net.load(0, other.as_co_id());
        net.run(0, |node, cx| {
            node.add_member(cx, &group, &other, Role::Writer).unwrap()
        });
        for id in [&map, &list, &stream] {
            net.load(1, id);
        }
        Self {
            net,
            group,
            map,
            list,
            stream,
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for (second, passed, settle, act) in steps {
            let client = usize::from(*second);
            // `Net::run` adds a millisecond; sometimes none passes.
            self.net.now = Timestamp((self.net.now.0 + u64::from(*passed)).saturating_sub(1));
            self.act(client, act);
            if *settle {
                self.net.settle();
            }
        }
        self.net.settle();
    }

    fn act(&mut self, client: usize, act: &Act) {
        let other = self.net.account(1);
        let Self {
            net,
            group,
            map,
            list,
            stream,
        } = self;
        let write = |node: &mut Node, cx: &mut Cx<'_>, id: &CoId, changes: &[Value], privacy| {
            // Who isn't a member writes nothing; that is part of the play.
            let _ = node.write(cx, id, changes, privacy, None);
        };
        net.run(client, |node, cx| match act {
            Act::Set { key, value } => {
                write(
                    node,
                    cx,
                    map,
                    &[set(&key.to_string(), *value), set("last", *key)],
                    Privacy::Private,
                );
            }
            Act::Remove { key } => {
                write(
                    node,
                    cx,
                    map,
                    &[json!({"op": "del", "key": key.to_string()})],
                    Privacy::Trusting,
                );
            }
            Act::Push { value } => {
                let changes = node
                    .list(list)
                    .unwrap()
                    .push_changes(vec![json!(value), json!("pushed")]);
                write(node, cx, list, &changes, Privacy::Private);
            }
            Act::Insert { at, value } => {
                let view = node.list(list).unwrap();
                let changes = view.insert_changes(*at as usize % (view.len() + 1), vec![json!(value)]);
                write(node, cx, list, &changes, Privacy::Private);
            }
            Act::Take { at } => {
                let view = node.list(list).unwrap();
                if let Some(change) = view.remove_change(*at as usize % view.len().max(1)) {
                    write(node, cx, list, &[change], Privacy::Private);
                }
            }
            Act::Append { value } => write(node, cx, stream, &[json!(value)], Privacy::Private),
            Act::Membership { role } if client == 0 => match role {
                0 => node.remove_member(cx, group, &other).unwrap(),
                1 => node.add_member(cx, group, &other, Role::Reader).unwrap(),
                2 => node.add_member(cx, group, &other, Role::Manager).unwrap(),
                _ => node.add_member(cx, group, &other, Role::Writer).unwrap(),
            },
            Act::Membership { .. } => {}
        });
    }

    fn shown(&self, node: &mut Node) -> Value {
        let stream = node.stream(&self.stream).unwrap();
        let items: Vec<Value> = stream
            .items()
            .into_iter()
            .map(|(session, item)| json!([session, item.value]))
            .collect();
        let map = node.map(&self.map).unwrap();
        assert_eq!(map.len(), map.iter().count());
        let map = map.to_json();
        let list = node.list(&self.list).unwrap();
        assert_eq!(list.len(), list.items().count());
        assert_eq!(list.get(list.len()).map(|item| item.value.clone()), None);
        let list = list.to_json();
        let group = node.group(&self.group).unwrap();
        let fields: Value = group
            .entries()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        json!([map, list, items, fields])
    }

    fn logs(&self) -> Vec<CoValueLog> {
        let ids = [&self.group, &self.map, &self.list, &self.stream];
        ids.map(|id| self.net.server.log(id).unwrap().clone()).to_vec()
    }
}

/// A node that acts for the first account and holds all accounts and their profiles, but none of the values.
fn replica(world: &World) -> Node {
    let mut node = Node::new(false);
    let credentials = world.net.clients[0].credentials().unwrap();
    for client in 0..2 {
        let account = world.net.account(client);
        let log = world.net.server.log(account.as_co_id()).unwrap();
        node.handle_loaded(NOW, account.as_co_id(), Some(log.clone()));
    }
    let session = SessionId::random(credentials.account_id.clone().into(), &mut Seeded::new(5));
    node.log_in(&credentials.account_id, credentials.agent_secret, session)
        .unwrap();
    node
}

/// Every prefix of a session that a signature is known for, oldest first: what a network could deliver.
struct Delivery {
    id: CoId,
    session: SessionId,
    pieces: Vec<(usize, cojson::ids::Signature)>,
}

/// Signs each prefix of each session anew, so that everything can be delivered one by one.
fn deliveries(world: &World) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for log in world.logs() {
        for (session, content) in log.sessions() {
            let author =
                (0..2).find(|client| session.author().account() == Some(&world.net.account(*client)));
            let secret = world.net.clients[author.unwrap()]
                .credentials()
                .unwrap()
                .agent_secret;
            let mut copy = CoValueLog::new(log.header().clone());
            let pieces = content
                .transactions()
                .iter()
                .enumerate()
                .map(|(index, transaction)| {
                    copy.append_own(session, transaction.clone());
                    copy.sign_own(session, secret.signer());
                    (index + 1, copy.sessions()[session].signature().unwrap().clone())
                });
            let pieces = pieces.collect();
            deliveries.push(Delivery {
                id: log.id().clone(),
                session: session.clone(),
                pieces,
            });
        }
    }
    deliveries
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn clients_agree(steps in steps()) {
        let mut world = World::new();
        world.run(&steps);
        // The first is an admin throughout and sees everything; the server sees what is in clear.
        let mut node = replica(&world);
        for log in world.logs() {
            node.handle_loaded(NOW, &log.id().clone(), Some(log));
        }
        let built_anew = world.shown(&mut node);
        let mut first = std::mem::take(&mut world.net.clients[0]);
        prop_assert_eq!(world.shown(&mut first), built_anew);
    }

    #[test]
    fn any_order_of_delivery_gives_the_same(
        steps in steps(),
        seed in any::<u64>(),
    ) {
        let mut world = World::new();
        world.run(&steps);
        let logs = world.logs();
        let mut node = replica(&world);
        for log in &logs {
            node.handle_loaded(NOW, log.id(), Some(CoValueLog::new(log.header().clone())));
        }
        let deliveries = deliveries(&world);
        let mut rng = Seeded::new(seed);
        let mut random = |limit: usize| {
            let mut bytes = [0; 8];
            cojson::Entropy::fill(&mut rng, &mut bytes);
            usize::try_from(u64::from_le_bytes(bytes) % limit as u64).unwrap()
        };
        let total: usize = deliveries.iter().map(|delivery| delivery.pieces.len()).sum();
        let mut received = 0;
        while received < total {
            let delivery = &deliveries[random(deliveries.len())];
            let log = logs.iter().find(|log| *log.id() == delivery.id).unwrap();
            // A piece from anywhere to anywhere: new, known already, overlapping, or ahead.
            let (to, signature) = &delivery.pieces[random(delivery.pieces.len())];
            let from = random(*to);
            let transactions: Vec<Transaction> =
                log.sessions()[&delivery.session].transactions()[from..*to].to_vec();
            let before = node.known_state(&delivery.id);
            let values = node.values_mut();
            let result =
                values.receive(Timestamp(NOW.0 + 1_000_000), &delivery.id, &delivery.session, from as u64, transactions, signature.clone());
            match result {
                Ok(appended) => received += appended.new_len - appended.new_from,
                Err(ReceiveError::Append(cojson::log::AppendError::Gap { .. })) => {
                    prop_assert_eq!(node.known_state(&delivery.id), before);
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
            if random(4) == 0 {
                world.shown(&mut node);
            }
        }
        let shown = world.shown(&mut node);
        let mut built_anew = replica(&world);
        for log in logs {
            built_anew.handle_loaded(NOW, &log.id().clone(), Some(log));
        }
        prop_assert_eq!(shown, world.shown(&mut built_anew));
    }

    #[test]
    fn a_refused_batch_leaves_everything_as_it_was(
        steps in steps(),
        victim in any::<prop::sample::Index>(),
        piece in any::<prop::sample::Index>(),
        harm in 0..4u8,
    ) {
        let mut world = World::new();
        world.run(&steps);
        let deliveries = deliveries(&world);
        let delivery = victim.get(&deliveries);
        let (to, signature) = piece.get(&delivery.pieces);
        let log = world.net.server.log(&delivery.id).unwrap();
        let good = log.sessions()[&delivery.session].transactions()[..*to].to_vec();
        let mut node = replica(&world);
        node.handle_loaded(NOW, &delivery.id, Some(CoValueLog::new(log.header().clone())));
        let mut bad = good.clone();
        let last = bad.len() - 1;
        let mut bad_signature = signature.clone();
        let mut after = 0;
        match (harm, &mut bad[last]) {
            (0, Transaction::Private(tx)) => tx.made_at = Timestamp(tx.made_at.0 - 1),
            (0, Transaction::Trusting(tx)) => tx.changes = "[]".into(),
            (1, _) => bad_signature = delivery.pieces.last().unwrap().1.clone(),
            (2, _) => after = 1,
            (_, Transaction::Private(tx)) => tx.made_at = Timestamp(u64::MAX),
            (_, Transaction::Trusting(tx)) => tx.made_at = Timestamp(u64::MAX),
        }
        if harm == 1 && *to == delivery.pieces.len() {
            bad_signature = world.net.server.log(world.net.account(0).as_co_id()).unwrap().sessions()[0].signature().unwrap().clone();
        }
        let now = Timestamp(NOW.0 + 1_000_000);
        let before = format!("{:?}", node.log(&delivery.id).unwrap().sessions());
        let refused = node.values_mut().receive(now, &delivery.id, &delivery.session, after, bad, bad_signature);
        prop_assert!(refused.is_err());
        prop_assert_eq!(format!("{:?}", node.log(&delivery.id).unwrap().sessions()), before);
        // And nothing is poisoned: what is right is still taken.
        let taken = node.values_mut().receive(now, &delivery.id, &delivery.session, 0, good, signature.clone());
        prop_assert!(taken.is_ok(), "{:?}", taken);
    }
}
