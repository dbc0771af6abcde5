//! Who says what keys and models there are: a server, whose word is good for a time, or the
//! configuration itself, whose word is good until the next one.

use std::rc::Rc;

use wire::KeyDigest;

use super::Gate;
use crate::catalogue::Models;
use crate::config::Authority;
use crate::exchange::{Reason, Stage};
use crate::io::Now;
use crate::key_cache::Known;

impl Gate {
    /// Whether what is known may be acted on now.
    pub(super) fn may_use_what_it_knows(&self, now: Now) -> bool {
        now.is_exact
            && match &self.config.authority {
                Authority::Server(_) => self.link.usable(now).is_some(),
                Authority::Local(_) => true,
            }
    }

    /// What is known of a digest; none where the server must be asked.
    pub(super) fn known(&self, digest: &KeyDigest) -> Option<Known> {
        match &self.config.authority {
            Authority::Server(_) => self.keys.get(digest),
            Authority::Local(local) => Some(match local.key(digest) {
                None => Known::NoKey,
                Some(policy) if self.host.shares_memory() => Known::Key(policy),
                // Each worker counts its part of every limit.
                Some(policy) => Known::Key(Rc::new(self.localized((*policy).clone()))),
            }),
        }
    }

    /// The models that there are; none where the server must be asked.
    pub(super) fn catalogue(&self) -> Option<Rc<Models>> {
        match &self.config.authority {
            Authority::Server(_) => self.models.clone(),
            Authority::Local(local) => Some(local.models()),
        }
    }

    /// Whether there is somebody whom ended calls are reported to.
    pub(super) fn reports(&self) -> bool {
        self.config.server().is_some()
    }

    /// Running calls are held to what a configuration without a server says of their keys now.
    pub(super) fn hold_calls_to_local_keys(&mut self) {
        let Authority::Local(local) = &self.config.authority else { return };
        for exchange in self.streams.values_mut() {
            let Stage::Running(running) = &mut exchange.stage else { continue };
            let reason = match local.key(&running.digest) {
                None => Some(Reason::Revoked),
                Some(policy) => {
                    let reason = Reason::of(policy.state);
                    // With it the instant at which the key ends.
                    running.policy = policy;
                    reason
                }
            };
            if let Some(reason) = reason {
                self.stops_asked |= running.ask_stop(reason);
            }
        }
    }
}
