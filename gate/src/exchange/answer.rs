//! The upstream's answer on its way to the client.

use metering::charge::Outcome;
use metering::request::Operation;
use metering::usage::{AnswerFormat, PlainAnswer, Seen, StreamAnswer, StreamView};
use wire::v1::Usage;

use crate::io::Headers;

/// What a call is charged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metered {
    /// Tokens, which an answer of this form reports.
    Tokens(AnswerFormat),
    /// The price per call alone.
    PerCall,
    /// Nothing: the provider charges nothing for it.
    Nothing,
}

impl Metered {
    /// What an operation is charged by.
    pub(crate) fn of(operation: Operation) -> Self {
        match operation {
            Operation::Chat | Operation::Completions => Self::Tokens(AnswerFormat::OpenAiChat),
            Operation::Responses => Self::Tokens(AnswerFormat::OpenAiResponses),
            Operation::Embeddings => Self::Tokens(AnswerFormat::OpenAiEmbeddings),
            Operation::Messages => Self::Tokens(AnswerFormat::AnthropicMessages),
            Operation::GenerateContent | Operation::StreamGenerateContent => {
                Self::Tokens(AnswerFormat::GeminiGenerate)
            }
            Operation::EmbedContent | Operation::BatchEmbedContents => {
                Self::Tokens(AnswerFormat::GeminiEmbed)
            }
            Operation::CountMessageTokens | Operation::CountTokens => Self::Nothing,
        }
    }
}

/// What the client sees of an answer's usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The usage of a stream, which is forced even where nobody asked for it.
    pub(crate) stream_usage: bool,
    /// The cost beside it.
    pub(crate) cost: bool,
}

/// How the answer is read.
#[derive(Debug)]
pub(crate) enum Answer {
    /// No header has come.
    NotYet,
    /// An error status: passes as it is and costs nothing.
    Failed,
    /// One JSON document.
    Plain(Box<PlainAnswer>),
    /// Server-sent events.
    Stream(Box<StreamAnswer>),
    /// Compressed or of another kind: passes as it is.
    Unreadable,
    /// What it holds does not matter: passes as it is.
    Unread,
}

impl Answer {
    /// Chooses by the response's head, and by why it is what it is where the host can tell.
    pub(crate) fn of(
        status: u16,
        headers: &Headers,
        details: Option<&[u8]>,
        metered: Metered,
        shown: Shown,
        output_bound: Option<u64>,
    ) -> Self {
        if !(200..300).contains(&status) {
            let lost = details.is_some_and(was_lost_after_sending);
            return if lost { Self::NotYet } else { Self::Failed };
        }
        let Metered::Tokens(format) = metered else { return Self::Unread };
        let is_compressed = headers.iter().any(|(name, value)| {
            name == b"content-encoding" && !value.trim_ascii().eq_ignore_ascii_case(b"identity")
        });
        if is_compressed {
            return Self::Unreadable;
        }
        let kind = value(headers, b"content-type").unwrap_or_default();
        if is_kind(kind, b"text/event-stream") {
            let view = match shown {
                Shown { stream_usage: false, .. } => StreamView::WithoutUsage,
                Shown { cost: true, .. } => StreamView::WithUsage,
                Shown { cost: false, .. } => StreamView::WithoutCost,
            };
            Self::Stream(Box::new(StreamAnswer::of(format, view, output_bound)))
        } else if is_kind(kind, b"application/json") {
            let plain = PlainAnswer::bounded(format, output_bound);
            Self::Plain(Box::new(if shown.cost { plain } else { plain.without_cost() }))
        } else {
            Self::Unreadable
        }
    }

    /// What became of it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NotYet => Outcome::NoAnswer,
            Self::Failed => Outcome::Failed,
            Self::Plain(plain) => Outcome::Answered(plain.seen()),
            Self::Stream(stream) => Outcome::Answered(stream.seen()),
            Self::Unreadable => Outcome::Unreadable,
            Self::Unread => Outcome::Answered(Seen {
                usage: Some(Usage::default()),
                usage_is_final: true,
                complete: true,
                ..Seen::default()
            }),
        }
    }

    /// Its bytes may be changed on their way.
    pub(crate) fn may_change(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Stream(_))
    }
}

