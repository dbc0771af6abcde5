//! The world: its clock, its queue of events, and what each event sets in motion.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use gate::testing::ProcessMemory;
use gate::{HostKind, Input};

use crate::call_outs::Message;
use crate::checker::Checker;
use crate::dice::Dice;
use crate::event_log::EventLog;
use crate::events::{Event, Queued};
use crate::hush::Hush;
use crate::keys::{Credential, Key};
use crate::ledger::Ledger;
use crate::mutation::Mutation;
use crate::network::Network;
use crate::restores::Disk;
use crate::scenario::{Clients, Scenario};
use crate::server::Server;
use crate::tally::Tally;
use crate::tenancy::Tenancy;
use crate::upstream::UpstreamCall;
use crate::worker::{Life, Place, StreamAt, Ticket, Worker};

/// How often the server looks for lapsed sessions.
const SWEEP_EVERY_MS: u64 = 1_000;
/// Most events of a run; a world that needs more goes in circles.
const MOST_EVENTS: u64 = 1_000_000;

/// A proxy process: one shared memory, several workers.
pub(crate) struct Proxy {
    pub(crate) memories: Vec<ProcessMemory>,
    pub(crate) workers: Vec<Worker>,
    /// Where its monotonic clock stood at virtual time zero.
    pub(crate) clock_ms: u64,
    /// What its wall clock, as it is set now, showed at virtual time zero.
    pub(crate) unix_ms_at_zero: u64,
}

impl Proxy {
    pub(crate) fn forget(&mut self) {
        self.memories.iter_mut().for_each(|memory| *memory = ProcessMemory::default());
    }

    pub(crate) fn lose_swaps(&mut self, swaps: u32) {
        self.memories.iter_mut().for_each(|memory| memory.lose_swaps = swaps);
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) dice: Dice,
    pub(crate) scenario: Scenario,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) network: Network,
    pub(crate) server: Server,
    pub(crate) ledger: Ledger,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) keys: Vec<Key>,
    pub(crate) credentials: Vec<Credential>,
    pub(crate) tenancy: Tenancy,
    /// The key that most requests use, where there is one.
    pub(crate) favourite: Option<usize>,
    /// An administrator has set a cap in this event.
    pub(crate) caps_changed: bool,
    /// The ledger may have changed in this event.
    pub(crate) server_acted: bool,
    /// Calls may have cost more in this event.
    pub(crate) upstream_acted: bool,
    /// Position of the last record that the checker was shown.
    records_seen: i64,
    pub(crate) calls: Vec<UpstreamCall>,
    pub(crate) lives: u64,
    pub(crate) checker: Checker,
    pub(crate) log: EventLog,
    pub(crate) tally: Tally,
    /// Sleeping workers, and what has come for them.
    pub(crate) asleep: BTreeMap<Place, Vec<Event>>,
    /// What was sent to the server while it sleeps.
    pub(crate) waits_for_server: Vec<Event>,
    /// When the database was replaced by a copy.
    pub(crate) restored_ms: Option<u64>,
    /// The server dies after its next commit.
    pub(crate) dies_before_answering: bool,
    /// Answered reports, to be repeated at the end.
    pub(crate) old_reports: Vec<Rc<Message>>,
    /// Requests since the last forwarded one that found no money.
    pub(crate) hopeless: u64,
    /// A client that waits while all others are silent.
    pub(crate) hush: Option<Hush>,
    pub(crate) end_ms: u64,
    pub(crate) traffic_is_over: bool,
    queue: BinaryHeap<Reverse<Queued>>,
    next_order: u64,
}

