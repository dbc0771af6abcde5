//! Lines of the audit about what an administrator changed.

use serde_json::{Value, json};

use super::Work;
use crate::store::{AuditRow, StoreResult};

/// The longest description of a state. A list of thousands of models would make every change of one
/// as large as all of them; then only its size is kept.
const STATE_BYTES: usize = 16 * 1024;

impl Work<'_> {
    /// Notes what an administrator did to what, and how that was before and is now.
    pub(super) fn audit(
        &mut self,
        action: &'static str,
        target: String,
        before: Option<Value>,
        after: Option<Value>,
    ) -> StoreResult<()> {
        let line =
            AuditRow { at_unix_ms: self.now.unix_ms, actor: "admin", action, target, amount: None };
        let (before, after) = (before.map(bounded), after.map(bounded));
        self.rows.add_audit_of_change(&line, before.as_deref(), after.as_deref())
    }
}

fn bounded(state: Value) -> String {
    match state.to_string() {
        text if text.len() <= STATE_BYTES => text,
        text => json!({"bytes": text.len()}).to_string(),
    }
}
