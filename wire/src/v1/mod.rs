//! Version 1 of the filter API. Every request is JSON and carries the filter's bearer token; every
//! answer carries the epoch and the revision up to which it is true.

mod admit;
mod catalogue;
mod changes;
mod exchange;
mod holder;
mod key;
mod lease;
mod problem;
mod report;
mod tagged;
mod usage_page;

pub use admit::{AdmitReply, AdmitRequest, KeyAnswer, LeaseAnswer};
pub use catalogue::{Catalogue, InvalidTiers, MOST_TIERS, Model, Price, Rates, Tier, Tiers};
pub use changes::{Change, ChangesReply};
pub use exchange::{ExchangeAnswer, ExchangeReply, ExchangeRequest, UserKeyForm, UserKeySecret};
pub use holder::{EVERY_WINDOW, RegisterReply, RegisterRequest};
pub use key::{
    CutCalls, KeyKind, KeyPolicy, KeyState, Level, Limit, ModelSet, Scope, Subject, Unit, Window,
};
pub use lease::{Ask, Grant, LeaseReply, LeaseRequest, Refusal};
pub use problem::{Problem, ProblemBody};
pub use report::{Basis, CallRecord, Ending, LeaseReport, ReportReply, ReportRequest, Usage};
pub use usage_page::{UsageAnswer, UsagePage, UsageParameter, UsageReply, UsageRequest, UsedCall};
