//! What a usage costs. Prices are pico-USD per token and a plan's multiplier is in millionths, so
//! tokens times price times multiplier is exact; that sum is rounded up to nano-USD once per call,
//! against the spender. [`Price::multiplier`] is applied here and nowhere else.

use wire::v1::{Price, Rates, Usage};
use wire::{NanoUsd, PicoUsdPerToken, PriceMultiplier};

const PICO_PER_NANO: u128 = 1_000;
/// Sums are in millionths of a pico-USD once they have been multiplied.
const MULTIPLIED_PER_NANO: u128 = PICO_PER_NANO * PriceMultiplier::ONE.ppm() as u128;

/// Cost of a usage in nano-USD, rounded up once. A cost that does not fit is [`NanoUsd::MAX`],
/// which no cap admits.
///
/// Kinds of input are parts of `input_tokens`, kinds of output of `output_tokens` (WIRE 2.1,
/// OpenAI's semantics). A report in which the parts come to more than the whole is read as if the
/// later kinds were fewer, in the order of the fields. The tier is that of all input tokens.
#[must_use]
pub fn cost(usage: &Usage, price: &Price) -> NanoUsd {
    let rates = rates_at(usage.input_tokens, price);
    let mut input = Whole::of(usage.input_tokens);
    let cached = input.take(usage.cached_input_tokens);
    let written = input.take(usage.cache_write_tokens);
    let written_1h = input.take(usage.cache_write_1h_tokens);
    let audio = input.take(usage.audio_input_tokens);
    let images = input.take(usage.image_input_tokens);
    let mut output = Whole::of(usage.output_tokens);
    let audio_output = output.take(usage.audio_output_tokens);
    let image_output = output.take(usage.image_output_tokens);
    let kinds = [
        (input.rest, rates.input),
        (cached, rates.cached_input.unwrap_or(rates.input)),
        (written, cache_write(rates)),
        (written_1h, cache_write_1h(rates)),
        (audio, rates.audio_input.unwrap_or_else(|| dearest_input(rates))),
        (images, rates.image_input.unwrap_or(rates.input)),
        (output.rest, rates.output),
        (audio_output, rates.audio_output.unwrap_or_else(|| dearest_output(rates))),
        (image_output, rates.image_output.unwrap_or_else(|| dearest_output(rates))),
    ];
    let tokens = kinds
        .into_iter()
        .fold(0u128, |sum, (tokens, price)| sum.saturating_add(times(tokens, price)));
    round_up(multiplied(tokens.saturating_add(surcharges(usage.server_tool_calls, price)), price))
}

/// Upper bound of the cost of a call that uses at most these tokens and tools, whatever kinds of
/// tokens they turn out to be and in whichever tier: every token at the dearest price of its
/// direction.
#[must_use]
pub fn bound(
    input_tokens: u64,
    output_tokens: u64,
    server_tool_calls: u64,
    price: &Price,
) -> NanoUsd {
    let (input, output) = dearest(input_tokens, price);
    let tokens = times(input_tokens, input).saturating_add(times(output_tokens, output));
    round_up(multiplied(tokens.saturating_add(surcharges(server_tool_calls, price)), price))
}

/// The most output tokens for which [`bound`] stays within `money`, or `None` when not even the
/// rest of the call fits. A free output is limited only by `u64`.
#[must_use]
pub fn affordable_output(
    input_tokens: u64,
    server_tool_calls: u64,
    price: &Price,
    money: NanoUsd,
) -> Option<u64> {
    let (input, output) = dearest(input_tokens, price);
    let fixed = times(input_tokens, input).saturating_add(surcharges(server_tool_calls, price));
    let money = u128::from(money.0) * MULTIPLIED_PER_NANO;
    let left = money.checked_sub(multiplied(fixed, price))?;
    if output.0 == 0 {
        return Some(u64::MAX);
    }
    let each = multiplied(u128::from(output.0), price);
    Some(u64::try_from(left / each).unwrap_or(u64::MAX))
}

/// A count of tokens of which kinds are taken.
struct Whole {
    rest: u64,
}

impl Whole {
    fn of(tokens: u64) -> Self {
        Self { rest: tokens }
    }

    fn take(&mut self, tokens: u64) -> u64 {
        let taken = tokens.min(self.rest);
        self.rest = self.rest.saturating_sub(taken);
        taken
    }
}

/// Prices of a call with this much input.
fn rates_at(input_tokens: u64, price: &Price) -> &Rates {
    let tiers = price.tiers.iter().filter(|tier| input_tokens > tier.above_input_tokens);
    tiers.last().map_or(&price.rates, |tier| &tier.rates)
}

/// The dearest prices of input and output that a call with at most this much input can meet.
fn dearest(input_tokens: u64, price: &Price) -> (PicoUsdPerToken, PicoUsdPerToken) {
    let tiers = price.tiers.iter().filter(|tier| input_tokens > tier.above_input_tokens);
    let rates = std::iter::once(&price.rates).chain(tiers.map(|tier| &tier.rates));
    rates.fold(Default::default(), |(input, output), rates| {
        (dearest_input(rates).max(input), dearest_output(rates).max(output))
    })
}

fn dearest_input(rates: &Rates) -> PicoUsdPerToken {
    let kinds = [
        rates.cached_input,
        rates.cache_write,
        rates.cache_write_1h,
        rates.audio_input,
        rates.image_input,
    ];
    kinds.into_iter().flatten().fold(rates.input, PicoUsdPerToken::max)
}

fn dearest_output(rates: &Rates) -> PicoUsdPerToken {
    let kinds = [rates.audio_output, rates.image_output];
    kinds.into_iter().flatten().fold(rates.output, PicoUsdPerToken::max)
}

fn cache_write(rates: &Rates) -> PicoUsdPerToken {
    rates.cache_write.unwrap_or(rates.input)
}

fn cache_write_1h(rates: &Rates) -> PicoUsdPerToken {
    rates.cache_write_1h.unwrap_or_else(|| cache_write(rates))
}

/// What does not depend on tokens, in pico-USD. A tool without a price is refused before the call;
/// one that was used all the same costs what the call costs anyway.
fn surcharges(server_tool_calls: u64, price: &Price) -> u128 {
    let tools = u128::from(server_tool_calls)
        .saturating_mul(u128::from(price.per_server_tool_call.unwrap_or_default().0));
    tools.saturating_add(u128::from(price.per_call.0)).saturating_mul(PICO_PER_NANO)
}

fn times(tokens: u64, price: PicoUsdPerToken) -> u128 {
    u128::from(tokens) * u128::from(price.0)
}

/// Pico-USD under the plan, in millionths.
fn multiplied(pico: u128, price: &Price) -> u128 {
    pico.saturating_mul(u128::from(price.multiplier.ppm()))
}

fn round_up(multiplied: u128) -> NanoUsd {
    NanoUsd(u64::try_from(multiplied.div_ceil(MULTIPLIED_PER_NANO)).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "price_tests.rs"]
pub(crate) mod tests;
