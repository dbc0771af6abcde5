//! What is known about keys, bounded, by digest.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use wire::KeyDigest;
use wire::v1::{KeyPolicy, Level};

/// Most known keys. A policy takes some 500 bytes, so this is about 5 MiB of a VM.
const MOST_KNOWN: usize = 10_000;
/// Most digests known to be no key. They are cheap to ask for again and an attacker makes them.
const MOST_UNKNOWN: usize = 4_096;

/// What is known about one digest.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// Its key.
    Key(Rc<KeyPolicy>),
    /// There is none.
    NoKey,
}

/// Policies and refusals by digest. The oldest entry makes place for a new one; guessed keys never
/// push out real ones.
#[derive(Debug, Default)]
pub(crate) struct KeyCache {
    keys: Bounded<Rc<KeyPolicy>>,
    unknown: Bounded<()>,
}

impl KeyCache {
    pub(crate) fn get(&self, digest: &KeyDigest) -> Option<Known> {
        let key = self.keys.entries.get(digest).map(|policy| Known::Key(Rc::clone(policy)));
        key.or_else(|| self.unknown.entries.get(digest).map(|()| Known::NoKey))
    }

    pub(crate) fn learn(&mut self, digest: KeyDigest, policy: Option<KeyPolicy>) {
        self.forget(&digest);
        match policy {
            Some(policy) => self.keys.insert(digest, Rc::new(policy), MOST_KNOWN),
            None => self.unknown.insert(digest, (), MOST_UNKNOWN),
        }
    }

    pub(crate) fn forget(&mut self, digest: &KeyDigest) {
        self.keys.entries.remove(digest);
        self.unknown.entries.remove(digest);
    }

    /// Forgets every key of an owner. A digest that is no key is not one by anything above keys.
    pub(crate) fn forget_below(&mut self, level: Level, owner: &str) {
        self.keys.entries.retain(|_, policy| !policy.is_below(level, owner));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[derive(Debug)]
struct Bounded<T> {
    entries: HashMap<KeyDigest, T>,
    /// Digests in order of arrival; some may have been forgotten since.
    order: VecDeque<KeyDigest>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Bounded<T> {
    fn insert(&mut self, digest: KeyDigest, value: T, most: usize) {
        while self.order.len() >= most {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        self.order.push_back(digest);
        self.entries.insert(digest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: usize) -> KeyDigest {
        metering::api_key::digest(&n.to_le_bytes())
    }

    #[test]
    fn unknown_digests_stay_bounded() {
        let mut cache = KeyCache::default();
        for n in 0..MOST_UNKNOWN * 3 {
            cache.learn(digest(n), None);
            assert!(cache.unknown.entries.len() <= MOST_UNKNOWN);
            assert!(cache.unknown.order.len() <= MOST_UNKNOWN);
        }
        assert!(cache.get(&digest(0)).is_none());
        assert!(matches!(cache.get(&digest(MOST_UNKNOWN * 3 - 1)), Some(Known::NoKey)));
        cache.forget(&digest(MOST_UNKNOWN * 3 - 1));
        assert!(cache.get(&digest(MOST_UNKNOWN * 3 - 1)).is_none());
    }
}
