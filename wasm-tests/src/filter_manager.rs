//! How a proxy moves headers, bodies and trailers through one filter.
//!
//! The rules are Envoy's filter manager with one wasm filter in front of the upstream: what Pause
//! holds back, what Continue lets go, what a continued stream sends first, which buffer the
//! filter sees. Both directions obey the same rules; only the receiver differs. Where the rules
//! are not obvious they were compared with Envoy 1.40 by running one probe in both.

use crate::error::HostError;
use crate::headers::HeaderMap;
use crate::profile::{Carriage, HeadersEnd};
use crate::stream::{Iteration, Side};
use crate::trace::Phase;
use crate::violation::ViolationKind;
use crate::vm_core::{Answered, Core};

/// The answers of a headers callback. Larger numbers mean the last of these.
const STOP_ITERATION: u32 = 1;
const STOP_ALL_AND_BUFFER: u32 = 2;

/// The answers of a body callback. Larger numbers mean the last of these.
const STOP_AND_BUFFER: u32 = 1;
const STOP_AND_WATERMARK: u32 = 2;

/// What a body callback decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyStatus {
    Continue,
    Hold,
    HoldWithoutLimit,
    Drop,
}

impl Core {
    /// Headers arrive and go through the filter.
    pub(crate) fn receive_headers(
        &mut self,
        id: u32,
        side: Side,
        headers: HeaderMap,
        end: bool,
    ) -> Result<(), HostError> {
        if self.state().carriage() != Carriage::FilterManager {
            return match side {
                Side::Request => self.nginx_request_headers(id, headers, end),
                Side::Response => self.nginx_response_headers(id, headers, end),
            };
        }
        let count = headers.len() as u32;
        if side == Side::Request {
            self.create_stream_context(id)?;
        }
        let stream = self.stream_mut(id)?;
        let half = stream.half_mut(side);
        half.headers = Some(headers);
        half.end_seen = end;
        if side == Side::Response && (!stream.created || stream.failed) {
            stream.response.headers_continued = true;
            return self.pass_headers(id, side, end);
        }
        stream.half_mut(side).headers_live = true;
        stream.end_of_stream = end;
        let phase = match side {
            Side::Request => Phase::RequestHeaders,
            Side::Response => Phase::ResponseHeaders,
        };
        let told = match (side, self.state().host.borrow().profile.headers_end) {
            (Side::Response, _) | (_, HeadersEnd::Truthful) => end,
            (_, HeadersEnd::AlwaysTrue) => true,
            (_, HeadersEnd::AlwaysFalse) => false,
        };
        let answered = self.filter_call(phase, id, &[count, u32::from(told)])?;
        if self.stream(id)?.ended {
            return self.run_prepared_reply(id);
        }
        let going = self.headers_status(answered);
        let half = self.stream_mut(id)?.half_mut(side);
        half.iteration = going;
        let goes_on = going == Iteration::Going;
        if goes_on {
            half.headers_live = false;
        }
        let already = std::mem::replace(&mut half.headers_continued, goes_on);
        if self.stream(id)?.prepared_reply.is_some() {
            return self.run_prepared_reply(id);
        }
        if goes_on && !already {
            self.pass_headers(id, side, end)?;
        } else if already {
            self.stream_mut(id)?.half_mut(side).headers_continued = true;
        }
        Ok(())
    }

    /// A piece of body arrives.
    pub(crate) fn receive_data(
        &mut self,
        id: u32,
        side: Side,
        data: Vec<u8>,
        end: bool,
    ) -> Result<(), HostError> {
        if self.state().carriage() != Carriage::FilterManager {
            return match side {
                Side::Request => self.nginx_request_data(id, data, end),
                Side::Response => self.nginx_response_data(id, data, end),
            };
        }
        let limit = self.state().host.borrow().profile.buffer_limit_bytes;
        let stream = self.stream_mut(id)?;
        if stream.ended || self.is_aborted(id, side)? {
            return Ok(());
        }
        let half = self.stream_mut(id)?.half_mut(side);
        half.end_seen |= end;
        if let Iteration::StoppedAll { counts } = half.iteration {
            half.hold(data);
            let held = half.held.as_ref().map_or(0, Vec::len);
            return if counts && held > limit { self.too_large(id, side) } else { Ok(()) };
        }
        self.filter_data(id, side, data, end)
    }

    /// Trailers arrive.
    pub(crate) fn receive_trailers(
        &mut self,
        id: u32,
        side: Side,
        trailers: HeaderMap,
    ) -> Result<(), HostError> {
        if self.stream(id)?.ended || self.is_aborted(id, side)? {
            return Ok(());
        }
        if self.state().carriage() != Carriage::FilterManager {
            return match side {
                Side::Request => self.nginx_request_trailers(id),
                Side::Response => {
                    self.stream_mut(id)?.response.trailers = Some(trailers);
                    self.pass_trailers(id, side)
                }
            };
        }
        let half = self.stream_mut(id)?.half_mut(side);
        half.trailers = Some(trailers);
        half.end_seen = true;
        if matches!(half.iteration, Iteration::StoppedAll { .. }) {
            return Ok(());
        }
        self.filter_trailers(id, side)
    }

