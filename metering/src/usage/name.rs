//! The member names and string values that mean something in an answer.
//!
//! They are looked up in a table. A `match` over so many texts becomes fourteen kilobytes of comparisons,
//! which every proxy would compile before it is ready, and is no faster.

/// Longest of all words, in bytes.
const LONGEST: usize = 37;

/// Words by length, and at which of them each length begins.
struct Table<K: 'static, const COUNT: usize> {
    words: [(&'static [u8], K); COUNT],
    starts: [u8; LONGEST + 2],
}

impl<K: Copy, const COUNT: usize> Table<K, COUNT> {
    /// Made by the compiler, which refuses a word that is too long or one too many.
    const fn of(unsorted: &[(&'static [u8], K)]) -> Self {
        let mut words = [unsorted[0]; COUNT];
        let mut starts = [0; LONGEST + 2];
        let (mut length, mut filled) = (0, 0);
        while length <= LONGEST {
            assert!(filled <= u8::MAX as usize, "more words than a byte can number");
            starts[length] = filled as u8;
            let mut at = 0;
            while at < COUNT {
                if unsorted[at].0.len() == length {
                    words[filled] = unsorted[at];
                    filled += 1;
                }
                at += 1;
            }
            length += 1;
        }
        assert!(filled == COUNT, "a word is longer than all");
        starts[length] = filled as u8;
        Self { words, starts }
    }

    fn find(&self, text: &[u8]) -> Option<K> {
        let start = *self.starts.get(text.len())?;
        let end = *self.starts.get(text.len() + 1)?;
        let of_length = self.words.get(usize::from(start)..usize::from(end))?;
        // Most words of a length differ in their first letters, which costs less to see than a call.
        let first = text.first();
        let is_it = |(word, _): &&(&[u8], K)| word.first() == first && *word == text;
        of_length.iter().find(is_it).map(|(_, kind)| *kind)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident = $($text:literal)|+,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(super) enum $kind {
            #[default]
            Other,
            $($variant,)*
        }

        impl $kind {
            const WORDS: &[(&'static [u8], Self)] =
                &[$($(($text as &[u8], Self::$variant),)+)*];

            pub(super) fn of(text: &[u8]) -> Self {
                static TABLE: Table<$kind, { $kind::WORDS.len() }> = Table::of($kind::WORDS);
                TABLE.find(text).unwrap_or_default()
            }
        }
    };
}

words! {
    /// A member's name, in any dialect.
    Name {
        // envelopes
        Usage = b"usage",
        UsageMetadata = b"usageMetadata",
        Response = b"response",
        Message = b"message",
        Type = b"type",
        SequenceNumber = b"sequence_number",
        CostUsd = b"cost_usd",
        // counts of OpenAI, some of them of Anthropic too
        PromptTokens = b"prompt_tokens",
        CompletionTokens = b"completion_tokens",
        InputTokens = b"input_tokens",
        OutputTokens = b"output_tokens",
        TotalTokens = b"total_tokens",
        PromptDetails = b"prompt_tokens_details",
        CompletionDetails = b"completion_tokens_details",
        InputDetails = b"input_tokens_details" | b"input_token_details",
        OutputDetails = b"output_tokens_details" | b"output_token_details",
        CachedTokens = b"cached_tokens",
        CacheWriteTokens = b"cache_write_tokens",
        CacheWriteDetails = b"cache_write_tokens_details",
        LongCacheWrite = b"ttl_12h_tokens",
        AudioTokens = b"audio_tokens",
        ImageTokens = b"image_tokens",
        ReasoningTokens = b"reasoning_tokens",
        ToolUsage = b"tool_usage",
        WebSearch = b"web_search",
        RequestCount = b"num_requests",
        ImageGen = b"image_gen",
        // counts of Anthropic
        CacheCreationInputTokens = b"cache_creation_input_tokens",
        CacheReadInputTokens = b"cache_read_input_tokens",
        CacheCreation = b"cache_creation",
        Ephemeral5m = b"ephemeral_5m_input_tokens",
        Ephemeral1h = b"ephemeral_1h_input_tokens",
        ThinkingTokens = b"thinking_tokens",
        ServerToolUse = b"server_tool_use",
        // Fetches (`web_fetch_requests`) cost their tokens and nothing else.
        PricedRequests = b"web_search_requests" | b"code_execution_requests",
        Iterations = b"iterations",
        // Uses of tools by other servers: sources that were read (xAI), searches (Perplexity).
        SearchCount = b"num_sources_used" | b"num_search_queries",
        ToolUseDetails = b"server_side_tool_usage_details",
        // Calls of remote tools (`mcp_calls`) cost their tokens and nothing else.
        PricedCalls = b"web_search_calls"
            | b"x_search_calls"
            | b"code_interpreter_calls"
            | b"file_search_calls"
            | b"document_search_calls",
        // counts of Gemini; the second spelling is the Live API's
        PromptTokenCount = b"promptTokenCount",
        CandidatesTokenCount = b"candidatesTokenCount" | b"responseTokenCount",
        ThoughtsTokenCount = b"thoughtsTokenCount",
        ToolUsePromptTokenCount = b"toolUsePromptTokenCount",
        CachedContentTokenCount = b"cachedContentTokenCount",
        PromptTokensDetails = b"promptTokensDetails",
        CandidatesTokensDetails = b"candidatesTokensDetails" | b"responseTokensDetails",
        ToolUsePromptTokensDetails = b"toolUsePromptTokensDetails",
        CacheTokensDetails = b"cacheTokensDetails",
        Modality = b"modality",
        TokenCount = b"tokenCount",
        // output
        Choices = b"choices",
        Delta = b"delta",
        Output = b"output",
        Content = b"content",
        Text = b"text",
        Refusal = b"refusal",
        Annotations = b"annotations",
        Reasoning = b"reasoning" | b"reasoning_content",
        Arguments = b"arguments",
        Transcript = b"transcript",
        Input = b"input",
        Code = b"code",
        Summary = b"summary",
        ContentBlock = b"content_block",
        Thinking = b"thinking",
        PartialJson = b"partial_json",
        Candidates = b"candidates",
        Parts = b"parts",
        Thought = b"thought",
        FunctionCall = b"functionCall",
        Args = b"args",
        ExecutableCode = b"executableCode",
        InlineData = b"inlineData",
        Data = b"data",
        FinishReason = b"finishReason",
        PromptFeedback = b"promptFeedback",
        BlockReason = b"blockReason",
        GroundingMetadata = b"groundingMetadata",
        WebSearchQueries = b"webSearchQueries",
        GroundingChunks = b"groundingChunks",
        Web = b"web",
        Maps = b"maps",
    }
}

words! {
    /// A string value: what an event, an item or a modality is.
    Word {
        Audio = b"AUDIO",
        Image = b"IMAGE",
        // Iterations whose tokens Anthropic leaves out of its top-level counts.
        Apart = b"compaction" | b"advisor_message",
        MessageStop = b"message_stop",
        ResponseEnd = b"response.completed" | b"response.incomplete" | b"response.failed",
        // A summary of tokens that count elsewhere, so not one token each.
        SummaryDelta = b"response.reasoning_summary_text.delta",
        SearchCall = b"web_search_call",
        // A shell's output is in the answer where the provider ran it, and the client's to send
        // where it ran there.
        ToolCall = b"file_search_call"
            | b"code_interpreter_call"
            | b"shell_call_output"
            | b"x_search_call",
        UrlCitation = b"url_citation",
        ImageCall = b"image_generation_call",
    }
}

impl Word {
    /// A modality by its number in Google's API (`Modality` of `content.proto`).
    pub(super) fn of_modality(number: u64) -> Self {
        match number {
            2 => Self::Image,
            4 => Self::Audio,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_is_found<K: Copy + PartialEq + Default + std::fmt::Debug>(
        words: &[(&[u8], K)],
        of: fn(&[u8]) -> K,
    ) {
        for (word, kind) in words {
            assert_eq!(of(word), *kind, "{word:?}");
            let mut other = word.to_vec();
            other.push(b'_');
            assert_eq!(of(&other), K::default(), "{other:?}");
            assert_eq!(of(&word[1..]), K::default(), "{word:?} from its second letter");
        }
        for text in [b"".as_slice(), b"_", &[b'a'; LONGEST], &[b'a'; LONGEST + 1], &[b'a'; 600]] {
            assert_eq!(of(text), K::default(), "{text:?}");
        }
        let longest = words.iter().map(|(word, _)| word.len()).max();
        assert!(longest <= Some(LONGEST));
    }

    #[test]
    fn every_word_is_found_and_nothing_else() {
        each_is_found(Name::WORDS, Name::of);
        each_is_found(Word::WORDS, Word::of);
        assert_eq!(Name::of(b"cached_tokens"), Name::CachedTokens);
        assert_eq!(Word::of(b"response.reasoning_summary_text.delta"), Word::SummaryDelta);
    }
}
