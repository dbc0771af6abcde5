//! The engine driven directly, without HTTP, through seeded runs of everything that can go wrong
//! between filters and the ledger: lost, repeated and reordered messages, vanished holders, calls
//! that cost more than was reserved, caps that are raised. After every step the tables must add up.

use std::collections::BTreeMap;

use metering::api_key;
use policy_server::app::{BudgetForm, Given, KeyForm, Member, ModelForm, OrgForm, TopUpForm};
use policy_server::clock::{Entropy as _, Now, SeededEntropy};
use policy_server::engine::Engine;
use policy_server::live::SessionTimes;
use policy_server::store::sqlite::Sqlite;
use rusqlite::Connection;
use wire::v1::{
    AdmitRequest, LeaseAnswer, LeaseReport, LeaseRequest, Price, RegisterRequest, ReportRequest,
};
use wire::{Epoch, HolderId, KeyDigest, KeyId, LeaseId, ModelName, NanoUsd, Nonce, OrgId};
use wire::{PROTOCOL_VERSION, PicoUsdPerToken, TeamId, UserId};

use crate::world::{MODEL, accounts, ask, ask_up_to, check_ledger, micro};

const RUNS: u64 = 8;
const STEPS: u64 = 200;
const TIMES: SessionTimes = SessionTimes { ttl_ms: 1_000, pull_ttl_ms: 1_000, grace_ms: 100 };

/// A call that has ended in its filter, and what it cost upstream.
#[derive(Clone)]
struct Ended {
    lease: LeaseId,
    holder: usize,
    reserved: NanoUsd,
    cost: NanoUsd,
}

struct Run {
    engine: Engine,
    tables: Connection,
    dice: SeededEntropy,
    now: Now,
    epoch: Epoch,
    keys: Vec<(KeyId, KeyDigest)>,
    holders: Vec<HolderId>,
    /// Indices of those that are heard of; the others have vanished.
    alive: Vec<usize>,
    nonces: u8,
    next_number: u64,
    /// Money of every call that has ended, by lease.
    upstream: BTreeMap<String, NanoUsd>,
    running: Vec<(LeaseId, usize, NanoUsd)>,
    unreported: Vec<Ended>,
    reported: Vec<Ended>,
}

#[test]
fn the_ledger_adds_up_after_every_step_of_every_run() {
    let (mut refused, mut granted) = (0, 0);
    for seed in 0..RUNS {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::start(seed, &folder);
        for _ in 0..STEPS {
            match run.step() {
                Some(true) => granted += 1,
                Some(false) => refused += 1,
                None => {}
            }
            check_ledger(&run.tables);
            run.check_truth();
        }
        run.finish();
    }
    // the runs are of use only if they meet the caps often, and pass below them often
    assert!(granted > 200 && refused > 200, "{granted} granted, {refused} refused");
}

impl Run {
    fn start(seed: u64, folder: &tempfile::TempDir) -> Self {
        let path = folder.path().join("run.sqlite");
        let store = Sqlite::open(&path).unwrap();
        let now = Now { unix_ms: crate::world::NOON, monotonic_ms: 0 };
        let entropy = Box::new(SeededEntropy::new(seed));
        let (engine, _) = Engine::start(store, entropy, TIMES, now).unwrap();
        let tables = Connection::open(&path).unwrap();
        let epoch = engine.shared().live().epoch();
        let mut run = Self {
            engine,
            tables,
            dice: SeededEntropy::new(seed ^ 0xD1CE),
            now,
            epoch,
            keys: Vec::new(),
            holders: Vec::new(),
            alive: Vec::new(),
            nonces: 0,
            next_number: 0,
            upstream: BTreeMap::new(),
            running: Vec::new(),
            unreported: Vec::new(),
            reported: Vec::new(),
        };
        run.furnish();
        run
    }

