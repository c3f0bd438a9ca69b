use super::*;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

fn kind(name: &str) -> IdKind {
    name.parse().unwrap()
}

fn writing(rules: IdRules, hashed: bool, form: IdForm) -> IdWriting {
    IdWriting {
        rules,
        hashed,
        form,
        region: None,
    }
}

fn published(name: &str) -> Normaliser {
    Normaliser::of(
        &kind(name),
        &writing(IdRules::Published, false, IdForm::Raw),
    )
    .unwrap()
}

fn first(name: &str) -> Normaliser {
    Normaliser::of(&kind(name), &IdWriting::default()).unwrap()
}

fn of_region(region: &str) -> Normaliser {
    let writing = IdWriting {
        region: Some(region.parse().unwrap()),
        ..writing(IdRules::Published, false, IdForm::Raw)
    };
    Normaliser::of(&kind("phone"), &writing).unwrap()
}

fn given(name: &str) -> Normaliser {
    let writing = writing(IdRules::Published, true, IdForm::Sha256);
    Normaliser::of(&kind(name), &writing).unwrap()
}

fn fault(normaliser: &Normaliser, raw: &str) -> IdFault {
    normaliser.normalise(raw, &mut String::new()).unwrap_err()
}

#[test]
fn rows_are_counted() {
    let rows = [
        "A@b.example",
        " a@B.example ",
        "",
        "  ",
        "nobody",
        "c@d.example",
    ];
    let prepared = collect(rows, &first("email"));
    assert_eq!(prepared.ids, ["a@b.example", "c@d.example"]);
    let Counts {
        rows,
        empty,
        invalid,
        ..
    } = prepared.counts;
    assert_eq!((rows, empty, invalid, prepared.duplicates), (6, 2, 1, 1));
}

#[test]
fn debug_shows_counts_alone() {
    let prepared = collect(["a@b.example"], &first("email"));
    assert!(!format!("{prepared:?}").contains("example"));
}

#[test]
fn a_normaliser_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Normaliser>();
}

#[test]
fn dots_and_tags_go_at_gmail_alone() {
    let email = published("email");
    for (raw, id) in [
        ("Ana.Bo+tag.x@GMAIL.com", "anabo@gmail.com"),
        ("ana+a+b@gmail.com", "ana@gmail.com"),
        ("ana.bo+tag@googlemail.com", "ana.bo+tag@googlemail.com"),
        ("ana.bo+tag@mail.gmail.com", "ana.bo+tag@mail.gmail.com"),
        ("ana.bo@gmail.com.example", "ana.bo@gmail.com.example"),
    ] {
        assert_eq!(email.normalised(raw).as_deref(), Some(id));
        assert_eq!(
            first("email").normalised(raw),
            Some(raw.to_lowercase()),
            "rules 1 keep them"
        );
    }
    for raw in ["...@gmail.com", "+tag@gmail.com", ".+@gmail.com"] {
        assert_eq!(fault(&email, raw), IdFault::Invalid);
        assert!(first("email").normalised(raw).is_some());
    }
}

/// A copy from a page brings them along; under the first rules they made two people of one.
#[test]
fn an_address_holds_nothing_that_cannot_be_seen() {
    let (email, phone) = (published("email"), published("phone"));
    for c in [
        '\u{ad}', '\u{200b}', '\u{200e}', '\u{202d}', '\u{2060}', '\u{2069}', '\u{feff}',
    ] {
        for raw in [format!("a{c}na@b.example"), format!("ana@b{c}.example")] {
            assert_eq!(fault(&email, &raw), IdFault::Invalid, "{c:?}");
            assert_eq!(first("email").normalised(&raw), Some(raw));
        }
        let raw = format!("+49 30 12{c}3456");
        assert_eq!(phone.normalised(&raw).as_deref(), Some("+4930123456"));
    }
    // White space around it goes, and with it the mark at the beginning of a file.
    let raw = "\u{feff}\u{2003}ana@b.example\u{a0}";
    assert_eq!(email.normalised(raw).as_deref(), Some("ana@b.example"));
    assert_eq!(
        email.normalised("\u{212a}ai@b.example").as_deref(),
        Some("kai@b.example")
    );
}

