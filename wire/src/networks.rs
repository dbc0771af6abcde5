//! Addresses and networks from which a key may be used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Why a text is no address or network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// Neither `192.0.2.7` nor `192.0.2.0/24` nor their IPv6 forms.
    Malformed,
    /// More bits than the address has.
    PrefixTooLong,
    /// Bits of the address are set behind the prefix: one of the two is mistaken.
    HostBits(Network),
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                f.write_str("must be an address or a network such as 192.0.2.0/24 or 2001:db8::/32")
            }
            Self::PrefixTooLong => f.write_str("the prefix is longer than the address"),
            Self::HostBits(meant) => {
                write!(f, "has bits set behind its prefix; the network is {meant}")
            }
        }
    }
}

impl std::error::Error for InvalidNetwork {}

/// A network in CIDR notation (RFC 4632, RFC 4291); a single address is one of full length. An
/// IPv4 address written as IPv6 (`::ffff:192.0.2.7`) is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is within. IPv4 networks hold IPv4 addresses only, IPv6 networks IPv6
    /// addresses only, whatever way an IPv4 address is written.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                masked_v4(address, self.prefix) == network
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                masked_v6(address, self.prefix) == network
            }
            _ => false,
        }
    }

    fn new(address: IpAddr, prefix: u8) -> Result<Self, InvalidNetwork> {
        let network = match address {
            IpAddr::V4(_) if prefix > 32 => return Err(InvalidNetwork::PrefixTooLong),
            IpAddr::V6(_) if prefix > 128 => return Err(InvalidNetwork::PrefixTooLong),
            IpAddr::V4(address) => IpAddr::V4(masked_v4(address, prefix)),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                // The 96 bits before it are always the same.
                Some(address) if prefix >= 96 => {
                    return Self::new(IpAddr::V4(address), prefix.saturating_sub(96));
                }
                _ => IpAddr::V6(masked_v6(address, prefix)),
            },
        };
        let meant = Self { address: network, prefix };
        if network == address { Ok(meant) } else { Err(InvalidNetwork::HostBits(meant)) }
    }

    fn is_one_address(&self) -> bool {
        self.prefix == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork::Malformed)?;
        let full = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => full,
            // `parse` alone would take "+8" and "008".
            Some(digits)
                if digits == "0"
                    || !digits.starts_with('0')
                        && (1..=3).contains(&digits.len())
                        && digits.bytes().all(|digit| digit.is_ascii_digit()) =>
            {
                digits.parse().map_err(|_| InvalidNetwork::PrefixTooLong)?
            }
            Some(_) => return Err(InvalidNetwork::Malformed),
        };
        Self::new(address, prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one_address() {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Networks from which a key may be used; never empty, for an empty list would say either of two
/// opposite things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AllowedNetworks(Vec<Network>);

impl AllowedNetworks {
    /// Networks in one list: a filter compares every call's address with each of them.
    pub const MOST: usize = 64;

    /// A list; `None` where it is empty or has more than [`Self::MOST`].
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Option<Self> {
        (1..=Self::MOST).contains(&networks.len()).then_some(Self(networks))
    }

    /// Whether a call may come from this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The networks in the order in which they were given.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for AllowedNetworks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a list of 1 to 64 networks is expected"))
    }
}

fn masked_v4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(u32::from(prefix));
    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn masked_v6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let host_bits = 128_u32.saturating_sub(u32::from(prefix));
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_written_in_one_form() {
        for (text, written) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("2001:db8:0:0::1", "2001:db8::1"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(network(text).to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0/8",
            "10.0.0.0/8/8",
            "10.0.0.0/-1",
            "host",
            "10.0.0.0-10.0.0.9",
            "[::1]",
            "fe80::1%eth0",
            " 10.0.0.1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork::Malformed), "{text:?}");
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/999"] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork::PrefixTooLong), "{text}");
        }
        for (text, meant) in [
            ("10.1.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7/0", "0.0.0.0/0"),
            ("2001:db8::1/64", "2001:db8::/64"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error, InvalidNetwork::HostBits(network(meant)), "{text}");
            assert!(error.to_string().ends_with(meant), "{error}");
        }
    }

    #[test]
    fn a_network_holds_its_first_and_last_address_and_no_other() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]),
            ("192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.6", "::192.0.2.7"]),
            ("0.0.0.0/0", ["0.0.0.0", "::ffff:1.2.3.4"], ["::", "::1"]),
            ("2001:db8::/33", ["2001:db8::", "2001:db8:7fff::1"], ["2001:db8:8000::", "::1"]),
            ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "0.0.0.1"]),
            ("::/0", ["::", "ffff::"], ["0.0.0.0", "::ffff:1.2.3.4"]),
        ] {
            let network = network(text);
            for one in inside {
                assert!(network.contains(address(one)), "{one} is in {text}");
            }
            for one in outside {
                assert!(!network.contains(address(one)), "{one} is not in {text}");
            }
        }
    }

    #[test]
    fn a_list_holds_what_one_of_its_networks_holds() {
        let list: AllowedNetworks =
            serde_json::from_str(r#"["10.0.0.0/8", "2001:db8::7"]"#).unwrap();
        assert!(list.contains(address("10.9.9.9")) && list.contains(address("2001:db8::7")));
        assert!(!list.contains(address("11.0.0.1")) && !list.contains(address("2001:db8::8")));
        assert_eq!(serde_json::to_string(&list).unwrap(), r#"["10.0.0.0/8","2001:db8::7"]"#);
        assert!(serde_json::from_str::<AllowedNetworks>("[]").is_err());
        let many = vec![network("::1"); AllowedNetworks::MOST + 1];
        assert_eq!(AllowedNetworks::new(many), None);
    }
}
