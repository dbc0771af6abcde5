//! The request comes in: route and credential are checked at its head, the body is awaited.

use std::net::IpAddr;

use super::answer::value;
use super::{Body, Coming, Errands, Exchange, MOST_CALLS, Open, Stage};
use crate::config::Config;
use crate::credential::{self, NoCredential};
use crate::dialect::Dialect;
use crate::dry_run;
use crate::header_filter::{BETA_HEADERS, Betas};
use crate::host_abilities::{BodyEnd, HostAbilities};
use crate::io::{Headers, Now};
use crate::media_type::is_plain_json;
use crate::message;
use crate::observation::Notes;
use crate::pool::Want;
use crate::profile::Voice;
use crate::refusal::Refusal;
use crate::repetition;
use crate::route::{Hints, Route, Target, is_googles_openai_path};
use crate::trace_parent::TraceParent;
use crate::url_query;
use crate::user_key::{LONGEST_BODY, NO_KEY, key_in, other_key};
use metering::api_key::ApiKey;
use metering::request::{BodyReader, Operation, Problem, Request};
use wire::{Metadata, ModelName, RequestId};

impl Exchange {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// When the route is not served or there is not exactly one well-formed credential.
    pub(crate) fn begin(
        request: RequestId,
        (headers, address): (&Headers, Option<IpAddr>),
        config: &Config,
        host: &HostAbilities,
        now: Now,
    ) -> Result<Self, Box<(Self, Refusal)>> {
        let profile = config.profile;
        let path = value(headers, b":path").unwrap_or_default();
        let is_dry_run = dry_run::is_asked_for(headers, profile);
        // Where nothing can be written into it, a credential in the URL would reach the upstream.
        let shows_credential = !host.writes_paths && url_query::without_credentials(path).is_some();
        // What is not seen cannot be taken away.
        let hides_fields = headers.len() >= host.most_fields;
        // Whoever asks for a dry run does not want a call.
        let in_shadow =
            config.shadow.covers(path) && !is_dry_run && !shows_credential && !hides_fields;
        let refused_in = |in_shadow, dialect, refusal| {
            let voice = Voice { dialect, profile };
            let (request, notes) = (request.clone(), Notes::at(now));
            let stage = Stage::Answered;
            Box::new((Self { request, voice, stage, in_shadow, notes }, refusal))
        };
        let refused = |dialect, refusal| refused_in(in_shadow, dialect, refusal);
        let method = value(headers, b":method").unwrap_or_default();
        let Route { dialect, target } =
            Route::of(method, path, hints(headers, path), &config.paths)
                .map_err(|dialect| refused(dialect, Refusal::UnknownEndpoint))?;
        // What only a server can answer is never the upstream's.
        let in_shadow = in_shadow && !target.asks_the_server();
        let refused = |dialect, refusal| refused_in(in_shadow, dialect, refusal);
        if config.server().is_none() && target.asks_the_server() {
            return Err(refused(dialect, Refusal::UnknownEndpoint));
        }
        if hides_fields {
            return Err(refused(dialect, Refusal::TooManyFields(host.most_fields)));
        }
        let digest = match credential::find(headers, Voice { dialect, profile }) {
            // It may stand in the body.
            Err(NoCredential::Missing) if target == Target::UserKey => NO_KEY,
            found => found.map_err(|why| refused(dialect, Refusal::Credential(why)))?,
        };
        if shows_credential {
            return Err(refused(dialect, Refusal::Credential(NoCredential::InUrl)));
        }
        let body = match target {
            Target::Call { .. } | Target::UserKey => Body::Coming(Coming::Nothing),
            // What a path of the configuration costs does not depend on its body.
            Target::Listed { .. } | Target::Models | Target::Model(_) | Target::Usage => Body::None,
        };
        if matches!(body, Body::Coming(_)) && !Open::body_is_sure_to_come(headers, host.body_end) {
            return Err(refused(dialect, Refusal::LengthRequired));
        }
        let open = Open {
            path: url_query::without_credentials(path).unwrap_or_else(|| path.to_vec()),
            betas: betas(headers, &target),
            trace_parent: value(headers, b"traceparent").and_then(TraceParent::read),
            stray_parameter: stray_parameter(dialect, &target, path),
            target,
            digest,
            metadata: metadata(headers),
            address,
            idempotency: if config.idempotency && method != b"GET" {
                repetition::sent(headers)
            } else {
                None
            },
            is_dry_run,
            body_is_dropped: false,
            has_content_length: value(headers, b"content-length").is_some(),
            is_plain_json: is_plain_json(headers),
            body,
            waits_for: None,
            calls_left: MOST_CALLS,
            queued_for: None,
            queued_at_ms: None,
            lease_number: None,
            granted: None,
            refused: None,
            usage: None,
            user_key: None,
            asked: None,
            want: Want::default(),
            ask_is_open: false,
            ask_is_stale: false,
            began_ms: now.monotonic_ms,
            began_unix_ms: now.wall_ms,
            failures: 0,
            waited: false,
            head_is_gone: false,
            called_since_body: false,
            errands: Errands::default(),
        };
        let voice = Voice { dialect, profile };
        let (request, notes) = (request.clone(), Notes::at(now));
        Ok(Self { request, voice, stage: Stage::Open(Box::new(open)), in_shadow, notes })
    }
}

