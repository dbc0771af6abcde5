//! Names, counting, and the line of the access log.

use wire::RequestId;

use super::log_fields::fields;
use super::metric::{COUNTERS, GAUGES, Kind, Metric, Outcome};
use super::{Decision, Levels, Meters, Notes, Observation};
use crate::io::Now;

fn now(monotonic_ms: u64, micros: u16) -> Now {
    Now { monotonic_ms, micros, wall_ms: 0, is_exact: true }
}

/// Operators' dashboards and alarms hang on them, and their number is what a proxy must bear.
#[test]
fn the_names_are_a_closed_list() {
    let names: Vec<_> = Metric::all().map(|metric| metric.name()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), Metric::COUNT, "a name stands there twice");
    for name in &names {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || b"_.".contains(&byte);
        assert!(name.len() <= 80 && name.bytes().all(is_plain), "{name}");
    }
    let text = names.join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metric_names.txt");
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap(), "UPDATE_SCRIPTS=1 writes it");
}

#[test]
fn each_metric_has_its_kind() {
    let kinds: Vec<_> = Metric::all().map(Metric::kind).collect();
    let of = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!(of(Kind::Counter), COUNTERS);
    assert_eq!(of(Kind::Gauge), GAUGES);
    assert_eq!(of(Kind::Histogram), 2);
    assert_eq!(Metric::ADDED.name(), "tollgate_added_microseconds");
    assert_eq!(Metric::CALLOUT.name(), "tollgate_callout_microseconds");
    assert_eq!(Metric::gauge(0).name(), "tollgate_vms");
    assert_eq!(Metric::SWAPS_LOST.name(), "tollgate_window_swaps_lost_total");
    assert_eq!(
        Metric::callout(5, Outcome::Failed).name(),
        "tollgate_callouts_total.purpose.lease.outcome.failed"
    );
    assert_eq!(
        Metric::decision(Decision::refused("rpm_exceeded").index()).name(),
        "tollgate_decisions_total.code.rpm_exceeded"
    );
    assert_eq!(Decision::refused("no such code").code(), "other");
}

fn change(metric: Metric, by: i64) -> Observation {
    Observation::Change { metric, by }
}

#[test]
fn counts_are_told_once_and_gauges_by_difference() {
    let mut meters = Meters::default();
    assert!(!meters.is_due(5_000), "a VM that serves nobody tells nothing");
    let allowed = Metric::decision(Decision::ALLOWED.index());
    meters.count(allowed);
    meters.count(allowed);
    meters.add(Metric::charged(0), 0);
    assert!(meters.is_due(5_000));
    let levels = Levels { is_usable: true, money: 7, ..Levels::default() };
    let told = meters.tell(levels, 5_000);
    let (vms, usable, money) = (Metric::gauge(0), Metric::gauge(1), Metric::gauge(3));
    assert_eq!(told, [change(allowed, 2), change(vms, 1), change(usable, 1), change(money, 7)]);
    assert!(!meters.is_due(5_999) && meters.is_due(6_000));
    assert!(!meters.is_overdue(9_999) && meters.is_overdue(10_000));
    assert_eq!(meters.tell(levels, 6_000), []);
    let told = meters.tell(Levels { money: 3, ..levels }, 7_000);
    assert_eq!(told, [change(money, -4)]);
}

#[test]
fn a_line_holds_what_is_known_and_stays_one_json_object() {
    let request = RequestId::new("req_1").unwrap();
    let mut notes = Notes::at(now(10, 250));
    assert_eq!(
        fields(&request, &notes, None),
        r#"{"request":"req_1","decision":"abandoned","callouts":0}"#
    );
    notes.ready(now(12, 0));
    notes.decision = Some(Decision::refused("model_not_allowed"));
    notes.ready(now(13, 0));
    notes.callouts = 255;
    notes.model = Some(wire::ModelName::new(r#"a"b\c"#).unwrap());
    assert_eq!(notes.carried_out(now(12, 345)), 345);
    let line = fields(&request, &notes, None);
    assert_eq!(
        line,
        r#"{"request":"req_1","decision":"model_not_allowed","model":"a\"b\\c","callouts":255,"added_us":345}"#
    );
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["model"], r#"a"b\c"#);
}
