//! Values of the columns, in the order that peeling gives.
#![allow(
    clippy::indexing_slicing,
    reason = "columns are below the number of columns, and numbers of rows below that of rows"
)]

use incamera_group::Gf128;
use zeroize::Zeroizing;

use super::peel::{Peeled, Sparse};
use super::{OkvsFailure, OkvsShape};
use crate::hash::IdHash;

/// Solves one bin into `part`, which is zero: its sparse columns and then its dense ones.
pub(super) fn solve(
    shape: &OkvsShape,
    bin: &[IdHash],
    sparse: &[Sparse],
    peeled: &Peeled,
    part: &mut [Gf128],
) -> Result<(), OkvsFailure> {
    let (columns, dense) = part.split_at_mut(usize::from(shape.columns));
    settle(peeled, sparse, columns, |row| bin[row].value);
    if peeled.gap.is_empty() {
        return Ok(());
    }
    // What the columns become with a one in each dense column alone, and all values zero.
    let turns: Vec<_> = (0..dense.len())
        .map(|k| {
            let mut turned = Zeroizing::new(vec![Gf128::ZERO; columns.len()]);
            settle(peeled, sparse, &mut turned, |row| power(bin[row].row, k));
            turned
        })
        .collect();
    let equation = |row: &u16| {
        let (row, at) = (&bin[usize::from(*row)], &sparse[usize::from(*row)]);
        let turned = turns.iter().enumerate();
        let terms = turned.map(|(k, t)| sum(t, at) + power(row.row, k));
        let right = row.value + sum(columns, at);
        terms.chain(std::iter::once(right)).collect()
    };
    let system: Vec<_> = peeled.gap.iter().map(equation).collect();
    let found = Zeroizing::new(eliminate(system, dense.len()).ok_or(OkvsFailure)?);
    for ((to, value), turned) in dense.iter_mut().zip(&*found).zip(&turns) {
        *to = *value;
        for (column, turned) in columns.iter_mut().zip(&**turned) {
            *column += *turned * *value;
        }
    }
    Ok(())
}

/// The settled columns, the last settled first: what a row's value leaves for its column.
fn settle(
    peeled: &Peeled,
    sparse: &[Sparse],
    columns: &mut [Gf128],
    value: impl Fn(usize) -> Gf128,
) {
    for (column, row) in peeled.order.iter().rev() {
        let row = usize::from(*row);
        // The column itself is zero still.
        columns[usize::from(*column)] = value(row) + sum(columns, &sparse[row]);
    }
}

fn sum(columns: &[Gf128], at: &Sparse) -> Gf128 {
    let [a, b, c] = at.map(|column| columns[usize::from(column)]);
    a + b + c
}

/// The coefficient of dense column `k` in a row.
pub(crate) fn power(row: Gf128, k: usize) -> Gf128 {
    (0..k).fold(row, |power, _| power * row)
}

/// A solution of equations of `unknowns` coefficients and a right side; unknowns that are free
/// are zero. None where they contradict one another.
pub(crate) fn eliminate(system: Vec<Vec<Gf128>>, unknowns: usize) -> Option<Vec<Gf128>> {
    let mut system = Zeroizing::new(system);
    let mut pivots = Vec::new();
    for unknown in 0..unknowns {
        let done = pivots.len();
        let Some(found) = (done..system.len()).find(|i| system[*i][unknown] != Gf128::ZERO) else {
            continue;
        };
        system.swap(done, found);
        let inverse = system[done][unknown].invert()?;
        system[done]
            .iter_mut()
            .for_each(|term| *term = *term * inverse);
        let pivot = Zeroizing::new(system[done].clone());
        for (i, equation) in system.iter_mut().enumerate() {
            let factor = equation[unknown];
            if i != done && factor != Gf128::ZERO {
                equation
                    .iter_mut()
                    .zip(&*pivot)
                    .for_each(|(to, from)| *to += *from * factor);
            }
        }
        pivots.push(unknown);
    }
    let right = |equation: &Vec<Gf128>| equation[unknowns];
    if system
        .iter()
        .skip(pivots.len())
        .any(|equation| right(equation) != Gf128::ZERO)
    {
        return None;
    }
    let mut solution = vec![Gf128::ZERO; unknowns];
    for (unknown, equation) in pivots.iter().zip(&*system) {
        solution[*unknown] = right(equation);
    }
    Some(solution)
}
