//! `agreement new --data`: a starting file from files, which is an agreement once its blanks are
//! filled in, and shows no value of them.

use std::path::Path;

use incamera_testkit::stage::Stage;

use crate::by_hand::tables::write_purchases;
use crate::world::{Data, MARKED, MARKED_AMOUNT, PROGRAM};

/// A folder with two parties and the small data.
struct Home {
    stage: Stage,
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            stage: Stage::new(PROGRAM.into()),
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, port) in [("shop", "7443"), ("mailer", "7453")] {
            let (listen, url) = (
                format!("127.0.0.1:{port}"),
                format!("https://127.0.0.1:{port}"),
            );
            let folder = home.path(name);
            let mut arguments = vec!["init", &folder, "--name", name, "--listen", &listen];
            arguments.extend(["--url", &url, "--people", "240"]);
            if name == "mailer" {
                arguments.extend(["--analyst", "ana"]);
            }
            home.stage.done(&arguments).unwrap();
        }
        let data = Data::small();
        std::fs::write(home.path("customers.csv"), &data.customers).unwrap();
        std::fs::write(home.path("mailing.csv"), &data.mailing).unwrap();
        write_purchases(Path::new(&home.path("purchases.parquet")), &data);
        home
    }

    fn path(&self, relative: &str) -> String {
        self.folder.path().join(relative).display().to_string()
    }

    /// The text of a new agreement.
    fn new_agreement(&self, more: &[&str]) -> String {
        let data =
            ["customers.csv", "purchases.parquet", "mailing.csv"].map(|name| self.path(name));
        let mut arguments = vec!["agreement", "new", "--insecure-simulated-tee"];
        arguments.extend(["--room-url", "https://127.0.0.1:7543"]);
        arguments.extend(more);
        arguments.push("--data");
        arguments.extend(data.iter().map(String::as_str));
        self.stage.done(&arguments).unwrap().text("/text")
    }

    /// What `agreement check` says of a text.
    #[track_caller]
    fn checks(&self, text: &str) {
        let file = self.path("checked.toml");
        std::fs::write(&file, text).unwrap();
        let outcome = self.stage.command(&["agreement", "check", &file]).unwrap();
        assert_eq!(
            outcome.code, 0,
            "{} {}\n{text}",
            outcome.document, outcome.errors
        );
    }
}

/// Fills in every blank that begins like this.
fn fill(text: &str, blank: &str, with: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&format!("\"FILL IN: {blank}")) {
        filled += before;
        filled += with;
        rest = after.split_once('"').unwrap().1;
    }
    filled + rest
}

/// No value of the small data, but for names of purposes and words that are everybody's.
fn shows_nothing(text: &str) {
    let data = Data::small();
    for csv in [&data.customers, &data.purchases, &data.mailing] {
        for cell in csv.lines().skip(1).flat_map(|row| row.split(',')) {
            let everybodys = ["true", "false", "ads", "food"].contains(&cell);
            assert!(everybodys || !text.contains(cell), "{cell}\n{text}");
        }
    }
    assert!(!text.contains(MARKED) && !text.contains(MARKED_AMOUNT));
    assert!(
        !text.contains("\"food\"") && !text.contains("food,"),
        "{text}"
    );
}

