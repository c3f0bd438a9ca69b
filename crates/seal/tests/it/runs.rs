//! Data sets say which matching runs made their pseudonyms, where each run makes others.

use incamera_seal::{
    Manifest, ManifestError, MatchingRuns, RunsDiffer, SealError, inspect, same_runs,
};
use incamera_types::{Digest as _, MatchRunDigest};
use incamera_wire::v1 as wire;

use crate::world::{CUSTOMERS_CSV, PURCHASES_CSV, World, customers, purchases};

fn run(byte: u8) -> MatchRunDigest {
    MatchRunDigest::from_bytes([byte; 32])
}

fn runs(list: &[(&str, u8)]) -> MatchingRuns {
    let one = |(kind, byte): &(&str, u8)| (kind.parse().unwrap(), run(*byte));
    list.iter().map(one).collect()
}

/// Both data sets, each sealed with pseudonyms of these runs.
fn sealed(first: &[(&str, u8)], second: &[(&str, u8)]) -> World {
    let mut world = World::new();
    for (list, spec, csv) in [
        (first, customers(), CUSTOMERS_CSV),
        (second, purchases(), PURCHASES_CSV),
    ] {
        world.runs = runs(list);
        world.seal_csv(&spec, csv).unwrap();
    }
    world
}

#[test]
fn a_manifest_names_the_runs_of_its_pseudonyms() {
    let world = sealed(&[("email", 1), ("phone", 2)], &[]);
    let customers = world.manifest("customers");
    assert_eq!(
        customers.matching_runs(),
        &runs(&[("email", 1), ("phone", 2)])
    );
    let text = inspect(&customers).to_string();
    let line = format!("matched     email in run {}", run(1));
    assert!(text.contains(&line), "{text}");
    let purchases = world.manifest("purchases");
    assert!(purchases.matching_runs().is_empty());
    assert!(!inspect(&purchases).to_string().contains("matched"));
}

/// Whether both data sets may be read together, where the second has pseudonyms of `kind`.
fn together(first: &[(&str, u8)], second: &[(&str, u8)], kind: &str) -> Result<(), RunsDiffer> {
    let world = sealed(first, second);
    let manifests = [world.manifest("customers"), world.manifest("purchases")];
    let mut other = purchases();
    other.columns[0].id_kind = Some(kind.parse().unwrap());
    let specs = [customers(), other].map(|spec| (spec.name.clone(), spec));
    same_runs(&specs.into(), manifests.iter().map(|manifest| &**manifest))
}

#[test]
fn data_sets_of_different_runs_are_not_read_together() {
    assert_eq!(together(&[("email", 1)], &[("email", 1)], "email"), Ok(()));
    // Another kind was matched in another run.
    assert_eq!(together(&[("email", 1)], &[("phone", 2)], "phone"), Ok(()));
    assert_eq!(together(&[], &[], "email"), Ok(()));
    let error = together(&[("email", 1)], &[("email", 2)], "email").unwrap_err();
    let text = error.to_string();
    let parts = [
        "`customers` and `purchases`",
        "kind `email`",
        "different matching runs",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn data_sets_that_name_no_run_are_not_read_with_those_that_do() {
    let unnamed = |named: &str, unnamed: &str| {
        let [named, unnamed] = [named, unnamed].map(|name| name.parse().unwrap());
        Err(RunsDiffer::Unnamed {
            named,
            unnamed,
            id_kind: "email".parse().unwrap(),
        })
    };
    let run = [("email", 1)];
    assert_eq!(
        together(&run, &[], "email"),
        unnamed("customers", "purchases")
    );
    assert_eq!(
        together(&[], &run, "email"),
        unnamed("purchases", "customers")
    );
    let text = together(&run, &[], "email").unwrap_err().to_string();
    assert!(
        text.contains("`purchases` does not say which run or key"),
        "{text}"
    );
    // Without pseudonyms of the kind there is nothing to name.
    assert_eq!(together(&run, &[], "phone"), Ok(()));
    // Whoever names a run for what it has not is held to it.
    assert!(together(&run, &[("email", 2)], "phone").is_err());
}

#[test]
fn rows_of_another_run_are_not_added() {
    let mut world = sealed(&[("email", 1)], &[("email", 1)]);
    world.append = true;
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let appended = world.manifest("purchases");
    assert_eq!(appended.matching_runs(), &runs(&[("email", 1)]));
    world.runs = runs(&[("email", 2)]);
    let error = world.seal_csv(&purchases(), PURCHASES_CSV).unwrap_err();
    assert!(matches!(&error, SealError::NotAdded { .. }), "{error}");
    assert!(
        error.to_string().contains("another matching run"),
        "{error}"
    );
    // Sealed anew, they take the place of the old ones.
    world.append = false;
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    assert_eq!(world.manifest("purchases").matching_runs(), &world.runs);
}

#[test]
fn malformed_runs_are_refused() {
    let world = sealed(&[("email", 1), ("phone", 2)], &[]);
    let signed = world.manifest("customers");
    let changes: [fn(&mut wire::Manifest); 4] = [
        |manifest| manifest.matching_runs.reverse(),
        |manifest| manifest.matching_runs[1].id_kind = "email".to_owned(),
        |manifest| manifest.matching_runs[0].run.truncate(31),
        |manifest| manifest.matching_runs[0].id_kind = "E Mail".to_owned(),
    ];
    for change in changes {
        let body = &signed.signed().body;
        let mut message: wire::Manifest = incamera_wire::decode(body, usize::MAX).unwrap();
        change(&mut message);
        let parsed = Manifest::parse(&incamera_wire::encode(&message));
        assert!(
            matches!(parsed, Err(ManifestError::Malformed { .. })),
            "{parsed:?}"
        );
    }
}