impl World {
    /// A seed's world of this kind, furnished and ready to run.
    pub(crate) fn new(
        seed: u64,
        scenario: Scenario,
        mutation: Option<Mutation>,
        keeps_log: bool,
    ) -> anyhow::Result<Self> {
        let has_journal = scenario.disk == Disk::LostWithJournal;
        let server = Server::start(seed, scenario.times, scenario.start_unix_ms, has_journal)?;
        let ledger = Ledger::open(server.path())?;
        let mut world = Self {
            now_ms: 0,
            dice: Dice::new(seed, 2),
            scenario,
            mutation,
            network: Network::new(scenario.weather),
            server,
            ledger,
            proxies: Vec::new(),
            keys: Vec::new(),
            credentials: Vec::new(),
            tenancy: Tenancy::default(),
            favourite: None,
            caps_changed: false,
            server_acted: true,
            upstream_acted: false,
            records_seen: 0,
            calls: Vec::new(),
            lives: 0,
            checker: Checker::default(),
            log: EventLog::new(keeps_log),
            tally: Tally::default(),
            asleep: BTreeMap::new(),
            waits_for_server: Vec::new(),
            restored_ms: None,
            dies_before_answering: false,
            old_reports: Vec::new(),
            hopeless: 0,
            hush: None,
            end_ms: u64::MAX,
            traffic_is_over: false,
            queue: BinaryHeap::new(),
            next_order: 0,
        };
        world.log.note(0, || format!("seed {seed}: {scenario:?}"));
        world.build_proxies()?;
        if scenario.has_timerless {
            world.checker.counts_at_server(scenario.proxies.saturating_sub(1));
        }
        world.furnish()?;
        world.schedule();
        Ok(world)
    }

    fn build_proxies(&mut self) -> anyhow::Result<()> {
        for proxy in 0..self.scenario.proxies {
            let mut workers = Vec::new();
            for _ in 0..self.scenario.workers {
                self.lives += 1;
                let kind = self.kind_of(proxy);
                workers.push(Worker::start(Life(self.lives), kind, &mut self.dice)?);
            }
            // One for each worker only where that is the fault to be found.
            let memories = if self.mutation == Some(Mutation::PrivateMemory) {
                workers.iter().map(|_| ProcessMemory::default()).collect()
            } else {
                vec![ProcessMemory::default()]
            };
            let clock_ms = self.dice.below(1 << 40);
            let unix_ms_at_zero = self.scenario.start_unix_ms;
            self.proxies.push(Proxy { memories, workers, clock_ms, unix_ms_at_zero });
        }
        Ok(())
    }

    /// The last proxy may have no timers, and no memory that its workers share.
    pub(crate) fn kind_of(&self, proxy: usize) -> HostKind {
        if self.scenario.has_timerless && proxy + 1 == self.scenario.proxies {
            HostKind::Apisix
        } else {
            HostKind::Envoy
        }
    }

    fn schedule(&mut self) {
        for place in self.places() {
            let first = self.dice.below(self.scenario.tick_ms);
            self.after(first, Event::Tick { place });
        }
        self.after(10, Event::Burst);
        self.after(SWEEP_EVERY_MS, Event::Sweep);
        if self.scenario.clients == Clients::Mixed {
            let fault = self.dice.between(1, 2 * self.scenario.fault_gap_ms);
            self.after(fault, Event::Fault);
            let change = self.dice.between(1, 2 * self.scenario.admin_gap_ms);
            self.after(change, Event::Administer);
        }
        self.schedule_restore();
        self.after(self.scenario.traffic_ms, Event::TrafficEnds);
    }

