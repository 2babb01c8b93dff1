//! The network: hosts, connections between them, and what happens next.

use std::collections::{BTreeMap, VecDeque};

use cojson::group::{EveryoneRole, Mapping, Role};
use cojson::header::ValueType;
use cojson::ids::{AccountId, CoId, SessionId};
use cojson::log::CoValueLog;
use cojson::message::{Content, Message, NewContent};
use cojson::sync::{PeerId, PeerRole};
use cojson::transaction::{Privacy, Timestamp, Transaction};
use cojson::{Credentials, Cx, Entropy as _, NewValue, Node};
use serde_json::{Value, json};

use super::host::{Disk, Host};
use crate::support::{NOW, Seeded, set};

const CLIENTS: usize = 4;
/// The client that, besides what it is allowed to do, does what it isn't.
const MALLORY: usize = 3;
/// Passes between two operations; one operation may write several transactions, a millisecond apart.
const OPERATION_MILLIS: u64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Clients of one server.
    Single,
    /// Clients of two servers.
    TwoServers,
    /// Clients of a server that is itself a client of a server; one client is directly at the latter.
    Chain,
}

/// A connection that comes and goes.
struct Link {
    /// The client's end, then the server's.
    hosts: [usize; 2],
    peers: Option<[PeerId; 2]>,
    /// What is under way to each end, by priority as the transport sends it.
    lanes: [[VecDeque<String>; 3]; 2],
}

/// Something private that was written when its writer knew that others couldn't read it.
pub struct Secret {
    pub id: CoId,
    pub group: CoId,
    pub value: Value,
    pub at: Timestamp,
    pub hidden_from: Vec<usize>,
}

/// A transaction by its place.
pub type Place = (CoId, SessionId, usize);

/// What has happened, to see that enough did.
#[derive(Debug, Default)]
pub struct Counts {
    pub operations: u64,
    pub refused: u64,
    pub forged: u64,
    pub delivered: u64,
    pub duplicated: u64,
    pub disconnected: u64,
    pub crashed: u64,
}

pub struct World {
    pub hosts: Vec<Host>,
    pub credentials: Vec<Credentials>,
    pub groups: Vec<CoId>,
    /// Maps and lists, with their groups.
    pub values: Vec<(CoId, ValueType, CoId)>,
    /// The plaintext of everything that was written to maps and lists.
    pub plain: BTreeMap<Place, Vec<Value>>,
    pub secrets: Vec<Secret>,
    pub now: Timestamp,
    pub counts: Counts,
    /// A hash of every message that was sent.
    pub trace: blake3::Hasher,
    links: Vec<Link>,
    next_peer: u64,
    rng: Seeded,
    /// Every session as it was first sent: none may ever be sent differently.
    sent: BTreeMap<(CoId, SessionId), BTreeMap<u64, String>>,
    /// What Mallory writes by hand.
    forged: BTreeMap<CoId, CoValueLog>,
    /// Print what happens.
    is_traced: bool,
}

impl World {
    pub fn new(topology: Topology, seed: u64) -> Self {
        let servers = if topology == Topology::Single { 1 } else { 2 };
        let of_client = if topology == Topology::TwoServers { 2 } else { 1 };
        let client = |index: usize| {
            let disk = (index % 2 == 1).then(Disk::default);
            Host::new(format!("client {index}"), disk, of_client)
        };
        // Of two servers in a chain the first one is a client of the second.
        let upstream = |index: usize| usize::from(topology == Topology::Chain && index == 0);
        let server =
            |index: usize| Host::new(format!("server {index}"), Some(Disk::default()), upstream(index));
        let hosts = (0..CLIENTS).map(client).chain((0..servers).map(server));
        let (first, second) = (CLIENTS, CLIENTS + 1);
        let mut ends: Vec<[usize; 2]> = (0..CLIENTS).map(|client| [client, first]).collect();
        match topology {
            Topology::Single => {}
            Topology::TwoServers => ends.extend((0..CLIENTS).map(|client| [client, second])),
            Topology::Chain => {
                ends[2] = [2, second];
                ends.push([first, second]);
            }
        }
        let link = |hosts| Link {
            hosts,
            peers: None,
            lanes: Default::default(),
        };
        let mut world = Self {
            hosts: hosts.collect(),
            credentials: Vec::new(),
            groups: Vec::new(),
            values: Vec::new(),
            plain: BTreeMap::new(),
            secrets: Vec::new(),
            now: NOW,
            counts: Counts::default(),
            trace: blake3::Hasher::new(),
            links: ends.into_iter().map(link).collect(),
            next_peer: 0,
            rng: Seeded::new(seed),
            sent: BTreeMap::new(),
            forged: BTreeMap::new(),
            is_traced: std::env::var_os("SIMULATION_TRACE").is_some(),
        };
        for client in 0..CLIENTS {
            let (node, mut cx) = world.at(client);
            let credentials = node.create_account(&mut cx, None, "client").unwrap();
            world.credentials.push(credentials);
        }
        // Accounts exist before anything goes wrong.
        world.heal();
        world
    }

