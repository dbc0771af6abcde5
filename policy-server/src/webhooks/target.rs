//! Where webhooks may be: not where only the server can reach, or anybody who can make one could
//! speak with what is behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;

/// Why events cannot be posted to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none, or has a user or a fragment.
    #[error("must be a URL such as https://hooks.example.com/tollgate, without user or fragment")]
    NotAUrl,
    /// It is neither `https`, nor `http` where that is allowed.
    #[error("must begin with https://")]
    NotHttps,
    /// There is nobody who speaks TLS.
    #[error("this server has no proxy that speaks TLS for it: see --webhooks-egress")]
    NoEgress,
    /// It names an address that is not public.
    #[error("must not name a private, local or reserved address")]
    NotPublic,
}

/// Checks a URL as far as that can be done without looking its name up.
///
/// # Errors
/// When it cannot be posted to.
pub fn parse_url(text: &str, allow_private: bool, has_egress: bool) -> Result<Uri, BadUrl> {
    let uri: Uri = text.parse().map_err(|_| BadUrl::NotAUrl)?;
    let authority = uri.authority().ok_or(BadUrl::NotAUrl)?;
    if text.contains('#') || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(BadUrl::NotAUrl);
    }
    match uri.scheme_str() {
        Some("https") if !has_egress => return Err(BadUrl::NoEgress),
        Some("https") => {}
        Some("http") if allow_private => {}
        Some(_) => return Err(BadUrl::NotHttps),
        None => return Err(BadUrl::NotAUrl),
    }
    if names_private(authority.host()) && !allow_private {
        return Err(BadUrl::NotPublic);
    }
    Ok(uri)
}

/// Whether a host is an address that is not public, or a name that means this machine. What looks like an
/// address and is not written as one counts as the former: C libraries read `127.1`, `0177.0.0.1` and
/// `2130706433` as addresses (a host whose last label is a number is one, WHATWG URL, section 3.5), and
/// what stands in brackets is one of IPv6, perhaps with the name of an interface.
fn names_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // A full stop at the end says only that the name is whole.
    let bare = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    if let Ok(address) = bare.parse::<IpAddr>() {
        return !is_public(address);
    }
    let last = bare.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").unwrap_or(last);
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || (last.starts_with("0x") && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_number || host.starts_with('[') || last == "localhost"
}

/// Whether an address is one of the public network: neither private, local, link-local, shared,
/// reserved, multicast nor for documentation (RFC 6890), nor such an IPv4 address within an IPv6 one.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let within = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Translation of IPv4 (RFC 6052), and 6to4: as public as what is within.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => within(high, low),
        [0x2002, high, low, ..] => within(high, low),
        // Teredo, benchmarking, ORCHID and the rest of 2001::/23; documentation.
        [0x2001, second, ..] if second < 0x200 => false,
        [0x2001, 0xdb8, ..] => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Of all others only 2000::/3 is handed out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "4000::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn urls_are_https_and_name_no_private_address() {
        let check = |text| parse_url(text, false, true).map(drop);
        assert_eq!(check("https://hooks.example.com/a?b=c"), Ok(()));
        assert_eq!(check("https://8.8.8.8:8443/"), Ok(()));
        assert_eq!(check("https://3com.example/"), Ok(()));
        assert_eq!(check("https://hooks.example.com./"), Ok(()));
        assert_eq!(check("https://[2606:4700::1111]/"), Ok(()));
        for text in
            ["", "/a", "hooks.example.com", "https://u:p@a.example/", "https://a.example/#x"]
        {
            assert_eq!(check(text), Err(BadUrl::NotAUrl), "{text}");
        }
        for text in ["http://a.example/", "ftp://a.example/"] {
            assert_eq!(check(text), Err(BadUrl::NotHttps), "{text}");
        }
        for text in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://localhost/",
            "https://a.LOCALHOST/",
            "https://localhost./",
            "https://127.0.0.1./",
            "https://169.254.169.254.:443/",
            "https://[::ffff:127.0.0.1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            // as C libraries read addresses: in one number, octal, hexadecimal, with fewer parts
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://127.1/",
            "https://8.8.2056/",
            // of an interface of this machine
            "https://[fe80::1%25eth0]/",
        ] {
            assert_eq!(check(text), Err(BadUrl::NotPublic), "{text}");
        }
        assert_eq!(parse_url("https://a.example/", true, false), Err(BadUrl::NoEgress));
        assert!(parse_url("http://127.0.0.1:1/", true, false).is_ok());
    }
}