    fn furnish(&mut self) {
        let price = Price::text(PicoUsdPerToken(1_000_000), PicoUsdPerToken(2_000_000), None);
        let model = ModelForm {
            price: Some(price),
            context_length: 128_000,
            max_output_tokens: 16_384,
            ..ModelForm::default()
        };
        let name = ModelName::new(MODEL).unwrap();
        self.engine.run(self.now, |work| work.put_model(name, model)).unwrap();
        let cap = |usd| Given::Value(BudgetForm::new(NanoUsd::from_usd(usd).unwrap(), None));
        let org = OrgForm { budget: cap("0.030"), ..OrgForm::default() };
        let id = OrgId::new("acme").unwrap();
        self.engine.run(self.now, |work| work.put_org(id, org)).unwrap();
        let id = OrgId::new("acme").unwrap();
        let (team, user) = (TeamId::new("t").unwrap(), UserId::new("u").unwrap());
        for (member, usd) in
            [(Member::Team(team.clone()), "0.025"), (Member::User(user.clone()), "0.018")]
        {
            let form = cap(usd).value();
            self.engine.run(self.now, |work| work.cap_member(&id, &member, form)).unwrap();
        }
        let money = TopUpForm { amount: micro(28_000), note: String::new(), id: None };
        self.engine.run(self.now, |work| work.top_up(&id, money)).unwrap();
        for (usd, user) in [("0.010", None), ("0.020", Some(user))] {
            let form = KeyForm {
                org: Some(OrgId::new("acme").unwrap()),
                budget: cap(usd),
                team: Given::Value(team.clone()),
                user: user.map_or(Given::Absent, Given::Value),
                ..KeyForm::default()
            };
            let made = self.engine.run(self.now, |work| work.create_key(form)).unwrap().value;
            let digest = api_key::digest(made.secret.expose().as_bytes());
            self.keys.push((made.view.key.id, digest));
        }
        for _ in 0..3 {
            self.register();
        }
    }

    /// One step; tells whether a call was granted or refused where it was one.
    fn step(&mut self) -> Option<bool> {
        match self.roll(20) {
            0..=8 => return self.call(),
            9..=11 => self.end_a_call(),
            12..=14 => self.report(),
            15 => self.repeat_a_report(),
            16 => self.vanish(),
            17 => self.raise_a_cap(),
            18 => self.void(),
            _ => {
                self.pass(300);
                while self.engine.run(self.now, |work| work.sweep()).unwrap() {}
            }
        }
        None
    }

    fn call(&mut self) -> Option<bool> {
        let at = self.pick(self.alive.len());
        let holder = self.alive[at];
        let at = self.pick(self.keys.len());
        let (key, digest) = self.keys[at].clone();
        let tokens = 50 + self.roll(1_500);
        let n = self.next_number;
        self.next_number += 1;
        let ask = if self.roll(2) == 0 { ask(tokens) } else { ask_up_to(tokens) };
        let (holder_id, epoch, void) = (self.holders[holder].clone(), self.epoch, Vec::new());
        let repeats = 1 + self.roll(2);
        let mut answers = Vec::new();
        if self.roll(2) == 0 {
            let ask = Some(ask);
            let request = AdmitRequest { holder: holder_id, epoch, digest, n, ask, void };
            for _ in 0..repeats {
                let answer = self.engine.run(self.now, |work| work.admit(&request));
                answers.push(answer.unwrap().lease);
            }
        } else {
            let want = micro(self.roll(4_000));
            let want_permits = 0;
            let holder = holder_id;
            let request = LeaseRequest { holder, epoch, key, n, ask, want, want_permits, void };
            for _ in 0..repeats {
                let answer = self.engine.run(self.now, |work| work.lease(&request));
                answers.push(answer.unwrap().answer);
            }
        }
        let LeaseAnswer::Granted(grant) = answers.remove(0) else {
            return Some(false);
        };
        assert!(answers.iter().all(|answer| *answer == LeaseAnswer::Granted(grant.clone())));
        self.check_strictly_below_caps(&grant.lease);
        self.running.push((grant.lease, holder, grant.amount));
        Some(true)
    }

