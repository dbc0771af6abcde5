//! What the server is told at its start, checked before anything is opened.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use wire::KeyDigest;

use crate::live::SessionTimes;
use crate::webhooks::WebhookSettings;

/// Shorter tokens can be guessed.
pub const SHORTEST_FILTER_TOKEN: usize = 32;

/// The longest token that is read: longer ones fit no header.
pub const LONGEST_FILTER_TOKEN: usize = 512;

/// Beginnings by which people mark what they mean to replace later.
const PLACEHOLDERS: &[&str] = &[
    "changeme",
    "change-me",
    "change_me",
    "example",
    "default",
    "secret",
    "password",
    "test",
    "insecure",
    "replace",
    "your-",
    "your_",
    "todo",
    "xxx",
    "dummy",
];

/// Fewer different characters than this are no randomness: 32 random hexadecimal digits have
/// fewer than eight different ones about once in a million.
const FEWEST_DIFFERENT: usize = 8;

/// Why a filter token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFilterToken {
    /// There is none.
    #[error(
        "TOLLGATE_FILTER_TOKEN is not set: filters and server must share a secret; make one with \
         `openssl rand -hex 32`"
    )]
    Missing,
    /// It can be guessed.
    #[error("TOLLGATE_FILTER_TOKEN is shorter than {SHORTEST_FILTER_TOKEN} characters")]
    TooShort,
    /// It fits no header.
    #[error(
        "TOLLGATE_FILTER_TOKEN must be at most {LONGEST_FILTER_TOKEN} visible ASCII characters"
    )]
    NotAToken,
    /// It is a placeholder.
    #[error(
        "TOLLGATE_FILTER_TOKEN looks like a default value; make one with `openssl rand -hex 32`"
    )]
    Default,
    /// The token before it is no token.
    #[error(
        "TOLLGATE_FILTER_TOKEN_PREVIOUS is not a token that a server could have had; leave it out \
         when no rotation is under way"
    )]
    Previous,
}

/// The secret that filters present, and while it is being replaced the one before it, kept as
/// digests. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct FilterToken {
    digest: KeyDigest,
    previous: Option<KeyDigest>,
}

/// Which of the tokens a caller presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// The present one.
    Current,
    /// The one that is being replaced.
    Previous,
}

impl fmt::Debug for FilterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterToken(redacted)")
    }
}

impl FilterToken {
    /// Checks a token.
    ///
    /// # Errors
    /// When it is missing, short, or an obvious default.
    pub fn new(text: Option<&str>) -> Result<Self, BadFilterToken> {
        let text = text.filter(|text| !text.is_empty());
        let text = text.ok_or(BadFilterToken::Missing)?;
        if text.len() < SHORTEST_FILTER_TOKEN {
            return Err(BadFilterToken::TooShort);
        }
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() > LONGEST_FILTER_TOKEN || !visible {
            return Err(BadFilterToken::NotAToken);
        }
        if looks_like_a_default(text) {
            return Err(BadFilterToken::Default);
        }
        Ok(Self { digest: metering::api_key::digest(text.as_bytes()), previous: None })
    }

    /// The same token, which for the time of a rotation shares the door with the one before it: no
    /// filter has to be told at the same moment as the server. None or an empty text: no rotation.
    ///
    /// # Errors
    /// When the text could not have been a token.
    pub fn replacing(mut self, text: Option<&str>) -> Result<Self, BadFilterToken> {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let previous = Self::new(Some(text)).map_err(|_| BadFilterToken::Previous)?;
            self.previous = Some(previous.digest);
        }
        Ok(self)
    }

    /// Whether two tokens are valid.
    #[must_use]
    pub fn is_being_replaced(&self) -> bool {
        self.previous.is_some()
    }

    /// Whether the text is a token of this server and which, in a time that does not depend on where
    /// it differs.
    #[must_use]
    pub fn admits(&self, text: &[u8]) -> Option<Presented> {
        let digest = metering::api_key::digest(text);
        let is_current = crate::app::same_digest(&self.digest, &digest);
        let previous = self.previous.as_ref();
        let is_previous =
            previous.is_some_and(|previous| crate::app::same_digest(previous, &digest));
        match (is_current, is_previous) {
            (true, _) => Some(Presented::Current),
            (false, true) => Some(Presented::Previous),
            (false, false) => None,
        }
    }
}

fn looks_like_a_default(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let placeholder = PLACEHOLDERS.iter().any(|word| lower.starts_with(word));
    let different: std::collections::BTreeSet<_> = text.bytes().collect();
    placeholder || different.len() < FEWEST_DIFFERENT
}

/// What an [`crate::App`] needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database file.
    pub database: PathBuf,
    /// The journal file, if one is kept; meant for another disk than the database's.
    pub journal: Option<PathBuf>,
    /// The secret of the filter API.
    pub filter_token: FilterToken,
    /// How long holders may act on what they know.
    pub session: SessionTimes,
    /// How long the request log is kept.
    pub keep_requests: KeepRequests,
    /// How webhooks are reached.
    pub webhooks: WebhookSettings,
    /// How long user keys live.
    pub user_key_lifetime: UserKeyLifetime,
}

/// How long a user key lives where its key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserKeyLifetime {
    /// Seconds; at most [`UserKeyLifetime::LONGEST_S`].
    pub seconds: u32,
}

impl UserKeyLifetime {
    /// A minute: with [`crate::app::EXCHANGES_PER_HOUR`] a program can always have one.
    pub const SHORTEST_S: u32 = 60;
    /// A day: whoever needs longer needs a key.
    pub const LONGEST_S: u32 = 24 * 60 * 60;

    /// The same in milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::from(self.seconds.min(Self::LONGEST_S)) * 1_000
    }
}