#[test]
fn a_number_at_home_needs_its_region() {
    assert_eq!(fault(&published("phone"), "030 123456"), IdFault::Invalid);
    for (region, raw, id) in [
        ("DE", "030 123456", "+4930123456"),
        ("DE", "(030) 12 34-56", "+4930123456"),
        ("DE", "+44 20 7946 0958", "+442079460958"),
        ("DE", "0044 20 7946 0958", "+442079460958"),
        ("US", "011 44 20 7946 0958", "+442079460958"),
        ("IT", "06 698 12345", "+390669812345"),
        ("US", "(212) 555-0100", "+12125550100"),
    ] {
        let found = of_region(region).normalised(raw);
        assert_eq!(found.as_deref(), Some(id), "{region} {raw}");
    }
}

#[test]
fn numbers_that_mean_nobody_are_refused() {
    let phone = published("phone");
    for raw in [
        "+1 800 FLOWERS",
        "+1 212 555 0100 home",
        // Two national prefixes: without one of them it reads as a third number.
        "+49 00 640 9945",
        "+44 00 674 137477",
        "+1 212 555 0100 ext 3",
        "+1 212 555 0100;ext=3",
        "tel:+12125550100",
        "+1 212 555 0100 +1 212 555 0101",
        "+1 5550100",
        "+1 212 555 01",
        "+1 212 555 0100 0100 0100",
        "+999 123456789",
        "+",
        "00",
        "212 555 0100",
        "+1 212 555 0100, 212 555 0101",
        // Two endings of one number, or a number and where it goes on: both are written so.
        "+49 30 123456/7",
        "+49 30/123456",
    ] {
        assert_eq!(fault(&phone, raw), IdFault::Invalid, "{raw}");
    }
    assert_eq!(fault(&of_region("US"), "555-0100"), IdFault::Invalid);
}

#[test]
fn numbers_of_other_alphabets_are_read() {
    let phone = published("phone");
    for raw in [
        "\u{ff0b}４９ 30 123456",
        "+٤٩ ٣٠ ١٢٣٤٥٦",
        "+۴۹ (0)30 ۱۲۳۴۵۶",
        "\u{202a}+49\u{2011}30\u{2013}123456\u{202c}",
    ] {
        assert_eq!(phone.normalised(raw).as_deref(), Some("+4930123456"));
    }
}

#[test]
fn the_numbering_plan_is_the_one_that_is_built_in() {
    let lock = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let (name, version) = NUMBERING.split_once(' ').unwrap();
    assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")));
}

#[test]
fn hashes_come_in_hexadecimal_and_base64() {
    let id = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514";
    let email = given("email");
    for raw in [
        id,
        "B4C9A289323B21A01C3E940F150EB9B8C542587F1ABFD8F0E1CC1FFC5E475514",
        " tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ=\n",
        "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ",
        "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf_F5HVRQ=",
        "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf_F5HVRQ",
    ] {
        assert_eq!(email.normalised(raw).as_deref(), Some(id), "{raw}");
    }
    for raw in [
        "user@example.com",
        &id[..63],
        &format!("{id}0"),
        "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVQ==",
        "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVR9=",
        &"A".repeat(300),
    ] {
        assert_eq!(fault(&email, raw), IdFault::Invalid, "{raw}");
    }
}

/// The mistake that UID2's page warns of.
#[test]
fn base64_of_digits_is_refused_as_such() {
    let email = given("email");
    let digits =
        "YjRjOWEyODkzMjNiMjFhMDFjM2U5NDBmMTUwZWI5YjhjNTQyNTg3ZjFhYmZkOGYwZTFjYzFmZmM1ZTQ3NTUxNA==";
    let with_line_end =
        "YjRjOWEyODkzMjNiMjFhMDFjM2U5NDBmMTUwZWI5YjhjNTQyNTg3ZjFhYmZkOGYwZTFjYzFmZmM1ZTQ3NTUxNAo=";
    for raw in [digits, with_line_end] {
        assert_eq!(fault(&email, raw), IdFault::EncodedDigits);
    }
    let mut counts = Counts::default();
    for raw in [digits, "", "x", with_line_end] {
        counts.row(&email.normalise(raw, &mut String::new()));
    }
    counts.row(&Ok(()));
    let invalid = (counts.invalid, counts.encoded_digits);
    assert_eq!((invalid, counts.empty), ((3, 2), 1));
    assert_eq!((counts.rows, counts.valid()), (5, 1));
}

