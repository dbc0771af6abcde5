//! What the proxy's access log says of a request: who called, what was decided, what it cost. Never
//! a credential, a prompt, or a name that only the client has chosen.

use wire::RequestId;
use wire::v1::{Basis, CallRecord, Ending};

use super::{Decision, Notes};

/// The fields of a request as one JSON object in visible ASCII. `record` is that of its call, where
/// one was made.
pub(crate) fn fields(request: &RequestId, notes: &Notes, record: Option<&CallRecord>) -> String {
    // Longer than nearly all of them: one allocation.
    let mut out = String::with_capacity(384);
    out.push('{');
    text(&mut out, "request", request.as_str());
    text(&mut out, "decision", notes.decision.unwrap_or(Decision::ABANDONED).code());
    if notes.in_shadow {
        text(&mut out, "mode", "shadow");
    }
    if let Some(policy) = &notes.policy {
        text(&mut out, "key", policy.key.as_str());
        text(&mut out, "org", policy.org.as_str());
    }
    let model = record.map(|record| &record.model).or(notes.model.as_ref());
    if let Some(model) = model {
        text(&mut out, "model", model.as_str());
    }
    if let Some(record) = record {
        text(&mut out, "basis", basis(record.basis));
        text(&mut out, "ending", ending(record.ending));
        text(&mut out, "cost_usd", &record.cost.to_usd());
        number(&mut out, "input_tokens", record.usage.input_tokens);
        number(&mut out, "output_tokens", record.usage.output_tokens);
    }
    number(&mut out, "callouts", u64::from(notes.callouts));
    if let Some(added) = notes.added_us {
        number(&mut out, "added_us", added);
    }
    out.push('}');
    out
}

/// In the order in which bases are counted.
pub(crate) fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Measured => "measured",
        Basis::Estimated => "estimated",
        Basis::Refunded => "refunded",
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::Cut => "cut",
        Ending::UpstreamError => "upstream_error",
        Ending::NoAnswer => "no_answer",
    }
}

fn name(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

/// Ids and models are visible ASCII, of which JSON escapes two.
fn text(out: &mut String, member: &str, value: &str) {
    name(out, member);
    out.push('"');
    if value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        out.push_str(value);
        out.push('"');
        return;
    }
    for character in value.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            ' '..='~' => out.push(character),
            _ => out.push('?'),
        }
    }
    out.push('"');
}

fn number(out: &mut String, member: &str, value: u64) {
    name(out, member);
    // By hand: the formatting machinery is a good part of what a request may cost.
    let mut digits = [b'0'; 20];
    let (mut rest, mut at) = (value, digits.len());
    while let Some(digit) = at.checked_sub(1).and_then(|before| digits.get_mut(before)) {
        *digit += u8::try_from(rest % 10).unwrap_or(0);
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let text = digits.get(at..).and_then(|digits| std::str::from_utf8(digits).ok());
    out.push_str(text.unwrap_or_default());
}
