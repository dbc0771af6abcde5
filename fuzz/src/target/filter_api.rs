//! Messages of the filter API, in both directions: what is read is written, and read again as the
//! same.

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

/// Readers, those of the server first.
const MESSAGES: [fn(&[u8]); 18] = [
    same_again::<v1::RegisterRequest>,
    same_again::<v1::AdmitRequest>,
    same_again::<v1::LeaseRequest>,
    same_again::<v1::ReportRequest>,
    same_again::<v1::ExchangeRequest>,
    same_again::<v1::UsageRequest>,
    same_again::<v1::RegisterReply>,
    same_again::<v1::AdmitReply>,
    same_again::<v1::LeaseReply>,
    same_again::<v1::ReportReply>,
    same_again::<v1::ExchangeReply>,
    same_again::<v1::UsageReply>,
    same_again::<v1::ChangesReply>,
    same_again::<v1::Catalogue>,
    same_again::<v1::Problem>,
    same_again::<v1::KeyPolicy>,
    same_again::<v1::Price>,
    same_again::<wire::Metadata>,
];

/// The first byte chooses the message.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let read = input.one_of(&MESSAGES);
    read(input.all());
}
