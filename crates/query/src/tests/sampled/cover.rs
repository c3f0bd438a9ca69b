//! How often ranges of both errors hold the truth, from rows to table.

use arrow::array::{Decimal128Array, Int64Array, StringArray};
use incamera_dp::NoiseStream;

use super::*;
use crate::table::comparisons;

/// People of two arms, drawn anew: one in `per_mille` has an event, and amounts are 20.00 to
/// 60.00 with 10.00 more in the new arm.
fn people_of(stream: &mut NoiseStream, all: u32) -> Memory {
    let mut rows = Vec::new();
    for number in 0..all {
        let new = stream.below_u64(2) == 1;
        let event = stream.below_u64(1000) < if new { 200 } else { 300 };
        let amount = 2_000 + i128::from(stream.below_u64(4_001)) + if new { 1_000 } else { 0 };
        let mut person = [0; 16];
        person[..4].copy_from_slice(&number.to_be_bytes());
        rows.push((person, new, if event { 60 } else { 10 }, amount));
    }
    let amounts: Decimal128Array = rows.iter().map(|row| Some(row.3)).collect();
    let items: Int64Array = rows.iter().map(|row| Some(row.2)).collect();
    let arm = |row: &(Person, bool, i64, i128)| Some(if row.1 { "new" } else { "old" });
    let arms: StringArray = rows.iter().map(arm).collect();
    let batch = batch(vec![
        ("person", people(rows.iter().map(|row| row.0))),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        ("items", Arc::new(items)),
        ("category", Arc::new(arms)),
    ]);
    Memory {
        partitions: 1,
        parts: [((dataset("purchases"), 0), vec![vec![batch]])].into(),
    }
}

/// From rows to table, with people and noise drawn anew each time. Of 120 ranges at 95 % 114
/// hold the truth, with a deviation of 2.4: fewer than 102 is five of them, once in about a
/// million free seeds for each; these are fixed. The ranges of the noise alone hold it less
/// often.
#[test]
fn combined_ranges_cover_from_rows_to_table() {
    const TIMES: u8 = 120;
    let agreement = trial(SQL, &[("epsilon", "5")]);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let key = NoiseKey::from_bytes([77; 32]);
    let mut stream = key.stream("people", &["all"]);
    let odds = (0.2 / 0.8) / (0.3 / 0.7);
    let truths = [200.0 / 3.0 - 100.0, -10.0, odds, 10.0, 25.0];
    let (mut both, mut noise) = ([0; 5], [0; 5]);
    for seed in 0..TIMES {
        let memory = people_of(&mut stream, 3000);
        let raw = try_raw(&checked, Arc::new(memory), seed).unwrap();
        let answer = answer(raw, seed);
        let found = comparisons(&answer, &checked).unwrap();
        for (at, (found, truth)) in found.iter().zip(truths).enumerate() {
            let joint = found.both.unwrap();
            both[at] += u32::from((joint.low..=joint.high).contains(&truth));
            let (low, high) = (found.low.unwrap(), found.high.unwrap());
            noise[at] += u32::from((low..=high).contains(&truth));
        }
    }
    println!("{both:?} {noise:?}");
    assert!(both.iter().all(|held| *held > 101), "{both:?}");
    assert!(noise.iter().all(|held| *held <= 101), "{noise:?}");
}
