//! Memory of the shipped filter for one answer.

use wasm_tests::answer_memory::{FORMS, HOSTILE, MOST_FOR_HOSTILE};

/// The worker has had one short call before: what it needs once for all is there.
#[test]
fn an_answer_of_100_mb_needs_no_more_memory_than_one_of_10_kb() {
    for form in FORMS {
        let [short, long] = [10_000, 100_000_000].map(|bytes| form.measure(bytes).unwrap());
        assert!(long.answer_bytes >= 100_000_000 && short.answer_bytes < 11_000, "{long:?}");
        assert_eq!(short.after_bytes, long.after_bytes, "{short:?} {long:?}");
    }
}

#[test]
fn a_giant_event_and_a_million_members_need_no_more_than_small_ones() {
    for (form, lengths) in HOSTILE {
        let [short, long] = lengths.map(|bytes| form.measure(bytes).unwrap());
        assert_eq!(short.after_bytes, long.after_bytes, "{short:?} {long:?}");
        let more = long.after_bytes - long.before_bytes;
        assert!(more <= MOST_FOR_HOSTILE, "{more} bytes: {long:?}");
    }
}
