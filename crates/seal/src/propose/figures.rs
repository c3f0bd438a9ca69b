//! Plain figures: 1, 2 or 5 and zeros.

use incamera_types::Decimal;

/// Digits after the point at which numbers of any scale are compared.
pub(super) const SCALE: u8 = 18;

/// Steps between plain figures.
const STEPS: [i128; 3] = [1, 2, 5];

/// A number at [`SCALE`]; none if it does not fit.
pub(super) fn at_scale(unscaled: i128, scale: u8) -> Option<i128> {
    let up = SCALE.checked_sub(scale)?;
    unscaled.checked_mul(10i128.checked_pow(u32::from(up))?)
}

/// The smallest plain figure above every one of `most`, with at most `scale` digits after the
/// point: no value itself, so that none shows.
fn above(most: i128, scale: u8) -> Option<i128> {
    let mut unit = 10i128.checked_pow(u32::from(SCALE.checked_sub(scale)?))?;
    loop {
        for step in STEPS {
            let figure = unit.checked_mul(step)?;
            if figure > most {
                return Some(figure);
            }
        }
        unit = unit.checked_mul(10)?;
    }
}

/// Bounds in plain figures outside of `low` and `high`, which are at [`SCALE`]; zero where
/// nothing lies beyond it. None if there is no such figure with so few digits.
pub(super) fn outside(low: i128, high: i128, scale: u8) -> Option<(Decimal, Decimal)> {
    let from = match low {
        0.. => 0,
        _ => above(low.checked_neg()?, scale)?.checked_neg()?,
    };
    let to = match high {
        0.. => above(high, scale)?,
        _ => 0,
    };
    let down = 10i128.checked_pow(u32::from(SCALE.checked_sub(scale)?))?;
    let decimal = |figure: i128| Decimal::new(figure.checked_div(down)?, scale);
    Some((decimal(from)?, decimal(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_lie_outside_in_plain_figures() {
        let of = |low: i128, high: i128, scale: u8| {
            let at = |number| at_scale(number, scale).unwrap();
            let (from, to) = outside(at(low), at(high), scale).unwrap();
            format!("{from} {to}")
        };
        assert_eq!(of(3, 487, 0), "0 500");
        assert_eq!(of(0, 500, 0), "0 1000", "no value stands there itself");
        assert_eq!(of(-1, 0, 0), "-2 1");
        assert_eq!(of(-730, -4, 0), "-1000 0");
        assert_eq!(of(5, 38_765, 2), "0.00 500.00");
        assert_eq!(of(1, 7, 2), "0.00 0.10");
        assert_eq!(of(0, 0, 0), "0 1");
        assert_eq!(at_scale(10i128.pow(21), 0), None);
        let most = at_scale(10i128.pow(20), 0).unwrap();
        assert_eq!(outside(0, most, 0), None, "no figure above it fits");
    }
}