impl Default for UserKeyLifetime {
    /// An hour, as clients of PrivateMind expect.
    fn default() -> Self {
        Self { seconds: 60 * 60 }
    }
}

/// For how long records of the request log are kept after their arrival, and leases that have ended
/// after their grant. Sums and money stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRequests {
    /// Days; at least [`KeepRequests::SHORTEST_DAYS`].
    pub days: u32,
}

impl KeepRequests {
    /// A call is told from a repeated report of it by its record: no filter repeats one, or says anything
    /// of a lease that has ended, after so long.
    pub const SHORTEST_DAYS: u32 = 30;
    /// A hundred years: as good as for ever.
    pub const LONGEST_DAYS: u32 = 36_525;

    /// What arrived before this time is to be forgotten now, both in milliseconds since 1970 UTC.
    #[must_use]
    pub fn beginning(self, now_unix_ms: u64) -> u64 {
        let days = self.days.max(Self::SHORTEST_DAYS);
        now_unix_ms.saturating_sub(u64::from(days) * crate::time_range::DAY_MS)
    }
}

impl Default for KeepRequests {
    /// More than a year, so that a month can be compared with the same month of the year before.
    fn default() -> Self {
        Self { days: 400 }
    }
}

/// Where the server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Filter API.
    pub filter: SocketAddr,
    /// Admin API.
    pub admin: SocketAddr,
    /// Counts for Prometheus, where they are wanted.
    pub metrics: Option<SocketAddr>,
    /// Addresses beyond this machine are meant.
    pub anywhere: bool,
}

/// An address beyond this machine was not asked for explicitly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} can be reached from other machines: protect it with TLS and a firewall and say \
     --listen-anywhere, or use a loopback address"
)]
pub struct NotLoopback(pub SocketAddr);

impl Listen {
    /// Checks that the server is not exposed by accident.
    ///
    /// # Errors
    /// When an address is no loopback address and that was not asked for.
    pub fn check(&self) -> Result<(), NotLoopback> {
        let all = [self.filter, self.admin].into_iter().chain(self.metrics);
        let exposed = all.into_iter().find(|address| !address.ip().is_loopback());
        match exposed {
            Some(address) if !self.anywhere => Err(NotLoopback(address)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessable_filter_tokens_are_refused() {
        let good = "9f86d081884c7d659a2feaa0c55ad015";
        assert!(FilterToken::new(Some(good)).is_ok());
        let aaaa = "a".repeat(40);
        let abab = "ab".repeat(20);
        let long = format!("{good}{}", good.repeat(20));
        for (text, why) in [
            (None, BadFilterToken::Missing),
            (Some(""), BadFilterToken::Missing),
            (Some("9f86d081884c7d659a2feaa0c55ad01"), BadFilterToken::TooShort),
            (Some(aaaa.as_str()), BadFilterToken::Default),
            (Some(abab.as_str()), BadFilterToken::Default),
            (Some("ChangeMe-9f86d081884c7d659a2feaa0c55ad015"), BadFilterToken::Default),
            (Some("9f86d081884c7d65 9a2feaa0c55ad015"), BadFilterToken::NotAToken),
            (Some(long.as_str()), BadFilterToken::NotAToken),
        ] {
            assert_eq!(FilterToken::new(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_token_admits_itself_only_and_is_not_printed() {
        let text = "9f86d081884c7d659a2feaa0c55ad015";
        let token = FilterToken::new(Some(text)).unwrap();
        assert_eq!(token.admits(text.as_bytes()), Some(Presented::Current));
        assert_eq!(token.admits(b"9f86d081884c7d659a2feaa0c55ad016"), None);
        assert_eq!(token.admits(b""), None);
        assert_eq!(format!("{token:?}"), "FilterToken(redacted)");
    }

    #[test]
    fn two_tokens_are_valid_while_one_replaces_the_other() {
        let (old, new) = ("9f86d081884c7d659a2feaa0c55ad015", "1b4f0e9851971998e732078544c96b36");
        let alone = FilterToken::new(Some(new)).unwrap();
        assert_eq!(alone.admits(old.as_bytes()), None);
        assert!(!alone.clone().replacing(None).unwrap().is_being_replaced());
        assert!(!alone.clone().replacing(Some("")).unwrap().is_being_replaced());
        let both = alone.clone().replacing(Some(old)).unwrap();
        assert!(both.is_being_replaced());
        assert_eq!(both.admits(new.as_bytes()), Some(Presented::Current));
        assert_eq!(both.admits(old.as_bytes()), Some(Presented::Previous));
        assert_eq!(both.admits(b"0123456789abcdef0123456789abcdef"), None);
        for bad in ["short", "changeme-9f86d081884c7d659a2feaa0c55ad015"] {
            assert_eq!(alone.clone().replacing(Some(bad)), Err(BadFilterToken::Previous), "{bad}");
        }
        let same = alone.replacing(Some(new)).unwrap();
        assert_eq!(same.admits(new.as_bytes()), Some(Presented::Current));
    }

    #[test]
    fn other_machines_reach_the_server_only_when_asked_for() {
        let listen = |filter: &str, anywhere| Listen {
            filter: filter.parse().unwrap(),
            admin: "[::1]:8702".parse().unwrap(),
            metrics: None,
            anywhere,
        };
        let metrics = Some("0.0.0.0:9100".parse().unwrap());
        assert!(Listen { metrics, ..listen("127.0.0.1:8700", false) }.check().is_err());
        assert!(listen("127.0.0.1:8700", false).check().is_ok());
        assert!(listen("0.0.0.0:8700", false).check().is_err());
        assert!(listen("0.0.0.0:8700", true).check().is_ok());
    }
}
