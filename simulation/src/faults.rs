//! What goes wrong beside the network: VMs crash, the server stops and starts, proxies are cut off,
//! workers race for shared memory.

use crate::events::Event;
use crate::upstream::UpstreamCall;
use crate::worker::{Life, Place, Worker};
use crate::world::World;

/// Keys that are switched off while nobody hears of it.
const NEWS: usize = 3;
/// A server that stopped is back within this time, in milliseconds.
const DOWN_MOST_MS: u64 = 12_000;

impl World {
    /// One fault.
    pub(crate) fn strike(&mut self) -> anyhow::Result<()> {
        let place = self.some_place();
        if self.scenario.loses_news {
            self.lose_news(place.proxy);
            return Ok(());
        }
        match self.dice.below(20) {
            0..=5 => return self.crash(place),
            6 => return self.restart_proxy(place.proxy),
            7 | 8 => self.stop_server(),
            9 | 10 => {
                // Its next call is committed, and nobody learns of it.
                self.log.note(self.now_ms, || "fault: the server will not answer".to_owned());
                self.dies_before_answering = self.server.is_up();
            }
            11..=14 => self.cut_off(place.proxy),
            15 | 16 => self.put_to_sleep(place),
            17 => self.put_server_to_sleep(),
            18 => self.step_a_wall_clock(place.proxy),
            _ => {
                let swaps = u32::try_from(self.dice.between(1, 12)).unwrap_or(1);
                if let Some(proxy) = self.proxies.get_mut(place.proxy) {
                    proxy.lose_swaps(swaps);
                }
                self.log.note(self.now_ms, || format!("fault: {place:?} loses {swaps} swaps"));
            }
        }
        Ok(())
    }

    /// A proxy process ends and starts anew, with all of its workers and its shared memory.
    fn restart_proxy(&mut self, proxy: usize) -> anyhow::Result<()> {
        self.log.note(self.now_ms, || format!("fault: proxy {proxy} starts anew"));
        for worker in 0..self.scenario.workers {
            self.crash(Place { proxy, worker })?;
        }
        self.checker.proxy_restarted(proxy);
        if let Some(proxy) = self.proxies.get_mut(proxy) {
            proxy.forget();
        }
        self.tally.proxy_restarts += 1;
        Ok(())
    }

    /// A VM ends without a word and is rebuilt; its proxy and the shared memory live on.
    pub(crate) fn crash(&mut self, place: Place) -> anyhow::Result<()> {
        self.lives += 1;
        let kind = self.kind_of(place.proxy);
        let worker = Worker::start(Life(self.lives), kind, &mut self.dice)?;
        let Some(slot) = self.worker(place) else { return Ok(()) };
        let dead = std::mem::replace(slot, worker);
        self.log.note(self.now_ms, || format!("fault: {place:?} crashes: {:?}", dead.life));
        self.checker.crashed(dead.life);
        self.upstream_acted = true;
        self.tally.crashes += 1;
        for stream in dead.streams.into_values() {
            let goes_on = self.dice.per_mille(500);
            if let Some(call) = stream.upstream.and_then(|index| self.calls.get_mut(index)) {
                UpstreamCall::abandoned(call, goes_on);
            }
        }
        Ok(())
    }

    pub(crate) fn stop_server(&mut self) {
        if !self.server.is_up() {
            return;
        }
        self.server.stop();
        // Connections to it break: what waited in them is lost.
        self.waits_for_server.clear();
        self.dies_before_answering = false;
        self.tally.restarts += 1;
        let down_ms = self.dice.between(0, DOWN_MOST_MS);
        self.log.note(self.now_ms, || format!("fault: the server stops for {down_ms} ms"));
        self.after(down_ms, Event::ServerBack);
    }

    /// The server starts on what it had committed.
    pub(crate) fn start_server(&mut self) -> anyhow::Result<()> {
        if !self.server.is_up() {
            self.log.note(self.now_ms, || "the server starts".to_owned());
            self.server.start_again(self.now_ms)?;
        }
        Ok(())
    }

    /// Keys are switched off while a proxy is cut off for a moment and the server restarts: after that
    /// it no longer knows which.
    fn lose_news(&mut self, proxy: usize) {
        let for_ms = self.dice.between(100, 2_000);
        self.log.note(self.now_ms, || format!("fault: proxy {proxy} misses {for_ms} ms"));
        self.network.cut(proxy);
        self.tally.cuts += 1;
        for _ in 0..NEWS {
            self.after(1, Event::Withdraw);
        }
        self.after(2, Event::ServerStops);
        self.after(for_ms, Event::Heal { proxy });
    }

    fn cut_off(&mut self, proxy: usize) {
        self.network.cut(proxy);
        self.tally.cuts += 1;
        let longest = self.scenario.times.ttl_ms + self.scenario.times.grace_ms;
        // Short against a session, about as long, or much longer.
        let for_ms = if self.dice.per_mille(200) {
            self.dice.between(longest, longest * 4)
        } else {
            self.dice.between(500, longest)
        };
        self.log.note(self.now_ms, || format!("fault: proxy {proxy} is cut off for {for_ms} ms"));
        self.after(for_ms, Event::Heal { proxy });
        // What is withdrawn now cannot be told to this proxy: it must stop by itself.
        let withdrawn_after = self.dice.below(for_ms);
        self.after(withdrawn_after, Event::Withdraw);
    }
}
