//! The end of a world: clients stop, the network is whole, everything comes to rest and is counted.

use std::collections::BTreeSet;

use wire::NanoUsd;

use crate::checker::{Invariant, Rest, Violation};
use crate::events::Event;
use crate::ledger::AccountRow;
use crate::network::Weather;
use crate::restores::Disk;
use crate::scenario::Clients;
use crate::upstream::UpstreamCall;
use crate::worker::{Life, Place, Ticket};
use crate::world::World;

/// After the traffic, the time for running calls to end and for the last reports to be answered,
/// beyond what sessions need to lapse.
const COMING_TO_REST_MS: u64 = 45_000;
/// When, after the traffic, each worker gets one more request: a VM registers only at a request.
const KNOCKS_MS: [u64; 3] = [3_000, 20_000, 35_000];
/// Requests in a row that find no money, after which clients that only try to spend give up.
const HOPELESS: u64 = 40;

impl World {
    pub(crate) fn end_traffic(&mut self) -> anyhow::Result<()> {
        if self.traffic_is_over {
            return Ok(());
        }
        let times = self.scenario.times;
        // The longest upload is followed by the longest answer.
        let running_ms = 3 * self.scenario.longest_call_ms;
        let rest_ms = times.ttl_ms + times.grace_ms + running_ms + COMING_TO_REST_MS;
        self.end_ms = self.now_ms + rest_ms;
        self.log.note(self.now_ms, || "the traffic ends, the network is whole".to_owned());
        self.traffic_is_over = true;
        self.network.weather = Weather::FAIR;
        (0..self.proxies.len()).for_each(|proxy| self.network.heal(proxy));
        self.start_server()?;
        self.server.asleep_until_ms = 0;
        self.wake_server();
        self.dies_before_answering = false;
        for place in self.places() {
            self.wake(place);
            KNOCKS_MS.iter().for_each(|ms| self.after(running_ms + ms, Event::Knock { place }));
        }
        Ok(())
    }

    pub(crate) fn at_rest(&mut self) -> anyhow::Result<()> {
        let accounts = self.ledger.accounts()?;
        let count = |is_it: &dyn Fn(&AccountRow) -> bool| {
            accounts.iter().filter(|account| is_it(account)).count() as u64
        };
        self.tally.parked += count(&|account| account.parked > NanoUsd::ZERO);
        self.tally.overdrawn += count(&|account| account.overdraft > NanoUsd::ZERO);
        let calls = |is_it: &dyn Fn(&UpstreamCall) -> bool| {
            self.calls.iter().filter(|call| is_it(call)).count() as u64
        };
        self.tally.tool_calls += calls(&|call| call.produced.server_tool_calls > 0);
        self.tally.counted_so_far += calls(&|call| !call.told.usage && call.told.counted.is_some());
        let budgets: BTreeSet<_> = accounts.iter().map(|account| account.id.budget()).collect();
        self.tally.rollovers += (accounts.len() - budgets.len()) as u64;
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
        let (records, leases) = (self.ledger.records()?, self.ledger.leases()?);
        let rest = Rest {
            calls: &self.calls,
            records: &records,
            leases: &leases,
            lost_before_ms: self
                .restored_ms
                .filter(|_| self.scenario.disk == Disk::LostWithoutJournal),
            limits_are_kept: !self.scenario.overruns,
        };
        self.checker.at_rest(&rest)?;
        let place = Place { proxy: 0, worker: 0 };
        self.repeat_old_reports(Ticket { place, life: Life(0), call: gate::CallId(0) })
    }

    /// Clients that only try to spend a budget give up once it is gone.
    pub(crate) fn count_hopeless(&mut self, found_no_money: bool) -> anyhow::Result<()> {
        self.hopeless = if found_no_money { self.hopeless + 1 } else { 0 };
        let gives_up = self.scenario.clients != Clients::Mixed && self.hopeless == HOPELESS;
        if gives_up { self.end_traffic() } else { Ok(()) }
    }
}
