//! Keys in shadow mode: nothing refuses their requests but what ends the key, and what would have been
//! refused is on nobody's account. Nobody else's requests pass.

use std::collections::BTreeMap;

use wire::Revision;

use super::{Checker, Invariant, Verdict, broken};

/// What a key is, or may still be where a change has not been heard of everywhere.
#[derive(Debug, Clone, Copy)]
struct Mode {
    shadow: bool,
    since: Revision,
    /// It is in force everywhere.
    applied: bool,
}

/// The modes of each key that some proxy may keep to; the newest last.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    keys: BTreeMap<String, Vec<Mode>>,
}

impl Shadows {
    fn set(&mut self, key: &str, shadow: bool, since: Revision) {
        let modes = self.keys.entry(key.to_owned()).or_default();
        // Of a new key nobody has heard anything else.
        modes.push(Mode { shadow, since, applied: modes.is_empty() });
    }

    pub(super) fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) {
        for modes in self.keys.values_mut() {
            let Some(newest) = modes.last_mut() else { continue };
            newest.applied = newest.applied || is_applied(newest.since);
            if newest.applied {
                *modes = vec![*newest];
            }
        }
    }

    fn modes(&self, key: &str) -> &[Mode] {
        self.keys.get(key).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Refusals by budgets, permissions and windows.
const REFUSALS: [u16; 3] = [402, 403, 429];

impl Checker {
    /// A key's shadow mode is on or off from this revision on.
    pub fn shadow_is(&mut self, key: &str, shadow: bool, revision: Revision) {
        self.shadows.set(key, shadow, revision);
    }

    /// A request of a key goes on although this would have refused it.
    ///
    /// # Errors
    /// When the key cannot be in shadow mode.
    pub fn let_pass(&self, key: &str, code: &str) -> Verdict {
        let modes = self.shadows.modes(key);
        if modes.iter().any(|mode| mode.shadow) {
            return Ok(());
        }
        let text = format!("{code} lets pass a request of key {key}, which is in {modes:?}");
        broken(Invariant::Shadow, text)
    }

    /// A request of a key was answered by its gate with this status.
    ///
    /// # Errors
    /// When the key must be in shadow mode and its request could have gone on.
    pub fn refused(&self, key: &str, status: u16) -> Verdict {
        let modes = self.shadows.modes(key);
        let in_shadow = !modes.is_empty() && modes.iter().all(|mode| mode.shadow);
        if !in_shadow || !REFUSALS.contains(&status) {
            return Ok(());
        }
        let text = format!("a request of key {key} is answered {status}, and it is in {modes:?}");
        broken(Invariant::Shadow, text)
    }
}
