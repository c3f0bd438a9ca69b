//! `match plan`: asked of nobody.

use serde_json::Value;

use crate::help::{run, stderr, stdout};

fn json(words: &[&str]) -> Value {
    let output = run(&[&["--json", "match", "plan"], words].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_plan_says_what_each_method_takes_and_which_to_take() {
    let million = ["--own", "1048576", "--peer", "1048576"];
    let plan = json(&million);
    assert_eq!(plan["format"], "incamera-match-plan/1");
    let methods = plan["methods"].as_array().unwrap();
    let commutative = methods.iter().find(|line| line["method"] == "commutative");
    let commutative = commutative.unwrap();
    assert_eq!(commutative["in_this_version"], true);
    // 2,097,152 ids of both at 10.93 us.
    let cpu = |field: &str| commutative[field].as_f64().unwrap();
    let both = cpu("own_cpu_seconds") + cpu("peer_cpu_seconds");
    assert!((both - 22.92).abs() < 0.01, "{both}");
    assert!(methods.iter().all(|line| line["in_this_version"] == true));
    assert!(plan["split"].is_null());

    let text = stdout(&run(&[&["match", "plan"], &million[..]].concat()));
    assert!(text.contains("take `commutative`"), "{text}");
    assert!(!text.contains("to blind"), "{text}");
    assert!(!text.contains("left out"), "{text}");
    let shown = [&["match", "plan"], &million[..], &["--show-arithmetic"]].concat();
    let text = stdout(&run(&shown));
    assert!(text.contains("3.61 to blind + 3.01 to unblind"), "{text}");
}

#[test]
fn a_billion_ids_are_split_and_the_arithmetic_is_shown() {
    let billion = ["--own", "1_000_000_000", "--peer", "1000000000"];
    let machines = ["--machines", "8", "--link", "10000"];
    let words = [&billion[..], &machines[..]].concat();
    let plan = json(&words);
    assert_eq!(plan["split"]["parts"], 256);
    assert_eq!(plan["left_out"][0]["method"], "vole");
    let of = |name: &str| plan["split"][name].as_f64().unwrap();
    let reading = of("part_reading_cpu_seconds");
    assert!(
        reading > of("part_cpu_seconds"),
        "all rows of both sides, for each part"
    );
    assert!((of("all_reading_cpu_seconds") / reading - 256.0).abs() < 0.01);
    assert!((of("splitting_cpu_seconds") / reading - 0.33 / 0.28).abs() < 0.01);
    let measured = |one: &Value| one["measured"].is_boolean() && one["unit"].is_string();
    let constants = plan["constants"].as_array().unwrap();
    assert!(constants.len() > 10 && constants.iter().all(measured));
    let text = stdout(&run(&[&["match", "plan"], &words[..]].concat()));
    for part in [
        "1,000,000,000 of your ids and 1,000,000,000 of the other's",
        "vole         left out: takes at most 2^22 ids a side",
        "CPU of commutative comes of measured steps, of provider partly",
        "256 parts of 3,906,250 ids (+- 1,973)",
        "= 10,930.0 s",
        "1,000,000,000 x 7.92 us",
        "64.2 GB",
        "match split --data FILE --out DIR",
        "match run --split DIR --partition N/256",
        "660 CPU s of both sides to split all rows once",
        "560 a part to look through all rows for the part's own",
        "multiply a point: 2.5 us, measured",
        "all else for an own id: 1.3 us, computed",
        "November 2026",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let refused = |words: &[&str]| {
        let output = run(&[&["match", "plan", "--own", "1"], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        stderr(&output)
    };
    assert!(refused(&["--peer", "99999999999"]).contains("10,000,000,000"));
    let text = refused(&["--peer", "1", "--instructions", "neon"]);
    assert!(text.contains("ifma, avx2 or portable"), "{text}");
    assert!(refused(&["--peer", "1", "--reveals", "all"]).contains("own-matches"));
    refused(&["--peer", "1", "--cores", "0"]);
    for peer in ["1e9", "_1", "1_", "1__0", "_"] {
        assert!(refused(&["--peer", peer]).contains("1_000_000"), "{peer}");
    }
}
