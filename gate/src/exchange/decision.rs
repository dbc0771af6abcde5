//! The verdict on a request, check by check, the first failure answering.

use std::net::IpAddr;
use std::rc::Rc;

use metering::request::{
    FeatureKind, InputLimits, Operation, OutputLimit, Problem, Request, input_bound,
};
use metering::reservation::Bounds;
use metering::window::Call as WindowCall;
use wire::v1::{Ask, KeyPolicy, KeyState, Model, Price, Rates};
use wire::{AllowedNetworks, CatalogueVersion, ModelName, NanoUsd, PriceMultiplier};

use super::forwarded::{Forward, Terms, forward_of};
use super::money::{Money, draw, refused_lease};
use super::writing::most_output;
use super::{Metered, Open, Writing};
use crate::catalogue::Models;
use crate::dry_run::{Costs, Estimate};
use crate::host_abilities::HostAbilities;
use crate::io::{Now, SharedMemory};
use crate::pool::Pool;
use crate::profile::Profile;
use crate::refusal::Refusal;
use crate::repetition;
use crate::route::ListedPath;
use crate::running_calls::Place;
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

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

/// Whether the key itself may be used at this time and from this address.
pub(crate) fn check_key(
    policy: &KeyPolicy,
    address: Option<IpAddr>,
    now: Now,
) -> Result<(), Refusal> {
    check_not_ended(policy, now)?;
    // Where the host does not say from where a request comes, it could come from anywhere.
    let is_allowed = |allowed: &AllowedNetworks| address.is_some_and(|from| allowed.contains(from));
    match &policy.allowed_ips {
        Some(allowed) if !is_allowed(allowed) => Err(Refusal::AddressNotAllowed),
        _ => Ok(()),
    }
}