    /// Runs to the end, checking after every event.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        while let Some(Reverse(queued)) = self.queue.pop() {
            if queued.at_ms > self.end_ms {
                break;
            }
            self.now_ms = queued.at_ms;
            self.tally.events += 1;
            anyhow::ensure!(self.tally.events < MOST_EVENTS, "the world goes in circles");
            self.happen(queued.event)?;
            self.after_event()?;
        }
        self.at_rest()
    }

    /// Lets an event happen after some milliseconds.
    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.next_order += 1;
        let queued = Queued { at_ms: self.now_ms + ms, order: self.next_order, event };
        self.queue.push(Reverse(queued));
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        let workers = self.scenario.workers;
        (0..self.scenario.proxies)
            .flat_map(|proxy| (0..workers).map(move |worker| Place { proxy, worker }))
            .collect()
    }

    pub(crate) fn some_place(&mut self) -> Place {
        Place {
            proxy: self.dice.index(self.scenario.proxies),
            worker: self.dice.index(self.scenario.workers),
        }
    }

    pub(crate) fn worker(&mut self, place: Place) -> Option<&mut Worker> {
        self.proxies.get_mut(place.proxy)?.workers.get_mut(place.worker)
    }

    fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        let Some(event) = self.unless_asleep(event) else { return Ok(()) };
        match event {
            Event::Opens { .. } if self.traffic_is_over => Ok(()),
            Event::Opens { place, request } => self.open(place, &request),
            Event::Burst if self.traffic_is_over => Ok(()),
            Event::Burst => self.burst(),
            Event::BodyComes { at } => self.body_comes(at),
            Event::ClientLeaves { at } => self.client_leaves(at),
            Event::Upstream { call } => self.upstream_goes_on(call),
            Event::CallArrives { ticket, message } => self.call_arrives(ticket, &message),
            Event::AnswerArrives { ticket, answer } => {
                if self.network.is_cut_off(ticket.place.proxy) {
                    return Ok(());
                }
                self.call_done(ticket, Some(answer.status), &answer.body)
            }
            Event::CallTimesOut { ticket } => self.call_done(ticket, None, &[]),
            Event::WaitEnds => Ok(()),
            Event::Tick { place } => {
                self.after(self.scenario.tick_ms, Event::Tick { place });
                if self.kind_of(place.proxy) == HostKind::Apisix {
                    return Ok(());
                }
                self.feed(place, Input::Tick)
            }
            Event::Sweep => {
                self.after(SWEEP_EVERY_MS, Event::Sweep);
                self.sweep()
            }
            Event::Fault if self.traffic_is_over => Ok(()),
            Event::Fault => {
                let next = self.dice.between(1, 2 * self.scenario.fault_gap_ms);
                self.after(next, Event::Fault);
                self.strike()
            }
            Event::Crash { place } => self.crash(place),
            Event::Wakes { place } => {
                self.wake(place);
                Ok(())
            }
            Event::Heal { proxy } => {
                self.network.heal(proxy);
                Ok(())
            }
            Event::ServerStops => {
                self.stop_server();
                Ok(())
            }
            Event::ServerBack => {
                self.server_acted = true;
                self.start_server()
            }
            Event::ServerWakes => {
                self.wake_server();
                Ok(())
            }
            Event::Administer if self.traffic_is_over => Ok(()),
            Event::Administer => {
                let next = self.dice.between(1, 2 * self.scenario.admin_gap_ms);
                self.after(next, Event::Administer);
                self.server_acted = true;
                self.administer()
            }
            Event::Withdraw if self.traffic_is_over => Ok(()),
            Event::Withdraw => {
                self.server_acted = true;
                self.withdraw()
            }
            Event::SetActive { .. } if self.traffic_is_over => Ok(()),
            Event::SetActive { key, active } => {
                self.server_acted = true;
                self.set_active(key, active)
            }
            Event::BackUp | Event::LosesDisk if self.traffic_is_over => Ok(()),
            Event::BackUp => self.back_up(),
            Event::LosesDisk => {
                self.server_acted = true;
                self.lose_disk()
            }
            Event::ReleaseBudgets => self.release_budgets(),
            Event::TriesAgain if self.traffic_is_over => Ok(()),
            Event::TriesAgain => self.try_again(),
            Event::MustBeOver { at, key } => self.must_be_over(at, key),
            Event::TrafficEnds => self.end_traffic(),
            Event::Knock { place } => self.knock(place),
        }
    }

    fn sweep(&mut self) -> anyhow::Result<()> {
        if !self.server.is_awake(self.now_ms) {
            return Ok(());
        }
        let Some((engine, now)) = self.server.engine(self.now_ms) else { return Ok(()) };
        self.server_acted = true;
        while engine.run(now, |work| work.sweep())? {}
        Ok(())
    }

    /// The gate has ended a call that may have been with the upstream.
    fn cut_upstream(&mut self, stream: &crate::worker::Stream) {
        let Some(index) = stream.upstream else { return };
        self.tally.ended_by_filter += 1;
        self.upstream_acted = true;
        let goes_on = self.dice.per_mille(500);
        if let Some(call) = self.calls.get_mut(index) {
            call.abandoned(goes_on);
            call.is_charged = true;
        }
    }

    /// Gives a worker's gate one input and carries out what follows.
    pub(crate) fn feed(&mut self, place: Place, input: Input<'_>) -> anyhow::Result<()> {
        let now = self.gate_now(place);
        let Some(proxy) = self.proxies.get_mut(place.proxy) else { return Ok(()) };
        let shared = proxy.memories.len() == 1;
        let memory = proxy.memories.get_mut(if shared { 0 } else { place.worker });
        let (Some(memory), Some(worker)) = (memory, proxy.workers.get_mut(place.worker)) else {
            return Ok(());
        };
        let life = worker.life;
        worker.swallows_close = self.mutation == Some(Mutation::SwallowedClose);
        worker.first_fed_ms.get_or_insert(self.now_ms);
        let reaction = worker.feed(now, memory, input);
        for (id, stream, reply) in reaction.replies {
            self.answered_by_gate(place, id, &stream, &reply)?;
            self.cut_upstream(&stream);
        }
        for (id, stream) in reaction.closed {
            self.log.note(self.now_ms, || format!("{place:?} {id:?}: closed by the gate"));
            self.cut_upstream(&stream);
        }
        for stream in reaction.forwarded {
            self.forward(StreamAt { place, life, stream })?;
        }
        for call in reaction.calls {
            self.send(Ticket { place, life, call: call.id }, call);
        }
        Ok(())
    }

    /// Wakes polls and checks what must hold now.
    fn after_event(&mut self) -> anyhow::Result<()> {
        if self.server.is_awake(self.now_ms) {
            for (ticket, reply) in self.server.ripe_polls(self.now_ms) {
                self.reply_to(ticket, crate::server::ok(&reply));
            }
            for (ticket, answer) in self.server.ripe_asks(self.now_ms)? {
                self.server_acted = true;
                self.note_grant(&answer)?;
                self.reply_to(ticket, answer);
            }
        }
        if std::mem::take(&mut self.server_acted) {
            if let Some(sql) = self.mutation.and_then(Mutation::sabotage) {
                self.ledger.sabotage(sql)?;
            }
            let caps_changed = std::mem::take(&mut self.caps_changed);
            // Sabotage comes from the checker's own connection, which does not count as a change.
            let sabotaged = self.mutation.and_then(Mutation::sabotage).is_some();
            if self.ledger.has_changed()? || sabotaged {
                self.checker.ledger(self.ledger.accounts()?, caps_changed)?;
                self.show_records()?;
                self.upstream_acted = true;
            }
        }
        if std::mem::take(&mut self.upstream_acted) {
            self.checker.calls_are_covered(&self.calls)?;
        }
        let (server, now_ms) = (&self.server, self.now_ms);
        let applied = self.checker.note_applied(|revision| server.is_applied(revision, now_ms));
        applied.iter().for_each(|credential| self.expect_ends(*credential));
        let (server, applied) = (&self.server, applied.len());
        self.tally.withdrawals += applied as u64;
        let moves = self.checker.note_placed(|revision| server.is_applied(revision, now_ms));
        self.tally.moves_in_force += moves as u64;
        let plans = self.checker.note_plans(|revision| server.is_applied(revision, now_ms));
        self.tally.plans_in_force += plans as u64;
        if applied > 0 {
            self.log.note(self.now_ms, || format!("{applied} withdrawal(s) in force everywhere"));
        }
        Ok(())
    }

    /// Shows the checker what has been recorded since the last time.
    fn show_records(&mut self) -> anyhow::Result<()> {
        for record in self.ledger.records_after(self.records_seen)? {
            self.records_seen = record.position;
            let lease = record.call.lease.as_ref();
            let lease = lease.map(|lease| self.ledger.lease_of(lease.as_str())).transpose()?;
            let accounts = lease.flatten().map(|(_, accounts)| accounts).unwrap_or_default();
            self.checker.recorded(&self.calls, &record, &accounts)?;
        }
        Ok(())
    }

    pub(crate) fn traffic_is_over(&self) -> bool {
        self.traffic_is_over
    }
}
