//! One point, many scalars.

use std::fmt;

use curve25519_dalek::ristretto::RistrettoBasepointTable;

use crate::{Point, Scalar};

/// Multiples of a point, which make many multiplications of it faster than one each; some 30
/// KB.
pub struct PointTable(Box<RistrettoBasepointTable>);

impl PointTable {
    /// The table of a point.
    #[must_use]
    pub fn new(point: &Point) -> Self {
        Self(Box::new(RistrettoBasepointTable::create(&point.0)))
    }

    /// The point times a scalar.
    #[must_use]
    pub fn multiply(&self, scalar: &Scalar) -> Point {
        Point(&*self.0 * scalar.inner())
    }
}

impl fmt::Debug for PointTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PointTable(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_to_group;

    #[test]
    fn a_table_multiplies_as_its_point_does() {
        let point = hash_to_group(b"test", b"table").unwrap();
        let table = PointTable::new(&point);
        for secret in 0..8 {
            let scalar = Scalar::from_secret(b"test", &[secret; 32]);
            assert!(table.multiply(&scalar) == point.multiply(&scalar));
        }
        assert_eq!(format!("{table:?}"), "PointTable(..)");
    }
}
