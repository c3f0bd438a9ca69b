use incamera_keys::{SigningKey, sign_message};
use incamera_seal::{
    Manifest, ManifestError, SignedManifest, inspect, open_manifest, peek_manifest,
};
use incamera_types::{ColumnType, MatchingEpoch};
use incamera_wire::{Format, v1 as wire};
use proptest::prelude::*;

use crate::world::{
    CUSTOMERS_CSV, EPOCH, PURCHASES_CSV, World, agreement_id, customers, purchases, rng, set,
};

fn body(manifest: &SignedManifest) -> wire::Manifest {
    incamera_wire::decode(&manifest.signed().body, usize::MAX).unwrap()
}

fn assert_malformed(what: &str, message: &wire::Manifest) {
    let parsed = Manifest::parse(&incamera_wire::encode(message));
    assert!(
        matches!(parsed, Err(ManifestError::Malformed { .. })),
        "{what}: {parsed:?}"
    );
}

#[test]
fn another_signer_or_a_changed_body_is_refused() {
    let world = World::sealed();
    let signed = world.manifest("purchases").signed().clone();
    let other = SigningKey::generate(&mut rng(99)).public();
    assert!(matches!(
        open_manifest(&signed, &other),
        Err(ManifestError::Signed(_))
    ));
    for at in (0..signed.body.len()).step_by(97) {
        let mut changed = signed.clone();
        changed.body[at] ^= 1;
        assert!(matches!(
            open_manifest(&changed, &world.signer.public()),
            Err(ManifestError::Signed(_))
        ));
    }
    let mut relabelled = signed.clone();
    relabelled.format = "incamera-manifest/2".to_owned();
    let error = open_manifest(&relabelled, &world.signer.public()).unwrap_err();
    assert!(error.to_string().contains("incamera-manifest/2"));
    // Signed as something else, the same bytes count for nothing.
    let grant = sign_message(
        &world.signer,
        Format::Grant,
        &body(&world.manifest("purchases")),
    )
    .unwrap();
    let grant = wire::Signed {
        format: Format::Manifest.as_str().to_owned(),
        ..grant
    };
    assert!(open_manifest(&grant, &world.signer.public()).is_err());
    assert_eq!(
        peek_manifest(&signed).unwrap().digest(),
        world.manifest("purchases").digest()
    );
}

type Change = fn(&mut wire::Manifest);

