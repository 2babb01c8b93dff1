//! The rules of groups against a model that knows nothing of logs, histories or caches: it goes through all transactions in
//! order and keeps a table.

use std::collections::BTreeMap;

use cojson::Node;
use cojson::group::Role;
use cojson::header::Header;
use cojson::ids::{Author, CoId, SessionId};
use cojson::log::CoValueLog;
use cojson::secrets::{AgentSecret, SecretSeed};
use cojson::transaction::{Timestamp, Transaction};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{NOW, Seeded, cases};

const ROLES: [&str; 10] = [
    "reader",
    "writer",
    "writeOnly",
    "manager",
    "admin",
    "revoked",
    "readerInvite",
    "writerInvite",
    "adminInvite",
    "nonsense",
];

/// Accounts 0 to 2 and invite agents 3 and 4; `everyone` is 5 as a key.
const AUTHORS: usize = 5;

#[derive(Debug, Clone)]
struct Claim {
    group: usize,
    author: usize,
    at: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Role { key: usize, role: usize },
    Parent { parent: usize, mapping: usize },
    ReadKey,
    Reveal { to: usize },
}

fn claim() -> impl Strategy<Value = Claim> {
    let what = prop_oneof![
        6 => (0..=AUTHORS, 0..ROLES.len()).prop_map(|(key, role)| What::Role { key, role }),
        2 => (0..3usize, 0..6usize).prop_map(|(parent, mapping)| What::Parent { parent, mapping }),
        1 => Just(What::ReadKey),
        1 => (0..AUTHORS).prop_map(|to| What::Reveal { to }),
    ];
    (0..3usize, 0..AUTHORS, 1..40u64, what).prop_map(|(group, author, at, what)| Claim {
        group,
        author,
        at,
        what,
    })
}

struct Setting {
    secrets: Vec<AgentSecret>,
    authors: Vec<Author>,
    sessions: Vec<SessionId>,
    groups: Vec<Header>,
    node: Node,
}

fn setting() -> Setting {
    let mut rng = Seeded::new(42);
    let mut node = Node::new(false);
    let secrets: Vec<AgentSecret> = (0..AUTHORS)
        .map(|_| AgentSecret::from_seed(&SecretSeed::random(&mut rng)))
        .collect();
    let mut authors = Vec::new();
    for (index, secret) in secrets.iter().enumerate() {
        let header = Header::account(secret.id());
        let author = match index {
            0..3 => Author::Account(header.id().clone().into()),
            _ => Author::Agent(secret.id().clone()),
        };
        node.values_mut().insert(header);
        authors.push(author);
    }
    let sessions = authors
        .iter()
        .map(|author| SessionId::random(author.clone(), &mut rng))
        .collect();
    let groups = (0..3)
        .map(|_| Header::group(authors[0].clone(), None, NOW, &mut rng))
        .collect();
    Setting {
        secrets,
        authors,
        sessions,
        groups,
        node,
    }
}

impl Setting {
    fn key_and_value(&self, claim: &Claim) -> (String, String) {
        let name = |index: usize| {
            self.authors
                .get(index)
                .map_or("everyone".to_owned(), |author| author.to_string())
        };
        let mapping = ["extend", "reader", "writer", "manager", "admin", "revoked"];
        match &claim.what {
            What::Role { key, role } => (name(*key), ROLES[*role].to_owned()),
            What::Parent {
                parent,
                mapping: index,
            } => (
                format!("parent_{}", self.groups[*parent].id()),
                mapping[*index].to_owned(),
            ),
            What::ReadKey => ("readKey".to_owned(), "key_z1".to_owned()),
            What::Reveal { to } => (format!("key_z1_for_{}", name(*to)), "sealed_Ux".to_owned()),
        }
    }
}

/// Everything valid so far, by group and key, with times.
type Table = BTreeMap<(usize, String), Vec<(u64, String)>>;

struct Model<'a> {
    setting: &'a Setting,
    table: Table,
    invited: BTreeMap<(usize, String), usize>,
}

