//! The engine driven directly through seeded runs of holders that take permits of a window over all
//! proxies, use them, report late, twice or never, and vanish, and of a server that is started anew:
//! no window ever sees more uses than its limit, and the tables add up after every step.

use metering::api_key;
use policy_server::app::{Given, KeyForm, ModelForm, OrgForm};
use policy_server::clock::{Entropy as _, Now, SeededEntropy};
use policy_server::engine::Engine;
use policy_server::live::SessionTimes;
use policy_server::store::StoredLimit;
use policy_server::store::sqlite::Sqlite;
use rusqlite::Connection;
use wire::v1::{
    AdmitRequest, LeaseAnswer, LeaseReport, LeaseRequest, Refusal, RegisterRequest, ReportRequest,
    Scope, Unit, Window,
};
use wire::{Epoch, HolderId, KeyDigest, KeyId, LeaseId, ModelName, NanoUsd, Nonce, OrgId};

use crate::world::{MODEL, NOON, ask, check_ledger};

const RUNS: u64 = 10;
const STEPS: u64 = 400;
const MINUTE: u64 = 60_000;
const TIMES: SessionTimes = SessionTimes { ttl_ms: 10_000, pull_ttl_ms: 10_000, grace_ms: 1_000 };

/// A lease as its holder knows it.
struct Held {
    lease: LeaseId,
    left: u64,
    used: u64,
    last_use_ms: u64,
}

struct Holding {
    holder: HolderId,
    leases: Vec<Held>,
    /// When the server last heard of it: one TTL later it stops.
    heard_ms: u64,
}

struct Run {
    engine: Option<Engine>,
    path: std::path::PathBuf,
    tables: Connection,
    dice: SeededEntropy,
    max: u64,
    key: (KeyId, KeyDigest),
    /// True time; the server's clock starts over with each of its lives.
    now_ms: u64,
    started_ms: u64,
    epoch: Epoch,
    holdings: Vec<Holding>,
    nonces: u8,
    next_number: u64,
    uses: Vec<u64>,
    /// Reports that are still under way.
    late: Vec<(HolderId, LeaseReport)>,
    refused: u64,
}

#[test]
fn no_window_ever_sees_more_uses_than_its_limit() {
    let (mut made, mut refused) = (0, 0);
    for seed in 0..RUNS {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::start(seed, &folder);
        for _ in 0..STEPS {
            run.step();
            check_ledger(&run.tables);
        }
        made += run.uses.len();
        refused += run.refused;
        run.finish();
    }
    // the runs are of use only if they meet the limits often, and pass below them often
    assert!(made > 300 && refused > 300, "{made} made, {refused} refused");
}

impl Run {
    fn start(seed: u64, folder: &tempfile::TempDir) -> Self {
        let path = folder.path().join("run.sqlite");
        let now = Now { unix_ms: NOON, monotonic_ms: 0 };
        let store = Sqlite::open(&path).unwrap();
        let entropy = Box::new(SeededEntropy::new(seed));
        let (mut engine, _) = Engine::start(store, entropy, TIMES, now).unwrap();
        let max = 2 + 5 * seed;
        let model = ModelForm {
            price: Some(wire::v1::Price::default()),
            context_length: 128_000,
            max_output_tokens: 16_384,
            ..ModelForm::default()
        };
        let org = OrgId::new("acme").unwrap();
        let name = ModelName::new(MODEL).unwrap();
        engine.run(now, |work| work.put_model(name, model)).unwrap();
        engine.run(now, |work| work.put_org(org.clone(), OrgForm::default())).unwrap();
        let window = Some(Window::Minute);
        let limit =
            StoredLimit { unit: Unit::Requests, window, max, scope: Scope::Cluster, model: None };
        let form =
            KeyForm { org: Some(org), limits: Given::Value(vec![limit]), ..KeyForm::default() };
        let made = engine.run(now, |work| work.create_key(form)).unwrap().value;
        let digest = api_key::digest(made.secret.expose().as_bytes());
        let epoch = engine.shared().live().epoch();
        Self {
            engine: Some(engine),
            tables: Connection::open(&path).unwrap(),
            path,
            dice: SeededEntropy::new(seed ^ 0xD1CE),
            max,
            key: (made.view.key.id, digest),
            now_ms: 0,
            started_ms: 0,
            epoch,
            holdings: Vec::new(),
            nonces: 0,
            next_number: 0,
            uses: Vec::new(),
            late: Vec::new(),
            refused: 0,
        }
    }

    fn step(&mut self) {
        while self.holdings.len() < 3 {
            self.register();
        }
        let which = self.pick(3);
        match self.roll(24) {
            0..=5 => {
                let want = self.roll(6);
                self.take(which, want);
            }
            6..=12 => self.use_one(which),
            13..=16 => self.report(which),
            17 => self.deliver_late(),
            18..=21 => self.pass(),
            22 if self.roll(3) == 0 => self.restart(),
            23 if self.roll(3) == 0 => self.vanish(which),
            _ => {}
        }
    }

    fn register(&mut self) {
        self.nonces += 1;
        let request = RegisterRequest {
            protocol: wire::PROTOCOL_VERSION,
            nonce: Nonce([self.nonces; 16]),
            plugin: "run".to_owned(),
            without_push: false,
            count_windows_below: 0,
        };
        let holder = self.run(|work| work.register(&request)).holder;
        self.holdings.push(Holding { holder, leases: Vec::new(), heard_ms: self.now_ms });
    }

