use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::peel::{Peeled, Sparse};
use super::*;
use crate::hash::{Domain, IdHash};

/// Sizes of the gap that are told apart.
const SIZES: usize = 8;

fn hashed(domain: u8, ids: std::ops::Range<u32>) -> Vec<IdHash> {
    let hasher = Domain::from_digest([domain; 32]).id_hasher();
    ids.map(|id| hasher.hash(&id.to_le_bytes())).collect()
}

fn shape(items: usize) -> OkvsShape {
    OkvsShape::for_items(items as u64).unwrap()
}

/// How many of the rows the vector gives their value for.
fn kept(store: &[Gf128], rows: &BinnedRows) -> usize {
    let products = decode(store, rows);
    let pairs = rows.rows().iter().zip(&*products);
    pairs
        .filter(|(row, product)| row.value == **product)
        .count()
}

#[test]
fn every_id_finds_its_value_and_no_other_id_does() {
    for items in [0, 1, 2, 63, 64, 65, 1 << 15, (1 << 15) + 1, 1_000_000] {
        let ids = hashed(1, 0..items);
        let rows = BinnedRows::new(shape(ids.len()), &ids);
        let store = encode(&rows).unwrap();
        assert_eq!(store.len(), rows.shape().len());
        assert_eq!(kept(&store, &rows), ids.len(), "{items}");
        let others = hashed(1, items..items + 1000);
        assert_eq!(kept(&store, &BinnedRows::new(rows.shape(), &others)), 0);
    }
}

#[test]
fn rows_know_their_given_places() {
    let ids = hashed(2, 0..100_000);
    let rows = BinnedRows::new(shape(ids.len()), &ids);
    assert_eq!(rows.shape().bins, 4);
    let mut seen = vec![false; ids.len()];
    for (row, place) in rows.rows().iter().zip(rows.places()) {
        assert!(*row == ids[*place as usize]);
        assert!(!std::mem::replace(&mut seen[*place as usize], true));
    }
    assert!(seen.into_iter().all(|seen| seen));
    let sizes: Vec<_> = rows.bins().map(<[_]>::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), ids.len());
    for (bin, rows) in (0..).zip(rows.bins()) {
        assert!(rows.iter().all(|row| row.place(4, 5).0 == bin));
    }
}

/// Rows of other ids, of which `equal` have the same sparse columns: low bits change none.
fn with_equal_rows(items: u32, equal: u128) -> Vec<IdHash> {
    let mut ids = hashed(3, 0..items);
    let first = ids[0];
    ids.extend((1..equal).map(|i| IdHash {
        row: Gf128::from_bits(first.row.bits() ^ i),
        value: Gf128::from_bits(first.value.bits() ^ (i << 100)),
    }));
    ids
}

/// As many rows as there are dense columns may stay unsettled, and not one more.
#[test]
fn the_dense_columns_solve_a_gap_of_their_number() {
    for items in [50, 100, 1000, 5000, 20_000] {
        let dense = u128::from(shape(items as usize + 8).dense);
        for gap in 1..=dense {
            let ids = with_equal_rows(items, gap + 1);
            let rows = BinnedRows::new(shape(ids.len()), &ids);
            let store = encode(&rows).unwrap();
            assert_eq!(kept(&store, &rows), ids.len(), "{items} {gap}");
            assert!(
                store
                    .iter()
                    .rev()
                    .take(dense as usize)
                    .any(|d| *d != Gf128::ZERO)
            );
        }
        let ids = with_equal_rows(items, dense + 2);
        assert_eq!(
            encode(&BinnedRows::new(shape(ids.len()), &ids)),
            Err(OkvsFailure)
        );
    }
}

#[test]
fn equal_rows_with_other_values_fail() {
    let mut ids = hashed(4, 0..100);
    ids.push(IdHash {
        value: Gf128::ONE,
        ..ids[0]
    });
    assert_eq!(encode(&BinnedRows::new(shape(101), &ids)), Err(OkvsFailure));
}

#[test]
fn a_bin_above_its_capacity_fails() {
    let ids = hashed(5, 0..65);
    assert_eq!(encode(&BinnedRows::new(shape(64), &ids)), Err(OkvsFailure));
}

#[test]
fn a_vector_too_short_is_no_panic() {
    let ids = hashed(6, 0..10);
    let rows = BinnedRows::new(shape(10), &ids);
    assert_eq!(*decode(&[], &rows), vec![Gf128::ZERO; 10]);
    assert_eq!(
        decode(&vec![Gf128::ONE; shape(10).len() - 1], &rows).len(),
        10
    );
}

/// Counts of trials by rows in the gap, the last for that many and more.
fn gaps(rows: usize, columns: usize, trials: usize, seed: u64) -> [usize; SIZES] {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut counts = [0; SIZES];
    let mut sparse: Vec<Sparse> = Vec::with_capacity(rows);
    for _ in 0..trials {
        sparse.clear();
        sparse.extend((0..rows).map(|_| {
            let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            let row = Gf128::from_bits(bits);
            IdHash { row, value: row }.place(1, columns as u16).1
        }));
        let gap = match Peeled::new(&sparse, columns, SIZES - 2) {
            Ok(peeled) => peeled.gap.len(),
            Err(OkvsFailure) => SIZES - 1,
        };
        counts[gap] += 1;
    }
    counts
}

/// The formula of [`params`](crate::params): sparse columns a row for a failure of 2^-bits.
fn expansion(rows: usize, bits: f64) -> f64 {
    let w = 3_f64.log2();
    let log2 = 0.555 * (rows as f64).log2() + 0.093 * w.powi(3) - 1.01 * w.powi(2) + 2.925 * w;
    1.223 + (bits + 9.2) / (log2 - 0.133).exp2()
}