#[test]
fn i1_what_is_proposed_from_files_is_an_agreement_and_shows_no_value() {
    let home = Home::new();
    let (shop, mailer) = (home.path("shop"), home.path("mailer"));
    // Data of two parties, without a question.
    let text = home.new_agreement(&["--with", &shop, "--with", &mailer]);
    shows_nothing(&text);
    for line in [
        "person = { type = \"pseudonym\", purposes",
        "consent = { type = \"purposes\" }",
        "day = { type = \"date\"",
        "amount = { type = \"decimal(10,2)\", min = 0, max = 500",
        "category = { type = \"text\", purposes",
        "mailed = { type = \"bool\"",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let (customers, mailing) = text.split_once("[datasets.mailing]").unwrap();
    let owned = fill(customers, "the party that it belongs to", "\"shop\"")
        + "[datasets.mailing]"
        + &fill(mailing, "the party that it belongs to", "\"mailer\"");
    let filled = fill(&owned, "vouched", "\"vouched\"");
    let filled = fill(&filled, "what data may be used for", "\"Measuring\"");
    let filled = fill(&filled, "what ", "\"measurement\"");
    home.checks(&filled);
    // One party.
    let alone = home.new_agreement(&["--with", &shop]);
    let filled = fill(&alone, "vouched", "\"vouched\"");
    let filled = fill(&filled, "what data may be used for", "\"Measuring\"");
    home.checks(&fill(&filled, "what ", "\"measurement\""));
}

#[test]
fn i1_the_example_takes_its_data_sets_from_files() {
    let home = Home::new();
    let (shop, mailer) = (home.path("shop"), home.path("mailer"));
    let parties = [
        "--for",
        "ad-measurement",
        "--with",
        &shop,
        "--with",
        &mailer,
    ];
    let text = home.new_agreement(&parties);
    assert!(
        !text.contains('@') && text.contains("[queries.lift]"),
        "{text}"
    );
    assert!(
        text.contains("category = { type = \"text\""),
        "the file's columns, not the example's"
    );
    home.checks(&fill(&text, "what ", "\"measurement\""));
    // A file of another name is a data set more.
    let data = Data::small();
    std::fs::write(home.path("visits.csv"), &data.mailing).unwrap();
    let visits = home.path("visits.csv");
    let more = home.new_agreement(&[&parties[..], &["--data", &visits]].concat());
    assert!(
        more.contains("[datasets.visits]\nowner = \"FILL IN"),
        "{more}"
    );
}

/// Nobody lets others propose questions by leaving a line as it is; and the section holds once
/// it is no comment.
#[test]
fn the_right_to_propose_is_there_to_be_taken_up() {
    let home = Home::new();
    let (shop, mailer) = (home.path("shop"), home.path("mailer"));
    let with = ["--with", &shop, "--with", &mailer];
    let text = home.new_agreement(&[&["--for", "ad-measurement"], &with[..]].concat());
    let text = fill(&text, "what ", "\"measurement\"");
    let (before, section) = text.split_once("# [proposals]\n").unwrap();
    assert!(!text.contains("\n[proposals]"), "{text}");
    let lines = section.lines().map(|line| line.strip_prefix("# ").unwrap());
    let lines: Vec<&str> = lines.collect();
    let keys: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        keys,
        ["analysts", "purposes", "epsilon", "delta", "min_people"]
    );
    let taken_up = format!("{before}[proposals]\n{}\n", lines.join("\n"));
    home.checks(&taken_up);
    let shown = home
        .stage
        .done(&["agreement", "show", &home.path("checked.toml")]);
    let shown = shown.unwrap().text("/text");
    assert!(shown.contains("proposed by mailer/ana"), "{shown}");
    let own = home.new_agreement(&with);
    assert!(
        own.contains("\n# [proposals]\n# analysts = [\"PARTY/ANALYST\"]"),
        "{own}"
    );
}

#[test]
fn files_without_names_propose_nothing() {
    let home = Home::new();
    let data = Data::small();
    let headless: Vec<&str> = data.mailing.lines().skip(1).collect();
    std::fs::write(home.path("headless.csv"), headless.join("\n")).unwrap();
    let file = home.path("headless.csv");
    let outcome = home
        .stage
        .command(&["agreement", "new", "--data", &file])
        .unwrap();
    assert_eq!(outcome.code, 1, "{}", outcome.document);
    assert!(
        outcome.failure().contains("has no line of column names"),
        "{}",
        outcome.document
    );
    assert!(!outcome.document.to_string().contains("mail.example"));
    let outcome = home.stage.command(&["agreement", "new"]).unwrap();
    assert_eq!(outcome.code, 2, "{}", outcome.document);
}

