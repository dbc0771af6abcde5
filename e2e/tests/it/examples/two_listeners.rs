//! `examples/envoy/two-listeners`: two plugins with different configurations in one VM.

use e2e::Fixture;
use serde_json::{Value, json};

use super::{Example, assert_guarded, chat_of, client_of, port};

#[test]
fn each_door_has_its_own_configuration_and_both_count_in_one_window() {
    let fixture = Fixture::start(1).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 3, "scope": "proxy"}]);
    let (_, key) = fixture.key(json!({"limits": limits})).unwrap();
    let (_, unlimited) = fixture.key(json!({})).unwrap();
    let example = Example::read("envoy/two-listeners/envoy.yaml").in_place_of(&fixture);
    let envoy = example.with(&port(10_001), &port(0)).start(&fixture, "two-listeners");
    for door in ["programs", "users"] {
        assert_guarded(&envoy, door);
    }
    // Each door's own manners: the shape of an error, and how large a body may be.
    let refused = |door| chat_of(&client_of(&envoy, door, None), 1).json();
    let (programs, users): (Value, Value) = (refused("programs"), refused("users"));
    assert_ne!(programs, users, "both doors say the same");
    let large = |door| chat_of(&client_of(&envoy, door, Some(&unlimited)), 2 << 20).status;
    assert_eq!((large("programs"), large("users")), (200, 413));

    // One window: three calls, whichever doors they come by.
    let call = |door| chat_of(&client_of(&envoy, door, Some(&key)), 1).status;
    let statuses = ["programs", "users", "programs", "users", "programs"].map(call);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}
