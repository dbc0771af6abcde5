//! The upstream that a stack forwards to: scheme, host, port and base path of a URL.

use std::fmt;
use std::str::FromStr;

/// An upstream given as `http(s)://host[:port][/base]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or IPv4 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path put before each request's own, without a slash at its end; empty for none. A base that
    /// ends in `/v1` means the same as one without it, because clients of the gateway send `/v1`.
    pub base_path: String,
}

impl Upstream {
    /// A plain HTTP upstream on this machine.
    #[must_use]
    pub fn local(port: u16) -> Self {
        Self { tls: false, host: "127.0.0.1".to_owned(), port, base_path: String::new() }
    }

    /// The value of `Host` that the upstream expects.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Upstream {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            anyhow::bail!("the upstream `{text}` must begin with http:// or https://");
        };
        anyhow::ensure!(
            !rest.contains(['?', '#', '@']),
            "the upstream may have no query, fragment or credential; use --upstream-key-env"
        );
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (
                host,
                port.parse().map_err(|_| anyhow::anyhow!("`{port}` in `{text}` is not a port"))?,
            ),
            None => (authority, default_port(tls)),
        };
        anyhow::ensure!(
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)),
            "`{host}` in `{text}` is not a host name or IPv4 address"
        );
        let path = path.trim_end_matches('/');
        let path = path
            .strip_suffix("v1")
            .filter(|base| base.is_empty() || base.ends_with('/'))
            .unwrap_or(path);
        anyhow::ensure!(
            path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)),
            "the path of `{text}` has a character that is not supported"
        );
        let path = path.trim_end_matches('/');
        let base_path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { tls, host: host.to_owned(), port, base_path })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.base_path)
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, written: &str, host: &str, port: u16, base_path: &str) {
        let upstream: Upstream = text.parse().unwrap();
        assert_eq!(upstream.to_string(), written);
        assert_eq!(
            (upstream.host.as_str(), upstream.port, upstream.base_path.as_str()),
            (host, port, base_path)
        );
    }

    #[test]
    fn urls_are_taken_apart() {
        check("http://127.0.0.1:8701", "http://127.0.0.1:8701", "127.0.0.1", 8701, "");
        check("https://api.example.com/", "https://api.example.com", "api.example.com", 443, "");
        check("https://api.example.com/v1", "https://api.example.com", "api.example.com", 443, "");
        check("http://a/api/v1/", "http://a/api", "a", 80, "/api");
        check("http://a/apiv1", "http://a/apiv1", "a", 80, "/apiv1");
        check("http://a:81/x/y", "http://a:81/x/y", "a", 81, "/x/y");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            "api.example.com",
            "ftp://a",
            "http://",
            "http://a:x",
            "http://user:pw@a",
            "http://a/?k=1",
            "http://a b",
            "http://a/\"x",
        ] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }
}