#[test]
fn what_is_not_written_so_is_refused() {
    let of = |name: &str, rules, hashed, form, region: Option<&str>| {
        let region = region.map(|region| region.parse().unwrap());
        let writing = IdWriting {
            region,
            ..writing(rules, hashed, form)
        };
        Normaliser::of(&kind(name), &writing).unwrap_err()
    };
    use IdForm::{Raw, Sha256};
    use IdRules::{First, Published};
    for (hashed, form, region) in [
        (true, Raw, None),
        (false, Sha256, None),
        (false, Raw, Some("DE")),
    ] {
        let error = of("phone", First, hashed, form, region);
        assert_eq!(error, WritingError::FirstRules);
    }
    let error = of("email", Published, false, Sha256, None);
    assert!(matches!(error, WritingError::NotHashed { .. }));
    let error = of("email", Published, false, Raw, Some("DE"));
    assert_eq!(error, WritingError::RegionOfNothing);
    let error = of("phone", Published, true, Sha256, Some("DE"));
    assert_eq!(error, WritingError::RegionOfNothing);
    let error = of("phone", Published, false, Raw, Some("ZZ"));
    assert!(matches!(error, WritingError::Region { .. }));
}

/// Texts that look like ids of some kind.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[ ]?[A-Za-z.+]{0,8}@(gmail|GMail|mail)\\.(com|example)[ ]?",
        "[+(0-9)/. -]{3,20}",
        "(\\+|00)[1-9][0-9 ]{4,14}",
    ]
}

proptest! {
    /// Normalising twice changes nothing.
    #[test]
    fn normalising_is_idempotent(text in texts(), name in "email|phone|loyalty") {
        for normaliser in [first(&name), published(&name)] {
            if let Some(once) = normaliser.normalised(&text) {
                prop_assert_eq!(normaliser.normalised(&once), Some(once));
            }
        }
    }

    /// A party that has the ids and one that was given their hashes mean the same people.
    #[test]
    fn the_hash_of_an_id_is_the_given_hash(text in texts(), name in "email|phone|loyalty") {
        let hashing = writing(IdRules::Published, true, IdForm::Raw);
        let hashing = Normaliser::of(&kind(&name), &hashing).unwrap();
        let id = published(&name).normalised(&text);
        let hash = id.map(|id| hex::encode(Sha256::digest(id.as_bytes())));
        prop_assert_eq!(hashing.normalised(&text), hash.clone());
        if let Some(hash) = hash {
            prop_assert_eq!(given(&name).normalised(&hash), Some(hash.clone()));
            let base64 = base64::Engine::encode(
                &base64::prelude::BASE64_STANDARD,
                hex::decode(&hash).unwrap(),
            );
            prop_assert_eq!(given(&name).normalised(&base64), Some(hash));
        }
    }

    /// A buffer that was used before changes nothing.
    #[test]
    fn a_buffer_keeps_nothing(before in texts(), text in texts(), name in "email|phone|loyalty") {
        let normaliser = published(&name);
        let mut buffer = String::new();
        let _ = normaliser.normalise(&before, &mut buffer);
        let found = normaliser.normalise(&text, &mut buffer).ok().map(str::to_owned);
        prop_assert_eq!(found, normaliser.normalised(&text));
    }

    /// Each row is counted once.
    #[test]
    fn counts_add_up(rows in prop::collection::vec("[ab@. ]{0,5}", 0..30)) {
        let prepared = collect(&rows, &first("email"));
        let (counts, distinct) = (prepared.counts, prepared.ids.len() as u64);
        prop_assert_eq!(counts.valid(), distinct + prepared.duplicates);
        prop_assert_eq!(counts.valid() + counts.empty + counts.invalid, rows.len() as u64);
    }
}
