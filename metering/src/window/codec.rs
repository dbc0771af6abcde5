//! A bucket as bytes: little-endian base-128 numbers, times as differences, so that a window of 60
//! requests takes some 200 bytes.

use std::collections::VecDeque;

use wire::v1::{Unit, Window};

use super::bucket::{Bucket, SUBJECTS_PER_BUCKET, SubjectId};
use super::counter::{Claim, Counter, MOST_CLAIMS, Track};
use super::series::{EXACT_UP_TO, SUB_BUCKETS, Series};

/// First byte of every value; another format gets another number.
const FORMAT: u8 = 1;
/// Exact entries of before a limit was raised and sub-buckets of after can stand side by side.
const MOST_ENTRIES: u64 = EXACT_UP_TO + SUB_BUCKETS + 2;
/// Three units times three windows.
const MOST_TRACKS: u64 = 9;

/// The bytes are no bucket: somebody else writes to this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// Writes a bucket.
pub(super) fn encode(bucket: &Bucket) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put(&mut out, bucket.subjects.len() as u64);
    for (subject, counter) in &bucket.subjects {
        out.extend_from_slice(&subject.0);
        put(&mut out, counter.tracks.len() as u64);
        for track in &counter.tracks {
            out.push(code_of(track.unit, track.window));
            put(&mut out, track.series.len() as u64);
            let mut before = 0;
            for (time, units) in track.series.entries() {
                put(&mut out, time.saturating_sub(before));
                put(&mut out, units);
                before = time;
            }
        }
        put(&mut out, counter.claims.len() as u64);
        for claim in &counter.claims {
            for number in [claim.vm, claim.calls, claim.tokens, claim.seen_ms] {
                put(&mut out, number);
            }
        }
    }
    out
}

/// Reads a bucket; an empty value is an empty bucket.
pub(super) fn decode(bytes: &[u8]) -> Result<Bucket, Corrupt> {
    let mut bucket = Bucket::default();
    let Some((&format, rest)) = bytes.split_first() else {
        return Ok(bucket);
    };
    if format != FORMAT {
        return Err(Corrupt);
    }
    let mut input = Input(rest);
    for _ in 0..input.number_up_to(SUBJECTS_PER_BUCKET as u64)? {
        let subject = SubjectId(input.bytes()?);
        let mut counter = Counter::default();
        for _ in 0..input.number_up_to(MOST_TRACKS)? {
            let [code] = input.bytes()?;
            let (unit, window) = of_code(code).ok_or(Corrupt)?;
            counter.tracks.push(Track { unit, window, series: series(&mut input)? });
        }
        for _ in 0..input.number_up_to(MOST_CLAIMS as u64)? {
            counter.claims.push(Claim {
                vm: input.number()?,
                calls: input.number()?,
                tokens: input.number()?,
                seen_ms: input.number()?,
            });
        }
        bucket.subjects.push((subject, counter));
    }
    if input.0.is_empty() { Ok(bucket) } else { Err(Corrupt) }
}

fn series(input: &mut Input<'_>) -> Result<Series, Corrupt> {
    let mut entries = VecDeque::new();
    let mut time = 0u64;
    for _ in 0..input.number_up_to(MOST_ENTRIES)? {
        time = time.checked_add(input.number()?).ok_or(Corrupt)?;
        entries.push_back((time, input.number()?));
    }
    Ok(Series::from_sorted(entries))
}

fn code_of(unit: Unit, window: Window) -> u8 {
    let unit = match unit {
        Unit::Requests => 0,
        Unit::Tokens => 1,
        Unit::Concurrent => 2,
    };
    let window = match window {
        Window::Minute => 0,
        Window::Hour => 1,
        Window::Day => 2,
    };
    unit << 4 | window
}

fn of_code(code: u8) -> Option<(Unit, Window)> {
    let unit = match code >> 4 {
        0 => Unit::Requests,
        1 => Unit::Tokens,
        2 => Unit::Concurrent,
        _ => return None,
    };
    let window = match code & 0xF {
        0 => Window::Minute,
        1 => Window::Hour,
        2 => Window::Day,
        _ => return None,
    };
    Some((unit, window))
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u64, Corrupt> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.bytes()?;
            let part = u64::from(byte & 0x7F);
            if shift == 63 && part > 1 {
                return Err(Corrupt);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Corrupt)
    }

    fn number_up_to(&mut self, most: u64) -> Result<u64, Corrupt> {
        self.number().and_then(|number| if number <= most { Ok(number) } else { Err(Corrupt) })
    }
}
