//! The generated files, read as anybody would read them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use incamera_testkit::campaign::{Campaign, Clamps, Files, GroupTruth, LiftTruth, lift_truth};
use incamera_types::Date;

const CLAMPS: Clamps = Clamps {
    amount: (0, 50_000),
    spend: (0, 40_000),
};

fn small(seed: u64) -> Campaign {
    Campaign::new(8_000, seed)
}

fn write(campaign: &Campaign, folder: &Path) -> Files {
    campaign.write(folder).unwrap();
    Files::of(folder)
}

fn lines(file: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap();
    let row = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().skip(1).map(row).collect()
}

fn tidy(email: &str) -> String {
    email.trim().to_lowercase()
}

#[test]
fn the_seed_decides_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let files = [(1, "first"), (1, "again"), (2, "other")]
        .map(|(seed, name)| write(&small(seed), &folder.path().join(name)));
    let bytes = files.map(|f| [f.mailing, f.customers, f.purchases].map(|f| fs::read(f).unwrap()));
    assert!(bytes[0] == bytes[1]);
    for (one, other) in bytes[0].iter().zip(&bytes[2]) {
        assert!(one != other);
    }
}

#[test]
fn proportions_are_as_said() {
    let folder = tempfile::tempdir().unwrap();
    let rows = small(1).write(folder.path()).unwrap();
    let files = Files::of(folder.path());
    let (mailing, customers) = (lines(&files.mailing), lines(&files.customers));
    let purchases = lines(&files.purchases);
    let lengths = [&mailing, &customers, &purchases].map(|rows| rows.len() as u64);
    assert_eq!(lengths, [rows.mailing, rows.customers, rows.purchases]);

    let set = |rows: &[Vec<String>]| rows.iter().map(|r| tidy(&r[0])).collect::<HashSet<_>>();
    let (listed, known) = (set(&mailing), set(&customers));
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    assert!((0.88..0.92).contains(&share(listed.intersection(&known).count(), 8_000)));
    let mailed = mailing.iter().filter(|row| row[1] == "true").count();
    assert!((0.47..0.53).contains(&share(mailed, mailing.len())));
    let refused = customers
        .iter()
        .filter(|row| !row[1].contains("measurement"))
        .count();
    assert!((0.08..0.12).contains(&share(refused, customers.len())));
    assert!((9.0..11.5).contains(&share(purchases.len(), customers.len())));

    let mut each: HashMap<String, u32> = HashMap::new();
    for row in purchases.iter().filter(|row| !row[0].is_empty()) {
        *each.entry(tidy(&row[0])).or_default() += 1;
    }
    let most = each.values().max().copied().unwrap();
    assert!((100..=200).contains(&most), "{most}");
    assert!(each.len() < known.len() - 500, "somebody buys nothing");
    assert!(each.keys().all(|email| known.contains(email)));
}

#[test]
fn some_rows_are_untidy_repeated_or_empty() {
    let folder = tempfile::tempdir().unwrap();
    let campaign = small(1);
    let files = write(&campaign, folder.path());
    for file in [&files.mailing, &files.customers] {
        let rows = lines(file);
        let empty = rows.iter().filter(|row| row[0].is_empty()).count();
        assert_eq!(empty, campaign.empty_ids as usize);
        let ids: Vec<_> = rows
            .iter()
            .map(|row| tidy(&row[0]))
            .filter(|id| !id.is_empty())
            .collect();
        let repeated = ids.len() - ids.iter().collect::<HashSet<_>>().len();
        assert!((15..=25).contains(&repeated), "{repeated}");
        assert!(rows.iter().any(|row| row[0] != tidy(&row[0])));
        // A repeated row says the same as the first.
        let mut said: HashMap<String, &str> = HashMap::new();
        for row in rows.iter().filter(|row| !row[0].is_empty()) {
            assert_eq!(*said.entry(tidy(&row[0])).or_insert(&row[1]), row[1]);
        }
    }
}

