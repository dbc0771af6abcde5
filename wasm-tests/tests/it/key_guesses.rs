//! What a guess costs the filter tells nothing of how near it is to a key that the filter knows.
//!
//! Each guess is sent to two filters that differ in their keys alone, and it is the difference of its
//! cost there that must be the same for guesses near to keys of the first filter and for others: what
//! else a guess costs follows from its own letters, which whoever guesses knows, and fuel is so exact
//! that it shows them. Times are taken of the machine in this process, for most of the time of a
//! request through a module is that of the host that these tests have.

use std::collections::HashSet;
use std::hint::black_box;
use std::time::Instant;

use gate::testing::ProcessMemory;
use gate::{Call, Gate, Headers, Input, Now, Output, StreamId, Token};
use metering::api_key::{digest, native_key, openai_key};
use serde_json::{Value, json};
use wasm_tests::{Host, Profile, TraceLevel, Vm, WasmModule};

use crate::canned_server::{self, Verdict};
use crate::probe;
use crate::welch::{CERTAIN, Numbers, t_of};

const GUESSES: usize = 100_000;

/// Nothing but the places of digests in a table is left to chance where fuel is counted, so what
/// `dudect` calls suspicious is enough.
const SUSPICIOUS: f64 = 4.5;

/// Keys that a filter knows.
const KEYS: usize = 64;

/// Those of them that are guessed: few, so that a filter that keeps the last ones at hand would show it, but
/// with letters enough for guesses that differ in one.
const GUESSED: usize = 16;

fn random<const N: usize>(numbers: &mut Numbers) -> [u8; N] {
    std::array::from_fn(|_| numbers.next() as u8)
}

/// What a key is made of: the random bytes of one of this server, or of one of another provider.
#[derive(Clone, Copy)]
enum Secret {
    Native([u8; 24]),
    Foreign([u8; 48]),
}

impl Secret {
    fn random(numbers: &mut Numbers) -> Self {
        if numbers.next().is_multiple_of(2) {
            Self::Native(random(numbers))
        } else {
            Self::Foreign(random(numbers))
        }
    }

    /// One of the same form, of which it says nothing.
    fn another(self, numbers: &mut Numbers) -> Self {
        match self {
            Self::Native(_) => Self::Native(random(numbers)),
            Self::Foreign(_) => Self::Foreign(random(numbers)),
        }
    }

    /// The key. All ids are one, for an id is no secret; the checksum is right, for everybody can
    /// compute it.
    fn key(&self) -> String {
        match self {
            Self::Native(bytes) => native_key("0123456789ab", bytes).unwrap(),
            Self::Foreign(bytes) => openai_key(bytes),
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Native(bytes) => bytes,
            Self::Foreign(bytes) => bytes,
        }
    }

    /// One of its form that shares at least the first half with it, or everything but one letter.
    fn near(mut self, numbers: &mut Numbers) -> Self {
        let bytes = self.bytes();
        let half = bytes.len() / 2;
        let at = numbers.next() as usize;
        let changed = if at.is_multiple_of(2) {
            let at = at / 2 % bytes.len();
            &mut bytes[at..=at]
        } else {
            &mut bytes[half + at / 2 % half..]
        };
        for byte in changed {
            // Another digit of base 62, and another byte.
            *byte = (*byte % 62 + 1 + numbers.next() as u8 % 61) % 62;
        }
        self
    }
}

/// A guess that was not met: near to this secret in half 1, to nothing in half 0.
fn guess(half: usize, secret: Secret, met: &mut HashSet<String>, numbers: &mut Numbers) -> String {
    loop {
        let of = if half == 1 { secret } else { secret.another(numbers) };
        let guess = of.near(numbers).key();
        // A filter remembers what it has been asked.
        if met.insert(guess.clone()) {
            return guess;
        }
    }
}

/// Guesses in an order that nothing follows, each with its half. Both have the same forms: a form is no
/// secret, and has its own fuel.
fn guesses(secrets: &[Secret], count: usize) -> Vec<(usize, String)> {
    let (met, numbers) = (&mut HashSet::new(), &mut Numbers(7));
    let one = |_| {
        let half = (numbers.next() >> 32) as usize % 2;
        let secret = secrets[numbers.next() as usize % secrets.len()];
        (half, guess(half, secret, met, numbers))
    };
    (0..count).map(one).collect()
}

