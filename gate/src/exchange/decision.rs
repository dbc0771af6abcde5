//! The verdict on a request, check by check, the first failure answering.

use std::rc::Rc;

use metering::charge::Admitted;
use metering::held_lease::Draw;
use metering::request::{FeatureKind, InputLimits, OutputLimit, Problem, Request, input_bound};
use metering::reservation::Bounds;
use metering::window::Call as WindowCall;
use wire::v1::{Ask, KeyPolicy, KeyState, Model, Price, Refusal as LeaseRefusal};
use wire::{CatalogueVersion, LeaseId, NanoUsd, PriceMultiplier};

use super::{Answer, Body, Open, Running, Stop};
use crate::catalogue::Models;
use crate::io::{Now, SharedMemory};
use crate::pool::Pool;
use crate::refusal::Refusal;
use crate::windows;

/// What a request needs before it can go on.
pub(crate) enum Verdict {
    /// The rest of the body.
    Wait,
    /// A lease for this.
    NeedLease(Box<Ask>),
    /// Nothing: it may go to the upstream.
    Forward(Box<Forward>),
    /// It may not.
    Refuse(Refusal),
}

/// An admitted call and what is written into it.
pub(crate) struct Forward {
    pub(crate) running: Running,
    pub(crate) output_limit: Option<u64>,
    pub(crate) model_is_alias: bool,
    pub(crate) writes_max_completion_tokens: bool,
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

/// Whether the key itself may be used at this time.
pub(crate) fn check_key(policy: &KeyPolicy, now: Now) -> Result<(), Refusal> {
    match policy.state {
        KeyState::Revoked => return Err(Refusal::Revoked),
        KeyState::Disabled => return Err(Refusal::Disabled),
        KeyState::Active => {}
    }
    if policy.expires_at_unix_ms.is_some_and(|at| now.wall_ms >= at) {
        return Err(Refusal::Expired);
    }
    Ok(())
}

/// The ask of a request whose body is sound and whose model has a price; none for any other, which
/// will be refused without money.
pub(crate) fn ask(body: &Body, models: &Models) -> Option<Ask> {
    let Body::Read(Ok(request)) = body else { return None };
    check_parameters(request).ok()?;
    let model = models.find(&request.model).filter(|model| !model.retired)?;
    check_supported(request, model).ok()?;
    model.price?;
    // The server multiplies by what it knows of the key.
    Some(ask_of(request, model, models.version, PriceMultiplier::ONE))
}

fn ask_of(
    request: &Request,
    model: &Model,
    catalogue_version: CatalogueVersion,
    price_multiplier: PriceMultiplier,
) -> Ask {
    let (output_tokens, output_is_clients) = match request.output_limit {
        OutputLimit::Tokens(tokens) => (tokens, true),
        OutputLimit::Absent => (model.max_output_tokens, false),
        OutputLimit::NoOutput => (0, true),
    };
    Ask {
        model: model.name.clone(),
        catalogue_version,
        // Requests that ask for tools of the provider are refused, so none is used.
        input_tokens: input_bound(request, &input_limits(model), 0),
        output_tokens,
        output_is_clients,
        choices: request.answers(),
        server_tool_calls: 0,
        price_multiplier,
    }
}

fn input_limits(model: &Model) -> InputLimits {
    InputLimits {
        context_length: model.context_length,
        overhead_tokens: model.input_overhead_tokens,
        image_tokens: model.image_tokens,
        audio_tokens: model.audio_tokens,
        document_tokens: model.document_tokens,
    }
}

/// Nobody has permission yet for what a reservation does not cover. Members that we do not know go
/// through: servers behind chat have many of their own.
fn check_parameters(request: &Request) -> Result<(), Refusal> {
    let unsupported = |param| Err(Refusal::Body(Problem::Unsupported(param)));
    if !request.server_tools.kinds.is_empty() {
        return unsupported(request.server_tools.param.into());
    }
    let mut restricted =
        request.features.iter().filter(|feature| feature.kind != FeatureKind::UnknownParameter);
    restricted.next().map_or(Ok(()), |feature| unsupported(feature.param.clone()))
}

/// Whether the model takes the optional members of the request.
fn check_supported(request: &Request, model: &Model) -> Result<(), Refusal> {
    let supported = model.supported_parameters.as_deref();
    match supported.and_then(|supported| request.unsupported(supported)) {
        Some(param) => Err(Refusal::Body(Problem::UnsupportedByModel(param))),
        None => Ok(()),
    }
}

/// What the VM knows when it decides.
pub(crate) struct Knowledge<'a> {
    pub(crate) models: &'a Models,
    pub(crate) policy: &'a Rc<KeyPolicy>,
    pub(crate) body_limit: usize,
    pub(crate) vm: u64,
    pub(crate) outbox_has_room: bool,
}