#[test]
fn malformed_manifests_are_refused() {
    let world = World::sealed();
    let changes: [(&str, Change); 26] = [
        ("agreement id", |m| m.agreement_id.push(0)),
        ("owner", |m| m.owner = "Shop".to_owned()),
        ("data set", |m| m.dataset = "../etc".to_owned()),
        ("version 0", |m| m.version = 0),
        ("version 1 with predecessor", |m| m.previous = vec![0; 32]),
        ("version 2 without predecessor", |m| m.version = 2),
        ("predecessor's length", |m| {
            (m.version, m.previous) = (2, vec![0; 31])
        }),
        ("register's length", |m| m.register.truncate(31)),
        ("own consents and a register", |m| m.own_consents = true),
        ("no partitions", |m| m.partitions = 0),
        ("too many partitions", |m| m.partitions = 1 << 20),
        ("partition out of range", |m| m.parts[0].partition = 4),
        ("no columns", |m| m.columns.clear()),
        ("too many columns", |m| {
            let one = m.columns[1].clone();
            m.columns.extend((0..1_000).map(|at| wire::SealedColumn {
                name: format!("more_{at}"),
                purposes: Vec::new(),
                ..one.clone()
            }));
        }),
        ("nothing opens a part", |m| {
            let part = &mut m.parts[0];
            (part.class, part.keys) = (Vec::new(), Vec::new());
        }),
        ("column twice", |m| m.columns.push(m.columns[0].clone())),
        ("unknown type", |m| m.columns[1].r#type = "float".to_owned()),
        ("type that is not stored", |m| {
            m.columns[1].r#type = "purposes".to_owned()
        }),
        ("file id's length", |m| m.parts[0].file_id.truncate(15)),
        ("file id twice", |m| m.parts.push(m.parts[0].clone())),
        ("digest's length", |m| m.parts[0].digest.truncate(31)),
        ("part of the future", |m| m.parts[0].version = 2),
        ("part too large", |m| m.parts[0].bytes = u64::MAX),
        ("class out of order", |m| {
            m.parts.iter_mut().for_each(|p| p.class.reverse())
        }),
        ("wrap's length", |m| {
            m.parts[0].keys[0].wraps[0].wrapped.push(0)
        }),
        ("commitment's length", |m| {
            m.parts[0].keys[0].commitment.clear()
        }),
    ];
    for (what, change) in changes {
        let mut message = body(&world.manifest("purchases"));
        change(&mut message);
        assert_malformed(what, &message);
    }
}

/// What is sealed by consents says of which version of the register they are: I3 after consent
/// was withdrawn hangs on it.
#[test]
fn i3_a_manifest_names_the_register_that_it_was_sealed_by() {
    let mut world = World::sealed();
    let first = world.manifest("customers");
    assert_eq!(first.register(), None, "the register itself has none");
    assert_eq!(world.manifest("purchases").register(), Some(first.digest()));
    let report = world.seal_csv(&customers(), CUSTOMERS_CSV).unwrap();
    let newest = world.manifest("customers").digest();
    assert_eq!(report.consents.unwrap().register(), newest);
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let by_the_old = world.manifest("purchases");
    assert_eq!(by_the_old.register(), Some(first.digest()));
    assert_eq!(
        inspect(&by_the_old).register,
        Some(first.digest().to_string())
    );
    let mut message = body(&by_the_old);
    message.public = true;
    let parsed = Manifest::parse(&incamera_wire::encode(&message)).unwrap_err();
    assert!(parsed.to_string().contains("names a register"), "{parsed}");
}

/// A manifest whose wraps are not exactly those of I3 is not one.
#[test]
fn i3_manifests_with_other_wraps_are_refused() {
    let world = World::sealed();
    let changes: [(&str, Change); 8] = [
        ("wrap for one purpose more", |m| {
            let key = m.parts[0]
                .keys
                .iter_mut()
                .find(|key| key.column == "amount");
            let key = key.unwrap_or_else(|| panic!("part 0 has amounts"));
            let wrap = wire::Wrap {
                purpose: "safety".to_owned(),
                ..key.wraps[0].clone()
            };
            key.wraps.push(wrap);
        }),
        ("wrap missing", |m| {
            m.parts[0].keys[1].wraps.pop();
        }),
        ("key missing", |m| {
            m.parts[0].keys.pop();
        }),
        ("footer missing", |m| {
            m.parts[0].keys.remove(0);
        }),
        ("keys out of order", |m| m.parts[0].keys.swap(1, 2)),
        ("class wider", |m| {
            m.parts[0].class = vec!["ads".into(), "measurement".into(), "z".into()]
        }),
        ("column narrower", |m| m.columns[1].purposes.clear()),
        ("public with keys", |m| m.public = true),
    ];
    for (what, change) in changes {
        let mut message = body(&world.manifest("purchases"));
        message
            .parts
            .sort_by_key(|part| part.class != ["measurement"]);
        change(&mut message);
        assert_malformed(what, &message);
    }
}

#[test]
fn a_manifest_fits_its_declaration_only() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let (spec, other_spec) = (purchases(), customers());
    manifest.fits(&spec, &agreement_id(), EPOCH, 4).unwrap();
    let unfit =
        |spec, epoch, partitions| match manifest.fits(spec, &agreement_id(), epoch, partitions) {
            Err(ManifestError::Unfit { what }) => what,
            other => panic!("{other:?}"),
        };
    assert_eq!(unfit(&other_spec, EPOCH, 4), "data set");
    assert_eq!(unfit(&spec, MatchingEpoch(2), 4), "matching epoch");
    assert_eq!(unfit(&spec, EPOCH, 8), "number of partitions");
    let mut wider = spec.clone();
    wider.columns[2].purposes = set(&["ads", "measurement"]);
    assert_eq!(unfit(&wider, EPOCH, 4), "list of columns");
    let other = incamera_types::AgreementDigest::of_file(b"another").into();
    assert!(manifest.fits(&spec, &other, EPOCH, 4).is_err());
}

