//! Whatever the bytes are, reading them ends with an agreement or with a place.

use incamera_agreement::Agreement;
use proptest::prelude::*;

use crate::{HOUSE, LIFT};

/// Reads bytes; a refusal must point into them.
fn read(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Err(error) = Agreement::parse(bytes) {
        for problem in error.problems() {
            prop_assert!(problem.span.start <= bytes.len());
            prop_assert!(problem.line >= 1 && problem.column >= 1);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        house in any::<bool>(),
    ) {
        let mut bytes = if house { HOUSE } else { LIFT }.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&bytes)?;
    }

    #[test]
    fn cut_and_doubled_pieces_never_panic(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        into in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = LIFT.as_bytes().to_vec();
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let piece: Vec<u8> = bytes[from.min(to)..from.max(to)].to_vec();
        if cut {
            bytes.drain(from.min(to)..from.max(to));
        } else {
            let into = into.index(bytes.len());
            bytes.splice(into..into, piece);
        }
        read(&bytes)?;
    }

    #[test]
    fn exchanged_values_never_panic(
        line in 0..200usize,
        value in prop::sample::select(vec![
            "1", "-1", "99999999999999999999", "1e400", "nan", "\"\"", "\"x\"", "[]", "[[]]", "{}",
            "{ a = 1 }", "true", "2027-01-01", "0x10", "''", "\"a/b\"", "\"a.b\"", "[0, 0]",
            "0.0000000000000000001",
        ]),
        house in any::<bool>(),
    ) {
        let text = if house { HOUSE } else { LIFT };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let count = lines.len();
        let line = &mut lines[line % count];
        if let Some((key, _)) = line.split_once(" = ") {
            *line = format!("{key} = {value}");
        }
        read(lines.join("\n").as_bytes())?;
    }

    #[test]
    fn each_change_of_a_byte_changes_the_digest(at in any::<prop::sample::Index>()) {
        let mut bytes = LIFT.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1;
        if let Ok(changed) = Agreement::parse(&bytes) {
            let original = Agreement::parse(LIFT.as_bytes()).unwrap();
            prop_assert_ne!(changed.digest, original.digest);
            prop_assert_ne!(changed.id, original.id);
        }
    }
}

/// Large and hostile files are refused in short time.
#[test]
fn large_files_do_not_take_long() {
    let many =
        |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let started = std::time::Instant::now();
    for text in [
        LIFT.replace(
            "[datasets.customers]\n",
            &format!(
                "{}[datasets.customers]\n",
                many(20_000, &|at| format!(
                    "p{at} = {{ label = \"x\", parent = \"p{}\" }}\n",
                    at + 1
                ))
            ),
        ),
        LIFT.replace(
            "[\"food\", \"home\"]",
            &format!("[{}]", many(100_000, &|at| format!("\"{at}\","))),
        ),
        LIFT.replace(
            "reads = [",
            &format!("reads = [{}", many(50_000, &|at| format!("\"a.b{at}\","))),
        ),
        LIFT.replace(
            "[matching]\n",
            &format!("[matching]\n{}", many(60_000, &|at| format!("x{at} = 1\n"))),
        ),
        LIFT.replace(
            "ids = [",
            &format!("ids = [{}", many(60_000, &|at| format!("\"x{at}\","))),
        ),
        LIFT.replace(
            "version = 1",
            &format!("version = {}1", "[".repeat(500_000)),
        ),
    ] {
        assert!(
            text.len() < incamera_types::limits::MAX_AGREEMENT_BYTES,
            "{}",
            text.len()
        );
        let _ = Agreement::parse(text.as_bytes());
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

/// As many columns as a manifest may have, and no more.
#[test]
fn a_data_set_has_a_thousand_columns_at_most() {
    let head = "[datasets.purchases.columns]\n";
    assert!(LIFT.contains(head));
    let with = |more: usize| {
        let columns =
            (0..more).map(|at| format!("more_{at} = {{ type = \"int\", purposes = [\"ads\"] }}\n"));
        let columns = format!("{head}{}", columns.collect::<String>());
        Agreement::parse(LIFT.replacen(head, &columns, 1).as_bytes())
    };
    let own = with(0).unwrap().datasets["purchases"].columns.len();
    assert!(with(1_000 - own).is_ok());
    let refused = with(1_001 - own).unwrap_err();
    let problems: Vec<String> = refused.problems().map(ToString::to_string).collect();
    assert!(
        problems.len() == 1 && problems[0].contains("`purchases` has more than 1000 columns"),
        "{problems:?}"
    );
}