#[test]
fn the_known_email_stands_once() {
    for seed in 1..6 {
        let folder = tempfile::tempdir().unwrap();
        let files = write(&small(seed), folder.path());
        let known = small(seed).known_email();
        assert!(known.starts_with("person") && known.ends_with("@mail.example"));
        for file in [&files.mailing, &files.customers] {
            let text = fs::read_to_string(file).unwrap();
            assert_eq!(text.matches(&known).count(), 1);
            assert_eq!(text.to_lowercase().matches(&known).count(), 1);
        }
        let said = |file| fs::read_to_string(file).unwrap();
        assert!(said(&files.mailing).contains(&format!("{known},true\n")));
        assert!(said(&files.customers).contains(&format!("{known},ads;measurement\n")));
        assert!(!said(&files.purchases).to_lowercase().contains(&known));
    }
    assert_eq!(Campaign::new(0, 1).known_email(), "");
}

#[test]
fn the_truth_is_a_table() {
    let group = |people, buyers, spend| GroupTruth {
        people,
        buyers,
        spend,
    };
    let truth = LiftTruth {
        mailed: group(40_000, 1_000, 60_000_000),
        not_mailed: group(999, 333, 1_248_750),
    };
    let lines: Vec<String> = truth.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4);
    let words = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>();
    assert_eq!(
        words(1),
        ["mailed", "40,000", "1,000", "2.50", "%", "15.000", "EUR"]
    );
    assert_eq!(
        words(2),
        ["not", "mailed", "999", "333", "33.33", "%", "12.500", "EUR"]
    );
    assert_eq!(words(3), ["lift", "+20.00", "%"]);
}

fn truth(files: &Files) -> LiftTruth {
    let (from, until) = Campaign::window();
    lift_truth(files, from, until, CLAMPS).unwrap()
}

#[test]
fn the_lift_is_in_the_data() {
    let lifts = [0, 30].map(|lift_percent| {
        let folder = tempfile::tempdir().unwrap();
        let campaign = Campaign {
            people: 40_000,
            lift_percent,
            ..Campaign::default()
        };
        campaign.write(folder.path()).unwrap();
        campaign.truth(folder.path()).unwrap().lift_percent()
    });
    assert!(lifts[0].abs() < 5.0, "{lifts:?}");
    assert!((15.0..35.0).contains(&lifts[1]), "{lifts:?}");
}

/// The truth of a few rows by hand: refusals, windows, both clamps, untidy and empty ids.
#[test]
fn the_truth_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = write(&small(1), folder.path());
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    files.mailing = put(
        "m.csv",
        "email,mailed\na@x,true\n B@X ,false\nc@x,true\nd@x,false\nb@x,false\n,true\nonly@x,true\n",
    );
    files.customers = put(
        "c.csv",
        "email,consent\na@x,ads;measurement\nb@x,measurement\nc@x,ads\nd@x,measurement\nA@x,ads;measurement\n,measurement\ne@x,measurement\n",
    );
    files.purchases = put(
        "p.csv",
        "email,day,amount,category\n\
         a@x,2026-03-01,600.00,food\na@x,2026-05-31,1.50,food\na@x,2026-02-28,5.00,food\n\
         A@X ,2026-06-01,5.00,food\nb@x,2026-04-10,0.05,toys\n b@x,2026-04-10,0.10,toys\n\
         c@x,2026-04-10,9.00,toys\n,2026-04-10,9.00,toys\n",
    );
    let found = truth(&files);
    assert_eq!(
        (found.mailed.people, found.mailed.buyers, found.mailed.spend),
        (1, 1, 40_000)
    );
    let rest = found.not_mailed;
    assert_eq!((rest.people, rest.buyers, rest.spend), (2, 1, 15));
    let wide = Clamps {
        amount: (0, 50_000),
        spend: (0, 1_000_000),
    };
    let (from, until): (Date, Date) = Campaign::window();
    let found = lift_truth(&files, from, until, wide).unwrap();
    assert_eq!(found.mailed.spend, 50_150);
    files.purchases = put(
        "bad.csv",
        "email,day,amount,category\na@x,2026-03-01,much,food\n",
    );
    let error = lift_truth(&files, from, until, wide)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("row 1 of "), "{error}");
}