/// The proxy made this answer itself because an upstream that had the request broke off or said
/// nothing for too long: it may have worked, so the call is not free. Names are those of Envoy's
/// response code details; a connection that never came about is another matter.
fn was_lost_after_sending(details: &[u8]) -> bool {
    const NEVER_SENT: [&[u8]; 5] = [
        b"local_connection_failure",
        b"remote_connection_failure",
        b"connection_timeout",
        b"overflow",
        b"refused_stream",
    ];
    const LOST: [&[u8]; 8] = [
        b"upstream_reset",
        b"upstream_response_timeout",
        b"upstream_per_try",
        b"upstream_max_stream_duration",
        b"max_duration_timeout",
        b"stream_idle_timeout",
        b"response_timeout",
        b"response_payload_too_large",
    ];
    let holds = |part: &[u8]| details.windows(part.len()).any(|window| window == part);
    let lost = LOST.iter().any(|begin| details.starts_with(begin));
    lost && !NEVER_SENT.iter().any(|part| holds(part))
}

/// The value of a header field, if there is exactly one.
pub(crate) fn value<'a>(headers: &'a Headers, name: &[u8]) -> Option<&'a [u8]> {
    let mut found = headers.iter().filter(|(other, _)| other == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value.trim_ascii()),
        _ => None,
    }
}

fn is_kind(value: &[u8], kind: &[u8]) -> bool {
    let bare = value.split(|byte| *byte == b';').next().unwrap_or_default();
    bare.trim_ascii().eq_ignore_ascii_case(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Metered = Metered::Tokens(AnswerFormat::OpenAiChat);
    const ALL: Shown = Shown { stream_usage: true, cost: true };

    #[test]
    fn chosen_by_the_head() {
        let of = |status, kind: &str, coding: &str| {
            let headers = vec![
                (b"content-type".to_vec(), kind.as_bytes().to_vec()),
                (b"content-encoding".to_vec(), coding.as_bytes().to_vec()),
            ];
            Answer::of(status, &headers, None, CHAT, ALL, None)
        };
        assert!(matches!(of(200, "application/json", "identity"), Answer::Plain(_)));
        assert!(matches!(of(200, "Application/JSON; charset=utf-8", "identity"), Answer::Plain(_)));
        assert!(matches!(of(200, "text/event-stream;x=y", "identity"), Answer::Stream(_)));
        assert!(matches!(of(200, "application/json", "gzip"), Answer::Unreadable));
        assert!(matches!(of(200, "text/html", "identity"), Answer::Unreadable));
        assert!(matches!(of(429, "application/json", "identity"), Answer::Failed));
        assert!(matches!(of(302, "text/html", "identity"), Answer::Failed));
        assert!(matches!(of(200, "application/json", "Identity"), Answer::Plain(_)));
        let twice = vec![(b"content-encoding".to_vec(), b"gzip".to_vec()); 2];
        assert!(matches!(Answer::of(200, &twice, None, CHAT, ALL, None), Answer::Unreadable));
    }

    #[test]
    fn an_answer_lost_after_sending_is_not_free() {
        for (details, lost) in [
            ("via_upstream", false),
            ("upstream_reset_before_response_started{connection_termination}", true),
            ("upstream_reset_before_response_started{remote_reset}", true),
            ("upstream_reset_before_response_started{remote_connection_failure|x}", false),
            ("upstream_reset_before_response_started{remote_refused_stream_reset}", false),
            ("upstream_reset_before_response_started{overflow}", false),
            ("upstream_response_timeout", true),
            ("stream_idle_timeout", true),
            ("upstream_per_try_idle_timeout", true),
            ("upstream_max_stream_duration_reached", true),
            ("max_duration_timeout", true),
            ("response_payload_too_large", true),
            ("no_healthy_upstream", false),
            ("ext_authz_denied", false),
        ] {
            let answer = Answer::of(503, &Vec::new(), Some(details.as_bytes()), CHAT, ALL, None);
            assert_eq!(matches!(answer, Answer::NotYet), lost, "{details}");
        }
    }
}