/// Nobody signs that who agreed to one thing agreed to another, and a diff says what data need.
#[test]
fn i3_no_version_is_signed_that_passes_consents_on_falsely() {
    let home = Home::new();
    let (shop, mailer) = (home.path("shop"), home.path("mailer"));
    let first = home.path("shop/agreements/first.toml");
    let mut arguments = vec![
        "agreement",
        "new",
        "--for",
        "ad-measurement",
        "--out",
        &first,
    ];
    arguments.extend([
        "--insecure-simulated-tee",
        "--room-url",
        "https://127.0.0.1:7543",
    ]);
    arguments.extend(["--with", &shop, "--with", &mailer]);
    home.stage.done(&arguments).unwrap();
    let checked = home.stage.done(&["agreement", "check", &first]).unwrap();
    let digest = checked.text("/digest");
    let lineage = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
    let text = std::fs::read_to_string(&first).unwrap();
    let text = text.replacen("version = 1", &lineage, 1);
    let ads = "ads = { label = \"Choosing audiences\" }";
    assert!(text.contains(ads));
    let sign = |text: &str| {
        let file = home.path("second.toml");
        std::fs::write(&file, text).unwrap();
        let sign = ["agreement", "sign", &file, "--party", &shop];
        (home.stage.command(&sign).unwrap(), file)
    };
    let absorbed = text
        .replacen(ads, "", 1)
        .replace("[\"ads\", \"measurement\"]", "[\"measurement\"]")
        .replacen("campaigns\" }", "campaigns\", replaces = [\"ads\"] }", 1);
    let (refused, file) = sign(&absorbed);
    assert_eq!(refused.code, 3, "{}", refused.document);
    let why = "purpose `measurement` stood in version 1 already, so it cannot replace `ads`";
    assert!(refused.failure().contains(why), "{}", refused.document);
    assert!(!Path::new(&format!("{file}.shop.sig")).exists());
    let renamed = text.replace("\"ads\"", "\"looks\"").replacen(
        ads,
        "looks = { label = \"Choosing audiences\", replaces = [\"ads\"] }",
        1,
    );
    let (signed, file) = sign(&renamed);
    assert_eq!(signed.code, 0, "{}", signed.document);
    let told = home
        .stage
        .done(&["agreement", "diff", &first, &file])
        .unwrap();
    assert!(
        told.text("/changes")
            .contains("purpose `ads` is renamed `looks`")
    );
    let needs = |at: usize| told.text(&format!("/datasets/{at}/needs"));
    assert_eq!(
        [needs(0), needs(1), needs(2)],
        ["re-encrypt", "nothing", "nothing"]
    );
    // The version after that: nothing else takes the name over, and nothing takes it up again.
    let second = home.stage.done(&["agreement", "check", &file]).unwrap();
    let follows = second.text("/digest");
    let version = format!("version = 3\nid = \"{digest}\"\nfollows = \"{follows}\"");
    let renamed = text
        .replacen(&lineage, &version, 1)
        .replace("\"ads\"", "\"looks\"");
    let third = home.path("third.toml");
    let looks = "looks = { label = \"Choosing audiences\" }";
    for (purposes, why) in [
        (
            format!("{looks}\nselling = {{ label = \"y\", replaces = [\"ads\"] }}"),
            "purpose `selling` is said to replace `ads`, but purpose `ads` is now `looks`",
        ),
        (format!("{looks}\n{ads}"), "the name `ads` is used again"),
    ] {
        std::fs::write(&third, renamed.replacen(ads, &purposes, 1)).unwrap();
        let refused = ["agreement", "sign", &third, "--party", &shop];
        let refused = home.stage.command(&refused).unwrap();
        assert_eq!(refused.code, 3, "{}", refused.document);
        assert!(refused.failure().contains(why), "{}", refused.document);
        let told = home
            .stage
            .done(&["agreement", "diff", &file, &third])
            .unwrap();
        assert!(told.text("/changes").contains(&format!("CAUTION: {why}")));
        let told = home.stage.done(&["agreement", "check", &third]).unwrap();
        assert!(told.text("/warnings").contains(why), "{}", told.document);
    }
    // What the version before says nothing of, the one before that does.
    std::fs::copy(&first, home.path("first.toml")).unwrap();
    let gone = "looks = { label = \"Choosing audiences\" }";
    std::fs::write(
        &file,
        text.replace("\"ads\"", "\"looks\"").replacen(ads, gone, 1),
    )
    .unwrap();
    let second = home.stage.done(&["agreement", "check", &file]).unwrap();
    let version = version.replace(&follows, &second.text("/digest"));
    std::fs::write(&third, text.replacen(&lineage, &version, 1)).unwrap();
    let told = home
        .stage
        .done(&["agreement", "diff", &file, &third])
        .unwrap();
    assert!(
        told.text("/changes")
            .contains("CAUTION: the name `ads` is used again: version 1"),
        "{}",
        told.document
    );
}
