//! What reading request bodies costs for each of their bytes: bodies as large as they may be, and
//! of the shapes that take most work.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::gateway::Gateway;
use crate::list_scan;
use crate::profile::Profile;
use crate::trace::{Phase, TraceLevel};

const MEBIBYTE: usize = 1 << 20;

/// Bodies reach the filter in pieces of this size.
const PIECE: usize = 64 << 10;

/// A request body with the model at its very end.
pub struct Scan {
    /// Its name in the table.
    pub name: &'static str,
    /// The most instructions that one of its bytes may take, the whole request body phase counted.
    pub ceiling: f64,
    /// What stands before the model.
    members: fn() -> String,
}

/// Every body.
pub const SCANS: &[Scan] = &[
    Scan { name: "8 MiB of text", ceiling: 8.0, members: || message("plain text, ", 8) },
    Scan {
        name: "8 MiB of text not in ASCII",
        ceiling: 19.0,
        members: || message("Grüße, 世界 ", 8),
    },
    Scan { name: "8 MiB of code, escaped", ceiling: 17.0, members: || message(CODE, 8) },
    Scan { name: "8 MiB of escapes", ceiling: 50.0, members: || message(r"\n\u00e9", 8) },
    Scan { name: "8 MiB of an image", ceiling: 8.0, members: image },
    Scan { name: "1 MiB of short messages", ceiling: 180.0, members: short_messages },
    Scan { name: "1 MiB of numbers", ceiling: 125.0, members: numbers },
    Scan { name: "1,000 small members", ceiling: 275.0, members: small_members },
    // The dearest bytes that there are.
    Scan { name: "1 MiB of members of a letter", ceiling: 420.0, members: || tiny_members(1) },
    Scan { name: "700 KiB of one-digit numbers", ceiling: 70.0, members: one_digit_numbers },
    // The filter reads only a part of it.
    Scan { name: "10 MiB of them, refused", ceiling: 52.0, members: || tiny_members(10) },
];

/// What the last body must be answered with: it has more pieces than are read.
const TOO_LARGE: u16 = 413;

/// A line with one quotation mark and one line end in forty bytes.
const CODE: &str = r#"    let answer = find(\"question\", 42);\n"#;

/// What one body has cost.
#[derive(Clone, Copy, Debug)]
pub struct Scanned {
    /// The name of the body.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Instructions of the request body phase.
    pub fuel: u64,
    /// The most of them for each byte.
    pub ceiling: f64,
}

impl Scanned {
    /// Instructions for each byte.
    pub fn per_byte(&self) -> f64 {
        self.fuel as f64 / self.bytes as f64
    }

    /// Whether they are no more than they may be.
    pub fn is_within(&self) -> bool {
        self.per_byte() <= self.ceiling
    }
}

/// Sends every body through the shipped filter.
pub fn measure_all() -> Result<Vec<Scanned>> {
    let bodies = SCANS.iter().map(|scan| scan.measure().with_context(|| scan.name));
    bodies.chain(list_scan::measure_all()?.into_iter().map(Ok)).collect()
}

impl Scan {
    fn is_refused(&self) -> bool {
        self.name.ends_with("refused")
    }

    fn measure(&self) -> Result<Scanned> {
        let profile = Profile::envoy_stop_iteration().with_buffer_limit_bytes(16 * MEBIBYTE);
        let gateway = Gateway::start(profile, 1)?;
        gateway.host().trace(|trace| trace.set_level(TraceLevel::Off));
        gateway.furnish()?;
        let key = gateway.mint_key(&json!({}))?;
        gateway.whole_chat(0, &key, (9, 2))?;
        let body = format!("{{{},\"model\":\"gpt-4o-mini\"}}", (self.members)());
        gateway.host().reset_meter();
        let exchange = gateway.raw_chat(0, &key, body.as_bytes().chunks(PIECE))?.send()?;
        let fuel = gateway.host().meter().of_all(&[Phase::RequestBody]).fuel;
        let sent = exchange.forwarded().body().len();
        let answer = exchange.client().text();
        if self.is_refused() {
            ensure!(exchange.status() == Some(TOO_LARGE) && sent == 0, "{sent} went on: {answer}");
        } else {
            ensure!(sent == body.len(), "{sent} of {} bytes went on: {answer}", body.len());
            exchange.respond(200, &[], ["{}"])?;
        }
        Ok(Scanned { name: self.name, bytes: body.len() as u64, fuel, ceiling: self.ceiling })
    }
}

/// A table for a reader.
pub fn render(scanned: &[Scanned]) -> String {
    let head = format!(
        "{:<28} {:>9} {:>11} {:>9} {:>8}\n",
        "request or answer", "bytes", "fuel", "per byte", "ceiling"
    );
    scanned.iter().fold(head, |table, scanned| {
        let Scanned { name, bytes, fuel, ceiling } = scanned;
        let each = scanned.per_byte();
        table + &format!("{name:<28} {bytes:>9} {fuel:>11} {each:>9.2} {ceiling:>8.0}\n")
    })
}

fn message(text: &str, mebibytes: usize) -> String {
    let text = text.repeat(mebibytes * MEBIBYTE / text.len());
    format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#)
}

fn image() -> String {
    let data = "iVBORw0KGgoAAAANSUhEUgAB".repeat(8 * MEBIBYTE / 24);
    let url = format!("data:image/png;base64,{data}");
    let part = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
    format!(r#""messages":[{{"role":"user","content":[{part}]}}]"#)
}

fn short_messages() -> String {
    let message = r#"{"role":"user","content":[{"type":"text","text":"yes"}]}"#;
    let messages = vec![message; MEBIBYTE / message.len()];
    format!(r#""messages":[{}]"#, messages.join(","))
}

fn numbers() -> String {
    let numbers = vec!["12345"; MEBIBYTE / 6];
    format!(r#""logit_bias":[{}]"#, numbers.join(","))
}

/// `"a":0,` again and again: less than so many MiB, with the model still within the filter's limit.
fn tiny_members(mebibytes: usize) -> String {
    let member = r#""a":0"#;
    vec![member; mebibytes * MEBIBYTE / (member.len() + 1) - 10].join(",")
}

fn one_digit_numbers() -> String {
    let numbers = vec!["1"; 700 << 9];
    format!(r#""unknown":[{}]"#, numbers.join(","))
}

fn small_members() -> String {
    let members: Vec<_> = (0..1_000).map(|number| format!(r#""m{number:03}":{number}"#)).collect();
    members.join(",")
}