/// Whether a key may be used at all now.
///
/// # Errors
/// When it was taken out of use, or has expired.
pub(crate) fn check_not_ended(policy: &KeyPolicy, now: Now) -> Result<(), Refusal> {
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
/// will be refused without money, and for what costs nothing.
pub(crate) fn ask(
    open: &Open,
    models: &Models,
    allow: &[FeatureKind],
    writing: Writing,
) -> Option<Ask> {
    let name = open.model().filter(|_| open.metadata.is_ok())?;
    let model = models.find(name).filter(|model| !model.retired)?;
    let price = models.price(model)?;
    if let Some(request) = open.request() {
        check_parameters(open, request, (model, &price), allow).ok()?;
        check_context(request, model.context_length).ok()?;
        if request.operation.is_free() {
            return None;
        }
    }
    // The server multiplies by what it knows of the key.
    Some(ask_of(open.request(), model, writing, (models.version, PriceMultiplier::ONE)))
}

/// `request` is none where a call costs the same whatever it asks for.
pub(super) fn ask_of(
    request: Option<&Request>,
    model: &Model,
    writing: Writing,
    (catalogue_version, price_multiplier): (CatalogueVersion, PriceMultiplier),
) -> Ask {
    let mut ask = Ask {
        model: model.name.clone(),
        catalogue_version,
        input_tokens: 0,
        output_tokens: 0,
        output_is_clients: true,
        choices: 1,
        server_tool_calls: 0,
        price_multiplier,
    };
    let Some(request) = request else { return ask };
    (ask.output_tokens, ask.output_is_clients) = match request.output_limit {
        OutputLimit::Tokens(tokens) => (tokens, true),
        OutputLimit::Absent => (most_output(request, model), false),
        OutputLimit::NoOutput => (0, true),
    };
    ask.server_tool_calls = server_tool_calls(request, model).unwrap_or(0);
    ask.input_tokens = input_bound(request, &input_limits(model), ask.server_tool_calls);
    ask.choices = request.answers();
    writing.bound(&mut ask, request, model);
    ask
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

/// What a reservation does not cover needs permission: by the configuration, or, for tools of the
/// provider, by a price and a bound on their uses.
fn check_parameters(
    open: &Open,
    request: &Request,
    (model, price): (&Model, &Price),
    allow: &[FeatureKind],
) -> Result<(), Refusal> {
    let unsupported = |param| Err(Refusal::Body(Problem::Unsupported(param)));
    if let Some(name) = &open.stray_parameter {
        return unsupported(name.clone().into());
    }
    let tools = &request.server_tools;
    let are_paid =
        price.per_server_tool_call.is_some() && server_tool_calls(request, model).is_some();
    if !tools.kinds.is_empty() && !are_paid {
        return unsupported(tools.param.into());
    }
    let is_allowed = |kind| allow.contains(&kind) || is_harmless(kind, request.operation);
    let mut restricted = request.features.iter().filter(|feature| !is_allowed(feature.kind));
    if let Some(feature) = restricted.next() {
        return unsupported(feature.param.clone());
    }
    let supported = model.supported_parameters.as_deref();
    match supported.and_then(|supported| request.unsupported(supported)) {
        Some(param) => Err(Refusal::Body(Problem::UnsupportedByModel(param))),
        None => Ok(()),
    }
}

/// Most uses of tools that the provider runs: by the request, or else by the catalogue.
fn server_tool_calls(request: &Request, model: &Model) -> Option<u64> {
    request.server_tools.most_calls.or(model.max_server_tool_calls)
}

/// Servers behind OpenAI's older operations have many members of their own, which choose how the
/// same tokens are made.
fn is_harmless(kind: FeatureKind, operation: Operation) -> bool {
    let is_open =
        matches!(operation, Operation::Chat | Operation::Completions | Operation::Embeddings);
    kind == FeatureKind::UnknownParameter && is_open
}

/// What the VM knows when it decides.
pub(crate) struct Knowledge<'a> {
    pub(crate) models: &'a Models,
    pub(crate) policy: &'a Rc<KeyPolicy>,
    pub(crate) body_limit: usize,
    /// Paths of the configuration, which cost what their models cost per call.
    pub(crate) paths: &'a [ListedPath],
    /// What the configuration permits beyond tokens in and tokens out.
    pub(crate) allow: &'a [FeatureKind],
    pub(crate) profile: Profile,
    pub(crate) vm: u64,
    /// Where the call would stand among those of its key.
    pub(crate) place: Option<Place>,
    /// Most calls of a key that has no limit of its own on them.
    pub(crate) concurrent_calls: Option<u64>,
    pub(crate) outbox_has_room: bool,
    /// Nothing is refused on its path.
    pub(crate) in_shadow: bool,
    pub(crate) host: &'a HostAbilities,
    pub(crate) writing: Writing,
}

/// Decides on a call whose key has passed [`check_key`].
pub(crate) fn decide(
    open: &Open,
    known: &Knowledge<'_>,
    now: Now,
    pool: &mut Pool,
    memory: &mut dyn SharedMemory,
) -> Verdict {
    let checked = match check_request(open, known) {
        Ok(Some(found)) => found,
        Ok(None) => return Verdict::Wait,
        Err(refusal) if known.profile.checks_windows_first() => {
            return window_refusal(open, known, now, memory).unwrap_or(refusal).into();
        }
        Err(refusal) => return refusal.into(),
    };
    match admit(open, known, &checked, now, pool, memory) {
        Ok(verdict) => verdict,
        Err(refusal) => refusal.into(),
    }
}

/// A full window of a call that is refused for another reason.
fn window_refusal(
    open: &Open,
    known: &Knowledge<'_>,
    now: Now,
    memory: &mut dyn SharedMemory,
) -> Option<Refusal> {
    let model = ModelName::new(open.model()?).ok()?;
    let groups = groups_of(known, &model).ok()?;
    let call = WindowCall { vm: known.vm, tokens: 0 };
    windows::check(memory, &groups, call, now.monotonic_ms).err()
}

/// What a call of a model is counted under.
fn groups_of(known: &Knowledge<'_>, model: &ModelName) -> Result<Vec<windows::Group>, Refusal> {
    let mut groups = windows::groups(&known.policy.limits, model);
    if known.host.cannot_count(&groups) {
        return Err(Refusal::NotEnforceable);
    }
    // Every host can count this one, if need be each worker for itself.
    let place = known.place.as_ref();
    let bound =
        place.and_then(|place| place.bound(known.policy, known.concurrent_calls, known.host));
    if let Some(bound) = bound {
        windows::hold(&mut groups, bound);
    }
    Ok(groups)
}

/// A call that nothing is wrong with, before windows and money.
pub(super) struct Checked<'a> {
    /// None where a call costs the same whatever it asks for.
    pub(super) request: Option<&'a Request>,
    pub(super) model: &'a Model,
    pub(super) price: Price,
    pub(super) metered: Metered,
}

/// Body, model, entitlement, context: everything that costs nothing to check.
fn check_request<'a>(
    open: &'a Open,
    known: &Knowledge<'a>,
) -> Result<Option<Checked<'a>>, Refusal> {
    if !open.check_body(known.body_limit)? {
        return Ok(None);
    }
    if open.metadata.is_err() {
        return Err(Refusal::BadMetadata);
    }
    let asked = open.model().ok_or(Refusal::UnknownEndpoint)?;
    let name = || asked.to_owned();
    let model = known.models.find(asked).ok_or_else(|| Refusal::UnknownModel(name()))?;
    if model.retired {
        return Err(Refusal::ModelRemoved(name()));
    }
    let price = known.models.price(model).ok_or_else(|| Refusal::UnknownModel(name()))?;
    let price = price.times(known.policy.price_multiplier);
    if known.policy.org_has_no_models {
        return Err(Refusal::NoModels);
    }
    if !known.policy.models.contains(&model.name) {
        return Err(Refusal::ModelNotAllowed(name()));
    }
    let Some(request) = open.request() else {
        // A price of tokens alone would make such a call free.
        if price.per_call == NanoUsd::ZERO && price.rates != Rates::default() {
            return Err(Refusal::UnknownModel(name()));
        }
        return Ok(Some(Checked { request: None, model, price, metered: Metered::PerCall }));
    };
    if known.models.is_for_paths_only(model, known.paths) {
        return Err(Refusal::UnknownModel(name()));
    }
    check_parameters(open, request, (model, &price), known.allow)?;
    check_context(request, model.context_length)?;
    let metered = Metered::of(request.operation);
    Ok(Some(Checked { request: Some(request), model, price, metered }))
}

