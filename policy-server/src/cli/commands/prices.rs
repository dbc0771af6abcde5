//! The prices of a model on the command line. What a price may be is decided by the server.

use clap::Args;
use serde_json::{Map, Value};

use super::{ClientError, insert};

/// The kinds of tokens that have prices, as `--tier` names them; fields of the API have `_` for `-`.
const KINDS: [&str; 9] = [
    "input",
    "output",
    "cached-input",
    "cache-write",
    "cache-write-1h",
    "audio-input",
    "image-input",
    "audio-output",
    "image-output",
];

/// What a model costs.
#[derive(Debug, Args)]
pub struct PriceArgs {
    /// Price of input in USD per million tokens.
    #[arg(long, value_name = "USD_PER_MTOK", required_unless_present = "free")]
    input_price: Option<String>,
    /// Price of output, reasoning included, in USD per million tokens.
    #[arg(long, value_name = "USD_PER_MTOK", required_unless_present = "free")]
    output_price: Option<String>,
    /// Price of input read from the provider's cache; default: as input.
    #[arg(long, value_name = "USD_PER_MTOK")]
    cached_input_price: Option<String>,
    /// Price of input written to the provider's cache for minutes; default: as input.
    #[arg(long, value_name = "USD_PER_MTOK")]
    cache_write_price: Option<String>,
    /// Price of input written to the provider's cache for an hour; default: as for minutes.
    #[arg(long = "cache-write-1h-price", value_name = "USD_PER_MTOK")]
    cache_write_1h_price: Option<String>,
    /// Price of audio input; default: as the dearest input.
    #[arg(long, value_name = "USD_PER_MTOK")]
    audio_input_price: Option<String>,
    /// Price of image input; default: as input.
    #[arg(long, value_name = "USD_PER_MTOK")]
    image_input_price: Option<String>,
    /// Price of audio output; default: as the dearest output.
    #[arg(long, value_name = "USD_PER_MTOK")]
    audio_output_price: Option<String>,
    /// Price of image output; default: as the dearest output.
    #[arg(long, value_name = "USD_PER_MTOK")]
    image_output_price: Option<String>,
    /// Prices of calls with more input tokens than so many, for all of their tokens, such as
    /// above=200000,input=6.00,output=22.50,cached-input=0.60; repeatable, the lowest first.
    #[arg(long = "tier", value_name = "above=TOKENS,KIND=USD_PER_MTOK,…")]
    tiers: Vec<String>,
    /// Added for each call, in USD.
    #[arg(long, value_name = "USD")]
    call_price: Option<String>,
    /// Added for each use of a tool that the provider runs, in USD; default: calls that allow such
    /// tools are refused.
    #[arg(long, value_name = "USD")]
    server_tool_call_price: Option<String>,
    /// It costs nothing.
    #[arg(long, conflicts_with_all = ["input_price", "output_price", "tiers", "call_price"])]
    free: bool,
}

impl PriceArgs {
    /// Adds the fields of the API that say the same.
    pub fn add(self, body: &mut Map<String, Value>) -> Result<(), ClientError> {
        let prices = [
            self.input_price,
            self.output_price,
            self.cached_input_price,
            self.cache_write_price,
            self.cache_write_1h_price,
            self.audio_input_price,
            self.image_input_price,
            self.audio_output_price,
            self.image_output_price,
        ];
        for (kind, price) in KINDS.into_iter().zip(prices) {
            insert(body, &field(kind), price);
        }
        if !self.tiers.is_empty() {
            let tiers = self.tiers.iter().map(|text| tier(text));
            body.insert("tiers".to_owned(), tiers.collect::<Result<Vec<_>, _>>()?.into());
        }
        insert(body, "usd_per_call", self.call_price);
        insert(body, "usd_per_server_tool_call", self.server_tool_call_price);
        insert(body, "free", self.free.then_some(true));
        Ok(())
    }
}

fn field(kind: &str) -> String {
    format!("{}_usd_per_mtok", kind.replace('-', "_"))
}

/// One tier: `above=TOKENS` and `KIND=PRICE`, separated by commas, each at most once.
fn tier(text: &str) -> Result<Value, ClientError> {
    let wrong = |part: &str| {
        ClientError::Input(format!(
            "--tier {text}: '{part}' is not above=TOKENS or KIND=USD_PER_MTOK, once each; kinds: {}",
            KINDS.join(", ")
        ))
    };
    let mut tier = Map::new();
    for part in text.split(',').map(str::trim) {
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(part))?;
        let (field, value) = match name {
            "above" => {
                let above: u64 = value.parse().map_err(|_| wrong(part))?;
                ("above_input_tokens".to_owned(), Value::from(above))
            }
            kind if KINDS.contains(&kind) => (field(kind), Value::from(value)),
            _ => return Err(wrong(part)),
        };
        if tier.insert(field, value).is_some() {
            return Err(wrong(part));
        }
    }
    Ok(tier.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tiers_are_written_as_a_bound_and_prices_of_kinds() {
        let read = tier("above=200000, input=6.00,output=22.50,cache-write-1h=12").unwrap();
        let expected = json!({
            "above_input_tokens": 200_000, "input_usd_per_mtok": "6.00",
            "output_usd_per_mtok": "22.50", "cache_write_1h_usd_per_mtok": "12",
        });
        assert_eq!(read, expected);
        for text in ["", "200000", "above=x", "above=1,inptu=2", "input=1,input=1", "above=1,,"] {
            let error = tier(text).unwrap_err().to_string();
            assert!(error.contains("--tier"), "{text}: {error}");
        }
    }
}