impl Model<'_> {
    fn value(&self, group: usize, key: &str, at: u64) -> Option<&str> {
        let history = self.table.get(&(group, key.to_owned()))?;
        history
            .iter()
            .rev()
            .find(|(made, _)| *made <= at)
            .map(|(_, value)| &**value)
    }

    fn parents(&self, group: usize, at: u64) -> Vec<(usize, String)> {
        let parents = (0..3).filter_map(|parent| {
            let key = format!("parent_{}", self.setting.groups[parent].id());
            Some((parent, self.value(group, &key, at)?.to_owned()))
        });
        parents.filter(|(_, mapping)| mapping != "revoked").collect()
    }

    fn inherited(&self, group: usize, member: &str, at: u64) -> Vec<String> {
        let inherited = self
            .parents(group, at)
            .into_iter()
            .filter_map(|(parent, mapping)| {
                let role = self.role(parent, member, at)?;
                let counts = ["reader", "writer", "manager", "admin"].contains(&&*role);
                counts.then_some(if mapping == "extend" { role } else { mapping })
            });
        inherited.collect()
    }

    /// 6.3
    fn role(&self, group: usize, member: &str, at: u64) -> Option<String> {
        let mut role = self
            .value(group, member, at)
            .filter(|role| *role != "revoked")
            .map(str::to_owned);
        for candidate in self.inherited(group, member, at) {
            let present = role.as_deref().filter(|role| !role.ends_with("Invite"));
            let replaces = match &*candidate {
                "admin" => present != Some("admin"),
                "manager" => !["manager", "admin"].contains(&present.unwrap_or_default()),
                "writer" => [None, Some("reader"), Some("writeOnly")].contains(&present),
                _ => present.is_none(),
            };
            if replaces {
                role = Some(candidate);
            }
        }
        if role.is_none() && member != "everyone" {
            role = self
                .value(group, "everyone", at)
                .filter(|role| *role != "revoked")
                .map(str::to_owned);
        }
        role
    }

    /// The role of 6.4, direct and raised.
    fn author_role(&self, group: usize, member: &str, at: u64) -> Option<String> {
        let mut role = self
            .value(group, member, at)
            .filter(|role| *role != "revoked")
            .map(str::to_owned);
        for candidate in self.inherited(group, member, at) {
            let replaces = match (&*candidate, role.as_deref()) {
                ("admin", present) => present != Some("admin"),
                ("manager", present) => !["manager", "admin"].contains(&present.unwrap_or_default()),
                ("writer", present) => [None, Some("reader")].contains(&present),
                (_, present) => present.is_none(),
            };
            if replaces {
                role = Some(candidate);
            }
        }
        role
    }

    fn reaches(&self, from: usize, to: usize, at: u64) -> bool {
        from == to
            || self
                .parents(from, at)
                .into_iter()
                .any(|(parent, _)| self.reaches(parent, to, at))
    }

    fn is_valid(&self, claim: &Claim) -> bool {
        let Claim {
            group, author, at, ..
        } = *claim;
        let (key, value) = self.setting.key_and_value(claim);
        let author_name = self.setting.authors[author].to_string();
        let role = self.author_role(group, &author_name, at);
        let role = role.as_deref().unwrap_or_default();
        let manages = role == "admin" || role == "manager";
        match &claim.what {
            What::ReadKey => return manages,
            What::Reveal { to } => {
                let to = self.setting.authors[*to].to_string();
                return manages
                    || role.ends_with("Invite") && self.invited.get(&(group, to)) == Some(&author);
            }
            What::Parent { parent, .. } => return manages && !self.reaches(*parent, group, at),
            What::Role { .. } => {}
        }
        if value == "nonsense" {
            return false;
        }
        if key == "everyone" && !["reader", "writer", "writeOnly", "revoked"].contains(&&*value) {
            return false;
        }
        let is_self = key == author_name;
        if role.is_empty() && is_self && author == 0 && value == "admin" || is_self && value == "revoked" {
            return true;
        }
        let is_admin = self.author_role(group, &key, at).as_deref() == Some("admin");
        match role {
            "admin" => is_self || value == "admin" || !is_admin,
            "manager" => !is_admin && !["admin", "adminInvite", "managerInvite"].contains(&&*value),
            invite if invite.ends_with("Invite") => {
                let rank = |role: &str| {
                    ["writeOnly", "reader", "writer", "manager", "admin"]
                        .iter()
                        .position(|r| *r == role)
                };
                let gives = invite.trim_end_matches("Invite");
                let is_lower = match self.value(group, &key, at) {
                    None | Some("revoked") => true,
                    Some(present) => rank(present).is_some_and(|present| Some(present) < rank(gives)),
                };
                value == gives && key != "everyone" && is_lower
            }
            _ => false,
        }
    }

    fn apply(&mut self, claim: &Claim) {
        if !self.is_valid(claim) {
            return;
        }
        let (key, value) = self.setting.key_and_value(claim);
        let author = self.setting.authors[claim.author].to_string();
        let role = self
            .author_role(claim.group, &author, claim.at)
            .unwrap_or_default();
        if role.ends_with("Invite") && matches!(claim.what, What::Role { .. }) && key != author {
            self.invited.insert((claim.group, key.clone()), claim.author);
        }
        self.table
            .entry((claim.group, key))
            .or_default()
            .push((claim.at, value));
    }
}

