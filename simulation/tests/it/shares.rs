//! Cluster scope states its figure: the share of a window over all proxies that is served when
//! three times as much is asked for, by two proxies with two workers each.

use simulation::saturation::served_per_mille;

#[test]
fn a_saturated_window_over_all_proxies_serves_its_share() {
    // Measured: all of it, since used permits return to the millisecond; a little less is no fault.
    for (limit, least) in [(10, 980), (60, 980), (600, 980)] {
        let seeds = if limit < 100 { 3 } else { 1 };
        let shares: Vec<_> =
            (0..seeds).map(|seed| served_per_mille(seed, limit).unwrap()).collect();
        println!("{limit} per minute: served, in 1/1000 of it: {shares:?}");
        assert!(shares.iter().all(|share| *share <= 1_000), "{limit}: {shares:?}");
        assert!(shares.iter().all(|share| *share >= least), "{limit}: {shares:?}");
    }
}
