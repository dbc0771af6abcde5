//! What usage blocks cost, computed by hand: block, price, working, nano-USD.
//!
//! Prices are USD per million tokens, so tokens × price is micro-USD; the working has one term for
//! each kind of token, `tokens*price`, and plain amounts for calls and tools. The result is
//! rounded up to nano-USD once.

use metering::price::{affordable_output, bound, cost};
use metering::usage::{AnswerFormat, PlainAnswer};
use wire::v1::{Price, Rates, Tier, Tiers};
use wire::{NanoUsd, PicoUsdPerToken, PriceMultiplier};

use AnswerFormat::{
    AnthropicMessages as Anthropic, GeminiEmbed, GeminiGenerate as Gemini, OpenAiChat as Chat,
    OpenAiEmbeddings as Embeddings, OpenAiResponses as Responses,
};

/// The answer's format, its usage block, the price, the working in micro-USD, the cost in nano-USD.
type Row = (AnswerFormat, &'static str, Tariff, &'static str, u64);

#[derive(Debug, Clone, Copy)]
enum Tariff {
    /// 0.15 in, 0.60 out, 0.075 cached.
    Mini,
    /// 2.50 in, 10 out, 1.25 cached, audio 40 in and 80 out.
    Omni,
    /// 5 in, 25 out, 1.25 cached, 10 images in, 40 images out.
    Draw,
    /// 3 in, 15 out, 0.30 cached, 3.75 and 6 cache writes; above 200,000: 6, 22.50, 0.60, 7.50, 12;
    /// 0.01 USD (10,000 micro-USD) per tool.
    Sonnet,
    /// 1.25 in, 10 out, 0.125 cached, audio 2.50; above 200,000: 2.50, 15, 0.25, audio 5;
    /// 0.014 USD (14,000 micro-USD) per tool.
    Pro,
    /// 1 in, 2 out; above 128,000: 2, 4; above 256,000: 4, 8.
    TwoTiers,
    /// 0.02 in, no output.
    Vectors,
    /// 1 in, 2 out, 0.005 USD (5,000 micro-USD) for each call.
    PerCall,
    /// 0.00013 in, 0.00027 out, 0.00001 cached: fractions of a nano-USD.
    Tiny,
    /// Nothing, said explicitly.
    Free,
}

fn per_mtok(text: &str) -> PicoUsdPerToken {
    PicoUsdPerToken::from_usd_per_mtok(text).unwrap()
}

fn text(input: &str, output: &str, cached: Option<&str>) -> Price {
    Price::text(per_mtok(input), per_mtok(output), cached.map(per_mtok))
}

fn claude(input: &str, output: &str, cached: &str, minutes: &str, hour: &str) -> Rates {
    Rates {
        cache_write: Some(per_mtok(minutes)),
        cache_write_1h: Some(per_mtok(hour)),
        ..text(input, output, Some(cached)).rates
    }
}

fn with_audio(rates: Rates, input: &str) -> Rates {
    Rates { audio_input: Some(per_mtok(input)), ..rates }
}

fn tiers<const N: usize>(tiers: [(u64, Rates); N]) -> Tiers {
    let tiers = tiers.map(|(above_input_tokens, rates)| Tier { above_input_tokens, rates });
    Tiers::try_from(tiers.to_vec()).unwrap()
}

impl Tariff {
    fn price(self) -> Price {
        let usd = |text| NanoUsd::from_usd(text).unwrap();
        match self {
            Self::Mini => text("0.15", "0.60", Some("0.075")),
            Self::Omni => {
                let rates = with_audio(text("2.50", "10", Some("1.25")).rates, "40");
                let rates = Rates { audio_output: Some(per_mtok("80")), ..rates };
                Price { rates, ..Price::default() }
            }
            Self::Draw => {
                let rates = Rates {
                    image_input: Some(per_mtok("10")),
                    image_output: Some(per_mtok("40")),
                    ..text("5", "25", Some("1.25")).rates
                };
                Price { rates, ..Price::default() }
            }
            Self::Sonnet => Price {
                rates: claude("3", "15", "0.30", "3.75", "6"),
                tiers: tiers([(200_000, claude("6", "22.50", "0.60", "7.50", "12"))]),
                per_server_tool_call: Some(usd("0.01")),
                ..Price::default()
            },
            Self::Pro => {
                let long = with_audio(text("2.50", "15", Some("0.25")).rates, "5");
                Price {
                    rates: with_audio(text("1.25", "10", Some("0.125")).rates, "2.50"),
                    tiers: tiers([(200_000, long)]),
                    per_server_tool_call: Some(usd("0.014")),
                    ..Price::default()
                }
            }
            Self::TwoTiers => {
                let (long, longer) = (text("2", "4", None).rates, text("4", "8", None).rates);
                Price { tiers: tiers([(128_000, long), (256_000, longer)]), ..text("1", "2", None) }
            }
            Self::Vectors => text("0.02", "0", None),
            Self::PerCall => Price { per_call: usd("0.005"), ..text("1", "2", None) },
            Self::Tiny => text("0.00013", "0.00027", Some("0.00001")),
            Self::Free => text("0", "0", None),
        }
    }
}