    pub fn account(&self, client: usize) -> &AccountId {
        &self.credentials[client].account_id
    }

    pub fn clients(&self) -> std::ops::Range<usize> {
        0..CLIENTS
    }

    pub fn random(&mut self, below: usize) -> usize {
        let mut bytes = [0; 8];
        self.rng.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % below as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.random(of.len())].clone())
    }

    fn at(&mut self, host: usize) -> (&mut Node, Cx<'_>) {
        self.now = Timestamp(self.now.0 + OPERATION_MILLIS);
        let cx = Cx {
            now: self.now,
            rng: &mut self.rng,
        };
        (&mut self.hosts[host].node, cx)
    }

    /// Does one thing.
    pub fn step(&mut self) {
        match self.random(1000) {
            0..600 => {
                let (link, end) = (self.random(self.links.len()), self.random(2));
                for _ in 0..1 + self.random(6) {
                    self.deliver(link, end, true);
                }
            }
            600..780 => {
                let (host, count) = (self.random(self.hosts.len()), 1 + self.random(32));
                self.hosts[host].work(self.now, count);
                self.drain(host);
            }
            780..980 => {
                let client = self.random(CLIENTS);
                self.operate(client);
                self.drain(client);
            }
            980..994 => {
                let link = self.random(self.links.len());
                // Down for a shorter time than up, but now and then for long.
                if self.links[link].peers.is_none() {
                    self.connect(link);
                } else if self.random(3) == 0 {
                    self.disconnect(link);
                }
            }
            994..996 => {
                let host = self.random(self.hosts.len());
                self.crash(host);
            }
            _ => self.now = Timestamp(self.now.0 + 10_000),
        }
    }

    // The network.

    fn drain(&mut self, host: usize) {
        for (peer, message) in self.hosts[host].drain(self.now) {
            let to = self.links.iter().position(|link| {
                let ends = link.peers.iter().flat_map(|peers| peers.iter().zip(link.hosts));
                ends.into_iter().any(|(known, of)| (*known, of) == (peer, host))
            });
            let Some(link) = to else { continue };
            if let Message::Content(content) = &message {
                self.note_sent(content);
            }
            let text = message.to_json();
            self.trace.update(text.as_bytes());
            let link = &mut self.links[link];
            let end = usize::from(link.hosts[0] == host);
            let lane = usize::from(message.priority()).div_ceil(3);
            link.lanes[end][lane].push_back(text);
        }
    }

    fn note_sent(&mut self, content: &Content) {
        for (session, new) in &content.new {
            let known = self
                .sent
                .entry((content.id.clone(), session.clone()))
                .or_default();
            for (index, transaction) in (new.after..).zip(&new.new_transactions) {
                let text = transaction.canonical();
                let before = known.entry(index).or_insert_with(|| text.clone());
                assert_eq!(*before, text, "{session} of {} forks at {index}", content.id);
            }
        }
    }

    /// Delivers the next message to one end of a connection. Tells whether there was one.
    fn deliver(&mut self, link: usize, end: usize, may_duplicate: bool) -> bool {
        let Some(peers) = self.links[link].peers else {
            return false;
        };
        let host = self.links[link].hosts[end];
        let mut lanes = self.links[link].lanes[end].iter_mut();
        let Some(text) = lanes.find_map(VecDeque::pop_front) else {
            return false;
        };
        self.counts.delivered += 1;
        let copies = if may_duplicate && self.random(20) == 0 {
            2
        } else {
            1
        };
        self.counts.duplicated += copies - 1;
        for _ in 0..copies {
            let message = Message::parse(&text).unwrap();
            self.tell(host, &|| format!("receives {text}"));
            self.hosts[host]
                .node
                .handle_message(self.now, peers[end], message);
        }
        self.drain(host);
        true
    }

    fn tell(&self, host: usize, what: &dyn Fn() -> String) {
        if self.is_traced {
            println!("{}: {:.20000}", self.hosts[host].name, what());
        }
    }

    fn connect(&mut self, link: usize) {
        let peers = [PeerId(self.next_peer), PeerId(self.next_peer + 1)];
        self.next_peer += 2;
        let [client, server] = self.links[link].hosts;
        self.links[link].peers = Some(peers);
        self.tell(client, &|| format!("connects to {}", self.hosts[server].name));
        self.hosts[client].node.peer_connected(peers[0], PeerRole::Server);
        self.hosts[server].node.peer_connected(peers[1], PeerRole::Client);
        self.drain(client);
        self.drain(server);
    }

    fn disconnect(&mut self, link: usize) {
        let Some(peers) = self.links[link].peers.take() else {
            return;
        };
        self.links[link].lanes = Default::default();
        self.counts.disconnected += 1;
        for (host, peer) in self.links[link].hosts.into_iter().zip(peers) {
            self.tell(host, &|| format!("loses connection {link}"));
            self.hosts[host].node.peer_disconnected(peer);
            self.drain(host);
        }
    }

    fn crash(&mut self, host: usize) {
        self.counts.crashed += 1;
        self.tell(host, &|| "crashes".to_owned());
        self.hosts[host].crash();
        for link in 0..self.links.len() {
            if self.links[link].hosts.contains(&host) {
                self.disconnect(link);
            }
        }
        if host < CLIENTS {
            let account = self.account(host).as_co_id().clone();
            self.hosts[host].node.request(&account);
            self.drain(host);
        }
    }

    /// Logs in again after a crash, in a new session, once the account is there.
    fn log_in(&mut self, client: usize) -> bool {
        let Credentials {
            account_id,
            agent_secret,
        } = self.credentials[client].clone();
        let node = &mut self.hosts[client].node;
        if node.account().is_none() && node.has(account_id.as_co_id()) {
            let session = SessionId::random(account_id.clone().into(), &mut self.rng);
            node.log_in(&account_id, agent_secret, session).unwrap();
        }
        node.account().is_some()
    }

    /// Connects everybody and lets everything arrive. Clients make sure that they hold everything there is.
    pub fn heal(&mut self) {
        for link in 0..self.links.len() {
            if self.links[link].peers.is_none() {
                self.connect(link);
            }
        }
        self.settle();
        self.check_sent();
        let accounts = self
            .credentials
            .iter()
            .map(|known| known.account_id.as_co_id().clone());
        let values = self.values.iter().map(|(id, ..)| id.clone());
        let all: Vec<CoId> = accounts
            .chain(self.groups.iter().cloned())
            .chain(values)
            .collect();
        for client in 0..CLIENTS {
            self.tell(client, &|| "asks for everything".to_owned());
            for id in &all {
                self.hosts[client].node.request(id);
            }
        }
        self.settle();
        for client in 0..CLIENTS {
            assert!(self.log_in(client), "client {client} lost its account");
        }
    }

    /// What clients have on their disks has reached their servers, whether or not anybody asked for it.
    fn check_sent(&self) {
        for link in &self.links {
            let [client, server] = link.hosts.map(|host| &self.hosts[host]);
            if let (Some(disk), Some(of_server)) = (&client.disk, &server.disk) {
                disk.check_synced(&client.name);
                for state in disk.states() {
                    of_server.check(&server.name, &state);
                }
            }
        }
    }

    fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for host in 0..self.hosts.len() {
                self.drain(host);
                is_quiet &= !self.hosts[host].work(self.now, usize::MAX);
                self.drain(host);
                is_quiet &= self.hosts[host].is_idle();
            }
            for link in 0..self.links.len() {
                for end in 0..2 {
                    while self.deliver(link, end, false) {
                        is_quiet = false;
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    // What clients do.

    fn operate(&mut self, client: usize) {
        if !self.log_in(client) {
            return;
        }
        self.counts.operations += 1;
        match self.random(100) {
            0..3 => self.create_group(client),
            3..8 => self.create_value(client),
            8..50 => self.write_to_map(client),
            50..75 => self.write_to_list(client),
            75..94 => self.change_group(client),
            _ if client == MALLORY => self.forge(),
            _ => {}
        }
    }

    /// A value with everything it depends on in the client's memory; otherwise it is asked for.
    fn loaded(&mut self, client: usize, id: Option<CoId>) -> Option<CoId> {
        let id = id?;
        let node = &mut self.hosts[client].node;
        let missing = node.missing_dependencies(&id);
        for id in &missing {
            node.request(id);
        }
        missing.is_empty().then_some(id)
    }

    fn create_group(&mut self, client: usize) {
        let (node, mut cx) = self.at(client);
        let group = node.create_group(&mut cx).unwrap();
        self.groups.push(group);
    }

    fn create_value(&mut self, client: usize) {
        let group = self.pick(&self.groups.clone());
        let Some(group) = self.loaded(client, group) else {
            return;
        };
        let value_type = self.pick(&[ValueType::CoMap, ValueType::CoList]).unwrap();
        let new = NewValue {
            init: None,
            ..NewValue::new(value_type.clone(), group.clone(), Vec::new())
        };
        let (node, mut cx) = self.at(client);
        match node.create(&mut cx, new) {
            Ok(id) => self.values.push((id, value_type, group)),
            Err(_) => self.counts.refused += 1,
        }
    }

    fn pick_value(&mut self, client: usize, of: ValueType) -> Option<(CoId, CoId)> {
        let values: Vec<_> = self
            .values
            .iter()
            .filter(|(_, value_type, _)| *value_type == of)
            .collect();
        let values: Vec<_> = values
            .into_iter()
            .map(|(id, _, group)| (id.clone(), group.clone()))
            .collect();
        let (id, group) = self.pick(&values)?;
        Some((self.loaded(client, Some(id))?, group))
    }

    fn write_to_map(&mut self, client: usize) {
        let Some((id, group)) = self.pick_value(client, ValueType::CoMap) else {
            return;
        };
        let key = self.random(4).to_string();
        // Now and then something so long that a session needs checkpoints.
        let long = if self.random(40) == 0 {
            "x".repeat(60_000)
        } else {
            String::new()
        };
        let value = json!(format!("{}{long}", self.counts.operations));
        let change = match self.random(8) {
            0 => json!({"op": "del", "key": key}),
            _ => set(&key, value.clone()),
        };
        let privacy = if self.random(5) == 0 {
            Privacy::Trusting
        } else {
            Privacy::Private
        };
        let is_secret = privacy == Privacy::Private && change["op"] == "set";
        if self.write(client, &id, vec![change], privacy) && is_secret {
            let accounts: Vec<AccountId> = self
                .credentials
                .iter()
                .map(|known| known.account_id.clone())
                .collect();
            let node = &mut self.hosts[client].node;
            let mut can_read =
                |account: &AccountId| node.role_of(account, &group).is_some_and(Role::can_read);
            let hidden_from = (0..CLIENTS)
                .filter(|other| *other != client && !can_read(&accounts[*other]))
                .collect();
            self.secrets.push(Secret {
                id,
                group,
                value,
                at: self.now,
                hidden_from,
            });
        }
    }

    fn write_to_list(&mut self, client: usize) {
        let Some((id, _)) = self.pick_value(client, ValueType::CoList) else {
            return;
        };
        let (dice, at) = (self.random(4), self.random(1000));
        let value = json!(self.counts.operations);
        let Ok(list) = self.hosts[client].node.list(&id) else {
            return;
        };
        let changes = match dice {
            0 => list.remove_change(at % list.len().max(1)).into_iter().collect(),
            1 => list.push_changes(vec![value, json!("and more")]),
            _ => list.insert_changes(at % (list.len() + 1), vec![value]),
        };
        if !changes.is_empty() {
            self.write(client, &id, changes, Privacy::Private);
        }
    }

    fn write(&mut self, client: usize, id: &CoId, changes: Vec<Value>, privacy: Privacy) -> bool {
        let (node, mut cx) = self.at(client);
        if node.write(&mut cx, id, &changes, privacy, None).is_err() {
            self.counts.refused += 1;
            return false;
        }
        let session = node.session().unwrap().clone();
        let index = node.log(id).unwrap().session_len(&session) - 1;
        self.plain.insert((id.clone(), session, index), changes);
        true
    }

    fn change_group(&mut self, client: usize) {
        let group = self.pick(&self.groups.clone());
        let Some(group) = self.loaded(client, group) else {
            return;
        };
        let other = self.random(CLIENTS);
        let account = self.account(other).as_co_id().clone();
        let Some(_) = self.loaded(client, Some(account)) else {
            return;
        };
        let account = self.account(other).clone();
        let roles = [Role::Reader, Role::Writer, Role::Writer, Role::WriteOnly];
        let managing = [Role::Manager, Role::Admin];
        // Every second group keeps its only admin, so that more can be said about what it hides.
        let is_plain = self
            .groups
            .iter()
            .position(|known| *known == group)
            .unwrap()
            .is_multiple_of(2);
        let dice = self.random(if is_plain { 8 } else { 12 });
        let role = self.pick(if dice < 8 { &roles } else { &managing }).unwrap();
        let everyone = [None, Some(EveryoneRole::Reader), Some(EveryoneRole::Writer)];
        let everyone = self.pick(&everyone).unwrap();
        let parent = self.pick(&self.groups.clone());
        let parent = if dice >= 10 {
            self.loaded(client, parent)
        } else {
            None
        };
        let (node, mut cx) = self.at(client);
        let done = match (dice, parent) {
            (0..3, _) | (8 | 9, _) => node.add_member(&mut cx, &group, &account, role),
            (3..7, _) if other != client => node.remove_member(&mut cx, &group, &account),
            (7, _) => node.set_everyone(&mut cx, &group, everyone),
            (10, Some(parent)) => node.extend(&mut cx, &group, &parent, Mapping::Extend),
            (11, Some(parent)) => node.revoke_extend(&mut cx, &group, &parent),
            (_, _) => Ok(()),
        };
        self.counts.refused += u64::from(done.is_err());
    }

    /// Mallory writes in clear to any map or group, in a session made by hand, and sends it to a server.
    fn forge(&mut self) {
        let maps = self
            .values
            .iter()
            .filter(|(_, value_type, _)| *value_type == ValueType::CoMap);
        let targets: Vec<CoId> = maps.map(|(id, ..)| id).chain(&self.groups).cloned().collect();
        let target = self.pick(&targets);
        let Some(id) = self.loaded(MALLORY, target) else {
            return;
        };
        self.counts.forged += 1;
        let header = self.hosts[MALLORY].node.log(&id).unwrap().header().clone();
        let Credentials {
            account_id,
            agent_secret,
        } = self.credentials[MALLORY].clone();
        let (victim, role) = (self.random(CLIENTS), ["admin", "revoked"][self.random(2)]);
        let change = match header.owner() {
            Some(_) => set("1", format!("forged {}", self.counts.operations)),
            None => set(self.account(victim).as_str(), role),
        };
        self.now = Timestamp(self.now.0 + OPERATION_MILLIS);
        let transaction: Transaction = serde_json::from_value(json!({
            "privacy": "trusting", "madeAt": self.now.0, "changes": json!([change]).to_string(),
        }))
        .unwrap();
        let log = self
            .forged
            .entry(id.clone())
            .or_insert_with(|| CoValueLog::new(header.clone()));
        let known = log.sessions().keys().next().cloned();
        let session = known.unwrap_or_else(|| SessionId::random(account_id.into(), &mut self.rng));
        let index = log.append_own(&session, transaction);
        log.sign_own(&session, agent_secret.signer());
        self.plain
            .insert((id.clone(), session.clone(), index), vec![change]);
        let content = &log.sessions()[&session];
        let new = NewContent {
            after: 0,
            new_transactions: content.transactions().to_vec(),
            last_signature: content.signature().unwrap().clone(),
        };
        let message = Content {
            id,
            priority: 0,
            header: Some(header),
            new: [(session, new)].into_iter().collect(),
            expect_content_until: None,
        };
        self.note_sent(&message);
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let server = &mut self.hosts[CLIENTS];
        server.node.peer_connected(peer, PeerRole::Client);
        server
            .node
            .handle_message(self.now, peer, Message::Content(Box::new(message)));
        server.drain(self.now);
        server.node.peer_disconnected(peer);
        self.drain(CLIENTS);
    }
}
