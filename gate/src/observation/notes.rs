//! What is remembered of one request for those who watch.

use std::rc::Rc;

use wire::ModelName;
use wire::v1::KeyPolicy;

use super::metric::DECISIONS;
use crate::io::Now;

/// What became of a request, by its place in the list of all decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision(u8);

impl Decision {
    /// It went to the upstream.
    pub(crate) const ALLOWED: Self = Self(0);
    /// The filter knew the answer: a list of models, a page of usage.
    pub(crate) const ANSWERED: Self = Self(1);
    /// It was to be checked only.
    pub(crate) const DRY_RUN: Self = Self(2);
    /// The client went away before it was decided.
    pub(crate) const ABANDONED: Self = Self(3);

    /// A refusal with this code.
    pub(crate) fn refused(code: &str) -> Self {
        let at = DECISIONS.iter().position(|known| *known == code);
        Self(at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX))
    }

    /// Its place in the list of all.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0).min(DECISIONS.len() - 1)
    }

    /// Its code.
    pub(crate) fn code(self) -> &'static str {
        DECISIONS.get(self.index()).copied().unwrap_or("other")
    }
}

/// What is remembered of a request until its end.
#[derive(Debug)]
pub(crate) struct Notes {
    /// When all of the request was there, in microseconds of the monotonic clock.
    ready_us: u64,
    pub(crate) decision: Option<Decision>,
    /// It went on although that would have refused it.
    pub(crate) in_shadow: bool,
    /// It has been counted.
    pub(crate) is_counted: bool,
    /// Between the whole request and the verdict, in microseconds.
    pub(crate) added_us: Option<u64>,
    /// Calls to the policy server that it waited for.
    pub(crate) callouts: u8,
    /// Whose key it was, where that is known.
    pub(crate) policy: Option<Rc<KeyPolicy>>,
    /// A model of the catalogue. What else a client may have written there is not repeated.
    pub(crate) model: Option<ModelName>,
}

impl Notes {
    /// The head has come.
    pub(crate) fn at(now: Now) -> Self {
        Self {
            ready_us: now.monotonic_us(),
            decision: None,
            in_shadow: false,
            is_counted: false,
            added_us: None,
            callouts: 0,
            policy: None,
            model: None,
        }
    }

    /// More of the request has come.
    pub(crate) fn ready(&mut self, now: Now) {
        if self.decision.is_none() {
            self.ready_us = now.monotonic_us();
        }
    }

    /// The verdict has been carried out.
    pub(crate) fn carried_out(&mut self, now: Now) -> u64 {
        let added = now.monotonic_us().saturating_sub(self.ready_us);
        self.added_us = Some(added);
        added
    }
}
