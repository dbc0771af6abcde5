//! How long a guess takes tells nothing of how near it is: each check of a secret is timed on 100,000
//! guesses, half of them random and half of them the secret with one letter changed, and the times of
//! both halves are compared by Welch's t-test, as `dudect` does (Reparaz et al., 2017).

use std::hint::black_box;
use std::time::Instant;

use policy_server::permissions::Sight;
use policy_server::settings::FilterToken;
use serde_json::json;

use super::welch::{self, CERTAIN, Numbers};
use crate::people::person;
use crate::world::{FILTER_TOKEN, World};

const GUESSES: usize = 100_000;

/// Guesses of each half. They are used again and again: the halves must not differ in memory either.
const EACH: usize = 512;

fn letter(numbers: &mut Numbers) -> u8 {
    b"0123456789abcdef"[numbers.next() as usize % 16]
}

/// Guesses that have nothing of the secret beyond `shared` letters, and guesses that lack one letter.
fn guesses(secret: &str, shared: usize) -> [Vec<Vec<u8>>; 2] {
    let numbers = &mut Numbers(7);
    let far = (0..EACH).map(|_| {
        let random = (shared..secret.len()).map(|_| letter(numbers));
        secret.bytes().take(shared).chain(random).collect()
    });
    let far = far.collect();
    let near = (0..EACH).map(|_| {
        let mut near = secret.as_bytes().to_vec();
        let last = near.last_mut().unwrap();
        while *last == *secret.as_bytes().last().unwrap() {
            *last = letter(numbers);
        }
        near
    });
    [far, near.collect()]
}

/// Welch's t of the times of both halves, without the half of all times that something held up.
fn t_of(guesses: &[Vec<Vec<u8>>; 2], mut check: impl FnMut(&[u8]) -> bool, seed: u64) -> f64 {
    let mut numbers = Numbers(seed);
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..GUESSES {
        let number = numbers.next();
        let half = (number >> 32) as usize % 2;
        let guess = &guesses[half][number as usize % EACH];
        let begun = Instant::now();
        let admitted = black_box(check(black_box(guess)));
        let took = begun.elapsed();
        assert!(!admitted, "a guess was right");
        times[half].push(took.as_nanos() as f64);
    }
    let mut all: Vec<_> = times.concat();
    all.sort_by(f64::total_cmp);
    let most = all[all.len() / 2];
    for times in &mut times {
        times.retain(|time| *time <= most);
    }
    welch::t_of(&times)
}

/// The least of three runs: what follows from the guess is there each time, what the machine did is not.
fn least_t(guesses: &[Vec<Vec<u8>>; 2], mut check: impl FnMut(&[u8]) -> bool) -> f64 {
    let mut least = f64::INFINITY;
    for seed in 1..=3 {
        let t = t_of(guesses, &mut check, seed).abs();
        least = least.min(t);
        if least < CERTAIN / 2.0 {
            break;
        }
    }
    least
}

/// What must not be: it ends at the first letter that differs.
fn leaky(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| black_box(a) == black_box(b))
}

#[test]
fn a_comparison_that_ends_early_is_noticed() {
    let guesses = guesses(FILTER_TOKEN, 0);
    let least = least_t(&guesses, |guess| leaky(guess, FILTER_TOKEN.as_bytes()));
    assert!(least > CERTAIN, "t = {least}");
    // Also behind a digest of the guess, which takes longer than the comparison.
    let least = least_t(&guesses, |guess| {
        black_box(metering::api_key::digest(guess));
        leaky(guess, FILTER_TOKEN.as_bytes())
    });
    assert!(least > CERTAIN, "t = {least}");
}

#[test]
fn the_filter_token_is_not_found_letter_by_letter() {
    let token = FilterToken::new(Some(FILTER_TOKEN)).unwrap();
    let least = least_t(&guesses(FILTER_TOKEN, 0), |guess| token.admits(guess).is_some());
    assert!(least < CERTAIN, "t = {least}");
}

#[tokio::test]
async fn tokens_and_keys_are_not_found_letter_by_letter() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_owner").await;
    let key = world.key(json!({})).await;
    for (secret, shared) in [(&world.admin_token, 4), (&ada.token, 4)] {
        let guesses = guesses(secret, shared);
        let least = world.app.edge().look(move |work| {
            Ok::<_, policy_server::store::StoreError>(least_t(&guesses, |guess| {
                work.sign_in(guess).is_ok()
            }))
        });
        let least = least.await.unwrap();
        assert!(least < CERTAIN, "t = {least}");
    }
    let guesses = guesses(&key.secret, key.secret.len() / 2);
    let least = world.app.edge().look(move |work| {
        Ok::<_, policy_server::store::StoreError>(least_t(&guesses, |guess| {
            let digest = metering::api_key::digest(guess);
            work.test_secret(&digest, &Sight::Everything, &Default::default()).unwrap().is_some()
        }))
    });
    let least = least.await.unwrap();
    assert!(least < CERTAIN, "t = {least}");
}
