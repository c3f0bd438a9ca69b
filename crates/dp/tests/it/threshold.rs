//! Thresholds against the table's.

use incamera_dp::noise::{Noise, Threshold};

use super::pld::{exact, square};
use super::table;

#[test]
fn every_threshold_is_the_tables() {
    let rows = table();
    let (skipped, mut checked) = (rows.is_empty(), 0);
    for row in rows.into_iter().filter(|row| row.kind == "tau") {
        let scale = exact(&row.params["scale"]);
        let noise = match row.params["mech"].as_str().unwrap() {
            "discrete_laplace" => Noise::Laplace { scale },
            "discrete_gaussian" => Noise::Gaussian {
                sigma2: square(&scale),
            },
            other => panic!("{other}"),
        };
        let number = |name: &str| row.params[name].as_u64().unwrap();
        let l0 = u32::try_from(number("l0")).unwrap();
        let found = Threshold::smallest(&noise, l0, number("linf"), row.delta).unwrap();
        assert_eq!(Some(found.tau()), row.tau, "{}", row.id);
        let attained = row.attained.unwrap();
        let share = found.delta().to_f64() / attained;
        assert!(
            (1.0 - 1e-6..1.0 + 1e-6).contains(&share),
            "{}: {share}",
            row.id
        );
        // One less is unsound: exactly the fault of taking "above" for "at least".
        let less = Threshold::smallest(&noise, l0, number("linf") - 1, row.delta).unwrap();
        assert_eq!(less.tau() + 1, found.tau(), "{}", row.id);
        checked += 1;
    }
    assert!(skipped || checked >= 6, "only {checked} rows");
}
