//! The world: its clock, its queue of events, and what each event sets in motion.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use gate::testing::ProcessMemory;
use gate::{Input, Now};
use wire::NanoUsd;

use crate::administration::{Credential, Key};
use crate::call_outs::Message;
use crate::checker::{Checker, Invariant, Violation};
use crate::dice::Dice;
use crate::event_log::EventLog;
use crate::ledger::Ledger;
use crate::mutation::Mutation;
use crate::network::{Network, Weather};
use crate::scenario::Scenario;
use crate::server::{Answer, START_UNIX_MS, Server};
use crate::upstream::UpstreamCall;
use crate::worker::{Life, Place, StreamAt, Ticket, Worker};

/// How often the server looks for lapsed sessions.
const SWEEP_EVERY_MS: u64 = 1_000;
/// After the traffic, the time for running calls to end and for the last reports to be answered,
/// beyond what sessions need to lapse.
const COMING_TO_REST_MS: u64 = 45_000;
/// When, after the traffic, each worker gets one more request: a VM registers only at a request.
const KNOCKS_MS: [u64; 3] = [3_000, 20_000, 35_000];
/// Most events of a run; a world that needs more goes in circles.
const MOST_EVENTS: u64 = 1_000_000;

/// Something that happens at its time.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Burst,
    BodyComes { at: StreamAt },
    ClientLeaves { at: StreamAt },
    Upstream { call: usize },
    CallArrives { ticket: Ticket, message: Rc<Message> },
    AnswerArrives { ticket: Ticket, answer: Rc<Answer> },
    CallTimesOut { ticket: Ticket },
    PollEnds,
    Tick { place: Place },
    Sweep,
    Fault,
    Heal { proxy: usize },
    ServerBack,
    Administer,
    Withdraw,
    TrafficEnds,
    Knock { place: Place },
}

#[derive(Debug)]
struct Queued {
    at_ms: u64,
    /// Events of one instant happen in the order in which they were made.
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.order) == (other.at_ms, other.order)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

/// A proxy process: one shared memory, several workers.
pub(crate) struct Proxy {
    memories: Vec<ProcessMemory>,
    workers: Vec<Worker>,
    /// Where its monotonic clock stood at virtual time zero.
    clock_ms: u64,
}

impl Proxy {
    pub(crate) fn lose_swaps(&mut self, swaps: u32) {
        self.memories.iter_mut().for_each(|memory| memory.lose_swaps = swaps);
    }
}

/// What a run met; tests see from it that runs are of use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that happened.
    pub events: u64,
    /// Calls that went to the upstream.
    pub forwarded: u64,
    /// Answers of gates, by status.
    pub replies: BTreeMap<u16, u64>,
    /// VMs that crashed.
    pub crashes: u64,
    /// Times that the server stopped.
    pub restarts: u64,
    /// Times that a proxy was cut off.
    pub cuts: u64,
    /// Withdrawals that the server said were in force everywhere.
    pub withdrawals: u64,
    /// Accounts that ended with parked money.
    pub parked: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.forwarded += other.forwarded;
        for (status, count) in &other.replies {
            *self.replies.entry(*status).or_default() += count;
        }
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.cuts += other.cuts;
        self.withdrawals += other.withdrawals;
        self.parked += other.parked;
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
    pub(crate) org_cap: NanoUsd,
    /// An administrator has set a cap in this event.
    pub(crate) caps_changed: bool,
    /// The ledger may have changed in this event.
    pub(crate) server_acted: bool,
    pub(crate) calls: Vec<UpstreamCall>,
    pub(crate) lives: u64,
    pub(crate) checker: Checker,
    pub(crate) log: EventLog,
    pub(crate) tally: Tally,
    traffic_is_over: bool,
    queue: BinaryHeap<Reverse<Queued>>,
    next_order: u64,
}