use Tariff::{Draw, Free, Mini, Omni, PerCall, Pro, Sonnet, Tiny, TwoTiers, Vectors};

#[rustfmt::skip]
const CHAT: &[Row] = &[
    (Chat, r#"{"prompt_tokens":1,"completion_tokens":0}"#, Mini, "1*0.15", 150),
    (Chat, r#"{"prompt_tokens":0,"completion_tokens":1}"#, Mini, "1*0.60", 600),
    (Chat, r#"{"prompt_tokens":0,"completion_tokens":0}"#, Mini, "0", 0),
    (Chat, r#"{"prompt_tokens":1000000,"completion_tokens":1000000}"#, Mini, "1000000*0.15 + 1000000*0.60", 750_000_000),
    (Chat, r#"{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920},"completion_tokens_details":{"reasoning_tokens":128}}"#, Mini, "86*0.15 + 1920*0.075 + 300*0.60", 336_900),
    // all input cached; more cached than there is
    (Chat, r#"{"prompt_tokens":1024,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":1024}}"#, Mini, "1024*0.075 + 5*0.60", 79_800),
    (Chat, r#"{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":400}}"#, Mini, "100*0.075 + 5*0.60", 10_500),
    // nulls are absent
    (Chat, r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}"#, Mini, "10*0.15 + 5*0.60", 4_500),
    // reasoning is part of the output, and beside it at xAI and on Gemini's OpenAI path
    (Chat, r#"{"prompt_tokens":50,"completion_tokens":500,"total_tokens":550,"completion_tokens_details":{"reasoning_tokens":450}}"#, Mini, "50*0.15 + 500*0.60", 307_500),
    (Chat, r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}"#, Mini, "32*0.15 + 103*0.60", 66_600),
    (Chat, r#"{"prompt_tokens":20,"completion_tokens":198,"total_tokens":623}"#, Mini, "20*0.15 + 603*0.60", 364_800),
    (Chat, r#"{"prompt_tokens":21,"completion_tokens":0,"completion_tokens_details":{"reasoning_tokens":60}}"#, Mini, "21*0.15 + 60*0.60", 39_150),
    // cache writes without a price of their own cost as input; the longer ones too
    (Chat, r#"{"prompt_tokens":1000,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":200,"cache_write_tokens":300}}"#, Mini, "800*0.15 + 200*0.075 + 10*0.60", 141_000),
    (Chat, r#"{"prompt_tokens":1000,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":200,"cache_write_tokens":300}}"#, Sonnet, "500*3 + 200*0.30 + 300*3.75 + 10*15", 2_835_000),
    // audio and images
    (Chat, r#"{"prompt_tokens":500,"completion_tokens":90,"prompt_tokens_details":{"audio_tokens":420},"completion_tokens_details":{"audio_tokens":60}}"#, Omni, "80*2.50 + 420*40 + 30*10 + 60*80", 22_100_000),
    (Chat, r#"{"prompt_tokens":300,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":100,"audio_tokens":50}}"#, Omni, "150*2.50 + 100*1.25 + 50*40 + 20*10", 2_700_000),
    (Chat, r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"image_tokens":7},"completion_tokens_details":{"image_tokens":2}}"#, Draw, "3*5 + 7*10 + 1*25 + 2*40", 190_000),
    // audio without a price costs as the dearest of its direction
    (Chat, r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"audio_tokens":4},"completion_tokens_details":{"audio_tokens":2}}"#, Draw, "6*5 + 4*10 + 1*25 + 2*40", 175_000),
    // a search by OpenRouter
    (Chat, r#"{"prompt_tokens":194,"completion_tokens":2,"cost":0.95,"server_tool_use":{"web_search_requests":2}}"#, Sonnet, "194*3 + 2*15 + 2*10000", 20_612_000),
    // tiers price the whole call, strictly above their border
    (Chat, r#"{"prompt_tokens":128000,"completion_tokens":10}"#, TwoTiers, "128000*1 + 10*2", 128_020_000),
    (Chat, r#"{"prompt_tokens":128001,"completion_tokens":10}"#, TwoTiers, "128001*2 + 10*4", 256_042_000),
    (Chat, r#"{"prompt_tokens":256000,"completion_tokens":10}"#, TwoTiers, "256000*2 + 10*4", 512_040_000),
    (Chat, r#"{"prompt_tokens":256001,"completion_tokens":10}"#, TwoTiers, "256001*4 + 10*8", 1_024_084_000),
    // per call, free, and fractions of a nano-USD rounded up once
    (Chat, r#"{"prompt_tokens":0,"completion_tokens":0}"#, PerCall, "5000", 5_000_000),
    (Chat, r#"{"prompt_tokens":7,"completion_tokens":16}"#, PerCall, "7*1 + 16*2 + 5000", 5_039_000),
    (Chat, r#"{"prompt_tokens":123456,"completion_tokens":7890}"#, Free, "0", 0),
    (Chat, r#"{"prompt_tokens":1,"completion_tokens":0}"#, Tiny, "1*0.00013", 1),
    (Chat, r#"{"prompt_tokens":1,"completion_tokens":1}"#, Tiny, "1*0.00013 + 1*0.00027", 1),
    (Chat, r#"{"prompt_tokens":4,"completion_tokens":2}"#, Tiny, "4*0.00013 + 2*0.00027", 2),
    (Chat, r#"{"prompt_tokens":100,"completion_tokens":0}"#, Tiny, "100*0.00013", 13),
    (Chat, r#"{"prompt_tokens":101,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":100}}"#, Tiny, "1*0.00013 + 100*0.00001", 2),
];

#[rustfmt::skip]
const RESPONSES: &[Row] = &[
    (Responses, r#"{"input_tokens":2006,"input_tokens_details":{"cached_tokens":1920,"cache_write_tokens":0},"output_tokens":300,"output_tokens_details":{"reasoning_tokens":128},"total_tokens":2306}"#, Mini, "86*0.15 + 1920*0.075 + 300*0.60", 336_900),
    (Responses, r#"{"input_tokens":8,"output_tokens":0,"total_tokens":8}"#, Mini, "8*0.15", 1_200),
    (Responses, r#"{"input_tokens":200001,"output_tokens":4}"#, Pro, "200001*2.50 + 4*15", 500_062_500),
    (Responses, r#"{"input_tokens":200000,"output_tokens":4}"#, Pro, "200000*1.25 + 4*10", 250_040_000),
    (Responses, r#"{"input_tokens":900,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":300,"cache_write_tokens_details":{"ttl_30m_tokens":200,"ttl_12h_tokens":100}},"output_tokens":50}"#, Sonnet, "500*3 + 100*0.30 + 200*3.75 + 100*6 + 50*15", 3_630_000),
    (Responses, r#"{"input_tokens":60,"input_tokens_details":{"image_tokens":40},"output_tokens":4160,"output_tokens_details":{"image_tokens":4160}}"#, Draw, "20*5 + 40*10 + 4160*40", 166_900_000),
    (Responses, r#"{"input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":45}"#, Omni, "14*40 + 45*10", 1_010_000),
    (Responses, r#"{"input_tokens":10,"output_tokens":10}"#, PerCall, "10*1 + 10*2 + 5000", 5_030_000),
];

#[rustfmt::skip]
const EMBEDDINGS: &[Row] = &[
    (Embeddings, r#"{"prompt_tokens":8,"total_tokens":8}"#, Vectors, "8*0.02", 160),
    (Embeddings, r#"{"prompt_tokens":1000000,"total_tokens":1000000}"#, Vectors, "1000000*0.02", 20_000_000),
    (Embeddings, r#"{"prompt_tokens":3}"#, Tiny, "3*0.00013", 1),
    (GeminiEmbed, r#"{"promptTokenCount":13}"#, Vectors, "13*0.02", 260),
    (GeminiEmbed, r#"{"promptTokenCount":13,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":3}]}"#, Omni, "10*2.50 + 3*40", 145_000),
];

#[rustfmt::skip]
const ANTHROPIC: &[Row] = &[
    (Anthropic, r#"{"input_tokens":10,"output_tokens":20}"#, Sonnet, "10*3 + 20*15", 330_000),
    // both cache kinds stand beside the input
    (Anthropic, r#"{"input_tokens":35,"cache_creation_input_tokens":51,"cache_read_input_tokens":1920,"output_tokens":300}"#, Sonnet, "35*3 + 51*3.75 + 1920*0.30 + 300*15", 5_372_250),
    (Anthropic, r#"{"input_tokens":0,"cache_read_input_tokens":50000,"output_tokens":1}"#, Sonnet, "50000*0.30 + 1*15", 15_015_000),
    (Anthropic, r#"{"input_tokens":3,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,"output_tokens":1}"#, Sonnet, "3*3 + 1*15", 24_000),
    // written for an hour, for minutes, for both; a split without a sum; a sum larger than its split
    (Anthropic, r#"{"input_tokens":10,"cache_creation_input_tokens":500,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":500},"output_tokens":0}"#, Sonnet, "10*3 + 500*6", 3_030_000),
    (Anthropic, r#"{"input_tokens":10,"cache_creation_input_tokens":600,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":500},"output_tokens":2}"#, Sonnet, "10*3 + 100*3.75 + 500*6 + 2*15", 3_435_000),
    (Anthropic, r#"{"input_tokens":10,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":500},"output_tokens":2}"#, Sonnet, "10*3 + 100*3.75 + 500*6 + 2*15", 3_435_000),
    (Anthropic, r#"{"input_tokens":10,"cache_creation_input_tokens":700,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":500},"output_tokens":2}"#, Sonnet, "10*3 + 200*3.75 + 500*6 + 2*15", 3_810_000),
    // thinking is part of the output
    (Anthropic, r#"{"input_tokens":1,"output_tokens":300,"output_tokens_details":{"thinking_tokens":128}}"#, Sonnet, "1*3 + 300*15", 4_503_000),
    // searches and code cost, fetches do not
    (Anthropic, r#"{"input_tokens":5,"output_tokens":5,"server_tool_use":{"web_search_requests":1,"web_fetch_requests":4}}"#, Sonnet, "5*3 + 5*15 + 1*10000", 10_090_000),
    (Anthropic, r#"{"input_tokens":5,"output_tokens":5,"server_tool_use":{"web_search_requests":2,"code_execution_requests":1}}"#, Sonnet, "5*3 + 5*15 + 3*10000", 30_090_000),
    // the tier is that of all input, cached or not
    (Anthropic, r#"{"input_tokens":1000,"cache_read_input_tokens":199000,"output_tokens":10}"#, Sonnet, "1000*3 + 199000*0.30 + 10*15", 62_850_000),
    (Anthropic, r#"{"input_tokens":1001,"cache_read_input_tokens":199000,"output_tokens":10}"#, Sonnet, "1001*6 + 199000*0.60 + 10*22.50", 125_631_000),
    (Anthropic, r#"{"input_tokens":1,"cache_creation_input_tokens":300000,"cache_creation":{"ephemeral_5m_input_tokens":100000,"ephemeral_1h_input_tokens":200000},"output_tokens":1}"#, Sonnet, "1*6 + 100000*7.50 + 200000*12 + 1*22.50", 3_150_028_500),
    // compaction and the advisor are not in the counts above them, iterations of messages are
    (Anthropic, r#"{"input_tokens":45,"output_tokens":1234,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23,"output_tokens":1000},{"type":"message","input_tokens":22,"output_tokens":234}]}"#, Sonnet, "180045*3 + 4734*15", 611_145_000),
    (Anthropic, r#"{"input_tokens":45,"output_tokens":10,"cache_creation_input_tokens":8,"iterations":[{"input_tokens":100,"output_tokens":20,"cache_creation_input_tokens":30,"cache_read_input_tokens":40,"cache_creation":{"ephemeral_1h_input_tokens":30},"type":"compaction"}]}"#, Sonnet, "145*3 + 8*3.75 + 30*6 + 40*0.30 + 30*15", 1_107_000),
    (Anthropic, r#"{"input_tokens":1,"output_tokens":1,"iterations":[{"type":"advisor_message","model":"m","input_tokens":100,"output_tokens":20}]}"#, Sonnet, "101*3 + 21*15", 618_000),
    // a price without cache writes
    (Anthropic, r#"{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":40,"output_tokens":5}"#, Mini, "30*0.15 + 40*0.075 + 5*0.60", 10_500),
    (Anthropic, r#"{"input_tokens":1,"cache_read_input_tokens":1,"output_tokens":1}"#, Tiny, "1*0.00013 + 1*0.00001 + 1*0.00027", 1),
];

#[rustfmt::skip]
const GEMINI: &[Row] = &[
    (Gemini, r#"{"promptTokenCount":2006,"cachedContentTokenCount":1920,"candidatesTokenCount":172,"thoughtsTokenCount":128,"toolUsePromptTokenCount":0,"totalTokenCount":2306}"#, Pro, "86*1.25 + 1920*0.125 + 300*10", 3_347_500),
    // thoughts are added to the output, what tools brought to the input
    (Gemini, r#"{"promptTokenCount":20,"candidatesTokenCount":198,"thoughtsTokenCount":405,"totalTokenCount":623}"#, Pro, "20*1.25 + 603*10", 6_055_000),
    (Gemini, r#"{"promptTokenCount":21,"thoughtsTokenCount":60,"totalTokenCount":81}"#, Pro, "21*1.25 + 60*10", 626_250),
    (Gemini, r#"{"promptTokenCount":10,"candidatesTokenCount":5,"toolUsePromptTokenCount":1000}"#, Pro, "1010*1.25 + 5*10", 1_312_500),
    // nothing was shown: the prompt alone
    (Gemini, r#"{"promptTokenCount":31,"totalTokenCount":31}"#, Pro, "31*1.25", 38_750),
    // audio, cached audio, audio that a tool brought
    (Gemini, r#"{"promptTokenCount":600,"candidatesTokenCount":1,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100},{"modality":"AUDIO","tokenCount":500}]}"#, Pro, "100*1.25 + 500*2.50 + 1*10", 1_385_000),
    (Gemini, r#"{"promptTokenCount":600,"candidatesTokenCount":1,"cachedContentTokenCount":400,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":500},{"modality":"TEXT","tokenCount":100}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":400}]}"#, Pro, "100*1.25 + 400*0.125 + 100*2.50 + 1*10", 435_000),
    (Gemini, r#"{"promptTokenCount":10,"candidatesTokenCount":1,"toolUsePromptTokenCount":8,"toolUsePromptTokensDetails":[{"tokenCount":8,"modality":"AUDIO"}]}"#, Pro, "10*1.25 + 8*2.50 + 1*10", 42_500),
    // the same of clients that want enumerations as numbers: 4 is audio, 2 an image, 1 text
    (Gemini, r#"{"promptTokenCount":600,"candidatesTokenCount":1,"promptTokensDetails":[{"modality":1,"tokenCount":100},{"modality":4,"tokenCount":500}]}"#, Pro, "100*1.25 + 500*2.50 + 1*10", 1_385_000),
    (Gemini, r#"{"promptTokenCount":5,"candidatesTokenCount":1300,"candidatesTokensDetails":[{"modality":2,"tokenCount":1290},{"modality":1,"tokenCount":10}]}"#, Draw, "5*5 + 10*25 + 1290*40", 51_875_000),
    // pictures out, video as plain input
    (Gemini, r#"{"promptTokenCount":50,"candidatesTokenCount":1300,"promptTokensDetails":[{"modality":"VIDEO","tokenCount":40},{"modality":"IMAGE","tokenCount":10}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290},{"modality":"TEXT","tokenCount":10}]}"#, Draw, "40*5 + 10*10 + 10*25 + 1290*40", 52_150_000),
    (Gemini, r#"{"promptTokenCount":5,"candidatesTokenCount":100,"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":100}]}"#, Omni, "5*2.50 + 100*80", 8_012_500),
    // tiers, with cached and tool input in the count
    (Gemini, r#"{"promptTokenCount":200000,"candidatesTokenCount":10}"#, Pro, "200000*1.25 + 10*10", 250_100_000),
    (Gemini, r#"{"promptTokenCount":200001,"candidatesTokenCount":10}"#, Pro, "200001*2.50 + 10*15", 500_152_500),
    (Gemini, r#"{"promptTokenCount":200000,"toolUsePromptTokenCount":1,"cachedContentTokenCount":150000,"candidatesTokenCount":10}"#, Pro, "50001*2.50 + 150000*0.25 + 10*15", 162_652_500),
    (Gemini, r#"{"promptTokenCount":300000,"candidatesTokenCount":1,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":100000}]}"#, Pro, "200000*2.50 + 100000*5 + 1*15", 1_000_015_000),
    (Gemini, r#"{"promptTokenCount":1,"candidatesTokenCount":1}"#, Tiny, "1*0.00013 + 1*0.00027", 1),
    (Gemini, r#"{"promptTokenCount":1,"candidatesTokenCount":1}"#, PerCall, "1*1 + 1*2 + 5000", 5_003_000),
];

/// Whole answers: what costs beside the usage block.
#[rustfmt::skip]
const TOOLS: &[Row] = &[
    (Responses, r#"{"output":[{"type":"web_search_call"},{"type":"web_search_call"}],"tool_usage":{"web_search":{"num_requests":1}},"usage":{"input_tokens":1,"output_tokens":1}}"#, Sonnet, "1*3 + 1*15 + 1*10000", 10_018_000),
    (Responses, r#"{"usage":{"input_tokens":1,"output_tokens":1},"output":[{"type":"web_search_call"},{"type":"file_search_call"},{"type":"code_interpreter_call"},{"type":"function_call"},{"type":"message"}]}"#, Sonnet, "1*3 + 1*15 + 3*10000", 30_018_000),
    (Responses, r#"{"output":[{"type":"image_generation_call"}],"tool_usage":{"image_gen":{"input_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens":4160}},"usage":{"input_tokens":100,"output_tokens":10}}"#, Draw, "110*5 + 40*10 + 10*25 + 4160*40", 167_600_000),
    (Responses, r#"{"output":[{"type":"image_generation_call"}],"usage":{"input_tokens":100,"output_tokens":10}}"#, Sonnet, "100*3 + 10*15 + 1*10000", 10_450_000),
    (Gemini, r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["a","b"]}}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":2}}"#, Pro, "8*1.25 + 2*10 + 2*14000", 28_030_000),
];

/// The same under a plan: everything is multiplied, then rounded up once. The working is that of the
/// prices as they are.
#[rustfmt::skip]
const PLANS: &[(&str, Row)] = &[
    ("1", (Chat, r#"{"prompt_tokens":1,"completion_tokens":0}"#, Mini, "1*0.15", 150)),
    ("1.25", (Chat, r#"{"prompt_tokens":2006,"completion_tokens":300,"prompt_tokens_details":{"cached_tokens":1920}}"#, Mini, "86*0.15 + 1920*0.075 + 300*0.60", 421_125)),
    ("1.333333", (Chat, r#"{"prompt_tokens":1,"completion_tokens":0}"#, Mini, "1*0.15", 200)),
    // fractions of a nano-USD: rounding before would make 3 of each
    ("3", (Chat, r#"{"prompt_tokens":1,"completion_tokens":1}"#, Tiny, "1*0.00013 + 1*0.00027", 2)),
    ("1.25", (Chat, r#"{"prompt_tokens":4,"completion_tokens":2}"#, Tiny, "4*0.00013 + 2*0.00027", 2)),
    ("0.5", (Chat, r#"{"prompt_tokens":1,"completion_tokens":0}"#, Tiny, "1*0.00013", 1)),
    ("1000", (Chat, r#"{"prompt_tokens":1,"completion_tokens":0}"#, Tiny, "1*0.00013", 130)),
    ("0.000001", (Chat, r#"{"prompt_tokens":0,"completion_tokens":0}"#, Mini, "0", 0)),
    ("1000", (Chat, r#"{"prompt_tokens":123456,"completion_tokens":7890}"#, Free, "0", 0)),
    // calls and tools too
    ("0.8", (Chat, r#"{"prompt_tokens":7,"completion_tokens":16}"#, PerCall, "7*1 + 16*2 + 5000", 4_031_200)),
    ("1.1", (Anthropic, r#"{"input_tokens":5,"output_tokens":5,"server_tool_use":{"web_search_requests":2,"code_execution_requests":1}}"#, Sonnet, "5*3 + 5*15 + 3*10000", 33_099_000)),
    ("1.000001", (Gemini, r#"{"promptTokenCount":1,"candidatesTokenCount":1}"#, PerCall, "1*1 + 1*2 + 5000", 5_003_006)),
    // tiers: the tokens choose them, not the money
    ("1.25", (Anthropic, r#"{"input_tokens":1000,"cache_read_input_tokens":199000,"output_tokens":10}"#, Sonnet, "1000*3 + 199000*0.30 + 10*15", 78_562_500)),
    ("1.25", (Anthropic, r#"{"input_tokens":1001,"cache_read_input_tokens":199000,"output_tokens":10}"#, Sonnet, "1001*6 + 199000*0.60 + 10*22.50", 157_038_750)),
    ("0.000001", (Gemini, r#"{"promptTokenCount":2006,"cachedContentTokenCount":1920,"candidatesTokenCount":172,"thoughtsTokenCount":128,"totalTokenCount":2306}"#, Pro, "86*1.25 + 1920*0.125 + 300*10", 4)),
    ("1.07", (Responses, r#"{"input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":45}"#, Omni, "14*40 + 45*10", 1_080_700)),
    ("1000", (Embeddings, r#"{"prompt_tokens":8,"total_tokens":8}"#, Vectors, "8*0.02", 160_000)),
];

fn rows() -> impl Iterator<Item = (Row, String)> {
    let blocks = [CHAT, RESPONSES, EMBEDDINGS, ANTHROPIC, GEMINI].into_iter().flatten();
    let blocks = blocks.map(|row| (*row, document_around(row)));
    blocks.chain(TOOLS.iter().map(|row| (*row, row.1.to_owned())))
}

fn document_around(row: &Row) -> String {
    let member = if matches!(row.0, Gemini | GeminiEmbed) { "usageMetadata" } else { "usage" };
    format!("{{\"{member}\":{}}}", row.1)
}

/// Pico-USD of a decimal number of micro-USD (or of USD per million tokens: the same).
fn pico(decimal: &str) -> u128 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{fraction:0<6}").parse().unwrap()
}

/// The working's sum in nano-USD under a plan, rounded up.
fn worked(working: &str, multiplier: &str) -> u128 {
    let term = |term: &str| match term.split_once('*') {
        Some((count, amount)) => count.parse::<u128>().unwrap() * pico(amount),
        None => pico(term),
    };
    let sum = working.split(" + ").map(term).sum::<u128>();
    (sum * pico(multiplier)).div_ceil(1_000_000_000)
}

fn assert_cost((format, block, tariff, working, nano): Row, document: &str, multiplier: &str) {
    let case = format!("{format:?} {block} times {multiplier}");
    assert_eq!(worked(working, multiplier), u128::from(nano), "the working of {case} is wrong");
    let price = tariff.price().times(PriceMultiplier::from_decimal(multiplier).unwrap());
    let mut answer = PlainAnswer::new(format);
    answer.chunk(document.as_bytes(), |usage| cost(usage, &price));
    let usage = answer.seen().usage.unwrap_or_else(|| panic!("no usage: {case}"));
    assert_eq!(cost(&usage, &price), NanoUsd(nano), "{case}: {usage:?}");
    let (input, output, tools) = (usage.input_tokens, usage.output_tokens, usage.server_tool_calls);
    let most = bound(input, output, tools, &price);
    assert!(most >= NanoUsd(nano), "{case}: bound {most:?}");
    assert!(affordable_output(input, tools, &price, most) >= Some(output), "{case}");
}

#[test]
fn every_usage_costs_what_was_computed_by_hand() {
    for (row, document) in rows() {
        assert_cost(row, &document, "1");
    }
}

#[test]
fn plans_multiply_the_whole_cost_once() {
    for (multiplier, row) in PLANS {
        assert_cost(*row, &document_around(row), multiplier);
    }
}

#[test]
fn there_are_enough_rows_of_every_dialect() {
    assert!(rows().count() >= 60, "{}", rows().count());
    for format in [Chat, Responses, Embeddings, Anthropic, Gemini, GeminiEmbed] {
        assert!(rows().any(|(row, _)| row.0 == format), "{format:?}");
    }
}