fn transaction(setting: &Setting, claim: &Claim) -> Transaction {
    let (key, value) = setting.key_and_value(claim);
    let changes = json!([{"op": "set", "key": key, "value": value}]).to_string();
    serde_json::from_value(json!({"privacy": "trusting", "madeAt": claim.at, "changes": changes})).unwrap()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn rules(mut claims in prop::collection::vec(claim(), 1..60), order in any::<bool>(), looks in any::<u64>()) {
        let mut setting = setting();
        let mut node = std::mem::take(&mut setting.node);
        // Each group begins with its admin.
        for group in 0..3 {
            claims.push(Claim { group, author: 0, at: 0, what: What::Role { key: 0, role: 4 } });
        }
        // Groups see each other as of the same millisecond, whatever is evaluated first; so that the model may go
        // through all of them in one order, no two transactions share a time.
        claims.sort_by_key(|claim| claim.at);
        for (index, claim) in claims.iter_mut().enumerate() {
            claim.at = claim.at * 1000 + index as u64;
        }
        let mut model = Model { setting: &setting, table: Table::new(), invited: BTreeMap::new() };
        for claim in &claims {
            model.apply(claim);
        }
        let mut logs: Vec<CoValueLog> = setting.groups.iter().cloned().map(CoValueLog::new).collect();
        // Sessions can be received in any order; within a session the order of the log is not that of time.
        if order {
            claims.reverse();
        }
        for log in &logs {
            node.values_mut().insert(log.header().clone());
        }
        for (index, claim) in claims.iter().enumerate() {
            let (session, secret) = (&setting.sessions[claim.author], &setting.secrets[claim.author]);
            let log = &mut logs[claim.group];
            let tx = transaction(&setting, claim);
            let at = log.append_own(session, tx.clone());
            log.sign_own(session, secret.signer());
            let signature = log.sessions()[session].signature().unwrap().clone();
            node.values_mut().receive(NOW, log.id(), session, at as u64, vec![tx], signature).unwrap();
            if looks >> (index % 64) & 1 == 1 {
                node.group(setting.groups[index % 3].id()).unwrap();
            }
        }
        for group in 0..3 {
            let id: &CoId = setting.groups[group].id();
            let view = node.group(id).unwrap();
            let found: BTreeMap<String, Value> =
                view.entries().map(|(key, value)| (key.to_owned(), value.clone())).collect();
            let expected: BTreeMap<String, Value> = model.table.iter().filter(|((of, _), _)| *of == group)
                .map(|((_, key), history)| (key.clone(), json!(history.last().unwrap().1))).collect();
            prop_assert_eq!(found, expected, "group {}", group);
            for author in setting.authors.iter().map(|author| author.to_string()).chain(["everyone".to_owned()]) {
                for at in [500, 5_000, 20_000, 100_000] {
                    let found = node.role_at(&author, id, Timestamp(at)).map(Role::as_str);
                    // Invites are no role that a member could have.
                    let expected = model.role(group, &author, at).filter(|role| !role.ends_with("Invite"));
                    prop_assert_eq!(found, expected.as_deref(), "{} in {} at {}", author, group, at);
                }
            }
        }
    }
}
