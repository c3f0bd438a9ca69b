//! What the weights of the expander are for.

use super::*;

/// Elements of the output, and places of noise in twice as many.
const M: usize = 2048;
const NOISE: usize = 40;
const BLOCK: usize = 2 * M / NOISE;

/// A row of bits, packed.
type Bits = Vec<u64>;

fn ones_at(places: impl IntoIterator<Item = usize>, length: usize) -> Bits {
    let mut bits = vec![0; length.div_ceil(64)];
    for place in places {
        bits[place / 64] ^= 1 << (place % 64);
    }
    bits
}

fn is_set(bits: &[u64], place: usize) -> bool {
    bits[place / 64] >> (place % 64) & 1 == 1
}

/// Which sums of the rows are zero: by elimination, with the sums that were made beside them.
fn kernel(rows: Vec<Bits>, columns: usize) -> Vec<Bits> {
    let count = rows.len();
    let words = columns.div_ceil(64);
    let beside = |(i, mut row): (usize, Bits)| {
        row.extend(ones_at([i], count));
        row
    };
    let mut rows: Vec<_> = rows.into_iter().enumerate().map(beside).collect();
    let mut done = 0;
    for column in 0..columns {
        let Some(found) = (done..count).find(|i| is_set(&rows[*i], column)) else {
            continue;
        };
        rows.swap(done, found);
        let pivot = rows[done].clone();
        for row in rows[done + 1..]
            .iter_mut()
            .filter(|row| is_set(row, column))
        {
            let (row, pivot) = (&mut row[column / 64..], &pivot[column / 64..]);
            row.iter_mut().zip(pivot).for_each(|(a, b)| *a ^= b);
        }
        done += 1;
    }
    rows.drain(done..)
        .map(|row| row[words..].to_vec())
        .collect()
}

/// Noise as in a run, its places in the half that stands in front of the output, and the output.
fn noisy(
    context: &[u8; 32],
    seed: u64,
    weights: impl FnMut(&mut [Gf128]),
) -> (Vec<usize>, Vec<Gf128>) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut vector = vec![Gf128::ZERO; 2 * M];
    for block in 0..NOISE {
        let place = block * BLOCK + rng.next_u32() as usize % BLOCK;
        vector[place] = Gf128::random(&mut rng);
    }
    let places = (0..M).filter(|place| vector[*place] != Gf128::ZERO);
    (
        places.collect(),
        encoded_of(context, ALPHA, &vector, weights),
    )
}

/// Sums of outputs in which no place of the expander's input from `first` on is left.
fn checks(places: &[[usize; 21]], first: usize) -> Vec<Bits> {
    let row = |places: &[usize; 21]| {
        let later = places.iter().filter(|place| **place >= first);
        ones_at(later.map(|place| place - first), M - first)
    };
    kernel(places.iter().map(row).collect(), M - first)
}

/// Places of noise that the checks give away: each of the 128 vectors of bits that the checks
/// make of the output is a sum of the columns at those places.
fn found(checks: &[Bits], out: &[Gf128]) -> Vec<usize> {
    let sum = |check: &Bits| {
        let terms = out.iter().enumerate();
        let terms = terms.filter(|(i, _)| is_set(check, *i));
        terms.fold(Gf128::ZERO, |sum, (_, term)| sum + *term)
    };
    let syndromes: Vec<_> = checks.iter().map(sum).collect();
    let mut span = Span(Vec::new());
    (0..128).for_each(|i| span.add(bit(&syndromes, i)));
    if span.0.len() + 20 > checks.len() {
        return Vec::new();
    }
    let column = |place: usize| checks.iter().map(|check| is_set(check, place)).collect();
    (0..M)
        .filter(|place| span.rest(column(*place)).is_none())
        .collect()
}

/// The attack that the weights are there against, on the codes of several runs. Its window is as long as the expander's input
/// is likely to be without noise; with weights of one all places in front are found. Windows further
/// behind have no such stretch: what came in once stays in the convolution's state.
#[test]
fn window_of_binary_half() {
    for (context, seed) in CONTEXTS.iter().zip([1, 2, 3]) {
        let places = places(context, M);
        let windows = [3, 2, 1].map(|quarters| checks(&places, BLOCK * quarters / 4));
        let given_away = |out: &[Gf128]| {
            let found = windows.iter().map(|checks| found(checks, out));
            found.into_iter().find(|found| !found.is_empty())
        };
        let (noise, out) = noisy(context, seed, ones);
        assert!(noise.len() >= NOISE / 2);
        assert_eq!(given_away(&out), Some(noise), "{seed}");
        let (_, out) = noisy(context, seed, weights(context));
        assert_eq!(given_away(&out), None, "{seed}");
    }
}

/// Nor are there sums over bits in which both parts, with and without weight, cancel at once.
#[test]
fn both_parts_of_the_expander_cancel_nowhere() {
    let first = BLOCK * 3 / 4;
    let width = M - first;
    let row = |places: &[usize; 21]| {
        let places = places.iter().enumerate();
        let later = places.filter(|(_, place)| **place >= first);
        let column = |(r, place): (usize, &usize)| place - first + usize::from(r >= 11) * width;
        ones_at(later.map(column), 2 * width)
    };
    for context in &CONTEXTS {
        let places = places(context, M);
        let rows = places.iter().map(row).collect();
        assert!(kernel(rows, 2 * width).is_empty());
        // The control: the part without weight alone has them.
        assert!(checks(&places, first).len() >= first);
    }
}
