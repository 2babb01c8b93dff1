//! Finds the secrets of a group's keys (protocol, 6.6).

use std::collections::{HashMap, HashSet, VecDeque};

use super::eval::Groups;
use crate::crypto::{Nonce, decrypt_key_secret, unseal_key, unseal_key_for_group};
use crate::ids::{AccountId, Author, CoId, KeyId, SealerId};
use crate::secrets::{AgentSecret, KeySecret};
use crate::transaction::Timestamp;
use crate::values::Values;

/// Most keys looked at while looking for one secret.
const MAX_KEYS_TRIED: usize = 10_000;

/// Most values that one key was revealed to one member with, the newest first, that are tried.
const MAX_SEALED_TRIED: usize = 100;

/// On whose behalf secrets are looked for.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// The member: an account or an invite; nobody reads what everybody may.
    pub member: Option<(Author, AgentSecret)>,
}

impl Reader {
    /// An account.
    pub fn account(id: AccountId, secret: AgentSecret) -> Self {
        Self {
            member: Some((id.into(), secret)),
        }
    }

    /// A bare agent, as an invite is.
    pub fn agent(secret: AgentSecret) -> Self {
        Self {
            member: Some((secret.id().clone().into(), secret)),
        }
    }

    /// The member and the name its keys are sealed to in `group`: an account's own keys are its agent's.
    fn in_group(&self, group: &CoId) -> Option<(&str, &AgentSecret)> {
        let (member, secret) = self.member.as_ref()?;
        let is_self = member
            .account()
            .is_some_and(|account| account.as_co_id() == group);
        Some((
            if is_self {
                secret.id().as_str()
            } else {
                member.as_str()
            },
            secret,
        ))
    }
}

/// A key of a group.
type GroupKey = (CoId, KeyId);

/// How one key's secret is found by another's.
enum Way {
    /// Encrypted with it.
    Encrypted(String),
    /// Sealed for the group that reads with it.
    SealedForGroup(String, Nonce),
}

impl Way {
    fn open(&self, (_, key): &GroupKey, (_, by): &GroupKey, by_secret: &KeySecret) -> Option<KeySecret> {
        match self {
            Self::Encrypted(text) => decrypt_key_secret(text, key, by, by_secret),
            Self::SealedForGroup(text, nonce) => unseal_key_for_group(text, &by_secret.group_sealer(), nonce),
        }
    }
}

impl Groups {
    /// The secret of a key of a group, if the reader can get at it. The group must be refreshed.
    ///
    /// Walks from the wanted key to the keys it is encrypted with, and theirs, until one is at hand; then back.
    pub fn secret(
        &mut self,
        values: &Values,
        reader: &Reader,
        group: &CoId,
        key: &KeyId,
    ) -> Option<KeySecret> {
        if let Some(secret) = self.views.get(group)?.secrets.get(key) {
            return Some(secret.clone());
        }
        let wanted = (group.clone(), key.clone());
        let mut met = HashSet::from([wanted.clone()]);
        let mut pending = VecDeque::from([wanted.clone()]);
        let mut leads_to: HashMap<GroupKey, Vec<(GroupKey, Way)>> = HashMap::new();
        while let Some(current) = pending.pop_front() {
            if let Some(secret) = self.secret_at_hand(values, reader, &current) {
                self.found_secret(&leads_to, current, secret);
                if let Some(secret) = self.views.get(group)?.secrets.get(key) {
                    return Some(secret.clone());
                }
                continue;
            }
            for (by, way) in self.ways(&current) {
                if met.len() < MAX_KEYS_TRIED && met.insert(by.clone()) {
                    pending.push_back(by.clone());
                }
                leads_to.entry(by).or_default().push((current.clone(), way));
            }
        }
        None
    }

    /// Opens everything that a secret leads to, as far as it was looked at.
    fn found_secret(
        &mut self,
        leads_to: &HashMap<GroupKey, Vec<(GroupKey, Way)>>,
        key: GroupKey,
        secret: KeySecret,
    ) {
        let mut found = vec![(key, secret)];
        while let Some((by, by_secret)) = found.pop() {
            for (key, way) in leads_to.get(&by).into_iter().flatten() {
                let is_known = self
                    .views
                    .get(&key.0)
                    .is_some_and(|view| view.secrets.contains_key(&key.1));
                if let Some(secret) = way.open(key, &by, &by_secret).filter(|_| !is_known) {
                    found.push((key.clone(), secret));
                }
            }
            if let Some(view) = self.views.get_mut(&by.0) {
                view.secrets.insert(by.1, by_secret);
            }
        }
    }

    /// A secret known already, in clear, or sealed to the reader.
    fn secret_at_hand(&self, values: &Values, reader: &Reader, (group, key): &GroupKey) -> Option<KeySecret> {
        let view = self.views.get(group)?;
        let known = view.secrets.get(key).cloned();
        let in_clear = || view.get_text(&format!("{key}_for_everyone"))?.parse().ok();
        // What wasn't sealed for its very place is ignored: it is a copy from elsewhere, or nothing at all.
        let sealed = || {
            let (member, secret) = reader.in_group(group)?;
            let mut revealed = view
                .history(&format!("{key}_for_{member}"))
                .take(MAX_SEALED_TRIED);
            revealed.find_map(|entry| {
                let sender = sealer_of(values, entry.session.author())?;
                let nonce = Nonce::of_transaction(group, entry.session, entry.index);
                unseal_key(entry.value.as_str()?, secret.sealer(), &sender, &nonce)
            })
        };
        known.or_else(in_clear).or_else(sealed)
    }

    /// The keys that a key's secret is encrypted with: of the group itself, and of its parents, also former ones.
    fn ways(&self, (group, key): &GroupKey) -> Vec<(GroupKey, Way)> {
        let Some(view) = self.views.get(group) else {
            return Vec::new();
        };
        let mut ways = Vec::new();
        let holders = std::iter::once(group).chain(view.parents.iter().map(|(parent, _)| parent));
        for holder in holders {
            for by in view.encrypted_by.get(key).into_iter().flatten() {
                if let Some(text) = view.get_text(&format!("{key}_for_{by}")) {
                    ways.push(((holder.clone(), by.clone()), Way::Encrypted(text.to_owned())));
                }
            }
        }
        for (parent, parent_view) in view
            .parents
            .iter()
            .filter_map(|(id, _)| Some((id, self.views.get(id)?)))
        {
            for sealer in parent_view.history("groupSealer") {
                let parts = sealer.value.as_str().and_then(|text| text.split_once('@'));
                let Some((sealer_key, sealer)) = parts else {
                    continue;
                };
                let Ok(sealer_key) = sealer_key.parse() else {
                    continue;
                };
                let entry = view.entry(&format!("{key}_sealedFor_{sealer}"), Timestamp::MAX);
                let Some((entry, text)) = entry.and_then(|entry| Some((entry, entry.value.as_str()?))) else {
                    continue;
                };
                let nonce = Nonce::of_transaction(group, entry.session, entry.index);
                ways.push((
                    (parent.clone(), sealer_key),
                    Way::SealedForGroup(text.to_owned(), nonce),
                ));
            }
        }
        ways
    }
}

/// The key that secrets for `author` are sealed to; an account's is known once the account is here.
pub(crate) fn sealer_of(values: &Values, author: &Author) -> Option<SealerId> {
    match author {
        Author::Agent(agent) => Some(agent.sealer().clone()),
        Author::Account(account) => {
            let agent = values.get(account.as_co_id())?.header().agent()?;
            Some(agent.sealer().clone())
        }
    }
}
