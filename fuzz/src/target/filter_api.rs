//! Messages of the filter API, in both directions: what is read is written, and read again as the
//! same. What the filter reads in an answer of the server, serde_json reads in it, too.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::v1;

use crate::input::Input;

/// One kind of message.
fn same_again<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&message).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    let twice = serde_json::to_vec(&again).expect("what was read can be written");
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&twice),
        "it has changed"
    );
}

/// One kind of answer, which the filter reads by a reader of its own. That one refuses more: what
/// serde_json looks at only where it is wanted, and what is nested deeper.
fn as_the_filter<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(read) = gate::message::read::<T>(bytes) {
        let expected = serde_json::from_slice::<T>(bytes).expect("the filter has read it");
        assert_eq!(read, expected, "the filter reads something else");
    }
    same_again::<T>(bytes);
}

/// Readers, those of the server first.
const MESSAGES: [fn(&[u8]); 18] = [
    same_again::<v1::RegisterRequest>,
    same_again::<v1::AdmitRequest>,
    same_again::<v1::LeaseRequest>,
    same_again::<v1::ReportRequest>,
    same_again::<v1::ExchangeRequest>,
    same_again::<v1::UsageRequest>,
    as_the_filter::<v1::RegisterReply>,
    as_the_filter::<v1::AdmitReply>,
    as_the_filter::<v1::LeaseReply>,
    as_the_filter::<v1::ReportReply>,
    as_the_filter::<v1::ExchangeReply>,
    as_the_filter::<v1::UsageReply>,
    as_the_filter::<v1::ChangesReply>,
    as_the_filter::<v1::Catalogue>,
    as_the_filter::<v1::Problem>,
    as_the_filter::<v1::KeyPolicy>,
    as_the_filter::<v1::Price>,
    as_the_filter::<wire::Metadata>,
];

/// The first byte chooses the message.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let read = input.one_of(&MESSAGES);
    read(input.all());
}
