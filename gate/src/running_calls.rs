//! How many calls of one key may run at once where nothing is said of the key itself: otherwise one
//! client could take all the places that a proxy has towards its providers, for as long as it likes.
//!
//! The bound is a limit like those that a key can have (`concurrent`, scope `proxy`) and is counted as
//! they are. What this module adds is that the first few calls of a key in a VM need not be counted:
//! nearly all requests belong to such keys, and are spared two swaps in the memory that workers share.

use std::rc::Rc;

use wire::KeyId;
use wire::v1::{KeyPolicy, Level, Limit, Scope, Subject, Unit};

use crate::host_abilities::HostAbilities;

/// So much of its bound a VM runs of each key without counting it: a hundredth, so that even a hundred
/// workers, which are many, pass the bound at most twofold.
const UNCOUNTED_PART: u64 = 100;
/// Names of keys whose calls have ended are let go when so many more have come. Small beside what
/// the calls themselves take.
const MOST_STALE: usize = 64;

/// Calls of each key that run in this VM.
#[derive(Debug, Default)]
pub(crate) struct RunningCalls {
    /// In the order of their names: a map of these would add more code to the module than all else here.
    keys: Vec<(KeyId, Rc<()>)>,
    sweep_at: usize,
}

/// The place of a call among those of its key. Whatever becomes of the call, dropping it gives the place
/// back.
#[derive(Debug, Clone)]
pub(crate) struct Place(Rc<()>);

impl RunningCalls {
    /// A place for one more call of a key.
    pub(crate) fn place(&mut self, key: &KeyId) -> Place {
        if let Some((_, calls)) = self.find(key).ok().and_then(|at| self.keys.get(at)) {
            return Place(Rc::clone(calls));
        }
        if self.keys.len() >= self.sweep_at {
            self.keys.retain(|(_, calls)| Rc::strong_count(calls) > 1);
            self.sweep_at = self.keys.len().saturating_mul(2).saturating_add(MOST_STALE);
        }
        let calls = Rc::new(());
        let (Ok(at) | Err(at)) = self.find(key);
        self.keys.insert(at, (key.clone(), Rc::clone(&calls)));
        Place(calls)
    }

    /// Where a key stands, or where it would.
    fn find(&self, key: &KeyId) -> Result<usize, usize> {
        self.keys.binary_search_by(|(other, _)| other.cmp(key))
    }
}

impl Place {
    /// Calls of the key beside this one. The register holds the count once, too.
    fn others(&self) -> u64 {
        u64::try_from(Rc::strong_count(&self.0).saturating_sub(2)).unwrap_or(u64::MAX)
    }

    /// The limit that the call is to be counted under besides its key's own; none where the key has its
    /// own, or runs so few calls here that they need no counting.
    pub(crate) fn bound(
        &self,
        policy: &KeyPolicy,
        most: Option<u64>,
        host: &HostAbilities,
    ) -> Option<Limit> {
        let most = host.share_of(most?);
        let is_of_key = |limit: &&Limit| {
            let Subject { level, model, .. } = &limit.subject;
            limit.scope == Scope::Proxy && *level == Level::Key && model.is_none()
        };
        let mut own = policy.limits.iter().filter(is_of_key).peekable();
        // Together with limits that are counted anyway this one costs nothing.
        let is_counted = own.peek().is_some() || self.others() >= most / UNCOUNTED_PART;
        let has_its_own = own.any(|limit| limit.unit == Unit::Concurrent);
        let id = || policy.key.as_str().to_owned();
        (is_counted && !has_its_own).then(|| Limit {
            unit: Unit::Concurrent,
            window: None,
            max: most,
            scope: Scope::Proxy,
            subject: Subject { level: Level::Key, id: id(), model: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> KeyId {
        KeyId::new(name).unwrap()
    }

    #[test]
    fn a_call_is_counted_until_its_place_is_dropped() {
        let mut running = RunningCalls::default();
        let first = running.place(&key("a"));
        let second = running.place(&key("a"));
        let other = running.place(&key("b"));
        assert_eq!((second.others(), other.others()), (1, 0));
        drop(first);
        assert_eq!((second.others(), other.others()), (0, 0));
        drop((second, other));
        assert_eq!(running.place(&key("a")).others(), 0);
    }

    #[test]
    fn keys_without_calls_are_forgotten() {
        let mut running = RunningCalls::default();
        let kept: Vec<Place> = (0..100).map(|n| running.place(&key(&format!("kept{n}")))).collect();
        for n in 0..10_000 {
            drop(running.place(&key(&format!("gone{n}"))));
            assert!(running.keys.len() <= 2 * (kept.len() + MOST_STALE), "{}", running.keys.len());
        }
        assert_eq!(running.place(&key("kept7")).others(), 1);
    }
}