/// The table's expansion for this capacity: failures of two and more rows are too rare to see,
/// and pairs of equal rows are as frequent as they must be.
fn pairs_alone_are_seen(rows: usize, trials: usize) {
    let shape = shape(rows);
    let counts = gaps(rows, usize::from(shape.columns), trials, 2);
    let e = f64::from(shape.columns) / rows as f64;
    let pairs = trials as f64 * 3.0 / (e.powi(3) * rows as f64);
    let apart = (counts[1] as f64 - pairs).abs();
    assert!(
        apart < 5.0 * pairs.sqrt(),
        "{counts:?}, where {pairs} pairs are due"
    );
    assert!(counts.iter().skip(3).all(|count| *count == 0), "{counts:?}");
}

#[test]
fn rows_with_equal_columns_are_as_frequent_as_foretold() {
    pairs_alone_are_seen(1024, 30_000);
}

#[test]
#[ignore = "long: minutes"]
fn a_million_trials_fail_as_foretold() {
    pairs_alone_are_seen(1024, 1_000_000);
    pairs_alone_are_seen(4096, 1_000_000);
}

/// Trials that leave two rows or more. One row is left by a pair with equal columns as well,
/// which is far more frequent than the line has it; two pairs at once are not.
fn failures(rows: usize, e: f64, trials: usize) -> f64 {
    let counts = gaps(rows, (e * rows as f64).ceil() as usize, trials, 1);
    counts.iter().skip(2).sum::<usize>() as f64
}

/// Where failures can be counted, they lie on the line that the sizes extrapolate, or below:
/// within a factor of two above, and of five below. With 0.02 columns a row less they do not.
#[test]
fn failures_lie_on_the_line_of_the_sizes() {
    for (rows, bits, trials) in [
        (1024, 8.0, 20_000),
        (1024, 12.0, 60_000),
        (4096, 8.0, 5_000),
        (4096, 12.0, 20_000),
    ] {
        let e = expansion(rows, bits);
        let expected = |trials: usize| trials as f64 * (-bits).exp2();
        let found = failures(rows, e, trials);
        let line = expected(trials);
        assert!(
            found < 2.0 * line && found > line / 5.0,
            "{rows} {bits}: {found} where the line has {line}"
        );
        let found = failures(rows, e - 0.02, trials / 10);
        let line = expected(trials / 10);
        assert!(
            found > 2.0 * line,
            "{rows} {bits}: {found} with fewer columns, where the line has {line}"
        );
    }
}

#[test]
fn the_sizes_are_the_formulas() {
    for log2 in 6..=15 {
        let rows = 1 << log2;
        let (e, shape) = (expansion(rows, 52.0), shape(rows));
        let apart = f64::from(shape.columns) - e * rows as f64;
        assert!((0.0..1.1).contains(&apart), "{rows}: {apart}");
        let dense = 52.0 / (e * rows as f64).log2();
        assert_eq!(f64::from(shape.dense), dense.floor(), "{rows}");
    }
}

#[test]
fn equations_are_solved_whatever_their_order() {
    let element = |bits| Gf128::from_bits(bits);
    let (zero, one) = (Gf128::ZERO, Gf128::ONE);
    // y = 5 and x + 2 y = 3, the one without x first; then one that says nothing more.
    let system = vec![
        vec![zero, one, zero, element(5)],
        vec![one, element(2), zero, element(3)],
        vec![one, element(3), zero, element(6)],
    ];
    let solution = vec![element(3) + element(10), element(5), zero];
    assert!(eliminate(system.clone(), 3) == Some(solution));
    let mut contradicted = system;
    contradicted.push(vec![zero, one, zero, element(6)]);
    assert!(eliminate(contradicted, 3).is_none());
}

/// The exact probability that one of `bins` gets more than `capacity` of `items`, as a sum.
fn overflow(items: u64, bins: u64, capacity: u64) -> f64 {
    let (n, p) = (items as f64, 1.0 / bins as f64);
    let first = capacity as f64 + 1.0;
    let choose = libm::lgamma(n + 1.0) - libm::lgamma(first + 1.0) - libm::lgamma(n - first + 1.0);
    let mut term = (choose + first * p.ln() + (n - first) * (-p).ln_1p()).exp();
    let mut sum = 0.0;
    for k in capacity + 1..=items {
        sum += term;
        term *= (items - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        if term < sum * 1e-12 {
            break;
        }
    }
    sum * bins as f64
}

#[test]
fn the_whole_encoding_fails_with_less_than_two_to_the_minus_forty() {
    for bins in 2..=128_u64 {
        for items in [(bins - 1) * (1 << 15) + 1, bins << 15] {
            let shape = shape(items as usize);
            assert_eq!(u64::from(shape.bins), bins);
            let overflow = overflow(items, bins, u64::from(shape.capacity));
            let gaps = bins as f64 * (-52.0_f64).exp2();
            assert!(
                overflow + gaps < (-40.0_f64).exp2(),
                "{items}: {overflow:e}"
            );
        }
    }
    // Six standard deviations would not do.
    let share: u64 = 1 << 15;
    assert!(overflow(32 * share, 32, share + (36 * share).isqrt()) > (-30.0_f64).exp2());
}

proptest! {
    #[test]
    fn any_ids_find_their_values(ids in proptest::collection::hash_set(any::<u64>(), 0..200)) {
        let hasher = Domain::from_digest([9; 32]).id_hasher();
        let ids: Vec<_> = ids.iter().map(|id| hasher.hash(&id.to_le_bytes())).collect();
        let rows = BinnedRows::new(shape(ids.len()), &ids);
        prop_assert_eq!(kept(&encode(&rows).unwrap(), &rows), ids.len());
    }
}
