//! Counters that order what the server says.

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);
    };
}

counter! {
    /// Grows by one with every change to a key, organisation or model. A reply with a revision
    /// older than what the filter has applied is discarded.
    Revision
}
counter! {
    /// Names one life of the server's database. Another epoch empties every cache of a filter.
    Epoch
}
counter! {
    /// Version of the catalogue snapshot (models, prices, aliases). A call's price version is the
    /// catalogue version under which it was admitted.
    CatalogueVersion
}