fn secrets(seed: u64) -> Vec<Secret> {
    let numbers = &mut Numbers(seed);
    (0..KEYS).map(|_| Secret::random(numbers)).collect()
}

fn digest_of(key: &str) -> String {
    digest(key.as_bytes()).0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn configuration(secrets: &[Secret]) -> String {
    let key = |(number, secret): (usize, &Secret)| {
        let digest = digest_of(&secret.key());
        json!({"id": format!("key_{number}"), "org": "acme", "digests": [digest]})
    };
    let keys: Vec<Value> = secrets.iter().enumerate().map(key).collect();
    let model = json!({"name": "m", "context_length": 1000, "max_output_tokens": 100});
    json!({"models": [model], "keys": keys}).to_string()
}

fn headers(secret: &str) -> [(&'static str, String); 5] {
    [
        (":method", "GET".to_owned()),
        (":path", "/v1/models".to_owned()),
        (":authority", "gateway".to_owned()),
        (":scheme", "http".to_owned()),
        ("authorization", format!("Bearer {secret}")),
    ]
}

/// One worker of one proxy.
struct Proxy {
    host: Host,
    vm: Vm,
}

impl Proxy {
    fn new(host: Host, module: &WasmModule, configuration: &str) -> Self {
        host.trace(|trace| trace.set_level(TraceLevel::Off));
        let vm = Vm::start(&host, module, configuration).unwrap();
        Self { host, vm }
    }

    /// One that has its keys from its configuration.
    fn local(secrets: &[Secret]) -> Self {
        let host = Host::new(Profile::envoy_stop_iteration());
        let proxy = Self::new(host, &WasmModule::shipped().unwrap(), &configuration(secrets));
        proxy.admits(secrets);
        proxy
    }

    /// One that a server has told of its keys; it says of all others that they are none.
    fn of_a_server(secrets: &[Secret]) -> Self {
        let host = canned_server::proxy(Profile::envoy_stop_iteration(), Verdict::Admit);
        let proxy = Self::new(host, &WasmModule::shipped().unwrap(), canned_server::CONFIG);
        proxy.admits(secrets);
        canned_server::serve(&proxy.host, Verdict::Refuse);
        proxy.admits(secrets);
        proxy
    }

    fn admits(&self, secrets: &[Secret]) {
        for secret in secrets {
            assert_eq!(self.ask(&secret.key()).0, Some(200));
        }
    }

    /// The status of the answer, and the fuel that it took.
    fn ask(&self, secret: &str) -> (Option<u16>, u64) {
        self.host.clear_logs();
        self.host.reset_meter();
        let exchange = self.vm.request(headers(secret)).send().unwrap();
        (exchange.status(), self.host.meter().total().fuel)
    }

    /// The fuel of a guess.
    fn guess(&self, guess: &str) -> f64 {
        let (status, fuel) = self.ask(guess);
        assert_eq!(status, Some(401), "a guess was right");
        fuel as f64
    }
}

/// Welch's t of how much more fuel a guess takes in the first of two filters than in the second, for each
/// of the rounds in which every guess is sent.
fn t_of_fuel<const ROUNDS: usize>(
    filters: [&Proxy; 2],
    guesses: &[(usize, String)],
) -> [f64; ROUNDS] {
    let mut costs: [[Vec<f64>; 2]; ROUNDS] = std::array::from_fn(|_| Default::default());
    for (half, guess) in guesses {
        for costs in &mut costs {
            let [one, other] = filters.map(|filter| filter.guess(guess));
            costs[*half].push(one - other);
        }
    }
    costs.map(|costs| t_of(&costs))
}

#[test]
fn the_fuel_of_a_guess_says_nothing_of_the_keys_of_a_configuration() {
    let (known, others) = (secrets(1), secrets(2));
    let filters = [&Proxy::local(&known), &Proxy::local(&others)];
    let [t] = t_of_fuel(filters, &guesses(&known[..GUESSED], GUESSES));
    println!("t = {t}");
    assert!(t.abs() < SUSPICIOUS, "t = {t}");
}

/// At first the server is asked, then its answer is known.
#[test]
fn the_fuel_of_a_guess_says_nothing_of_the_keys_of_a_server() {
    let (known, others) = (secrets(1), secrets(2));
    let filters = [&Proxy::of_a_server(&known), &Proxy::of_a_server(&others)];
    let t: [f64; 2] = t_of_fuel(filters, &guesses(&known[..GUESSED], GUESSES / 2));
    println!("t = {t:?}");
    assert!(t.iter().all(|t| t.abs() < SUSPICIOUS), "t = {t:?}");
}

/// A module that compares a credential with a key, and ends at the first letter that differs.
fn leaky_module(secret: &Secret) -> WasmModule {
    let bearer = format!("Bearer {}", secret.key());
    let body = format!(
        r#"(local $secret i32) (local $length i32) (local $at i32)
           "{bearer}" local.set $length local.set $secret
           (drop (call $get (i32.const 0) "authorization" (i32.const 0) (i32.const 4)))
           (block $differs
             (loop $next
               (br_if $differs
                 (i32.ne
                   (i32.load8_u (i32.add (i32.load (i32.const 0)) (local.get $at)))
                   (i32.load8_u (i32.add (local.get $secret) (local.get $at)))))
               (local.set $at (i32.add (local.get $at) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $at) (local.get $length)))))
           (drop (call $reply (i32.const 401) "" "" "" (i32.const -1)))
           (i32.const 1)"#
    );
    probe::probe(&[("proxy_on_request_headers", &body)])
}

/// A hundredth of the guesses show it.
#[test]
fn the_fuel_of_a_comparison_that_ends_early_is_noticed() {
    let (known, others) = (secrets(1), secrets(2));
    let filter =
        |secret| Proxy::new(Host::new(Profile::envoy_stop_iteration()), &leaky_module(secret), "");
    let filters = [&filter(&known[0]), &filter(&others[0])];
    let [t] = t_of_fuel(filters, &guesses(&known[..1], GUESSES / 100));
    println!("t = {t}");
    assert!(t > CERTAIN, "t = {t}");
}

/// The machine in this process, with no host around it.
struct Machine {
    gate: Gate,
    memory: ProcessMemory,
    knows: Vec<String>,
    next: u32,
}

impl Machine {
    fn new(configuration: &str, secrets: &[Secret]) -> Self {
        let config = gate::config::parse(configuration.as_bytes()).unwrap();
        let token = Token::new("filter-token-for-tests-0123456789");
        let token = token.filter(|_| config.server().is_some());
        let knows = secrets.iter().map(|secret| digest_of(&secret.key())).collect();
        let gate = Gate::new(config, token, [7; 32]);
        let mut machine = Self { gate, memory: ProcessMemory::default(), knows, next: 0 };
        for secret in secrets {
            assert_eq!(machine.ask(&machine_headers(&secret.key())).0, Some(200));
        }
        machine
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = Now { monotonic_ms: 1, micros: 0, wall_ms: 1, is_exact: true };
        self.gate.handle(now, &mut self.memory, input);
    }

    /// The status of the answer, and the nanoseconds until the machine knew what to do.
    fn ask(&mut self, headers: &Headers) -> (Option<u16>, f64) {
        self.next = self.next.wrapping_add(1);
        let stream = StreamId(self.next);
        let begun = Instant::now();
        self.handle(Input::RequestHeaders { stream, headers, address: None, end: true });
        let took = begun.elapsed().as_nanos() as f64;
        let mut status = None;
        while let Some(output) = self.gate.next_output() {
            match output {
                Output::Reply { reply, .. } => status = Some(reply.status),
                Output::Call(call) => {
                    let body = self.answer(&call);
                    let status = Some(200);
                    self.handle(Input::CallDone { call: call.id, status, body: body.as_bytes() });
                }
                _ => {}
            }
        }
        self.handle(Input::End { stream });
        (status, took)
    }

    fn guess(&mut self, headers: &Headers) -> f64 {
        let (status, took) = self.ask(headers);
        assert_eq!(status, Some(401), "a guess was right");
        took
    }

    /// What the server says.
    fn answer(&self, call: &Call) -> String {
        let path = call.headers.iter().find(|(name, _)| *name == ":path").unwrap();
        let answer = match path.1.split('?').next().unwrap() {
            "/proxy/v1/holders" => json!({
                "holder": "h1", "epoch": 7, "revision": 1, "session_ttl_ms": 60_000,
                "catalogue_version": 1,
            }),
            "/proxy/v1/catalogue" => {
                json!({"epoch": 7, "revision": 1, "version": 1, "models": []})
            }
            "/proxy/v1/admit" => {
                let sent: Value = serde_json::from_slice(&call.body).unwrap();
                let is_known = self.knows.iter().any(|digest| sent["digest"] == digest.as_str());
                let known = json!({"known": {
                    "key": "key_1", "org": "acme", "state": "active", "models": "all",
                    "budgeted": false,
                }});
                let key = if is_known { known } else { json!("unknown") };
                json!({"epoch": 7, "revision": 1, "key": key, "lease": "not_needed"})
            }
            _ => json!({"epoch": 7, "revision": 1}),
        };
        answer.to_string()
    }
}

fn machine_headers(secret: &str) -> Headers {
    headers(secret).into_iter().map(|(name, value)| (name.into(), value.into_bytes())).collect()
}

/// Welch's t of how much longer the first of two measures takes than the second, without the half of all
/// guesses that something held up.
fn t_of_pairs(pairs: &[Vec<(f64, f64)>; 2]) -> f64 {
    let sum = |(one, other): &(f64, f64)| one + other;
    let mut sums: Vec<f64> = pairs.iter().flatten().map(sum).collect();
    sums.sort_by(f64::total_cmp);
    let most = sums[sums.len() / 2];
    let kept = |pairs: &Vec<(f64, f64)>| {
        let kept = pairs.iter().filter(|pair| sum(pair) <= most);
        kept.map(|(one, other)| one - other).collect()
    };
    t_of(&pairs.each_ref().map(kept))
}

/// Guesses of each half that are sent again and again: the halves must not differ in memory either.
const EACH: usize = 512;

/// The least of three runs: what follows from nearness is there each time, what follows from these very
/// guesses, or from what this computer did, is not. The first machine is the one that knows the secrets;
/// whatever `besides` takes is added to its time.
fn least_t(secrets: &[Secret], machines: &mut [Machine; 2], mut besides: impl FnMut(&str)) -> f64 {
    let (met, numbers) = (&mut HashSet::new(), &mut Numbers(7));
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let mut one_of = |half, at: usize| {
            let guess = guess(half, secrets[at % secrets.len()], met, numbers);
            (machine_headers(&guess), guess)
        };
        let guesses: Vec<_> = (0..EACH).map(|at| [one_of(0, at), one_of(1, at)]).collect();
        for (headers, _) in guesses.iter().flatten() {
            // Now it is known of each that it is no key.
            for machine in machines.iter_mut() {
                machine.guess(headers);
            }
        }
        let mut pairs: [Vec<(f64, f64)>; 2] = Default::default();
        for _ in 0..GUESSES {
            let number = numbers.next();
            let half = (number >> 32) as usize % 2;
            let (headers, guess) = &guesses[number as usize % EACH][half];
            let mut times = [0.0; 2];
            // Whoever comes second finds a processor that has met this guess.
            let first = (number >> 33) as usize % 2;
            for at in [first, 1 - first] {
                let begun = Instant::now();
                if at == 0 {
                    besides(guess);
                }
                times[at] = begun.elapsed().as_nanos() as f64 + machines[at].guess(headers);
            }
            pairs[half].push(times.into());
        }
        let t = t_of_pairs(&pairs);
        println!("t = {t}");
        least = least.min(t.abs());
        if least < CERTAIN / 2.0 {
            break;
        }
    }
    least
}

#[test]
fn the_time_of_a_guess_says_nothing_of_the_keys() {
    let (known, others) = (secrets(1), secrets(2));
    let server = r#"{"server": {"cluster": "policy"}}"#.to_owned();
    for configurations in
        [[configuration(&known), configuration(&others)], [server.clone(), server]]
    {
        let [first, second] = &configurations;
        let mut machines = [Machine::new(first, &known), Machine::new(second, &others)];
        let least = least_t(&known[..GUESSED], &mut machines, |_| {});
        assert!(least < CERTAIN, "t = {least}");
    }
}

/// A comparison that ends early, beside all that the machine does.
#[test]
fn the_time_of_a_comparison_that_ends_early_is_noticed() {
    let (known, others) = (secrets(1), secrets(2));
    let new = |secrets| Machine::new(&configuration(secrets), secrets);
    let secret = known[0].key();
    let leaky = |guess: &str| {
        let mut letters = guess.bytes().zip(secret.bytes());
        assert!(!letters.all(|(one, other)| black_box(one) == black_box(other)));
    };
    let least = least_t(&known[..1], &mut [new(&known), new(&others)], leaky);
    assert!(least > CERTAIN, "t = {least}");
}