    /// No transaction that grants leaves more than the cap behind, overdraft or not.
    fn check_strictly_below_caps(&self, lease: &LeaseId) {
        let (holder, n) = lease.as_str().rsplit_once('-').unwrap();
        let mut charged = self
            .tables
            .prepare("SELECT level, owner FROM lease_accounts WHERE holder = ? AND n = ?")
            .unwrap();
        let charged = charged.query_map([holder, n], |row| Ok((row.get(0)?, row.get(1)?)));
        let charged: Vec<(String, String)> = charged.unwrap().map(Result::unwrap).collect();
        let mut checked = 0;
        for row in accounts(&self.tables) {
            if charged.contains(&(row.level.clone(), row.owner.clone())) {
                let taken = row.settled + row.parked + row.outstanding;
                assert!(taken <= row.cap.unwrap(), "{row:?}");
                checked += 1;
            }
        }
        // key, team, organisation and wallet, and the user where the key has one
        assert!(checked == charged.len() && checked >= 4, "{charged:?}");
    }

    fn end_a_call(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.pick(self.running.len());
        let (lease, holder, amount) = self.running.remove(at);
        let cost = match self.roll(10) {
            0 => NanoUsd::ZERO,
            // dearer than reserved: overdraft
            1 => NanoUsd(amount.0 + self.roll(5_000)),
            2 => amount,
            _ => NanoUsd(self.roll(amount.0 + 1)),
        };
        self.upstream.insert(lease.to_string(), cost);
        self.unreported.push(Ended { lease, holder, reserved: amount, cost });
    }

    fn report(&mut self) {
        if self.unreported.is_empty() {
            return;
        }
        let at = self.pick(self.unreported.len());
        let ended = self.unreported.remove(at);
        self.send_report(&ended);
        self.reported.push(ended);
    }

    fn repeat_a_report(&mut self) {
        if !self.reported.is_empty() {
            let at = self.pick(self.reported.len());
            let ended = self.reported[at].clone();
            self.send_report(&ended);
        }
    }

    fn send_report(&mut self, ended: &Ended) {
        let report = |spent, floor, is_final| LeaseReport {
            lease: ended.lease.clone(),
            spent,
            floor,
            is_final,
            permits_used: 0,
            permit_age_ms: 0,
        };
        let leases = vec![
            report(ended.cost, None, true),
            // an older one, overtaken
            report(NanoUsd(ended.cost.0 / 2), Some(ended.cost), false),
        ];
        self.exchange(ended.holder, leases, Vec::new());
    }

    /// A holder crashes with its running calls; their cost is never reported, but it arose.
    fn vanish(&mut self) {
        let at = self.pick(self.alive.len());
        let holder = self.alive.remove(at);
        let gone: Vec<_> = self.running.extract_if(.., |running| running.1 == holder).collect();
        for (lease, _, amount) in gone {
            let cost = NanoUsd(self.roll(amount.0 + 1));
            self.upstream.insert(lease.to_string(), cost);
        }
        // What had ended but was not reported is lost in half of the cases, else only late. Parked
        // money covers what was reserved, so only calls within that may be lost without a trace.
        if self.roll(2) == 0 {
            let kept = |ended: &Ended| ended.holder != holder || ended.cost > ended.reserved;
            self.unreported.retain(kept);
        }
        self.pass(TIMES.ttl_ms + TIMES.grace_ms + 1);
        self.register();
    }

    fn raise_a_cap(&mut self) {
        let at = self.pick(self.keys.len());
        let (id, _) = self.keys[at].clone();
        let cap = micro(10_000 + self.roll(15_000));
        let form =
            KeyForm { budget: Given::Value(BudgetForm::new(cap, None)), ..KeyForm::default() };
        let current = self.tables.query_row(
            "SELECT cap FROM budgets WHERE level = 'key' AND owner = ?",
            [id.as_str()],
            |row| row.get::<_, i64>(0),
        );
        if u64::try_from(current.unwrap()).unwrap() < cap.0 {
            self.engine.run(self.now, |work| work.patch_key(&id, form)).unwrap();
        }
    }