impl Open {
    /// The name under which it asks for a model.
    pub(crate) fn model(&self) -> Option<&str> {
        match (&self.target, &self.body) {
            (Target::Listed { model, .. }, _) => Some(model.as_str()),
            (_, Body::Read(Ok(request))) => Some(&request.model),
            _ => None,
        }
    }

    /// What its body asks for.
    pub(crate) fn request(&self) -> Option<&Request> {
        match &self.body {
            Body::Read(Ok(request)) => Some(request),
            _ => None,
        }
    }

    /// The query without credentials; empty where there is none.
    pub(crate) fn query(&self) -> &[u8] {
        let at = self.path.iter().position(|byte| *byte == b'?');
        at.and_then(|at| self.path.get(at + 1..)).unwrap_or_default()
    }

    /// Betas are checked where messages are written, and cost nothing where tokens are counted. A path
    /// of the configuration has its price whatever is asked for; some (`/v1/files`) work only with one.
    pub(crate) fn betas_on_their_way(&self) -> Betas {
        match self.target {
            Target::Call {
                operation: Operation::Messages | Operation::CountMessageTokens, ..
            }
            | Target::Listed { .. } => Betas::Pass,
            Target::Call { .. }
            | Target::Models
            | Target::Model(_)
            | Target::Usage
            | Target::UserKey => Betas::Removed,
        }
    }

    /// The path with this model in the place of the one that it names, if it names one.
    pub(crate) fn path_for(&self, model: &ModelName) -> Option<String> {
        match &self.target {
            Target::Call { path_model: Some(named), .. } => {
                Some(named.replaced(&self.path, model.as_str()))
            }
            _ => None,
        }
    }

    /// More of the body is buffered. True when it has become too large just now.
    pub(crate) fn body_grows(&mut self, size: usize, most: usize) -> bool {
        let too_large = size > self.most_bytes(most) && matches!(self.body, Body::Coming(_));
        if too_large {
            self.body = Body::TooLarge;
        }
        too_large
    }

    /// Bytes of its body that need not be shown again; none where it is to be shown as a whole.
    pub(crate) fn body_read(&self) -> Option<usize> {
        match (&self.target, &self.body) {
            (Target::Call { .. }, Body::Coming(coming)) => Some(match coming {
                Coming::Nothing => 0,
                Coming::Part(reader) => usize::try_from(reader.bytes()).unwrap_or(usize::MAX),
                Coming::Enough(_) => usize::MAX,
            }),
            _ => None,
        }
    }

    /// More of the body is buffered, this behind what was read before. True when it has become too
    /// large just now.
    pub(crate) fn body_part(&mut self, part: &[u8], size: usize, most: usize) -> bool {
        if self.body_grows(size, most) {
            return true;
        }
        let Body::Coming(coming) = &mut self.body else { return false };
        let coming = std::mem::take(coming);
        self.body = Body::Coming(self.read_on(coming, part));
        false
    }

    /// The body has ended with what was shown of it.
    pub(crate) fn body_ends(&mut self) {
        let Body::Coming(coming) = &mut self.body else { return };
        let coming = std::mem::take(coming);
        let read = match self.read_on(coming, &[]) {
            Coming::Part(reader) => reader.finish(&self.betas),
            Coming::Enough(problem) => Err(problem),
            Coming::Nothing => Err(Problem::NotAnObject),
        };
        self.body = Body::Read(read.map(Box::new));
    }

    fn read_on(&self, coming: Coming, part: &[u8]) -> Coming {
        let mut reader = match (coming, &self.target) {
            (Coming::Part(reader), _) => reader,
            (Coming::Nothing, Target::Call { operation, path_model }) => {
                let path_model = path_model.as_ref().map(|model| model.name.as_str());
                Box::new(BodyReader::new(*operation, path_model))
            }
            (coming, _) => return coming,
        };
        match reader.feed(part) {
            Ok(()) => Coming::Part(reader),
            Err(problem) => Coming::Enough(problem),
        }
    }

    /// The head says that no body follows. Some hosts say so of every request, so the host's word
    /// counts only where the head does not announce a body.
    pub(crate) fn head_is_all(headers: &Headers, end: bool, told: BodyEnd) -> bool {
        let chunked = || headers.iter().any(|(name, _)| name == b"transfer-encoding");
        match told {
            BodyEnd::WithHead => end && !chunked() && !has_length(headers),
            BodyEnd::AlwaysComes => false,
            BodyEnd::ComesIfAny => !has_length(headers),
        }
    }

