//! The request comes in: route and credential are checked at its head, the body is awaited.

use super::answer::value;
use super::{Body, Exchange, MOST_CALLS, Open, Stage};
use crate::credential;
use crate::dialect::Dialect;
use crate::io::{Headers, Now};
use crate::pool::Want;
use crate::refusal::Refusal;
use crate::route::Route;
use wire::RequestId;

impl Exchange {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// When the route is not served or there is not exactly one well-formed credential.
    pub(crate) fn begin(
        request: RequestId,
        headers: &Headers,
        now: Now,
    ) -> Result<Self, Box<(Self, Refusal)>> {
        let dialect = Dialect::OpenAi;
        let refused = |refusal| {
            Box::new((Self { request: request.clone(), dialect, stage: Stage::Answered }, refusal))
        };
        let method = value(headers, b":method").unwrap_or_default();
        let path = value(headers, b":path").unwrap_or_default();
        let route = Route::of(method, path).ok_or_else(|| refused(Refusal::UnknownEndpoint))?;
        let digest = credential::find(headers).map_err(|why| refused(Refusal::Credential(why)))?;
        let coding = |name: &[u8]| {
            headers.iter().any(|(other, value)| {
                other == name && !value.trim_ascii().eq_ignore_ascii_case(b"identity")
            })
        };
        let body = if route == Route::Chat { Body::Coming } else { Body::None };
        let open = Open {
            route,
            digest,
            has_content_length: value(headers, b"content-length").is_some(),
            is_compressed: coding(b"content-encoding"),
            body,
            waits_for: None,
            calls_left: MOST_CALLS,
            lease_number: None,
            granted: None,
            refused: None,
            asked: None,
            want: Want::default(),
            ask_is_open: false,
            ask_is_stale: false,
            began_ms: now.monotonic_ms,
            began_unix_ms: now.wall_ms,
            failures: 0,
            waited: false,
        };
        Ok(Self { request: request.clone(), dialect, stage: Stage::Open(Box::new(open)) })
    }
}

impl Open {
    /// More of the body is buffered. True when it has become too large just now.
    pub(crate) fn body_grows(&mut self, size: usize, most: usize) -> bool {
        let too_large = size > most && matches!(self.body, Body::Coming);
        if too_large {
            self.body = Body::TooLarge;
        }
        too_large
    }

    /// The head says that no body follows. Some hosts say so of every request, so the host's word
    /// counts only where the head does not announce a body.
    pub(crate) fn head_is_all(headers: &Headers, end: bool) -> bool {
        let announced = headers.iter().any(|(name, value)| {
            name == b"transfer-encoding"
                || (name == b"content-length" && value.trim_ascii() != b"0")
        });
        end && !announced
    }

    /// The whole body is there.
    pub(crate) fn body_complete(&mut self, body: &[u8], most: usize) {
        if body.len() > most {
            self.body = Body::TooLarge;
        }
        if matches!(self.body, Body::Coming) {
            self.body = Body::Read(metering::request::read_chat(body).map(Box::new));
        }
    }
}