    fn take(&mut self, which: usize, want_permits: u64) {
        self.next_number += 1;
        let n = self.next_number;
        let holder = self.holdings[which].holder.clone();
        let (key, digest) = self.key.clone();
        let void = Vec::new();
        let ask = ask(1);
        let answer = if want_permits == 0 {
            let request =
                AdmitRequest { holder, epoch: self.epoch, digest, n, ask: Some(ask), void };
            self.run(|work| work.admit(&request)).lease
        } else {
            let (epoch, want) = (self.epoch, NanoUsd::ZERO);
            let request = LeaseRequest { holder, epoch, key, n, ask, want, want_permits, void };
            self.run(|work| work.lease(&request)).answer
        };
        self.heard(which);
        match answer {
            // one answer in ten is lost
            LeaseAnswer::Granted(grant) if self.roll(10) > 0 => {
                let (lease, left) = (grant.lease, grant.permits);
                let held = Held { lease, left, used: 0, last_use_ms: self.now_ms };
                self.holdings[which].leases.push(held);
            }
            LeaseAnswer::Granted(grant) if self.roll(2) == 0 => {
                let mut request = self.nothing(which);
                request.void = vec![grant.n];
                self.run(|work| work.report(&request));
            }
            LeaseAnswer::Granted(_) => {}
            LeaseAnswer::Refused(Refusal::WindowFull { retry_after_ms, .. }) => {
                assert!((1..=MINUTE + MINUTE / 60).contains(&retry_after_ms), "{retry_after_ms}");
                self.refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn use_one(&mut self, which: usize) {
        let holding = &mut self.holdings[which];
        let may_act = self.now_ms <= holding.heard_ms + TIMES.ttl_ms;
        let found = holding.leases.iter_mut().find(|held| held.left > 0);
        let Some(held) = found.filter(|_| may_act) else { return };
        held.left -= 1;
        held.used += 1;
        held.last_use_ms = self.now_ms;
        self.uses.push(self.now_ms);
        let since = self.uses.iter().filter(|at| **at + MINUTE > self.now_ms).count();
        assert!(since as u64 <= self.max, "{since} of {} within a minute", self.max);
    }

    fn report(&mut self, which: usize) {
        let (over, fate) = (self.roll(2) == 0, self.roll(4));
        let now_ms = self.now_ms;
        let holding = &mut self.holdings[which];
        let reports = holding.leases.iter_mut().map(|held| {
            held.left = if over { 0 } else { held.left };
            LeaseReport {
                lease: held.lease.clone(),
                spent: NanoUsd::ZERO,
                floor: None,
                is_final: over,
                permits_used: held.used,
                permit_age_ms: now_ms - held.last_use_ms,
            }
        });
        let leases: Vec<_> = reports.collect();
        if fate == 0 {
            let holder = holding.holder.clone();
            self.late.extend(leases.into_iter().map(|report| (holder.clone(), report)));
            return;
        }
        for _ in 1..fate {
            let request = ReportRequest { leases: leases.clone(), ..self.nothing(which) };
            self.run(|work| work.report(&request));
            self.heard(which);
        }
    }

    fn deliver_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.pick(self.late.len());
        let (holder, report) = self.late.swap_remove(at);
        let (epoch, leases) = (self.epoch, vec![report]);
        let request = ReportRequest { holder, epoch, leases, records: vec![], void: vec![] };
        self.run(|work| work.report(&request));
    }

    /// Time passes; most holders are heard of in the meantime.
    fn pass(&mut self) {
        self.now_ms += self.roll(9_000);
        // who has lapsed registers as another
        let gone = |holding: &Holding| self.now_ms > holding.heard_ms + TIMES.ttl_ms;
        self.holdings.retain(|holding| !gone(holding));
        for which in 0..self.holdings.len() {
            if self.roll(8) > 0 {
                let request = self.nothing(which);
                self.run(|work| work.report(&request));
                self.heard(which);
            }
        }
        while self.run(|work| work.sweep()) {}
    }

    fn vanish(&mut self, which: usize) {
        self.holdings.remove(which);
    }

    fn restart(&mut self) {
        self.engine = None;
        self.started_ms = self.now_ms;
        let store = Sqlite::open(&self.path).unwrap();
        let entropy = Box::new(SeededEntropy::new(self.now_ms));
        // the wall clock may say anything
        let now = Now { unix_ms: NOON - self.now_ms, monotonic_ms: 0 };
        let (engine, _) = Engine::start(store, entropy, TIMES, now).unwrap();
        self.engine = Some(engine);
    }

    /// All holders vanish; a window later every permit is free.
    fn finish(mut self) {
        self.holdings.clear();
        self.now_ms += TIMES.ttl_ms + TIMES.grace_ms + 1;
        while self.run(|work| work.sweep()) {}
        self.now_ms += MINUTE + MINUTE / 60;
        self.register();
        for _ in 0..self.max {
            let before = self.refused;
            self.take(0, 0);
            assert_eq!(self.refused, before);
        }
        check_ledger(&self.tables);
    }

    fn heard(&mut self, which: usize) {
        self.holdings[which].heard_ms = self.now_ms;
    }

    fn nothing(&self, which: usize) -> ReportRequest {
        let holder = self.holdings[which].holder.clone();
        let (leases, records, void) = (Vec::new(), Vec::new(), Vec::new());
        ReportRequest { holder, epoch: self.epoch, leases, records, void }
    }

    fn run<T>(
        &mut self,
        job: impl FnOnce(
            &mut policy_server::app::Work<'_>,
        ) -> Result<T, policy_server::app::FilterError>,
    ) -> T {
        let now = Now { unix_ms: NOON + self.now_ms, monotonic_ms: self.now_ms - self.started_ms };
        self.engine.as_mut().unwrap().run(now, job).unwrap()
    }

    fn roll(&mut self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.dice.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % sides
    }

    fn pick(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap()
    }
}
