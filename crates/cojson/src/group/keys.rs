//! Finds the secrets of a group's keys (protocol, 6.6).

use std::collections::HashSet;

use super::eval::Groups;
use crate::crypto::{Nonce, decrypt_key_secret, unseal_key, unseal_key_for_group};
use crate::ids::{AccountId, Author, CoId, KeyId, SealerId};
use crate::secrets::{AgentSecret, KeySecret};
use crate::values::Values;

/// Most keys looked at while looking for one secret.
const MAX_KEYS_TRIED: usize = 10_000;

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

/// One search: what it must not do twice.
struct Search<'a> {
    values: &'a Values,
    reader: &'a Reader,
    tried: HashSet<(CoId, KeyId)>,
}

impl Groups {
    /// The secret of a key of a group, if the reader can get at it. The group must be refreshed.
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
        let mut search = Search {
            values,
            reader,
            tried: HashSet::new(),
        };
        let secret = self.find_secret(&mut search, group, key)?;
        let view = self.views.get_mut(group).expect("looked up above");
        view.secrets.insert(key.clone(), secret.clone());
        Some(secret)
    }

    fn find_secret(&self, search: &mut Search<'_>, group: &CoId, key: &KeyId) -> Option<KeySecret> {
        let view = self.views.get(group)?;
        if let Some(secret) = view.secrets.get(key) {
            return Some(secret.clone());
        }
        let is_new = search.tried.insert((group.clone(), key.clone()));
        if !is_new || search.tried.len() > MAX_KEYS_TRIED {
            return None;
        }
        let in_clear = view
            .get_text(&format!("{key}_for_everyone"))
            .and_then(|text| text.parse().ok());
        in_clear
            .or_else(|| self.sealed_secret(search, group, key))
            .or_else(|| self.encrypted_secret(search, group, group, key))
            .or_else(|| {
                view.parents.iter().find_map(|(parent, _)| {
                    self.encrypted_secret(search, group, parent, key)
                        .or_else(|| self.secret_sealed_for_group(search, group, parent, key))
                })
            })
    }

    /// Sealed to the reader.
    fn sealed_secret(&self, search: &Search<'_>, group: &CoId, key: &KeyId) -> Option<KeySecret> {
        let (member, secret) = search.reader.in_group(group)?;
        let view = self.views.get(group)?;
        let entry = view.entry(&format!("{key}_for_{member}"), crate::transaction::Timestamp::MAX)?;
        let sender = sealer_of(search.values, entry.session.author())?;
        let nonce = Nonce::of_transaction(group, entry.session, entry.index);
        unseal_key(entry.value.as_str()?, secret.sealer(), &sender, &nonce)
    }

    /// Encrypted in `group` with a key of `holder`: the group itself, or a parent.
    fn encrypted_secret(
        &self,
        search: &mut Search<'_>,
        group: &CoId,
        holder: &CoId,
        key: &KeyId,
    ) -> Option<KeySecret> {
        let view = self.views.get(group)?;
        view.encrypted_by.get(key)?.iter().find_map(|by| {
            let encrypted = view.get_text(&format!("{key}_for_{by}"))?;
            let by_secret = self.find_secret(search, holder, by)?;
            decrypt_key_secret(encrypted, key, by, &by_secret)
        })
    }

    /// Sealed in `group` for whoever reads the parent, by somebody who couldn't.
    fn secret_sealed_for_group(
        &self,
        search: &mut Search<'_>,
        group: &CoId,
        parent: &CoId,
        key: &KeyId,
    ) -> Option<KeySecret> {
        let view = self.views.get(group)?;
        let parent_view = self.views.get(parent)?;
        parent_view.history("groupSealer").find_map(|sealer| {
            let (sealer_key, sealer) = sealer.value.as_str()?.split_once('@')?;
            let entry = view.entry(
                &format!("{key}_sealedFor_{sealer}"),
                crate::transaction::Timestamp::MAX,
            )?;
            let opener = self
                .find_secret(search, parent, &sealer_key.parse().ok()?)?
                .group_sealer();
            let nonce = Nonce::of_transaction(group, entry.session, entry.index);
            unseal_key_for_group(entry.value.as_str()?, &opener, &nonce)
        })
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
