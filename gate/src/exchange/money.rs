//! Money for a call, on the leases that the VM holds.

use std::rc::Rc;

use metering::held_lease::Draw;
use metering::reservation::Bounds;
use wire::v1::{KeyPolicy, Limit, Price, Refusal as LeaseRefusal};
use wire::{LeaseId, NanoUsd};

use super::Open;
use crate::pool::Pool;
use crate::refusal::Refusal;
use crate::windows;

/// What a call needs of a lease.
pub(super) struct Money<'a> {
    pub(super) bounds: &'a Bounds,
    pub(super) price: &'a Price,
    /// It draws money, not only a permit.
    pub(super) pays: bool,
    pub(super) takes_permit: bool,
}

/// Sets money aside for the call: what it wants, on any lease, or else, where little is left, as
/// much as its own lease pays for. Answers the lease, what was drawn, and the bound on output tokens that it pays.
pub(super) fn draw(
    pool: &mut Pool,
    policy: &Rc<KeyPolicy>,
    open: &Open,
    call: &Money<'_>,
    now_ms: u64,
) -> Option<(LeaseId, Draw, u64)> {
    let Money { bounds, price, pays, takes_permit } = *call;
    let own = open.granted.as_ref().map(|(_, lease)| lease);
    if !pays {
        let draw = Draw { amount: NanoUsd::ZERO, takes_permit };
        let lease = pool.draw(policy, own, draw, now_ms)?;
        return Some((lease, draw, bounds.output_tokens()));
    }
    let wanted = bounds.wanted(price);
    let draw = Draw { amount: wanted.amount, takes_permit };
    if let Some(lease) = pool.draw(policy, own, draw, now_ms) {
        return Some((lease, draw, wanted.output_tokens));
    }
    let own = own?;
    let lowered = bounds.within(price, pool.last_of(&policy.key, own)?)?;
    let draw = Draw { amount: lowered.amount, takes_permit };
    let lease = pool.draw(policy, Some(own), draw, now_ms)?;
    Some((lease, draw, lowered.output_tokens))
}

/// `window`: the one that counts the call over all proxies, where nothing but a permit was asked for.
/// Nobody is told that money is missing of whom none is asked.
pub(super) fn refused_lease(why: &LeaseRefusal, window: Option<&Limit>) -> Refusal {
    match (why, window) {
        (LeaseRefusal::BudgetExceeded { level, need, left }, _) => {
            Refusal::Budget { level: *level, need: *need, left: *left }
        }
        (LeaseRefusal::CallTooExpensive { need, most }, _) => {
            Refusal::CallTooExpensive { need: *need, most: *most }
        }
        (LeaseRefusal::Contended { retry_after_ms }, Some(window)) => {
            windows::held_by_others(window, *retry_after_ms)
        }
        (LeaseRefusal::Contended { retry_after_ms }, None) => {
            Refusal::Contended { retry_after_ms: *retry_after_ms }
        }
        (LeaseRefusal::WindowFull { limit, retry_after_ms }, _) => {
            windows::held_by_others(limit, *retry_after_ms)
        }
        (LeaseRefusal::KeyNotUsable | LeaseRefusal::UnknownPrice, _) => Refusal::PolicyUnavailable,
    }
}
