//! Keys and models that stand in the configuration itself, where there is no policy server.

use std::collections::HashMap;
use std::rc::Rc;

use wire::KeyDigest;
use wire::v1::KeyPolicy;

use crate::catalogue::Models;

/// Most `keys`. Each worker of a proxy holds all of them, at some 900 bytes each (measured with one limit and
/// one model: `wasm-tests`, `without_server`), and reads them again at every change of the configuration.
pub const MOST_KEYS: usize = 100_000;
/// Most digests of one key: the secret in use and those that it replaces.
pub const MOST_DIGESTS: usize = 8;
/// Most `models`, as a policy server has.
pub const MOST_MODELS: usize = 2_000;

/// Keys and models of a configuration without a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    pub(super) keys: HashMap<KeyDigest, Rc<KeyPolicy>>,
    pub(super) models: Rc<Models>,
}

impl Local {
    /// The key with this digest.
    #[must_use]
    pub fn key(&self, digest: &KeyDigest) -> Option<Rc<KeyPolicy>> {
        self.keys.get(digest).map(Rc::clone)
    }

    pub(crate) fn models(&self) -> Rc<Models> {
        Rc::clone(&self.models)
    }

    /// How many digests are known.
    #[must_use]
    pub fn digests(&self) -> usize {
        self.keys.len()
    }
}
