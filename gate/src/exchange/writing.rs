//! What can be written into a request before it goes on, and what becomes of one that would need
//! more than that.

use metering::request::{OutputLimit, Request};
use wire::v1::{Ask, Model};

use super::{Metered, Open};
use crate::catalogue::reads_max_completion_tokens;
use crate::config::HostSettings;
use crate::host_abilities::{BodyWriting, HostAbilities};
use crate::refusal::Refusal;

/// What can be written into one request now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing {
    body: bool,
    path: bool,
    refuses_limits: bool,
    refuses_usage: bool,
}

impl Writing {
    pub(crate) fn of(open: &Open, host: &HostAbilities, settings: &HostSettings) -> Self {
        Self {
            body: match host.body_writing {
                BodyWriting::Always => true,
                BodyWriting::BeforeWaiting => !open.called_since_body,
                BodyWriting::Never => false,
            },
            path: host.writes_paths && !open.head_is_gone,
            refuses_limits: settings.refuses_unwritable_limits,
            refuses_usage: settings.refuses_unforced_usage,
        }
    }

    /// The same once the request has waited for a call.
    pub(crate) fn after_waiting(self, host: &HostAbilities) -> Self {
        Self { body: host.body_writing == BodyWriting::Always, ..self }
    }

    pub(crate) fn writes_body(self) -> bool {
        self.body
    }

    pub(super) fn writes_path(self) -> bool {
        self.path
    }

    /// Where no limit can be written and the upstream would hold the call to none of its own, nothing
    /// but the model bounds its output, and nothing lowers that.
    pub(crate) fn bound(self, ask: &mut Ask, request: &Request, model: &Model) {
        if !self.body && !request.limits_itself(reads_max_completion_tokens(model)) {
            ask.output_tokens = most_output(request, model);
            ask.output_is_clients = true;
        }
    }

    /// Whether the call may be made although something cannot be written. `reserves`: some limit of
    /// money or tokens counts on the bound of its output.
    ///
    /// # Errors
    /// What the client must state itself.
    pub(crate) fn check(
        self,
        open: &Open,
        model: &Model,
        reserves: bool,
        metered: Metered,
    ) -> Result<(), Refusal> {
        let is_alias = open.model() != Some(model.name.as_str());
        let in_path = is_alias && open.path_for(&model.name).is_some();
        let Some(request) = open.request() else { return Ok(()) };
        let in_body = request.needs_model_written(is_alias);
        if (in_path && !self.path) || (in_body && !self.body) {
            return Err(Refusal::AliasNotWritable(model.name.as_str().to_owned()));
        }
        if self.body {
            return Ok(());
        }
        let reads_newer = reads_max_completion_tokens(model);
        if reserves && self.refuses_limits && !request.limits_itself(reads_newer) {
            return Err(Refusal::OutputLimitRequired);
        }
        let is_unforced = request.stream && !request.wants_stream_usage;
        if is_unforced && self.refuses_usage && metered != Metered::Nothing {
            return Err(Refusal::StreamUsageRequired);
        }
        Ok(())
    }
}

/// The most output that one answer of the model can have.
pub(super) fn most_output(request: &Request, model: &Model) -> u64 {
    match request.output_limit {
        OutputLimit::NoOutput => 0,
        OutputLimit::Tokens(_) | OutputLimit::Absent => {
            let room = model.context_length.saturating_sub(request.least_input_tokens);
            model.max_output_tokens.min(room)
        }
    }
}