    /// The request direction is over once any response has begun in the proxy itself.
    fn is_aborted(&self, id: u32, side: Side) -> Result<bool, HostError> {
        let stream = self.stream(id)?;
        Ok(side == Side::Request && stream.reply_details.is_some())
    }

    /// A body callback, and what follows from its answer.
    fn filter_data(
        &mut self,
        id: u32,
        side: Side,
        data: Vec<u8>,
        end: bool,
    ) -> Result<(), HostError> {
        let limit = self.state().host.borrow().profile.buffer_limit_bytes;
        let stream = self.stream_mut(id)?;
        if side == Side::Response && (!stream.created || stream.failed) {
            return self.pass_data(id, side, data, end);
        }
        let half = stream.half_mut(side);
        half.chunk = data;
        if half.buffering {
            let chunk = std::mem::take(&mut half.chunk);
            half.hold(chunk);
            if half.held.as_ref().map_or(0, Vec::len) > limit {
                match side {
                    // The filter is still shown what was too much; the 413 follows.
                    Side::Request => stream.prepare_too_large(),
                    Side::Response => return self.too_large(id, side),
                }
            }
        }
        let stream = self.stream_mut(id)?;
        let half = stream.half_mut(side);
        half.body_live = true;
        half.trailers_added = false;
        let visible = half.visible_body().map_or(0, Vec::len) as u32;
        stream.end_of_stream = end;
        let phase = match side {
            Side::Request => Phase::RequestBody,
            Side::Response => Phase::ResponseBody,
        };
        let answered = self.filter_call(phase, id, &[visible, u32::from(end)])?;
        if self.stream(id)?.ended {
            return self.run_prepared_reply(id);
        }
        let status = body_status(answered);
        let half = self.stream_mut(id)?.half_mut(side);
        half.buffering = status == BodyStatus::Hold;
        if status == BodyStatus::Continue {
            half.body_live = false;
        }
        if self.stream(id)?.prepared_reply.is_some() {
            return self.run_prepared_reply(id);
        }
        let half = self.stream_mut(id)?.half_mut(side);
        let chunk = std::mem::take(&mut half.chunk);
        let trailers_follow = half.trailers_added;
        match status {
            BodyStatus::Continue if half.iteration == Iteration::Going => {
                self.pass_data(id, side, chunk, end && !trailers_follow)?;
                if trailers_follow {
                    self.pass_trailers(id, side)?;
                }
            }
            BodyStatus::Continue => {
                half.hold(chunk);
                self.resume(id, side)?;
            }
            BodyStatus::Hold | BodyStatus::HoldWithoutLimit => {
                half.iteration = Iteration::StoppedHere;
                half.hold(chunk);
                let held = half.held.as_ref().map_or(0, Vec::len);
                if status == BodyStatus::Hold && held > limit {
                    return self.too_large(id, side);
                }
            }
            BodyStatus::Drop => {
                half.iteration = Iteration::StoppedHere;
                if half.end_seen && half.trailers.is_none() {
                    half.held.get_or_insert_default();
                }
            }
        }
        self.run_prepared_reply(id)
    }

