//! Which column settles which row.
#![allow(
    clippy::indexing_slicing,
    reason = "columns are below the number of columns, and numbers of rows below that of rows"
)]

use zeroize::Zeroizing;

use super::OkvsFailure;

/// The sparse columns of one row, as indices into its bin.
pub(super) type Sparse = [u16; 3];

/// The order in which columns settle rows.
pub(super) struct Peeled {
    /// Column and row: no row later in the list has a one in the column.
    pub(super) order: Zeroizing<Vec<(u16, u16)>>,
    /// Rows that no column settles.
    pub(super) gap: Zeroizing<Vec<u16>>,
}

/// What is left while rows are taken away.
struct Remaining<'a> {
    rows: &'a [Sparse],
    /// Rows left in each column.
    degrees: Zeroizing<Vec<u16>>,
    /// Exclusive or of the numbers of those rows: the number itself once there is one.
    numbers: Zeroizing<Vec<u16>>,
    /// Columns that had one row left when they were put here.
    single: Zeroizing<Vec<u16>>,
}

impl Peeled {
    /// Peels the rows of one bin; fails with more than `limit` rows in the gap.
    ///
    /// The order is fixed, so that the store is the same everywhere: single columns are taken
    /// the last found first, found in the order of columns at the start and of a row's columns
    /// later. A row goes to the gap when nothing is single: the first of the rows left in the
    /// first of the columns with the fewest.
    pub(super) fn new(rows: &[Sparse], columns: usize, limit: usize) -> Result<Self, OkvsFailure> {
        if rows.len() > usize::from(u16::MAX) {
            return Err(OkvsFailure);
        }
        let mut left = Remaining::new(rows, columns);
        let mut order = Zeroizing::new(Vec::with_capacity(rows.len()));
        // With room for all, so that neither leaves a copy behind when it grows.
        let mut gap = Zeroizing::new(Vec::with_capacity(limit));
        loop {
            left.settle(&mut order);
            if order.len() + gap.len() == rows.len() {
                return Ok(Self { order, gap });
            }
            if gap.len() == limit {
                return Err(OkvsFailure);
            }
            let row = left.of_least_column(&order, &gap).ok_or(OkvsFailure)?;
            left.take(row);
            gap.push(row);
        }
    }
}

impl<'a> Remaining<'a> {
    fn new(rows: &'a [Sparse], columns: usize) -> Self {
        let [mut degrees, mut numbers] = [(); 2].map(|()| Zeroizing::new(vec![0; columns]));
        for (number, row) in (0..).zip(rows) {
            for column in row {
                degrees[usize::from(*column)] += 1;
                numbers[usize::from(*column)] ^= number;
            }
        }
        let columns = (0..).zip(&*degrees);
        let single = columns.filter(|(_, degree)| **degree == 1);
        let single = Zeroizing::new(single.map(|(column, _)| column).collect());
        Self {
            rows,
            degrees,
            numbers,
            single,
        }
    }

    /// Takes rows away as long as a column is single.
    fn settle(&mut self, order: &mut Vec<(u16, u16)>) {
        while let Some(column) = self.single.pop() {
            if self.degrees[usize::from(column)] == 1 {
                let row = self.numbers[usize::from(column)];
                order.push((column, row));
                self.take(row);
            }
        }
    }

    fn take(&mut self, row: u16) {
        for column in self.rows[usize::from(row)] {
            let at = usize::from(column);
            self.degrees[at] -= 1;
            self.numbers[at] ^= row;
            if self.degrees[at] == 1 {
                self.single.push(column);
            }
        }
    }

    fn of_least_column(&self, order: &[(u16, u16)], gap: &[u16]) -> Option<u16> {
        let mut taken = Zeroizing::new(vec![false; self.rows.len()]);
        let settled = order.iter().map(|(_, row)| row);
        settled
            .chain(gap)
            .for_each(|row| taken[usize::from(*row)] = true);
        let columns = (0_u16..).zip(&*self.degrees);
        let least = columns
            .filter(|(_, degree)| **degree > 0)
            .min_by_key(|(_, degree)| *degree);
        let (column, _) = least?;
        let mut rows = (0..).zip(self.rows).zip(&*taken);
        let found = rows.find(|((_, row), taken)| !**taken && row.contains(&column));
        found.map(|((number, _), _)| number)
    }
}
