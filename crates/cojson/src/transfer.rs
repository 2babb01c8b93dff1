//! Values that are carried by other means than peers, as a request between accounts carries its message: whole, with
//! what they depend on.

use std::collections::BTreeSet;

use crate::ids::CoId;
use crate::message::Content;
use crate::node::Node;
use crate::sync::{collect_dependencies, whole};
use crate::transaction::Timestamp;
use crate::values::ReceiveError;

impl Node {
    /// Everything that is here of a value, after everything that is here of what it depends on.
    pub fn export(&mut self, id: &CoId) -> Vec<Content> {
        self.flush();
        let mut order = Vec::new();
        collect_dependencies(&self.values, id, &mut BTreeSet::new(), &mut order);
        order.push(id.clone());
        let logs = order.iter().filter_map(|id| self.values.get(id));
        logs.flat_map(whole).collect()
    }

    /// Takes what [`export`](Self::export) gave, one piece after the other; storage and peers hear of it. What it depends
    /// on must be here. The sessions before the one that is refused are taken.
    pub fn import(&mut self, now: Timestamp, content: Content) -> Result<(), ReceiveError> {
        self.flush();
        let Content { id, header, new, .. } = content;
        if let Some(header) = header.filter(|header| *header.id() == id) {
            self.values.insert(header);
        }
        let mut results = new.into_iter().map(|(session, new)| {
            let (transactions, signature) = (new.new_transactions, new.last_signature);
            self.values
                .receive(now, &id, &session, new.after, transactions, signature)
        });
        let result = results.try_for_each(|received| received.map(drop));
        if self.has(&id) {
            self.sync.imported(&mut self.values, &id);
        }
        result
    }
}
