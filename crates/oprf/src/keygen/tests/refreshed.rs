//! Shares from before and from after a refresh.

use super::*;

/// One old share and `t - 1` new ones, of whichever holders, are no key; nor are one new and
/// `t - 1` old ones. The control are `t` old ones, which are the key: what protects is that
/// honest holders erase theirs.
#[test]
fn an_old_share_fits_none_from_after_a_refresh() {
    let (old, public) = hold(make(3, 5), 30);
    let (new, refreshed) = hold(refresh(&old, &public, &[1, 2, 3, 4, 5]), 31);
    let key = interpolated(&[&old[0], &old[1], &old[2]]);
    let is_key = |shares: &[&Share]| function(&interpolated(shares)) == function(&key);
    for mixed in 1..(1_u8 << 3) - 1 {
        for chosen in choices(&new, 3) {
            let places = chosen
                .iter()
                .map(|share| usize::from(share.place().get()) - 1);
            let of = |(bit, at): (usize, usize)| match mixed & (1 << bit) {
                0 => &new[at],
                _ => &old[at],
            };
            let shares: Vec<_> = places.enumerate().map(of).collect();
            assert!(!is_key(&shares));
            assert!(evaluate(&shares, &refreshed).is_err());
        }
    }
    // The controls: those of one kind are the key, old ones too, as long as they are kept.
    assert!(is_key(&[&new[0], &new[2], &new[4]]));
    assert!(is_key(&[&old[1], &old[2], &old[4]]));
}
