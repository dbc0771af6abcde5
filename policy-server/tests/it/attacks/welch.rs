//! Whether two halves of guesses cost the same: Welch's t-test, as `dudect` uses it (Reparaz et al.,
//! 2017). Also of the tests of the filter, which measure the same of their own check of keys.

/// Beyond this the two halves differ: `dudect` calls 4.5 suspicious and 10 certain.
pub const CERTAIN: f64 = 10.0;

/// Numbers that are random enough for an order that nothing follows (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Welch's t of what the guesses of both halves cost: how much more the second one does, in units of
/// what chance makes of it.
pub fn t_of([first, second]: &[Vec<f64>; 2]) -> f64 {
    let mean_and_error = |costs: &[f64]| {
        let count = costs.len() as f64;
        let mean = costs.iter().sum::<f64>() / count;
        let variance = costs.iter().map(|cost| (cost - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let (first, second) = (mean_and_error(first), mean_and_error(second));
    (second.0 - first.0) / (first.1 + second.1).sqrt().max(f64::MIN_POSITIVE)
}
