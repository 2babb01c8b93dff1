//! Keys between accounts, kept so that calls after the first need no key agreement.

use std::collections::HashMap;

use cojson::ids::AgentId;
use cojson::secrets::AgentSecret;
use parking_lot::Mutex;

use super::seal::{PairKeys, Party, Unsealed};

/// Most pairs that are kept; beyond it all are derived anew.
const PAIRS_MAX: usize = 4096;

/// Keys by caller and callee.
#[derive(Default)]
pub struct Pairs(Mutex<HashMap<(Party, Party), PairKeys>>);

impl Pairs {
    /// Forgets all keys.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// Returns the keys between caller and callee if they were derived before.
    pub fn known(&self, caller: &Party, callee: &Party) -> Option<PairKeys> {
        let pair = (caller.clone(), callee.clone());
        self.0.lock().get(&pair).cloned()
    }

    /// Returns the keys between caller and callee, one of which has `own` and the other `peer`.
    pub fn between(
        &self,
        own: &AgentSecret,
        peer: &AgentId,
        caller: &Party,
        callee: &Party,
    ) -> Result<PairKeys, Unsealed> {
        let pair = (caller.clone(), callee.clone());
        if let Some(keys) = self.0.lock().get(&pair) {
            return Ok(keys.clone());
        }
        let keys = PairKeys::derive(own, peer, caller, callee)?;
        let mut pairs = self.0.lock();
        if pairs.len() >= PAIRS_MAX {
            pairs.clear();
        }
        pairs.insert(pair, keys.clone());
        Ok(keys)
    }
}
