//! A call that goes to the upstream: with what is written into it, and what is kept of it while it runs.

use std::rc::Rc;

use metering::charge::Admitted;
use metering::held_lease::Draw;
use metering::request::{FeatureKind, Request};
use metering::window::Call as WindowCall;
use wire::v1::{Ask, CutCalls};
use wire::{LeaseId, NanoUsd};

use super::decision::{Checked, Knowledge, ask_of};
use super::{Answer, EndedBy, Metered, Open, Running, Shown, Stop};
use crate::catalogue::reads_max_completion_tokens;
use crate::dry_run::Estimate;
use crate::repetition;
use crate::route::Target;
use crate::windows;

/// An admitted call and what is written into it.
pub(crate) struct Forward {
    pub(crate) running: Running,
    pub(crate) output_limit: Option<u64>,
    pub(crate) model_is_alias: bool,
    /// What is to be written into the body can be.
    pub(crate) writes_body: bool,
    /// The path with the model's own name, where it named another.
    pub(crate) path: Option<String>,
    /// The limit of chat that the model reads.
    pub(crate) reads_max_completion_tokens: bool,
    /// What the call could come to, where only that was asked for.
    pub(crate) estimate: Option<Estimate>,
}

/// Under what a call is made.
pub(super) struct Terms {
    pub(super) drawn: Option<(LeaseId, Draw)>,
    pub(super) groups: Vec<windows::Group>,
    pub(super) window_call: WindowCall,
    pub(super) standings: windows::Standings,
    pub(super) once: Option<repetition::Once>,
    pub(super) output_limit: Option<u64>,
    pub(super) would_refuse: Option<&'static str>,
}

/// A call as it goes on.
pub(super) fn forward_of(
    open: &Open,
    known: &Knowledge<'_>,
    checked: &Checked<'_>,
    ask: &Ask,
    (terms, estimate): (Terms, Option<Estimate>),
    now_ms: u64,
) -> Forward {
    let Checked { request, model, price, metered } = *checked;
    let policy = known.policy;
    let in_shadow = known.in_shadow || policy.shadow;
    // What was set aside is what a call without usage is charged, in shadow mode as ever.
    let output_bound = terms.output_limit.map(|tokens| tokens.saturating_mul(ask.choices));
    // But nothing makes an answer shorter where nothing is to be in its way.
    let output_limit = terms.output_limit.filter(|_| !in_shadow);
    let ends_beyond = output_bound.filter(|_| !in_shadow);
    // Its answer has no usage, and its output comes where nobody sees it.
    let is_answered_later = request.is_some_and(|request| request.needs(FeatureKind::Background));
    let is_alias = open.model() != Some(model.name.as_str());
    let path =
        if is_alias && known.writing.writes_path() { open.path_for(&model.name) } else { None };
    let admitted = Admitted {
        price,
        body_bytes: request.map_or(0, |request| request.body_bytes),
        input_bound: ask.input_tokens,
        input_beyond_text: request.is_some_and(Request::has_input_beyond_text),
        output_bound,
        server_tool_calls: ask.server_tool_calls,
        reserved: terms.drawn.as_ref().map_or(NanoUsd::ZERO, |(_, draw)| draw.amount),
        reasoning: model.reasoning || request.is_some_and(Request::asks_for_reasoning),
        streamed: request.is_some_and(|request| request.stream),
        cut_calls: if is_answered_later { CutCalls::Reservation } else { policy.cut_calls },
    };
    let running = Running {
        policy: Rc::clone(policy),
        digest: open.digest,
        model: model.name.clone(),
        catalogue_version: known.models.version,
        admitted,
        ends_beyond,
        metered,
        metadata: open.metadata.clone().unwrap_or_default(),
        drawn: terms.drawn,
        groups: terms.groups,
        place: known.place.clone(),
        window_call: terms.window_call,
        standings: terms.standings,
        once: terms.once,
        would_refuse: terms.would_refuse,
        shown: Shown {
            stream_usage: known.profile.always_shows_usage()
                || request.is_some_and(|request| request.wants_stream_usage),
            cost: known.profile.shows_cost() && model.price.is_some(),
        },
        admitted_ms: now_ms,
        status: 0,
        answer: Answer::NotYet,
        stop: Stop::of(known.profile, ended_by(known)),
        writes_answer: known.host.writes_answers,
        address: open.address,
        began_ms: open.began_ms,
        began_unix_ms: open.began_unix_ms,
    };
    Forward {
        running,
        output_limit,
        model_is_alias: is_alias,
        writes_body: known.writing.writes_body(),
        path,
        reads_max_completion_tokens: reads_max_completion_tokens(model),
        estimate,
    }
}

/// A call that is made although this would have refused it: on nobody's account and in no window, but
/// with its true cost. None where that cannot be known, for want of a body that can be read, or of a
/// model with a price.
pub(crate) fn marked(
    open: &Open,
    known: &Knowledge<'_>,
    code: &'static str,
    now_ms: u64,
) -> Option<Forward> {
    let model = known.models.find(open.model()?)?;
    let price = known.models.price(model)?.times(known.policy.price_multiplier);
    let request = match (&open.target, open.request()) {
        (Target::Listed { .. }, _) => None,
        (_, request) => Some(request.filter(|_| open.is_plain_json)?),
    };
    let metered = request.map_or(Metered::PerCall, |request| Metered::of(request.operation));
    let checked = Checked { request, model, price, metered };
    let ask = ask_of(request, model, known.writing, (known.models.version, price.multiplier));
    let terms = Terms {
        drawn: None,
        groups: Vec::new(),
        window_call: WindowCall { vm: known.vm, tokens: 0 },
        standings: windows::Standings::default(),
        once: None,
        output_limit: None,
        would_refuse: Some(code),
    };
    Some(forward_of(open, known, &checked, &ask, (terms, None), now_ms))
}

/// What may end a call while it runs.
fn ended_by(known: &Knowledge<'_>) -> EndedBy {
    if !known.host.ends_streams || known.in_shadow {
        EndedBy::Nothing
    } else if known.policy.shadow {
        EndedBy::EndOfKey
    } else {
        EndedBy::Anything
    }
}
