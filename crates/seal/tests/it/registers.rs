//! Registers with several kinds of id, and rows of an owner's own keys of people.

use arrow::array::{Array as _, AsArray as _, FixedSizeBinaryArray, RecordBatch};
use incamera_seal::{NoKey, SealError, Source, unwrap_keys};
use incamera_types::{ColumnSpec, DatasetSpec, IdKind};

use crate::world::{World, column, dataset, name, names, of_kind, pseudonym, purpose};

fn kind(id_kind: &str) -> ColumnSpec {
    ColumnSpec {
        nullable: true,
        id_kind: Some(id_kind.parse().unwrap()),
        ..column(id_kind, "pseudonym", &[])
    }
}

/// The column that says whose row it is stands last: it need not be first.
fn register() -> DatasetSpec {
    let columns = vec![
        kind("email"),
        kind("phone"),
        column("person", "person", &["measurement"]),
        column("consent", "purposes", &[]),
    ];
    dataset("customers", columns)
}

const REGISTER: &str = "person,email,phone,consent\n\
    1,a@x,+491,measurement\n\
    2,b@x,,measurement\n\
    3,,+491,measurement\n\
    4,nobody@x,nobody,measurement\n\
    5,e@x,+495,safety\n\
    6,,,measurement\n";

fn facts() -> DatasetSpec {
    let columns = vec![
        column("person", "person", &[]),
        column("amount", "int", &["measurement"]),
    ];
    dataset("purchases", columns)
}

fn bytes(batch: &RecordBatch, at: usize) -> Vec<Option<[u8; 16]>> {
    let keys: &FixedSizeBinaryArray = batch.column(at).as_fixed_size_binary();
    let value = |at| {
        keys.is_valid(at)
            .then(|| keys.value(at).try_into().unwrap())
    };
    (0..keys.len()).map(value).collect()
}

fn sealed() -> World {
    let mut world = World::new();
    let report = world.seal_csv(&register(), REGISTER).unwrap();
    // Ids that were never matched are counted, and are as none.
    let unmatched = [name("email"), name("phone")].map(|name| (name, 1));
    assert_eq!(report.replaced, unmatched.into());
    assert_eq!((report.rows, report.without_pseudonym), (6, 0));
    world.consents = report.consents;
    world
}

#[test]
fn a_register_has_the_pseudonyms_of_each_kind() {
    let world = sealed();
    let columns = ["person", "email", "phone"];
    let mut found = Vec::new();
    for (part, batch) in world.read("customers", "measurement", &columns) {
        let people = bytes(&batch, 0);
        assert!(people.is_sorted(), "sorted by the owner's own keys");
        let (emails, phones) = (bytes(&batch, 1), bytes(&batch, 2));
        for (at, person) in people.iter().enumerate() {
            let person = incamera_types::Pseudonym::from_bytes(person.unwrap());
            assert_eq!(person.partition(world.partitions), part.partition);
            found.push((person, emails[at], phones[at]));
        }
    }
    let key = |id_kind: &str, id: &str| {
        let id_kind: IdKind = id_kind.parse().unwrap();
        of_kind(&id_kind, id).map(|key| *key.as_bytes())
    };
    let expected = [
        ("1", key("email", "a@x"), key("phone", "+491")),
        ("2", key("email", "b@x"), None),
        ("3", None, key("phone", "+491")),
        ("4", None, None),
        ("6", None, None),
    ];
    let expected = expected.map(|(id, email, phone)| (pseudonym(id).unwrap(), email, phone));
    let mut expected = expected.to_vec();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "and nobody without the consent");
}

#[test]
fn i3_kinds_open_as_people_do_and_for_nothing_else() {
    let world = sealed();
    let manifest = world.manifest("customers").manifest().clone();
    let all = names(&["person", "email", "phone"]);
    let ads = unwrap_keys(&manifest, &purpose("ads"), &all, &world.ring);
    assert!(matches!(ads, Err(NoKey::NotWrapped { .. })), "{ads:?}");
    let safety = unwrap_keys(&manifest, &purpose("safety"), &all, &world.ring);
    assert!(
        matches!(safety, Err(NoKey::NotWrapped { .. })),
        "{safety:?}"
    );
}

#[test]
fn facts_follow_the_register_by_the_owners_own_keys() {
    let mut world = sealed();
    let csv = "person,amount\n1,10\n5,50\n2,20\n7,70\n";
    world.seal_csv(&facts(), csv).unwrap();
    let read = world.read("purchases", "measurement", &["person", "amount"]);
    let rows = read.iter().map(|(_, batch)| batch.num_rows());
    assert_eq!(
        rows.sum::<usize>(),
        2,
        "5 said no, and of 7 nothing is known"
    );
    assert_eq!(
        world.manifest("purchases").register(),
        Some(world.manifest("customers").digest())
    );
}

#[test]
fn rows_are_of_one_key_alone() {
    let mut world = World::new();
    let mut twice = facts();
    twice.columns.push(column("other", "person", &[]));
    let mut kinds = facts();
    kinds.columns.remove(0);
    kinds.columns.extend([kind("email"), kind("phone")]);
    for spec in [twice, kinds] {
        let path = world.file("rows.csv", "person,other,email,phone,amount\n");
        let refused = world.seal(&spec, &Source::of(&path).unwrap());
        assert!(matches!(refused, Err(SealError::Job { .. })), "{refused:?}");
    }
}
