//! I3: even with the owner's own key ring and manifest, and nobody to refuse, a column opens for
//! no purpose that it does not serve or that the row's person did not agree to.
//!
//! `crates/seal` has the same of wraps that were moved, renamed or cut.

use std::collections::BTreeSet;
use std::fs::File;

use arrow::array::{Array as _, FixedSizeBinaryArray};
use incamera_seal::{
    KeyRing, NoKey, Part, SignedManifest, granted_parts, part_path, read_part, unwrap_keys,
};
use incamera_types::{ColumnName, ColumnSpec, ColumnType, PurposeSet};

use super::story::{SHOP_ONLY, Story};
use super::support::{Holdings, purpose};

fn columns(names: &[&str]) -> Vec<ColumnName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn set(names: &[&str]) -> PurposeSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// What the shop's broker has at hand, with nobody to check anything.
struct Insider<'a> {
    holdings: Holdings<'a>,
    ring: KeyRing,
}

impl<'a> Insider<'a> {
    fn at(folder: &'a tempfile::TempDir) -> Self {
        let holdings = Holdings(folder.path());
        Self {
            ring: holdings.ring("shop"),
            holdings,
        }
    }

    /// The pseudonyms that a purpose opens in a data set.
    fn people(&self, manifest: &SignedManifest, name: &str) -> BTreeSet<[u8; 16]> {
        let columns = columns(&["person"]);
        let keys = unwrap_keys(manifest, &purpose(name), &columns, &self.ring).unwrap();
        let parts = granted_parts(manifest, &purpose(name), &columns, keys).unwrap();
        let folder = self.holdings.sealed("shop", manifest.dataset().as_str());
        let mut people = BTreeSet::new();
        for (id, keys) in &parts {
            let part = manifest.part(id).unwrap();
            let file = File::open(part_path(&folder, id)).unwrap();
            for batch in read_part(file, manifest, part, keys, &columns, 100).unwrap() {
                let batch = batch.unwrap();
                let person: &FixedSizeBinaryArray =
                    batch.column(0).as_any().downcast_ref().unwrap();
                people.extend(
                    (0..person.len()).map(|row| <[u8; 16]>::try_from(person.value(row)).unwrap()),
                );
            }
        }
        people
    }

    /// The pseudonyms of the shop's people, without those of whom `left_out` says so.
    fn pseudonyms(&self, left_out: impl Fn(&str) -> bool) -> BTreeSet<[u8; 16]> {
        let crosswalk = self.holdings.crosswalk("shop");
        let kept = crosswalk.iter().filter(|(id, _)| !left_out(id));
        kept.map(|(_, pseudonym)| *pseudonym.as_bytes()).collect()
    }
}

/// Every tenth person of the small data refuses `measurement`.
fn refuses(id: &str) -> bool {
    id != SHOP_ONLY
        && id
            .trim_start_matches('p')
            .split('@')
            .next()
            .unwrap()
            .ends_with('9')
}

#[test]
fn i3_no_key_of_a_measurement_column_exists_for_ads() {
    let folder = Story::get().files.restore(&["shop"]);
    let insider = Insider::at(&folder);
    let manifest = insider.holdings.manifest("shop", "purchases");
    for names in [
        &["amount"][..],
        &["day"],
        &["person", "day", "amount"],
        &["person"],
    ] {
        let error =
            unwrap_keys(&manifest, &purpose("ads"), &columns(names), &insider.ring).unwrap_err();
        assert!(
            matches!(error, NoKey::NotWrapped { .. }),
            "{names:?}: {error}"
        );
    }
    // For its own purpose each opens.
    let keys = unwrap_keys(
        &manifest,
        &purpose("measurement"),
        &columns(&["amount"]),
        &insider.ring,
    );
    assert_eq!(keys.unwrap().len(), 2 * manifest.parts().len());
    // And nothing at all is wrapped for ads, neither a column nor a footer.
    let wraps = manifest
        .parts()
        .iter()
        .flat_map(|part| &part.keys)
        .flat_map(|key| &key.wraps);
    assert!(wraps.clone().count() > 0);
    assert!(
        wraps
            .clone()
            .all(|wrap| wrap.purpose == purpose("measurement"))
    );
}

#[test]
fn i3_who_refused_measurement_opens_for_ads_alone() {
    let folder = Story::get().files.restore(&["shop"]);
    let insider = Insider::at(&folder);
    let customers = insider.holdings.manifest("shop", "customers");
    let everybody = insider.pseudonyms(|_| false);
    let consenting = insider.pseudonyms(refuses);
    assert_eq!((everybody.len(), consenting.len()), (241, 217));
    assert_eq!(insider.people(&customers, "ads"), everybody);
    assert_eq!(insider.people(&customers, "measurement"), consenting);
    // Of the purchases of those who refused nothing was sealed, for no column may open.
    let purchases = insider.holdings.manifest("shop", "purchases");
    assert!(
        insider
            .people(&purchases, "measurement")
            .is_subset(&consenting)
    );
    assert!(
        purchases
            .parts()
            .iter()
            .all(|part| part.class.contains(&purpose("measurement")))
    );
}

#[test]
fn i3_wraps_are_exactly_those_of_column_and_class() {
    let folder = Story::get().files.restore(&["shop", "mailer"]);
    let holdings = Holdings(folder.path());
    let agreement = holdings.agreement();
    let mut classes = BTreeSet::new();
    for (party, dataset) in [
        ("shop", "customers"),
        ("shop", "purchases"),
        ("mailer", "mailing"),
    ] {
        let manifest = holdings.manifest(party, dataset);
        let spec = &agreement.datasets[&dataset.parse::<incamera_types::DatasetName>().unwrap()];
        for part in manifest.parts() {
            classes.insert(part.class.to_string());
            // The footer and the pseudonym open under any purpose for which some column does.
            let own = |column: &ColumnSpec| column.purposes.intersection(&part.class);
            let any = spec
                .stored_columns()
                .fold(set(&[]), |any, column| any.union(&own(column)));
            assert_eq!(wraps(part, None), any, "{dataset}");
            for column in spec.stored_columns() {
                let pseudonym = column.ty == ColumnType::Pseudonym;
                let expected = if pseudonym { any.clone() } else { own(column) };
                assert_eq!(
                    wraps(part, Some(&column.name)),
                    expected,
                    "{dataset}.{}",
                    column.name
                );
            }
        }
    }
    assert!(classes.len() >= 2, "{classes:?}");
}

/// The purposes that a key of a part is wrapped for.
fn wraps(part: &Part, column: Option<&ColumnName>) -> PurposeSet {
    let key = part.key(column);
    key.into_iter()
        .flat_map(|key| &key.wraps)
        .map(|wrap| wrap.purpose.clone())
        .collect()
}

/// The mailer's ring opens nothing of the shop's.
#[test]
fn i3_another_partys_ring_opens_nothing() {
    let folder = Story::get().files.restore(&["shop", "mailer"]);
    let holdings = Holdings(folder.path());
    let manifest = holdings.manifest("shop", "purchases");
    let ring = holdings.ring("mailer");
    let error = unwrap_keys(
        &manifest,
        &purpose("measurement"),
        &columns(&["amount"]),
        &ring,
    )
    .unwrap_err();
    assert!(matches!(error, NoKey::NoPurposeKey { .. }), "{error}");
}
