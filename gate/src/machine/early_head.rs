//! Where the host delivers no body while it holds the head, the head goes first: without the client's
//! credential, with what is known by then, and in a form that leaves the body free to change.

use super::Gate;
use crate::exchange::{Body, Stage};
use crate::io::{Headers, Now, Output, StreamId};
use crate::key_cache::Known;

impl Gate {
    /// Lets the head of a request on whose body is still to come.
    pub(super) fn let_head_go(&mut self, stream: StreamId, headers: &Headers, now: Now) {
        if self.host.holds_head {
            return;
        }
        let Some(Stage::Open(open)) = self.streams.get(&stream).map(|one| &one.stage) else {
            return;
        };
        let known = if self.may_use_what_it_knows(now) { self.known(&open.digest) } else { None };
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        let Stage::Open(open) = &mut exchange.stage else { return };
        if !matches!(open.body, Body::Coming(_)) || open.waits_for.is_some() {
            return;
        }
        open.head_is_gone = true;
        let request = exchange.request.as_str().to_owned();
        if open.has_content_length {
            for (name, _) in headers.iter().filter(|(name, _)| name == b"content-length") {
                let name = name.clone();
                self.outputs.push_back(Output::RemoveRequestHeader { stream, name });
            }
        }
        let mut set = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.outputs.push_back(Output::SetRequestHeader { stream, name, value });
        };
        // Compressed answers could not be metered.
        set("accept-encoding", "identity");
        set("x-tollgate-request-id", &request);
        if let Some(Known::Key(policy)) = known {
            set("x-tollgate-key-id", policy.key.as_str());
            set("x-tollgate-org", policy.org.as_str());
        }
    }
}
