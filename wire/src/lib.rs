//! What crosses the boundary between the filter and the policy server: messages, ids, money and
//! counts. This crate holds no logic beyond checking that a value is well formed; every number is
//! *decided* in `metering`. Golden files in `tests/golden` freeze each message: changing one is a
//! change of protocol and needs a line in the changelog.

mod digest;
mod ids;
mod metadata;
mod money;
mod multiplier;
mod networks;
mod revision;
pub mod v1;

pub use digest::{KeyDigest, Nonce, ParseHexError};
pub use ids::{
    HolderId, InvalidId, KeyId, LeaseId, ModelName, OrgId, RefusalCode, RequestId, TeamId, UserId,
};
pub use metadata::{InvalidMetadata, Metadata};
pub use money::{MoneyError, NanoUsd, PicoUsdPerToken};
pub use multiplier::{InvalidMultiplier, PriceMultiplier};
pub use networks::{AllowedNetworks, InvalidNetwork, Network};
pub use revision::{CatalogueVersion, Epoch, Revision};

/// Version of the filter API that this crate describes. A holder names it when it registers and
/// the server refuses versions that it does not speak.
pub const PROTOCOL_VERSION: u32 = 1;