impl World {
    /// The world of a seed, furnished and ready to run.
    pub(crate) fn new(
        seed: u64,
        mutation: Option<Mutation>,
        keeps_log: bool,
    ) -> anyhow::Result<Self> {
        let scenario = Scenario::of(seed);
        let server = Server::start(seed, scenario.times)?;
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
            org_cap: NanoUsd::ZERO,
            caps_changed: false,
            server_acted: true,
            calls: Vec::new(),
            lives: 0,
            checker: Checker::default(),
            log: EventLog::new(keeps_log),
            tally: Tally::default(),
            traffic_is_over: false,
            queue: BinaryHeap::new(),
            next_order: 0,
        };
        world.log.note(0, || format!("seed {seed}: {scenario:?}"));
        world.build_proxies()?;
        world.furnish()?;
        world.schedule();
        Ok(world)
    }

    fn build_proxies(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.scenario.proxies {
            let mut workers = Vec::new();
            for _ in 0..self.scenario.workers {
                self.lives += 1;
                workers.push(Worker::start(Life(self.lives), &mut self.dice)?);
            }
            // One for each worker only where that is the fault to be found.
            let memories = if self.mutation == Some(Mutation::PrivateMemory) {
                workers.iter().map(|_| ProcessMemory::default()).collect()
            } else {
                vec![ProcessMemory::default()]
            };
            let clock_ms = self.dice.below(1 << 40);
            self.proxies.push(Proxy { memories, workers, clock_ms });
        }
        Ok(())
    }

    fn schedule(&mut self) {
        for place in self.places() {
            let first = self.dice.below(self.scenario.tick_ms);
            self.after(first, Event::Tick { place });
        }
        self.after(10, Event::Burst);
        self.after(SWEEP_EVERY_MS, Event::Sweep);
        let fault = self.dice.between(1, 2 * self.scenario.fault_gap_ms);
        self.after(fault, Event::Fault);
        let change = self.dice.between(1, 2 * self.scenario.admin_gap_ms);
        self.after(change, Event::Administer);
        self.after(self.scenario.traffic_ms, Event::TrafficEnds);
    }

    /// Runs to the end, checking after every event.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        let times = self.scenario.times;
        let end_ms = self.scenario.traffic_ms + times.ttl_ms + times.grace_ms + COMING_TO_REST_MS;
        while let Some(Reverse(queued)) = self.queue.pop() {
            if queued.at_ms > end_ms {
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
        match event {
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
            Event::PollEnds => Ok(()),
            Event::Tick { place } => {
                self.after(self.scenario.tick_ms, Event::Tick { place });
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
            Event::Heal { proxy } => {
                self.network.heal(proxy);
                Ok(())
            }
            Event::ServerBack => {
                self.server_acted = true;
                self.start_server()
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
            Event::TrafficEnds => self.end_traffic(),
            Event::Knock { place } => self.knock(place),
        }
    }

    fn end_traffic(&mut self) -> anyhow::Result<()> {
        self.log.note(self.now_ms, || "the traffic ends, the network is whole".to_owned());
        self.traffic_is_over = true;
        self.network.weather = Weather::FAIR;
        (0..self.proxies.len()).for_each(|proxy| self.network.heal(proxy));
        self.start_server()?;
        for place in self.places() {
            KNOCKS_MS.iter().for_each(|ms| self.after(*ms, Event::Knock { place }));
        }
        Ok(())
    }

    fn sweep(&mut self) -> anyhow::Result<()> {
        let Some((engine, now)) = self.server.engine(self.now_ms) else { return Ok(()) };
        self.server_acted = true;
        while engine.run(now, |work| work.sweep())? {}
        Ok(())
    }

    /// The clocks as a worker's gate reads them.
    fn gate_now(&self, place: Place) -> Now {
        let start = self.proxies.get(place.proxy).map_or(0, |proxy| proxy.clock_ms);
        Now {
            monotonic_ms: start + self.now_ms,
            wall_ms: START_UNIX_MS + self.now_ms,
            is_exact: true,
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
        let reaction = worker.feed(now, memory, input);
        for (id, stream, reply) in reaction.replies {
            *self.tally.replies.entry(reply.status).or_default() += 1;
            self.log.note(self.now_ms, || {
                let credential = stream.credential;
                format!("{place:?} {id:?} credential {credential}: answered {}", reply.status)
            });
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
        for (ticket, reply) in self.server.ripe_polls(self.now_ms) {
            self.reply_to(ticket, crate::server::ok(&reply));
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
            }
        }
        let (server, now_ms) = (&self.server, self.now_ms);
        let applied = self.checker.note_applied(|revision| server.is_applied(revision, now_ms));
        self.tally.withdrawals += applied as u64;
        if applied > 0 {
            self.log.note(self.now_ms, || format!("{applied} withdrawal(s) in force everywhere"));
        }
        Ok(())
    }

    fn at_rest(&mut self) -> anyhow::Result<()> {
        let accounts = self.ledger.accounts()?;
        self.tally.parked +=
            accounts.iter().filter(|account| account.parked > NanoUsd::ZERO).count() as u64;
        let waiting: usize =
            self.proxies.iter().flat_map(|proxy| &proxy.workers).map(|it| it.streams.len()).sum();
        if waiting > 0 {
            let text = format!("{waiting} requests never ended");
            return Err(Violation { invariant: Invariant::Rest, text }.into());
        }
        let open = self.ledger.open_leases()?;
        if !open.is_empty() {
            let text = format!("money is held that no call can spend: {open:?}");
            return Err(Violation { invariant: Invariant::Rest, text }.into());
        }
        let records = self.ledger.records()?;
        self.checker.at_rest(&self.calls, &records, |key| self.org_of(key))?;
        Ok(())
    }
}
