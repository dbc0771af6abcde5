//! The filter's configuration: whatever an operator writes is taken or refused, and what is taken
//! makes a machine that runs.

use gate::testing::{Filter, Native};
use gate::{HostKind, Token};

use crate::input::Input;

/// The first byte chooses the host that the machine is found to run in.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let host = input.one_of(&[HostKind::Envoy, HostKind::Apisix, HostKind::NgxWasm]);
    let text = input.all();
    let Ok(config) = gate::config::parse(text) else { return };
    assert_eq!(gate::config::parse(text).as_ref(), Ok(&config), "read otherwise the second time");
    let mut filter = Native::new(config, Token::new(&"t".repeat(32))).on(host);
    filter.clock(1_000);
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("authorization", "Bearer sk-AbCdEfGhIjKlMnOpQrStUv"),
        ("content-length", "36"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    filter.request(1, headers.to_vec(), false);
    filter.body(1, br#"{"model":"m","max_tokens":7,"n":1  }"#, true);
    filter.tick();
    filter.end(1);
    assert_eq!(filter.gate().open_streams(), 0, "a stream was left behind");
}