    /// A grant got lost on its way: the filter never made that call.
    fn void(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.pick(self.running.len());
        let (lease, holder, _) = self.running.remove(at);
        let n = lease.as_str().rsplit_once('-').unwrap().1.parse().unwrap();
        let never_asked = self.next_number;
        self.next_number += 1;
        self.exchange(holder, Vec::new(), vec![n, never_asked]);
    }

    /// The ledger knows no more than what arose upstream, and covers all of it that has ended.
    fn check_truth(&self) {
        let rows = accounts(&self.tables);
        let org = rows.iter().find(|row| row.level == "org");
        let (settled, covered) = org.map_or((0, 0), |row| {
            let settled = row.settled;
            (settled, settled + row.parked + row.outstanding)
        });
        let upstream: u64 = self.upstream.values().map(|cost| cost.0).sum();
        let unreported: u64 = self.unreported.iter().map(|ended| ended.cost.0).sum();
        let upstream = i64::try_from(upstream).unwrap();
        assert!(settled <= upstream, "charged {settled}, arose {upstream}");
        // a call dearer than its lease is covered in full only once it is reported
        let excess = i64::try_from(unreported).unwrap();
        assert!(upstream <= covered + excess, "arose {upstream}, covered {covered} + {excess}");
    }

    /// Everything that can still be said is said: the ledger is exact but for what is parked.
    fn finish(mut self) {
        while !self.running.is_empty() {
            self.end_a_call();
        }
        while !self.unreported.is_empty() {
            self.report();
        }
        self.alive.clear();
        self.pass(TIMES.ttl_ms + TIMES.grace_ms + 1);
        while self.engine.run(self.now, |work| work.sweep()).unwrap() {}
        check_ledger(&self.tables);
        let rows = accounts(&self.tables);
        let org = rows.iter().find(|row| row.level == "org").unwrap();
        let upstream: u64 = self.upstream.values().map(|cost| cost.0).sum();
        let upstream = i64::try_from(upstream).unwrap();
        assert_eq!(org.outstanding, 0);
        assert!(org.settled <= upstream && upstream <= org.settled + org.parked, "{org:?}");
        let reported: u64 = self.reported.iter().map(|ended| ended.cost.0).sum();
        assert_eq!(u64::try_from(org.settled).unwrap(), reported, "{org:?}");
    }

    fn register(&mut self) {
        let request = RegisterRequest {
            protocol: PROTOCOL_VERSION,
            nonce: Nonce([self.nonces; 16]),
            plugin: String::new(),
            without_push: false,
            count_windows_below: 0,
        };
        self.nonces += 1;
        let reply = self.engine.run(self.now, |work| work.register(&request)).unwrap();
        self.alive.push(self.holders.len());
        self.holders.push(reply.holder);
    }

    /// Time passes; those that are alive are heard of often enough.
    fn pass(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(TIMES.ttl_ms / 2);
            left -= step;
            self.now.unix_ms += step;
            self.now.monotonic_ms += step;
            for holder in self.alive.clone() {
                self.exchange(holder, Vec::new(), Vec::new());
            }
        }
    }

    fn exchange(&mut self, holder: usize, leases: Vec<LeaseReport>, void: Vec<u64>) {
        let request = ReportRequest {
            holder: self.holders[holder].clone(),
            epoch: self.epoch,
            leases,
            records: Vec::new(),
            void,
        };
        self.engine.run(self.now, |work| work.report(&request)).unwrap();
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(count).unwrap())).unwrap()
    }

    fn roll(&mut self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.dice.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % sides
    }
}