    /// A trailers callback, and what follows from its answer.
    fn filter_trailers(&mut self, id: u32, side: Side) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        if side == Side::Response && (!stream.created || stream.failed) {
            return self.pass_trailers(id, side);
        }
        let half = stream.half_mut(side);
        half.trailers_live = true;
        let count = half.trailers.as_ref().map_or(0, HeaderMap::len) as u32;
        let phase = match side {
            Side::Request => Phase::RequestTrailers,
            Side::Response => Phase::ResponseTrailers,
        };
        let answered = self.filter_call(phase, id, &[count])?;
        if self.stream(id)?.ended {
            return self.run_prepared_reply(id);
        }
        let goes_on = answered.value.unwrap_or(0) == 0 && !answered.stop;
        let half = self.stream_mut(id)?.half_mut(side);
        if goes_on {
            half.trailers_live = false;
            if half.iteration == Iteration::Going {
                self.pass_trailers(id, side)?;
            } else {
                self.resume(id, side)?;
            }
        } else if half.iteration == Iteration::Going {
            half.iteration = Iteration::StoppedHere;
        }
        self.run_prepared_reply(id)
    }

    /// Lets a stopped direction go on: first the headers, then what is held, then trailers.
    pub(crate) fn resume(&mut self, id: u32, side: Side) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        if stream.ended {
            return Ok(());
        }
        let half = stream.half_mut(side);
        // What an entirely stopped filter has not seen yet is shown to it now; what it has seen
        // goes to the receiver.
        let unseen = matches!(half.iteration, Iteration::StoppedAll { .. });
        half.iteration = Iteration::Going;
        half.buffering = false;
        let had_trailers = half.trailers.is_some();
        let first_time = !std::mem::replace(&mut half.headers_continued, true);
        let headers_end = half.end_seen && half.held.is_none() && !had_trailers;
        if first_time {
            self.pass_headers(id, side, headers_end)?;
        }
        let half = self.stream_mut(id)?.half_mut(side);
        let end = half.end_seen && !had_trailers;
        if let Some(held) = half.held.take() {
            if unseen {
                self.filter_data(id, side, held, end)?;
            } else {
                self.pass_data(id, side, held, end)?;
            }
        }
        let stopped_again =
            matches!(self.stream(id)?.half(side).iteration, Iteration::StoppedAll { .. });
        if had_trailers && !stopped_again && !self.stream(id)?.ended {
            if unseen {
                self.filter_trailers(id, side)?;
            } else {
                self.pass_trailers(id, side)?;
            }
        }
        Ok(())
    }

    /// Makes a callback for a stream; a trap in it is answered as the proxy would.
    pub(crate) fn filter_call(
        &mut self,
        phase: Phase,
        id: u32,
        arguments: &[u32],
    ) -> Result<Answered, HostError> {
        self.stream_mut(id)?.in_callback = true;
        let outcome = self.call(phase, id, arguments);
        self.stream_mut(id)?.in_callback = false;
        if outcome.is_err() {
            self.fail_stream(id)?;
        }
        outcome
    }

    fn headers_status(&self, answered: Answered) -> Iteration {
        let watermark = Iteration::StoppedAll { counts: false };
        if answered.stop {
            return watermark;
        }
        match answered.value.unwrap_or(0) {
            0 => Iteration::Going,
            STOP_ITERATION => {
                let single = self.state().host.borrow().profile.headers_stop_iteration;
                if single { Iteration::StoppedHere } else { watermark }
            }
            STOP_ALL_AND_BUFFER => Iteration::StoppedAll { counts: true },
            _ => watermark,
        }
    }

    /// Headers reach the receiver.
    pub(crate) fn pass_headers(&mut self, id: u32, side: Side, end: bool) -> Result<(), HostError> {
        if side == Side::Request {
            self.check_forwarded_headers(id)?;
        }
        let stream = self.stream_mut(id)?;
        let headers = stream.half(side).headers.clone();
        stream.receiver_mut(side).headers = headers;
        if end { self.complete(id, side) } else { Ok(()) }
    }

    /// Body reaches the receiver.
    pub(crate) fn pass_data(
        &mut self,
        id: u32,
        side: Side,
        data: Vec<u8>,
        end: bool,
    ) -> Result<(), HostError> {
        let receiver = self.stream_mut(id)?.receiver_mut(side);
        if !data.is_empty() {
            receiver.chunks.push(data);
        }
        if end { self.complete(id, side) } else { Ok(()) }
    }

    /// Trailers reach the receiver.
    pub(crate) fn pass_trailers(&mut self, id: u32, side: Side) -> Result<(), HostError> {
        let stream = self.stream_mut(id)?;
        let trailers = stream.half(side).trailers.clone();
        stream.receiver_mut(side).trailers = trailers;
        self.complete(id, side)
    }

    /// The receiver has the whole message.
    fn complete(&mut self, id: u32, side: Side) -> Result<(), HostError> {
        let is_head = self.stream(id)?.request.headers.as_ref().and_then(|h| h.text(":method"))
            == Some("HEAD");
        let receiver = self.stream_mut(id)?.receiver_mut(side);
        receiver.complete = true;
        let sent: usize = receiver.chunks.iter().map(Vec::len).sum();
        let declared = receiver.headers.as_ref().and_then(HeaderMap::content_length);
        if let Some(declared) = declared
            && declared != sent
            && !(is_head && side == Side::Response)
        {
            let detail = format!("{side:?}: content-length {declared}, sent {sent} bytes");
            self.violation(id, ViolationKind::ContentLengthMismatch, detail);
        }
        match side {
            Side::Request => Ok(()),
            Side::Response => self.end_stream(id),
        }
    }

    fn check_forwarded_headers(&mut self, id: u32) -> Result<(), HostError> {
        let headers = self.stream(id)?.request.headers.clone().unwrap_or_default();
        for name in [":method", ":path", ":authority"] {
            if headers.get(name).is_none() {
                self.violation(id, ViolationKind::MissingPseudoHeader, name);
            }
        }
        let state = self.state();
        let waiting = state
            .host
            .borrow()
            .calls
            .values()
            .filter(|pending| pending.call.vm == state.index && pending.call.context == id)
            .map(|pending| format!("{} {}", pending.call.cluster, pending.call.path()))
            .collect::<Vec<_>>();
        if !waiting.is_empty() {
            let kind = ViolationKind::ForwardedWithCallPending;
            self.violation(id, kind, waiting.join(", "));
        }
        Ok(())
    }
}

fn body_status(answered: Answered) -> BodyStatus {
    if answered.stop {
        return BodyStatus::Drop;
    }
    match answered.value.unwrap_or(0) {
        0 => BodyStatus::Continue,
        STOP_AND_BUFFER => BodyStatus::Hold,
        STOP_AND_WATERMARK => BodyStatus::HoldWithoutLimit,
        _ => BodyStatus::Drop,
    }
}