/// Decides on a chat request whose key has passed [`check_key`].
pub(crate) fn decide(
    open: &Open,
    known: &Knowledge<'_>,
    now: Now,
    pool: &mut Pool,
    memory: &mut dyn SharedMemory,
) -> Verdict {
    let (request, model, price) = match check_request(open, known) {
        Ok(Some(found)) => found,
        Ok(None) => return Verdict::Wait,
        Err(refusal) => return refusal.into(),
    };
    match admit(open, known, (request, model, price), now, pool, memory) {
        Ok(verdict) => verdict,
        Err(refusal) => refusal.into(),
    }
}

type Checked<'a> = (&'a Request, &'a Model, Price);

/// Body, model, entitlement, context: everything that costs nothing to check.
fn check_request<'a>(
    open: &'a Open,
    known: &Knowledge<'a>,
) -> Result<Option<Checked<'a>>, Refusal> {
    let request = match &open.body {
        Body::TooLarge => return Err(Refusal::BodyTooLarge(known.body_limit)),
        Body::Coming => return Ok(None),
        _ if open.is_compressed => return Err(Refusal::UnsupportedEncoding),
        Body::Read(Ok(request)) => request,
        Body::Read(Err(problem)) => return Err(Refusal::Body(problem.clone())),
        Body::None => return Err(Refusal::UnknownEndpoint),
    };
    let name = || request.model.clone();
    let model = known.models.find(&request.model).ok_or_else(|| Refusal::UnknownModel(name()))?;
    if model.retired {
        return Err(Refusal::ModelRemoved(name()));
    }
    let price = model.price.ok_or_else(|| Refusal::UnknownModel(name()))?;
    if known.policy.org_has_no_models {
        return Err(Refusal::NoModels);
    }
    if !known.policy.models.contains(&model.name) {
        return Err(Refusal::ModelNotAllowed(name()));
    }
    check_parameters(request)?;
    check_supported(request, model)?;
    if let OutputLimit::Tokens(tokens) = request.output_limit
        && tokens >= model.context_length
    {
        let context = model.context_length;
        return Err(Refusal::ContextLength { asked: tokens.saturating_add(1), context });
    }
    Ok(Some((request, model, price.times(known.policy.price_multiplier))))
}

