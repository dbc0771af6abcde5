//! The upstream's answer passes.

use super::Gate;
use super::shadow::SHADOW_HEADER;
use crate::exchange::{Answer, Stage};
use crate::header_filter::not_for_client;
use crate::io::{Headers, Now, Output, StreamId};
use crate::rate_headers;

impl Gate {
    pub(super) fn response_headers(
        &mut self,
        stream: StreamId,
        headers: &Headers,
        details: Option<&[u8]>,
        end: bool,
        now: Now,
    ) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        if let Stage::Passing(code) = exchange.stage {
            return self.passing_response(stream, headers, code);
        }
        let Stage::Running(running) = &mut exchange.stage else { return };
        if running.stop.has_begun() {
            // Our own answer passes by.
            return;
        }
        let status = headers
            .iter()
            .find(|(name, _)| name == b":status")
            .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
            .unwrap_or(0);
        running.status = status;
        let (shown, bound) = (running.shown, running.ends_beyond);
        running.answer = Answer::of(status, headers, details, running.metered, shown, bound);
        let set = |name: &str, value: String| Output::SetResponseHeader {
            stream,
            name: name.to_owned(),
            value,
        };
        if running.answer.may_change() && running.writes_answer && !end {
            let name = b"content-length".to_vec();
            self.outputs.push_back(Output::RemoveResponseHeader { stream, name });
        }
        if let Some(code) = running.would_refuse {
            self.outputs.push_back(set(SHADOW_HEADER, code.to_owned()));
        }
        let id = exchange.request.as_str();
        for name in exchange.voice.request_id_headers() {
            self.outputs.push_back(set(name, id.to_owned()));
        }
        let since_ms = now.monotonic_ms.saturating_sub(running.admitted_ms);
        let limits = rate_headers::fields(exchange.voice, &running.standings, since_ms, now);
        for name in not_for_client(headers, &limits) {
            self.outputs.push_back(Output::RemoveResponseHeader { stream, name });
        }
        for (name, value) in limits {
            self.outputs.push_back(set(&name, value));
        }
    }

    pub(super) fn response_body(&mut self, stream: StreamId, chunk: &[u8], end: bool, now: Now) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        let Stage::Running(running) = &mut exchange.stage else { return };
        Self::answer_passes(&mut self.outputs, running, (stream, chunk, end), now);
    }
}