/// What surely does not fit is not sent. Only lists of tokens prove how much input there is; of any
/// other prompt it is known that there is one.
fn check_context(request: &Request, context: u64) -> Result<(), Refusal> {
    let output = match request.output_limit {
        OutputLimit::Tokens(tokens) => tokens,
        // Something is to be written.
        OutputLimit::Absent => 1,
        OutputLimit::NoOutput => 0,
    };
    let asked = output.saturating_add(request.least_input_tokens.max(1));
    if asked > context { Err(Refusal::ContextLength { asked, context }) } else { Ok(()) }
}

/// Windows read, money reserved, windows committed.
fn admit(
    open: &Open,
    known: &Knowledge<'_>,
    checked: &Checked<'_>,
    now: Now,
    pool: &mut Pool,
    memory: &mut dyn SharedMemory,
) -> Result<Verdict, Refusal> {
    if !known.outbox_has_room {
        return Err(Refusal::OutboxFull);
    }
    let Checked { request, model, price, metered } = *checked;
    let policy = known.policy;
    let now_ms = now.monotonic_ms;
    let repeatable = open.idempotency.map(|sent| repetition::id_of(&policy.key, &sent));
    if repeatable.is_some() && !known.host.shares_memory() {
        return Err(Refusal::NotEnforceable);
    }
    if let Some(id) = repeatable {
        repetition::check(memory, id, now_ms)?;
    }
    let groups = groups_of(known, &model.name)?;
    let costs = metered != Metered::Nothing;
    let counts_tokens = costs && windows::count_tokens(&groups);
    let version = (known.models.version, price.multiplier);
    let mut ask = ask_of(request, model, known.writing, version);
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
    let ceiling = policy.max_call.filter(|_| costs);
    bounds = bounds
        .under_ceiling(&price, ceiling)
        .map_err(|need| Refusal::CallTooExpensive { need, most: ceiling.unwrap_or_default() })?;
    let window_call = |output_tokens| WindowCall {
        vm: known.vm,
        tokens: if counts_tokens { bounds.window_tokens(output_tokens) } else { 0 },
    };
    // Nobody is asked for money, and nobody is told that there is none, while a window is full.
    let check = |memory: &mut dyn SharedMemory| {
        windows::check(memory, &groups, window_call(bounds.output_tokens()), now_ms)
    };
    let pays = costs && policy.budgeted;
    let reserves = pays || counts_tokens || ceiling.is_some();
    known.writing.check(open, model, reserves, metered)?;
    let takes_permit = windows::takes_permit(&policy.limits, &model.name);
    let mut output_tokens = bounds.output_tokens();
    let mut drawn = None;
    if pays || takes_permit {
        let call = Money { bounds: &bounds, price: &price, pays, takes_permit };
        match draw(pool, policy, open, &call, now_ms) {
            Some((lease, draw, tokens)) => {
                output_tokens = tokens;
                drawn = Some((lease, draw));
            }
            None => {
                check(memory)?;
                if let Some(why) = &open.refused {
                    let window = windows::over_all_proxies(&policy.limits, &model.name);
                    return Err(refused_lease(why, window.filter(|_| !pays)));
                }
                if !ask.output_is_clients {
                    ask.output_tokens = output_tokens;
                }
                return Ok(Verdict::NeedLease(Box::new(ask)));
            }
        }
    }
    let window_call = window_call(output_tokens);
    let mut once = None;
    let remembered = match repeatable {
        Some(id) => repetition::begin(memory, id, now_ms).map(|begun| once = Some(begun)),
        None => Ok(()),
    };
    let told = (known.profile, now_ms);
    let counted = remembered.and_then(|()| windows::commit(memory, &groups, window_call, told));
    let standings = match counted {
        Ok(standings) => standings,
        Err(refusal) => {
            if let Some((lease, draw)) = &drawn {
                pool.cancel(&policy.key, lease, *draw);
            }
            if let Some(once) = once {
                repetition::forget(memory, once);
            }
            return Err(refusal);
        }
    };
    let estimate = open.is_dry_run.then(|| {
        // Where nothing is reserved, no limit is written either.
        let open_ended = Bounds::new(&ask, None);
        let bounds = if reserves { bounds.lowered_to(output_tokens) } else { open_ended };
        let costs = match model.price {
            _ if !costs => Costs::Nothing,
            None => Costs::Unknown,
            Some(_) => Costs::Price(&price),
        };
        Estimate::of(&ask, &bounds, costs)
    });
    let output_limit = reserves.then_some(output_tokens);
    let terms =
        Terms { drawn, groups, window_call, standings, once, output_limit, would_refuse: None };
    let forward = forward_of(open, known, checked, &ask, (terms, estimate), now_ms);
    Ok(Verdict::Forward(Box::new(forward)))
}
