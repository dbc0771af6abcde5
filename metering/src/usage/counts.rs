//! The counts of a usage report as its dialect means them, and what they are in the semantics of
//! [`Usage`] (WIRE 2.1).

use wire::v1::Usage;

/// A count that a report can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Input,
    Output,
    Total,
    Cached,
    /// All that was written to a cache, for whatever time.
    CacheWrite,
    CacheWriteMinutes,
    CacheWriteHours,
    AudioInput,
    ImageInput,
    CachedAudio,
    CachedImage,
    AudioOutput,
    ImageOutput,
    Reasoning,
    /// Input that tools brought, beside the prompt.
    ToolPrompt,
    ToolCalls,
}

const COUNTS: usize = Count::ToolCalls as usize + 1;

/// The counts that a report, or several, have given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts([Option<u64>; COUNTS]);

impl Counts {
    pub(super) fn known(&self, count: Count) -> Option<u64> {
        self.0.get(count as usize).copied().flatten()
    }

    fn of(&self, count: Count) -> u64 {
        self.known(count).unwrap_or(0)
    }

    pub(super) fn set(&mut self, count: Count, value: u64) {
        if let Some(slot) = self.0.get_mut(count as usize) {
            *slot = Some(value);
        }
    }

    pub(super) fn add(&mut self, count: Count, value: u64) {
        self.set(count, self.of(count).saturating_add(value));
    }

    /// Adds every count of another report.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (slot, more) in self.0.iter_mut().zip(other.0) {
            if let Some(more) = more {
                *slot = Some(slot.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// Takes over what a later report of the same running totals says. A total never falls back to
    /// nothing: gateways that do not know a count write 0, first or last (WIRE 2.6).
    pub(super) fn follow(&mut self, later: &Self) {
        for (slot, new) in self.0.iter_mut().zip(later.0) {
            if new.is_some_and(|new| new > 0) || slot.is_none() {
                *slot = new;
            }
        }
    }

    /// OpenAI: kinds are parts of input and output. Of some upstreams (xAI, Gemini's OpenAI path)
    /// `completion_tokens` is without the reasoning, which then shows in the total alone, or as
    /// more reasoning than output: that is output too. The total also stands for an output that is
    /// left out.
    pub(super) fn openai(&self) -> Option<Usage> {
        let input = self.known(Count::Input)?;
        let total = self.known(Count::Total);
        let shown = self.known(Count::Output).or_else(|| total?.checked_sub(input))?;
        let reasoning = self.of(Count::Reasoning);
        let apart = if reasoning > shown { reasoning } else { 0 };
        let by_total = total.unwrap_or(0).saturating_sub(input);
        let output = shown.saturating_add(apart).max(by_total);
        Some(self.kinds(input, output, self.of(Count::Cached), reasoning))
    }

    /// Embeddings: there is no output, so the total is the input where that is left out.
    pub(super) fn embeddings(&self) -> Option<Usage> {
        let input = self.known(Count::Input).or(self.known(Count::Total))?;
        Some(self.kinds(input, 0, self.of(Count::Cached), 0))
    }

    /// Anthropic: both cache kinds stand beside the input.
    pub(super) fn anthropic(&self) -> Option<Usage> {
        let (rest, output) = (self.known(Count::Input)?, self.known(Count::Output)?);
        let cached = self.of(Count::Cached);
        let (minutes, hours) = self.cache_writes();
        let input = [cached, minutes, hours].into_iter().fold(rest, u64::saturating_add);
        Some(self.kinds(input, output, cached, self.of(Count::Reasoning)))
    }

    /// Gemini: thoughts stand beside the candidates' tokens, what tools brought beside the prompt.
    /// Cached audio and images are in the prompt's details too: they count once, as cached.
    pub(super) fn gemini(&self) -> Option<Usage> {
        let input = self.known(Count::Input)?.saturating_add(self.of(Count::ToolPrompt));
        let thoughts = self.of(Count::Reasoning);
        let output = self.of(Count::Output).saturating_add(thoughts);
        let mut own = *self;
        for (kind, cached) in
            [(Count::AudioInput, Count::CachedAudio), (Count::ImageInput, Count::CachedImage)]
        {
            own.set(kind, self.of(kind).saturating_sub(self.of(cached)));
        }
        Some(own.kinds(input, output, self.of(Count::Cached), thoughts))
    }

    /// Says every write by its time, so that counts of several calls can be added.
    pub(super) fn split_cache_writes(&mut self) {
        let (minutes, hours) = self.cache_writes();
        self.set(Count::CacheWrite, 0);
        self.set(Count::CacheWriteMinutes, minutes);
        self.set(Count::CacheWriteHours, hours);
    }

    /// Those for minutes and those for hours. Without a split all are for minutes, the default.
    fn cache_writes(&self) -> (u64, u64) {
        let hours = self.of(Count::CacheWriteHours);
        let split = hours.saturating_add(self.of(Count::CacheWriteMinutes));
        (self.of(Count::CacheWrite).max(split).saturating_sub(hours), hours)
    }

    fn kinds(&self, input: u64, output: u64, cached: u64, reasoning: u64) -> Usage {
        let (minutes, hours) = self.cache_writes();
        Usage {
            input_tokens: input,
            cached_input_tokens: cached.min(input),
            cache_write_tokens: minutes.min(input),
            cache_write_1h_tokens: hours.min(input),
            audio_input_tokens: self.of(Count::AudioInput).min(input),
            image_input_tokens: self.of(Count::ImageInput).min(input),
            output_tokens: output,
            reasoning_tokens: reasoning.min(output),
            audio_output_tokens: self.of(Count::AudioOutput).min(output),
            image_output_tokens: self.of(Count::ImageOutput).min(output),
            server_tool_calls: self.of(Count::ToolCalls),
        }
    }
}

/// Tools that OpenAI's Responses ran for one answer, which its `usage` leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ToolUse {
    /// Web searches by `tool_usage`, where it says.
    pub(super) searches: Option<u64>,
    /// Items of the output that were calls of a web search, of another priced tool, of images.
    pub(super) search_items: u64,
    pub(super) tool_items: u64,
    pub(super) image_items: u64,
    /// Tokens of generated images by `tool_usage`, where it says.
    pub(super) images: Counts,
}

impl ToolUse {
    /// Adds what the tools did. Images are output of the model that drew them; where their tokens
    /// are not told each is one call.
    pub(super) fn added_to(&self, usage: Usage) -> Usage {
        let drawn = self.images.known(Count::Output);
        let untold = if drawn.is_some() { 0 } else { self.image_items };
        let calls = self.searches.unwrap_or(self.search_items);
        // Where the usage counts tools itself, their items are those.
        let (calls, items) = match usage.server_tool_calls {
            0 => (calls, self.tool_items),
            _ => (0, 0),
        };
        let (input, output) = (self.images.of(Count::Input), drawn.unwrap_or(0));
        let images = self.images.of(Count::ImageInput).min(input);
        Usage {
            input_tokens: usage.input_tokens.saturating_add(input),
            image_input_tokens: usage.image_input_tokens.saturating_add(images),
            output_tokens: usage.output_tokens.saturating_add(output),
            image_output_tokens: usage.image_output_tokens.saturating_add(output),
            server_tool_calls: [calls, items, untold]
                .into_iter()
                .fold(usage.server_tool_calls, u64::saturating_add),
            ..usage
        }
    }
}