/// Windows read, money reserved, windows committed.
fn admit(
    open: &Open,
    known: &Knowledge<'_>,
    (request, model, price): Checked<'_>,
    now: Now,
    pool: &mut Pool,
    memory: &mut dyn SharedMemory,
) -> Result<Verdict, Refusal> {
    if !known.outbox_has_room {
        return Err(Refusal::OutboxFull);
    }
    let policy = known.policy;
    let now_ms = now.monotonic_ms;
    let groups = windows::groups(&policy.limits, &model.name);
    let counts_tokens = windows::count_tokens(&groups);
    let mut ask = ask_of(request, model, known.models.version, price.multiplier);
    let mut bounds = Bounds::new(&ask, policy.default_max_output_tokens);
    if let Some(room) = windows::token_room(memory, &groups, now_ms)? {
        // A limit that we choose shrinks to what the windows hold; one that does not fit at all is
        // refused by the check below, with the right time to wait.
        if let Some(output) = bounds.output_within_window(room) {
            bounds = bounds.lowered_to(output);
        } else {
            bounds = bounds.lowered_to(bounds.least_output_tokens());
        }
    }
    let window_call = |output_tokens| WindowCall {
        vm: known.vm,
        tokens: if counts_tokens { bounds.window_tokens(output_tokens) } else { 0 },
    };
    // Nobody is asked for money, and nobody is told that there is none, while a window is full.
    let check = |memory: &mut dyn SharedMemory| {
        windows::check(memory, &groups, window_call(bounds.output_tokens()), now_ms)
    };
    let reserves = policy.budgeted || counts_tokens;
    let takes_permit = windows::takes_permit(&policy.limits, &model.name);
    let mut output_tokens = bounds.output_tokens();
    let mut drawn = None;
    if policy.budgeted || takes_permit {
        let call = Money { bounds: &bounds, price: &price, takes_permit };
        match draw(pool, policy, open, &call, now_ms) {
            Some((lease, draw, tokens)) => {
                output_tokens = tokens;
                drawn = Some((lease, draw));
            }
            None => {
                check(memory)?;
                if let Some(why) = &open.refused {
                    return Err(refused_lease(why));
                }
                if !ask.output_is_clients {
                    ask.output_tokens = output_tokens;
                }
                return Ok(Verdict::NeedLease(Box::new(ask)));
            }
        }
    }
    let window_call = window_call(output_tokens);
    let standings = match windows::commit(memory, &groups, window_call, now_ms) {
        Ok(standings) => standings,
        Err(refusal) => {
            if let Some((lease, draw)) = &drawn {
                pool.cancel(&policy.key, lease, *draw);
            }
            return Err(refusal);
        }
    };
    let input_bound = ask.input_tokens;
    let admitted = Admitted {
        price,
        body_bytes: request.body_bytes,
        input_bound,
        output_bound: reserves.then(|| output_tokens.saturating_mul(ask.choices)),
        reasoning: model.reasoning,
        cut_calls: policy.cut_calls,
    };
    let running = Running {
        policy: Rc::clone(policy),
        digest: open.digest,
        model: model.name.clone(),
        catalogue_version: known.models.version,
        admitted,
        drawn,
        groups,
        window_call,
        standings,
        streamed: request.stream,
        wants_stream_usage: request.wants_stream_usage,
        admitted_ms: now_ms,
        status: 0,
        answer: Answer::NotYet,
        stop: Stop::default(),
        began_ms: open.began_ms,
        began_unix_ms: open.began_unix_ms,
    };
    Ok(Verdict::Forward(Box::new(Forward {
        running,
        output_limit: (reserves && !ask.output_is_clients).then_some(output_tokens),
        model_is_alias: request.model != model.name.as_str(),
        writes_max_completion_tokens: model.reasoning,
    })))
}

/// What a call needs of a lease.
struct Money<'a> {
    bounds: &'a Bounds,
    price: &'a Price,
    takes_permit: bool,
}

/// Sets money aside for the call: what it wants, on any lease, or else, where little is left, as
/// much as its own lease pays for. Answers the lease, what was drawn, and the bound on output tokens that it pays.
fn draw(
    pool: &mut Pool,
    policy: &Rc<KeyPolicy>,
    open: &Open,
    call: &Money<'_>,
    now_ms: u64,
) -> Option<(LeaseId, Draw, u64)> {
    let Money { bounds, price, takes_permit } = *call;
    let own = open.granted.as_ref().map(|(_, lease)| lease);
    if !policy.budgeted {
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

fn refused_lease(why: &LeaseRefusal) -> Refusal {
    match why {
        LeaseRefusal::BudgetExceeded { level, need, left } => {
            Refusal::Budget { level: *level, need: *need, left: *left }
        }
        LeaseRefusal::Contended { retry_after_ms } => {
            Refusal::Contended { retry_after_ms: *retry_after_ms }
        }
        LeaseRefusal::WindowFull { limit, retry_after_ms } => Refusal::Window {
            limit: Box::new(limit.clone()),
            full: metering::window::Full {
                unit: limit.unit,
                window: limit.window,
                needs: 1,
                room: 0,
                wait_ms: Some(*retry_after_ms),
            },
        },
        LeaseRefusal::KeyNotUsable | LeaseRefusal::UnknownPrice => Refusal::PolicyUnavailable,
    }
}
