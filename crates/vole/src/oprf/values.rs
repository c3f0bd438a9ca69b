//! Values of the function, and what is made of them.

use std::fmt;
use std::hint::black_box;

use incamera_group::{Gf128, mul_add};
use rand_core::Rng as _;
use zeroize::{DefaultIsZeroes, Zeroizing};

use super::message::Transcript;
use crate::hash::{IdHash, Prefix};
use crate::okvs::{BinnedRows, decode};
use crate::prg::Random;
use crate::silent::Factor;

/// Hashes an equation's side to a value.
const VALUE_LABEL: &[u8] = b"incamera-vole-value/1";
/// Hashes values to pseudonyms.
const PSEUDONYM_LABEL: &[u8] = b"incamera-pseudonym-vole/1";

/// The function's value for an id: 16 bytes that pseudonyms are made of, and 16 for tags.
///
/// Not printable. A tag shows nothing of the other half.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Value([u8; 32]);

impl DefaultIsZeroes for Value {}

/// Values that are wiped when dropped.
pub type Values = Zeroizing<Vec<Value>>;

impl Value {
    #[cfg(test)]
    pub(super) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The half that is never sent.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.0.get(..16).unwrap_or_default()
    }

    /// Makes it one that nobody else can compute.
    pub(super) fn draw(&mut self, rng: &mut Random) {
        rng.fill_bytes(&mut self.0);
    }

    /// A tag of so many bytes.
    pub(super) fn tag(&self, bytes: usize) -> &[u8] {
        self.0.get(self.0.len() - bytes..).unwrap_or_default()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

/// What a side has at the end.
pub struct Output {
    /// The value of each id, in the order given.
    pub values: Values,
    /// With [`OwnMatches`](super::Reveals::OwnMatches): whether the other side has the id.
    pub matched: Option<Vec<bool>>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output(..)")
    }
}

/// Makes pseudonyms of values: SHA-256 after a block of its own, the first 16 bytes.
///
/// Of 32 bytes that are uniformly random to whoever lacks one of the values a single
/// compression is enough; lengths are fixed.
#[derive(Clone)]
pub struct Pseudonyms(Prefix);

impl Pseudonyms {
    /// Pseudonyms that hang on these fields: agreement id, epoch, id kind, what is revealed.
    #[must_use]
    pub fn new(fields: &[&[u8]]) -> Self {
        Self(Prefix::new(PSEUDONYM_LABEL, fields))
    }

    /// The pseudonym of an id: of its value by the first direction, and by the second if there
    /// is one.
    #[must_use]
    pub fn of(&self, first: &Value, second: Option<&Value>) -> [u8; 16] {
        let second = second.map_or(&[0; 16][..], Value::secret);
        let mut input = Zeroizing::new([0; 32]);
        let secrets = first.secret().iter().chain(second);
        input
            .iter_mut()
            .zip(secrets)
            .for_each(|(to, from)| *to = *from);
        let digest = self.0.hash(&*input);
        let (halves, _) = digest.as_chunks();
        halves.first().copied().unwrap_or_default()
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

/// The values of rows, in their given order, from the receiver's `a`, or from the sender's
/// vector with its key.
pub(super) fn values(
    vector: &[Gf128],
    delta: Option<&Factor>,
    rows: &BinnedRows,
    transcript: &Transcript,
) -> Values {
    let mut sides = decode(vector, rows);
    if let Some(delta) = delta {
        add_values(&mut sides, rows.rows(), **delta);
    }
    let prefix = Prefix::new(VALUE_LABEL, &[&transcript.digest()]);
    let mut values = Zeroizing::new(vec![Value::default(); rows.len()]);
    let mut input = Zeroizing::new([0; 48]);
    let chunks = sides.chunks(CHUNK).zip(rows.rows().chunks(CHUNK));
    for ((sides, rows), places) in chunks.zip(rows.places().chunks(CHUNK)) {
        touch(&values, places);
        for ((side, row), place) in sides.iter().zip(rows).zip(places) {
            let parts = [*side, row.row, row.value];
            let (thirds, _) = input.as_chunks_mut();
            let thirds = thirds.iter_mut().zip(parts);
            thirds.for_each(|(to, from)| *to = from.to_bytes());
            if let Some(value) = values.get_mut(*place as usize) {
                *value = Value(prefix.hash(&*input));
            }
        }
    }
    values
}

/// Rows worked on at once.
const CHUNK: usize = 128;

/// Reads where values will be written: reads do not wait for one another, as writes do.
fn touch(values: &[Value], places: &[u32]) {
    let seen = places
        .iter()
        .filter_map(|place| values.get(*place as usize)?.0.first());
    black_box(seen.fold(0, |seen, byte| seen ^ byte));
}

fn add_values(sides: &mut [Gf128], rows: &[IdHash], delta: Gf128) {
    for (sides, rows) in sides.chunks_mut(CHUNK).zip(rows.chunks(CHUNK)) {
        let mut values = Zeroizing::new([Gf128::ZERO; CHUNK]);
        values
            .iter_mut()
            .zip(rows)
            .for_each(|(to, row)| *to = row.value);
        mul_add(sides, &*values, delta);
    }
}
