//! All that one provider stores after real runs, in the hands of somebody who wants to link it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use incamera_group::Scalar;
use incamera_keys::{Secret32, aead};
use incamera_matching::links::{Entry, LinkTerms, MAX_EDGES};
use incamera_oprf::suite::{Output, finalize, hash_domain};
use incamera_types::{Date, Digest as _, LinkLabel, PurposeName};
use rusqlite::types::Value;

use super::{World, done, email, pair, pairs, world};
use crate::provided::found_in;

/// Rows of a table, whatever they are.
fn rows(world: &World, provider: &str, table: &str) -> Vec<Vec<Value>> {
    let store = world.store(provider);
    let mut select = store.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

fn tables(world: &World, provider: &str) -> Vec<String> {
    let store = world.store(provider);
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut select = store.prepare(names).unwrap();
    let names = select.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

fn entries(world: &World, provider: &str) -> Vec<Entry> {
    let store = world.store(provider);
    let all = "SELECT label, purpose, source, expires, value FROM links";
    let mut select = store.prepare(all).unwrap();
    let rows = select.query_map([], |row| {
        Ok(Entry {
            label: LinkLabel::from_bytes(row.get(0)?),
            purpose: row.get::<_, String>(1)?.parse().unwrap(),
            source: row.get::<_, String>(2)?.parse().unwrap(),
            expires: Date::from_days(row.get(3)?),
            value: row.get(4)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The share in a provider's store, and its place: whoever has the store and its key ring has it.
fn share(world: &World, provider: &str) -> (u16, Scalar) {
    let store = world.store(provider);
    let of = "SELECT agreement_id, epoch, number, place, sealed FROM shares WHERE waits = 0";
    let (id, epoch, number, place, sealed): (Vec<u8>, u32, u64, u16, Vec<u8>) = store
        .query_row(of, [], |row| {
            let number: i64 = row.get(2)?;
            Ok((
                row.get(0)?,
                row.get(1)?,
                number.cast_unsigned(),
                row.get(3)?,
                row.get(4)?,
            ))
        })
        .unwrap();
    const LABEL: &str = "incamera-provider-share/1";
    let (epoch, number, at) = (
        epoch.to_be_bytes(),
        number.to_be_bytes(),
        place.to_be_bytes(),
    );
    let fields: [&[u8]; 4] = [&id, &epoch, &number, &at];
    let ring = Secret32::from_bytes([provider.as_bytes()[0]; 32]);
    let bound = [&[LABEL.as_bytes()], fields.as_slice()].concat().concat();
    let plain = aead::open(&ring.derive_for(LABEL, &fields), &bound, &sealed).unwrap();
    let share = Scalar::from_canonical_bytes(plain.as_slice().try_into().unwrap()).unwrap();
    (place, share)
}

/// `F` of an id under what somebody takes for the key.
fn evaluated(world: &World, key: &Scalar, kind: &str, id: &str) -> Output {
    let active = world.active();
    let agreement = active.agreement();
    let epoch = agreement.matching.epoch.0.to_be_bytes();
    let fields: [&[u8]; 5] = [
        b"incamera-provider-input/1",
        agreement.id.as_bytes(),
        &epoch,
        kind.as_bytes(),
        id.as_bytes(),
    ];
    let input: Vec<u8> = fields
        .iter()
        .flat_map(|field| [&[u8::try_from(field.len()).unwrap()], *field].concat())
        .collect();
    let point = hash_domain().hash(&input).multiply(key);
    finalize(&input, &point.encode()).unwrap()
}

fn terms(world: &World) -> LinkTerms {
    let active = world.active();
    let agreement = active.agreement();
    LinkTerms {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
        from: "cookie".parse().unwrap(),
        to: "email".parse().unwrap(),
        purposes: agreement.leaf_purposes(),
    }
}

/// How many entries a dictionary of all ids finds and opens under a key.
fn found_with(world: &World, entries: &[Entry], cookies: &[String], key: &Scalar) -> usize {
    let by_label: BTreeMap<_, Vec<&Entry>> =
        entries.iter().fold(BTreeMap::new(), |mut all, one| {
            all.entry(one.label).or_insert_with(Vec::new).push(one);
            all
        });
    let (terms, today) = (terms(world), Date::from_days(0));
    let purposes: Vec<PurposeName> = terms.purposes.iter().cloned().collect();
    let mut found = 0;
    for cookie in cookies {
        let output = evaluated(world, key, "cookie", cookie);
        for source in ["mailer", "press", "shop"].map(|name| name.parse().unwrap()) {
            for purpose in &purposes {
                for number in 0..MAX_EDGES as u64 {
                    let label = terms.label(&output, purpose, &source, number);
                    let asked = (purpose, &source, number);
                    let under = by_label.get(&label).into_iter().flatten();
                    found += under
                        .filter(|entry| terms.open(&output, asked, entry, today).is_ok())
                        .count();
                }
            }
        }
    }
    found
}

/// Eight bytes that stand in two entries would join them.
fn shared_windows(entries: &[Entry]) -> usize {
    let mut seen = BTreeSet::new();
    let all = entries.iter().flat_map(|entry| {
        entry
            .label
            .as_bytes()
            .windows(8)
            .chain(entry.value.windows(8))
    });
    all.filter(|window| !seen.insert(*window)).count()
}

#[test]
fn what_one_provider_stores_links_nothing() {
    let world = world();
    world.match_emails(0..60);
    done(world.put("shop", &pairs()));
    done(world.put("mailer", &(20..60).map(|n| pair(n, n)).collect::<Vec<_>>()));
    done(world.looked_up(0..60));
    // Nothing of the look-ups, of ids or of pseudonyms is there, in no table and no byte of any
    // file; the control finds both at their owners'.
    let names = [
        "batches",
        "link_counts",
        "links",
        "provider",
        "refreshes",
        "sessions",
        "shares",
        "versions",
    ];
    let mut found = tables(&world, "alpha");
    found.sort();
    assert_eq!(found, names);
    let cookies: Vec<_> = (0..60).map(|n| format!("cookie-{n}")).collect();
    let texts = cookies.iter().cloned().chain((0..60).map(email));
    let values = world
        .crosswalk("shop")
        .into_values()
        .chain(world.crosswalk("press").into_values());
    let secrets: Vec<Vec<u8>> = texts
        .map(String::into_bytes)
        .chain(values.map(|p| p.as_bytes().to_vec()))
        .collect();
    let folder = &world.providers["alpha"].folder;
    assert_eq!(found_in(folder, &secrets), 0);
    assert!(found_in(&fs::canonicalize(world.path("shop")).unwrap(), &secrets) >= 2);
    for table in names {
        for value in rows(&world, "alpha", table).into_iter().flatten() {
            let bytes = match value {
                Value::Blob(bytes) => bytes,
                Value::Text(text) => text.into_bytes(),
                _ => continue,
            };
            let held = secrets
                .iter()
                .any(|secret| bytes.windows(secret.len()).any(|at| at == secret));
            assert!(!held, "{table}");
        }
    }

    // Entries of one id have nothing in common, within an upload, between two uploads of one id
    // by two sources, and with the runs that were evaluated.
    let entries = entries(&world, "alpha");
    assert_eq!(shared_windows(&entries), 0);
    let twice: Vec<_> = entries.iter().take(1).chain(&entries).cloned().collect();
    assert!(
        shared_windows(&twice) > 100,
        "the control joins an entry with itself"
    );
    let digests: BTreeSet<Vec<u8>> = rows(&world, "alpha", "batches")
        .into_iter()
        .flatten()
        .filter_map(|value| match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        })
        .collect();
    assert!(!digests.is_empty());
    for entry in &entries {
        let label = entry.label.as_bytes().as_slice();
        assert!(!digests.iter().any(|digest| digest.as_slice() == label));
    }
    // What stands in clear is the same of many entries: whose, for what, until which week.
    let mut groups: BTreeMap<_, usize> = BTreeMap::new();
    for entry in &entries {
        assert_eq!(entry.value.len(), 96);
        *groups
            .entry((&entry.source, &entry.purpose, entry.expires))
            .or_default() += 1;
    }
    assert!(
        groups.values().all(|size| size.is_multiple_of(32)),
        "{groups:?}"
    );
    // Two purposes each; the shop's in two weeks (today's, and the key's last).
    assert_eq!(groups.len(), 2 * 2 + 2, "{groups:?}");

    // A dictionary of all ids with the one share finds nothing, by whatever it takes for the key;
    // the control has two shares, which make the key, and finds every entry that there is.
    let (one, alphas) = share(&world, "alpha");
    let (other, betas) = share(&world, "beta");
    assert_eq!((one, other), (1, 2));
    let two = Scalar::from_number(2.try_into().unwrap());
    for guessed in [&alphas, &alphas.multiply(&two), &alphas.invert()] {
        assert_eq!(found_with(&world, &entries, &cookies, guessed), 0);
    }
    let key = alphas.multiply(&two).subtract(&betas).unwrap();
    let shops = 80 + 4 + 2;
    assert_eq!(found_with(&world, &entries, &cookies, &key), shops + 2 * 40);
}
