//! One attempt: a POST that follows no redirect, reads no more of the answer than its head, and goes
//! nowhere that is not public.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Uri;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::WebhookSettings;
use super::secret::Signature;
use super::target::{is_public, parse_url};

/// How long a receiver may take, looking up its name included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the head of an answer: nothing in it but the status counts.
const HEAD_BYTES: usize = 16 * 1_024;

/// Bytes of an error that are kept, for people.
const ERROR_BYTES: usize = 200;

/// Where the proxy that speaks TLS is told the address to connect to.
const ADDRESS_HEADER: &str = "x-envoy-original-dst-host";

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// The delivery's id.
    pub id: String,
    /// When it is posted, in seconds since 1970 UTC.
    pub unix_s: u64,
    /// The signature of all that.
    pub signature: Signature,
    /// JSON.
    pub body: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong, if anything did.
    pub error: Option<String>,
}

impl Attempt {
    /// An attempt that ended before it was answered.
    #[must_use]
    pub fn failed(error: &dyn std::fmt::Display) -> Self {
        let mut text = error.to_string();
        while text.len() > ERROR_BYTES {
            text.pop();
        }
        Self { status: None, error: Some(text) }
    }
}

/// Posts to webhooks.
#[derive(Debug, Clone)]
pub struct Sender {
    agent: Agent,
    resolver: GuardedResolver,
    allow_private: bool,
    egress: Option<SocketAddr>,
}

impl Sender {
    /// A sender with these bounds.
    #[must_use]
    pub fn new(settings: &WebhookSettings) -> Self {
        let config = Config::builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // Proxies of the environment are for other programs, and would resolve names themselves.
            .proxy(None)
            .max_idle_connections(0)
            .max_response_header_size(HEAD_BYTES)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build();
        let resolver = GuardedResolver { allow_private: settings.allow_private };
        // What goes to the proxy was looked up and checked before.
        let connects_to = match settings.egress {
            Some(_) => GuardedResolver { allow_private: true },
            None => resolver,
        };
        let agent = Agent::with_parts(config, DefaultConnector::default(), connects_to);
        Self { agent, resolver, allow_private: settings.allow_private, egress: settings.egress }
    }

    /// Posts, and says what came of it. Blocks for up to ten seconds.
    #[must_use]
    pub fn post(&self, post: &Post) -> Attempt {
        let uri = match parse_url(&post.url, self.allow_private, self.egress.is_some()) {
            Ok(uri) => uri,
            Err(error) => return Attempt::failed(&error),
        };
        let mut request = self.agent.post(self.address(&uri, &post.url));
        // The address is looked up by whoever connects, but where that is the proxy.
        match self.checked_address(&uri) {
            Ok(None) => {}
            Ok(Some(address)) => {
                let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
                request = request.header("host", host).header(ADDRESS_HEADER, address.to_string());
            }
            Err(error) => return Attempt::failed(&error),
        }
        let sent = request
            .header("content-type", "application/json")
            .header("webhook-id", &post.id)
            .header("webhook-timestamp", post.unix_s.to_string())
            .header("webhook-signature", &post.signature.0)
            .send(&post.body);
        match sent {
            // The body is not read: the connection ends with the answer.
            Ok(answer) => {
                let status = answer.status();
                let error = (!status.is_success()).then(|| format!("answered {status}"));
                Attempt { status: Some(status.as_u16()), error }
            }
            Err(error) => Attempt::failed(&error),
        }
    }

    /// Where to connect to: the receiver, or the proxy with the receiver's path.
    fn address(&self, uri: &Uri, url: &str) -> String {
        match self.egress_for(uri) {
            Some(egress) => {
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                format!("http://{egress}{path}")
            }
            None => url.to_owned(),
        }
    }

    fn egress_for(&self, uri: &Uri) -> Option<SocketAddr> {
        self.egress.filter(|_| uri.scheme_str() == Some("https"))
    }

    /// The receiver's address where the proxy connects to it, which looks up nothing itself: a name
    /// could mean another address to it.
    fn checked_address(&self, uri: &Uri) -> Result<Option<SocketAddr>, ureq::Error> {
        if self.egress_for(uri).is_none() {
            return Ok(None);
        }
        let timeout = NextTimeout {
            after: ureq::unversioned::transport::time::Duration::from_secs(TIMEOUT.as_secs()),
            reason: ureq::Timeout::Resolve,
            ..NextTimeout::default()
        };
        let found = self.resolver.resolve(uri, self.agent.config(), timeout)?;
        found.iter().next().copied().map(Some).ok_or(ureq::Error::HostNotFound)
    }
}

/// Looks names up and leaves out what is not public: what is connected to is what was checked.
#[derive(Debug, Clone, Copy)]
struct GuardedResolver {
    allow_private: bool,
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found.iter() {
            if self.allow_private || is_public(address.ip()) {
                kept.push(*address);
            }
        }
        if kept.is_empty() {
            let message = "its name means no public address";
            return Err(ureq::Error::Io(std::io::Error::other(message)));
        }
        Ok(kept)
    }
}