    /// Where nobody says that a body is empty, only one of a stated length will be shown for sure.
    fn body_is_sure_to_come(headers: &Headers, told: BodyEnd) -> bool {
        let is_chunked = headers.iter().any(|(name, _)| name == b"transfer-encoding");
        told != BodyEnd::ComesIfAny || !is_chunked
    }

    /// The whole body is there.
    pub(crate) fn body_complete(&mut self, body: &[u8], most: usize) {
        if self.target == Target::UserKey {
            if !self.body_grows(body.len(), most) && matches!(self.body, Body::Coming(_)) {
                self.body = self.take_key(body);
            }
        } else {
            // What was read of it before is among this.
            if matches!(self.body, Body::Coming(_)) {
                self.body = Body::Coming(Coming::Nothing);
            }
            self.body_part(body, body.len(), most);
            self.body_ends();
        }
    }

    /// The most bytes that its body may have, where `most` is the limit of the configuration.
    fn most_bytes(&self, most: usize) -> usize {
        if self.target == Target::UserKey { most.min(LONGEST_BODY) } else { most }
    }

    /// Takes the key of a body that may name one.
    fn take_key(&mut self, body: &[u8]) -> Body {
        let named = match key_in(body) {
            Ok(Some(key)) => match ApiKey::parse(key.trim().as_bytes()) {
                Ok(key) => key.digest(),
                Err(why) => return Body::NoKey(NoCredential::Malformed(why)),
            },
            Ok(None) => self.digest,
            Err(problem) => return Body::Read(Err(problem)),
        };
        if named == NO_KEY {
            return Body::NoKey(NoCredential::Missing);
        }
        if self.digest != NO_KEY && named != self.digest {
            return Body::Read(Err(other_key()));
        }
        self.digest = named;
        Body::None
    }

    /// Whether its body is all there, `most` bytes being the limit.
    ///
    /// # Errors
    /// When the body cannot be taken.
    pub(crate) fn check_body(&self, most: usize) -> Result<bool, Refusal> {
        match &self.body {
            Body::TooLarge => Err(Refusal::BodyTooLarge(most)),
            Body::Coming(_) => Ok(false),
            Body::NoKey(why) => Err(Refusal::Credential(*why)),
            Body::Read(_) if !self.is_plain_json => Err(Refusal::UnsupportedEncoding),
            Body::Read(Err(problem)) => Err(Refusal::Body(problem.clone())),
            Body::Read(Ok(_)) | Body::None => Ok(true),
        }
    }
}

fn has_length(headers: &Headers) -> bool {
    let is_zero = |value: &[u8]| value.trim_ascii().iter().all(|byte| *byte == b'0');
    headers.iter().any(|(name, value)| name == b"content-length" && !is_zero(value))
}

/// The header in which a caller says what a call is for.
const METADATA_HEADER: &[u8] = b"x-tollgate-metadata";

/// What was sent as metadata is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadMetadata;

/// What the caller says of the call: nothing where the header is absent. Like every header of ours
/// it is removed before the upstream.
fn metadata(headers: &Headers) -> Result<Metadata, BadMetadata> {
    let mut sent = headers.iter().filter(|(name, _)| name == METADATA_HEADER);
    match (sent.next(), sent.next()) {
        (None, _) => Ok(Metadata::default()),
        (Some((_, json)), None) => message::read(json).map_err(|_| BadMetadata),
        (Some(_), Some(_)) => Err(BadMetadata),
    }
}

fn hints(headers: &Headers, path: &[u8]) -> Hints {
    let mut hints = Hints { has_google_key: url_query::has_key(path), ..Hints::default() };
    for (name, value) in headers {
        match name.as_slice() {
            b"x-goog-api-key" => hints.has_google_key = true,
            b"anthropic-version" => hints.has_anthropic_version = true,
            // Extended CONNECT (RFC 8441) has no `upgrade`.
            b":protocol" => hints.wants_websocket = true,
            b"upgrade" => {
                let wanted = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                hints.wants_websocket |=
                    wanted.into_iter().any(|word| word.eq_ignore_ascii_case(b"websocket"));
            }
            _ => {}
        }
    }
    hints
}

/// The betas that a message asks for.
fn betas(headers: &Headers, target: &Target) -> String {
    if !matches!(target, Target::Call { operation: Operation::Messages, .. }) {
        return String::new();
    }
    let values = headers.iter().filter(|(name, _)| BETA_HEADERS.contains(&name.as_slice()));
    values.map(|(_, value)| String::from_utf8_lossy(value)).collect::<Vec<_>>().join(",")
}

/// Google's servers take parameters that change what an answer holds (`fields`) or how it is
/// written (`alt=proto`, `callback`): without usage, or so that it cannot be read.
fn stray_parameter(dialect: Dialect, target: &Target, path: &[u8]) -> Option<String> {
    let is_googles = dialect == Dialect::Gemini || is_googles_openai_path(path);
    if !is_googles || !matches!(target, Target::Call { .. }) {
        return None;
    }
    url_query::beyond_google(path)
}