/// The `purposes` column is not stored: whether it decided is said by the manifest itself.
#[test]
fn i3_a_register_sealed_without_its_consents_fits_no_declaration_with_them() {
    let mut world = World::new();
    let declared = customers();
    let mut before = declared.clone();
    before
        .columns
        .retain(|column| column.ty != ColumnType::Purposes);
    let outcome =
        |manifest: &SignedManifest, spec| match manifest.fits(spec, &agreement_id(), EPOCH, 4) {
            Ok(()) => "fits",
            Err(ManifestError::Unfit { what }) => what,
            Err(other) => panic!("{other:?}"),
        };
    world.seal_csv(&before, CUSTOMERS_CSV).unwrap();
    let everybody = world.manifest("customers");
    assert!(!everybody.own_consents());
    assert_eq!(outcome(&everybody, &before), "fits");
    assert_eq!(outcome(&everybody, &declared), "source of consents");

    world.seal_csv(&declared, CUSTOMERS_CSV).unwrap();
    let agreed = world.manifest("customers");
    assert!(agreed.own_consents() && inspect(&agreed).own_consents);
    assert_eq!(outcome(&agreed, &declared), "fits");
    assert_eq!(outcome(&agreed, &before), "source of consents");
    let mut message = body(&agreed);
    message.register = vec![0; 32];
    assert_malformed("own consents and a register", &message);
    let public = wire::Manifest {
        public: true,
        parts: Vec::new(),
        register: Vec::new(),
        ..message
    };
    assert_malformed("own consents and public", &public);
    let silent = wire::Manifest {
        own_consents: false,
        ..public
    };
    Manifest::parse(&incamera_wire::encode(&silent)).unwrap();
}

#[test]
fn an_inspection_says_what_everybody_sees() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let seen = inspect(&manifest);
    assert_eq!(seen.classes.len(), 3);
    assert_eq!(seen.classes[0].class, ["ads"]);
    assert_eq!(seen.classes[0].opens["category"], ["ads"]);
    assert!(!seen.classes[0].opens.contains_key("amount"));
    let text = seen.to_string();
    for word in [
        "purchases of shop, version 1",
        "amount decimal(10,2) [measurement]",
        "[ads, measurement, safety]",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("row"), "rows are not to be seen: {text}");
}

fn sealed_body() -> &'static [u8] {
    static BODY: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BODY.get_or_init(|| World::sealed().manifest("purchases").signed().body.clone())
}

proptest! {
    /// Truncated, a manifest is refused or is another one; never a panic.
    #[test]
    fn truncated_manifests_do_not_panic(cut in 0usize..10_000) {
        let body = sealed_body();
        let cut = cut % body.len();
        let whole = Manifest::parse(body).unwrap();
        if let Ok(parsed) = Manifest::parse(&body[..cut]) {
            prop_assert_ne!(parsed.digest(), whole.digest());
        }
    }

    /// Whatever is changed, parsing ends in a value or an error.
    #[test]
    fn mutated_manifests_do_not_panic(changes in prop::collection::vec((0usize..10_000, any::<u8>()), 1..8)) {
        let mut body = sealed_body().to_vec();
        for (at, byte) in changes {
            let at = at % body.len();
            body[at] = byte;
        }
        if let Ok(parsed) = Manifest::parse(&body) {
            let _ = inspect(&parsed).to_string();
        }
    }

    #[test]
    fn noise_is_no_manifest(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }
}
