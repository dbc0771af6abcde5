//! One VM through any order of what a host may call, with any of its own calls refused: whatever
//! happens, each request has one fate, a refusal stays one, money is set aside for running calls
//! and no other, each call that went on is recorded once, and nothing is left behind at the end.

mod world;

use gate::{HostKind, StreamId};

use crate::agreement::body;
use crate::input::Input;
use metering::request::Operation;
use world::World;

/// Events of one input; more take time and add nothing.
const MOST_EVENTS: usize = 150;
/// Streams at once.
const STREAMS: u8 = 3;

const BODIES: [&str; 8] = [
    r#"{"model":"m"}"#,
    r#"{"model":"m","max_tokens":9,"stream":true}"#,
    r#"{"model":"alias","n":2}"#,
    r#"{"model":"other"}"#,
    "{",
    "",
    r#"{"model":"m","max_tokens":7,"n":1}"#,
    r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":20}}"#,
];

/// Statuses and media types of upstreams.
const HEADS: [(&str, &str); 6] = [
    ("200", "application/json"),
    ("200", "text/event-stream"),
    ("500", "application/json"),
    ("429", "text/event-stream"),
    ("2\u{fffd}0", "text/html"),
    ("204", ""),
];

const DATA: [&str; 8] = [
    r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":5000}}\n\n",
    "data: {\"cho",
    "data: [DONE]\n\n",
    "",
    r#"[{"candidates":[{"content":{"parts":[{"text":"one"}]}}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3}}"#,
];

/// The first byte chooses the host, each of the following ones what happens next.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let host =
        input.one_of(&[HostKind::Envoy, HostKind::Envoy, HostKind::Apisix, HostKind::NgxWasm]);
    let mut world = World::new(host);
    for _ in 0..MOST_EVENTS {
        if input.is_empty() {
            break;
        }
        happen(&mut world, &mut input);
        world.check();
    }
    world.settle();
}

fn happen(world: &mut World, input: &mut Input<'_>) {
    let event = input.byte();
    let stream = u32::from(event >> 6) % u32::from(STREAMS) + 1;
    let id = StreamId(stream);
    match event & 31 {
        0..=3 => {
            let choice = input.byte();
            world.request(id, choice & 7, choice >> 3 & 7, choice & 64 != 0);
        }
        4 => {
            let size = usize::from(input.number());
            world.grows(id, size, BODIES[size % BODIES.len()]);
        }
        5..=7 => {
            let choice = input.byte();
            match BODIES.get(usize::from(choice)) {
                Some(text) => world.body(id, text.as_bytes()),
                None => {
                    let made = body(Operation::Chat, input);
                    world.body(id, &made);
                }
            }
        }
        8..=13 => {
            let (which, how) = (input.byte(), input.byte());
            world.answer(usize::from(which), how, input);
        }
        14 | 15 => {
            let choice = input.byte();
            let (status, kind) = HEADS[usize::from(choice & 7) % HEADS.len()];
            world.head(id, status, kind, choice & 128 != 0);
        }
        16..=18 => {
            let choice = input.byte();
            match DATA.get(usize::from(choice & 15)) {
                Some(text) => world.data(id, text.as_bytes(), choice & 128 != 0),
                None => {
                    let text = input.take(usize::from(choice >> 4));
                    world.data(id, text, choice & 128 != 0);
                }
            }
        }
        19 | 20 => world.end(id),
        21 | 22 => world.tick(),
        23 | 24 => {
            let ms = u64::from(input.number());
            world.wait(ms);
        }
        25 => world.clock_fails(),
        26 => world.lose_swaps(u32::from(input.byte() & 15)),
        27 => world.memory_fails(input.byte() & 15),
        // Some call of ours from now on is refused, whatever it is.
        28 | 29 => world.refuse(input.byte()),
        30 => world.reconfigure(input.byte()),
        _ => world.decided(id),
    }
}
