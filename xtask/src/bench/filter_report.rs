//! Rounds of the filter benchmark, and the table of their medians.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::load::Measured;

/// The figures of one variant in one round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Requests per second.
    rate: f64,
    /// Median latency in milliseconds.
    p50_ms: f64,
    /// 99th percentile in milliseconds.
    p99_ms: f64,
    /// Envoy's processor time per request in microseconds.
    cpu_us: f64,
}

impl Round {
    /// From what the load saw and what Envoy used meanwhile.
    #[must_use]
    pub fn new(measured: &Measured, envoy_cpu: Duration) -> Self {
        let requests = measured.latencies.len().max(1) as f64;
        Self {
            rate: measured.rate(),
            p50_ms: measured.quantile(0.50).as_secs_f64() * 1e3,
            p99_ms: measured.quantile(0.99).as_secs_f64() * 1e3,
            cpu_us: envoy_cpu.as_secs_f64() * 1e6 / requests,
        }
    }
}

/// All rounds of all variants; the first variant is what the others are set against.
#[derive(Debug)]
pub struct Report {
    names: Vec<&'static str>,
    rounds: Vec<Vec<Round>>,
}

/// Medians of one variant.
#[derive(Debug, Clone, Copy)]
struct Row {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    rate_ratio: f64,
    p50_ratio: f64,
    cpu_more_us: f64,
}

impl Report {
    /// A report without rounds.
    #[must_use]
    pub fn new(names: Vec<&'static str>) -> Self {
        let rounds = vec![Vec::new(); names.len()];
        Self { names, rounds }
    }

    /// Adds a round of the variant with this index.
    pub fn add(&mut self, variant: usize, round: Round) {
        if let Some(rounds) = self.rounds.get_mut(variant) {
            rounds.push(round);
        }
    }

    fn row(&self, variant: usize) -> Row {
        let empty = Vec::new();
        let own = self.rounds.get(variant).unwrap_or(&empty);
        let base = self.rounds.first().unwrap_or(&empty);
        let of = |figure: fn(&Round) -> f64| median(own.iter().map(figure).collect());
        let against = |compare: fn(&Round, &Round) -> f64| {
            median(own.iter().zip(base).map(|(own, base)| compare(own, base)).collect())
        };
        Row {
            rate: of(|round| round.rate),
            p50_ms: of(|round| round.p50_ms),
            p99_ms: of(|round| round.p99_ms),
            cpu_us: of(|round| round.cpu_us),
            rate_ratio: against(|own, base| own.rate / base.rate),
            p50_ratio: against(|own, base| own.p50_ms / base.p50_ms),
            cpu_more_us: against(|own, base| own.cpu_us - base.cpu_us),
        }
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<32}{:>9}{:>8}{:>9}{:>9}{:>12}{:>8}{:>11}\n",
            "variant", "req/s", "×", "p50 ms", "p99 ms", "p50 ×", "CPU µs", "CPU +µs"
        );
        for (index, name) in self.names.iter().enumerate() {
            let row = self.row(index);
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "{name:<32}{:>9.0}{:>8.2}{:>9.3}{:>9.3}{:>12.2}{:>8.1}{:>+11.1}",
                row.rate,
                row.rate_ratio,
                row.p50_ms,
                row.p99_ms,
                row.p50_ratio,
                row.cpu_us,
                row.cpu_more_us
            );
        }
        text
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let row = self.row(index);
                json!({
                    "variant": name,
                    "requests_per_second": row.rate,
                    "requests_per_second_ratio": row.rate_ratio,
                    "p50_ms": row.p50_ms,
                    "p50_ratio": row.p50_ratio,
                    "p99_ms": row.p99_ms,
                    "envoy_cpu_us_per_request": row.cpu_us,
                    "envoy_cpu_us_over_no_filter": row.cpu_more_us,
                    "rounds": self.rounds.get(index).map_or(0, Vec::len),
                })
            })
            .collect();
        json!({"filter": rows})
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|index| values.get(index));
    lower.map_or(upper, |lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rate: f64, cpu_us: f64) -> Round {
        Round { rate, p50_ms: 1e3 / rate, p99_ms: 2e3 / rate, cpu_us }
    }

    #[test]
    fn ratios_are_taken_within_a_round_before_the_median() {
        let mut report = Report::new(vec!["base", "other"]);
        // The machine halves its speed in the second round; the ratio stays.
        for (base, cpu) in [(1_000.0, 20.0), (500.0, 40.0), (900.0, 22.0)] {
            report.add(0, round(base, cpu));
            report.add(1, round(base * 0.8, cpu + 10.0));
        }
        let row = report.row(1);
        assert!((row.rate_ratio - 0.8).abs() < 1e-9);
        assert!((row.cpu_more_us - 10.0).abs() < 1e-9);
        assert!((row.rate - 720.0).abs() < 1e-9);
        assert!(report.table().contains("other"));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
