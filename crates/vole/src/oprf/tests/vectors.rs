//! What `vectors/oprf.py` computes by other means.

use sha2::{Digest as _, Sha256};

use super::*;
use crate::okvs::{BinnedRows, encode};
use crate::toss::Toss;
use crate::vectors::Vectors;

fn named(domain: &Domain, kind: &str, ids: std::ops::Range<usize>) -> Vec<IdHash> {
    let hasher = domain.id_hasher();
    ids.map(|id| hasher.hash(format!("{kind}{id}@mail.example").as_bytes()))
        .collect()
}

fn digest_of(elements: &[Gf128]) -> [u8; 32] {
    let bytes: Vec<_> = elements
        .iter()
        .flat_map(|element| element.to_bytes())
        .collect();
    Sha256::digest(bytes).into()
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let words = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .copied()
        .map(u32::from_be_bytes);
    words.collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn rows_and_shapes_are_those_of_the_vectors() {
    let mut vectors = Vectors::new(include_str!("../../../vectors/v1/rows.txt"));
    let hasher = Domain::from_digest(vectors.array("domain")).id_hasher();
    for _ in 0..vectors.number("ids") {
        let hash = hasher.hash(&vectors.bytes("id"));
        assert_eq!(hash.row.to_bytes(), vectors.array("row"));
        assert_eq!(hash.value.to_bytes(), vectors.array("value"));
        for _ in 0..3 {
            let [bins, columns, bin, a, b, c] = words(&vectors.bytes("place"));
            let (found, at) = hash.place(bins, columns as u16);
            assert_eq!((found, at.map(u32::from)), (bin, [a, b, c]));
        }
    }
    for _ in 0..vectors.number("shapes") {
        let [items, bins, capacity, columns, dense] = words(&vectors.bytes("shape"));
        let shape = OkvsShape::for_items(items.into()).unwrap();
        assert_eq!((shape.bins, shape.capacity), (bins, capacity), "{items}");
        let found = (u32::from(shape.columns), u32::from(shape.dense));
        assert_eq!(found, (columns, dense), "{items}");
    }
    vectors.end();
}

#[test]
fn stores_are_those_of_the_vectors() {
    let mut vectors = Vectors::new(include_str!("../../../vectors/v1/okvs.txt"));
    let domain = Domain::from_digest(vectors.array("domain"));
    for _ in 0..vectors.number("cases") {
        let kind = String::from_utf8(vectors.bytes("kind")).unwrap();
        let mut rows = named(&domain, &kind, 0..vectors.number("ids"));
        let equal = vectors.number("equal") as u128;
        let first = rows.first().copied();
        let equal = first
            .into_iter()
            .flat_map(|first| (1..=equal).map(move |i| (first, i)));
        rows.extend(equal.map(|(first, i)| IdHash {
            row: Gf128::from_bits(first.row.bits() ^ i),
            value: Gf128::from_bits(first.value.bits() ^ (i << 100)),
        }));
        let shape = OkvsShape::for_items(rows.len() as u64).unwrap();
        let store = encode(&BinnedRows::new(shape, &rows)).unwrap();
        let dense = &store[usize::from(shape.columns)..];
        assert_eq!(
            vectors.number("gap") == 0,
            dense.iter().all(|d| *d == Gf128::ZERO)
        );
        assert_eq!(digest_of(&store), vectors.array("store"), "{kind}");
    }
    vectors.end();
}

/// Vectors as the script deals them.
fn dealt(length: usize) -> (VoleR, VoleS) {
    let draw = |name: &str, i: usize| {
        let digest: [u8; 32] = Sha256::digest(format!("{name} {i}")).into();
        Gf128::from_bytes(digest[..16].try_into().unwrap())
    };
    let delta = draw("delta", 0);
    let [b, c] = ["b", "c"].map(|name| (0..length).map(|i| draw(name, i)).collect::<Vec<_>>());
    let a = b.iter().zip(&c).map(|(b, c)| *b + *c * delta).collect();
    let receiver = VoleR {
        a: Zeroizing::new(a),
        c: Zeroizing::new(c),
    };
    (
        receiver,
        VoleS {
            b: Zeroizing::new(b),
            delta: Factor::new(delta),
        },
    )
}

#[test]
fn a_run_is_that_of_the_vectors() {
    let mut vectors = Vectors::new(include_str!("../../../vectors/v1/oprf.txt"));
    let domain = Domain::from_digest(vectors.array("domain"));
    let base = run(20, 20, Reveals::OwnMatches);
    let run = Run {
        domain,
        direction: Direction::Second,
        ..base
    };
    let (of_receiver, of_sender) = dealt(run.shape().unwrap().len());
    let (theirs, ours) = (
        named(&domain, "person", 0..20),
        named(&domain, "person", 10..30),
    );
    let rng = Box::new(ChaCha20Rng::from_seed(vectors.array("receiver")));
    let mut receiver = Receiver::with_vectors(run, &theirs, of_receiver, rng).unwrap();
    let rng = Box::new(ChaCha20Rng::from_seed(vectors.array("sender")));
    let mut sender = Sender::with_vectors(run, &ours, of_sender, rng).unwrap();
    loop {
        let from_sender = sender.outgoing();
        let Some(part) = from_sender.clone().or_else(|| receiver.outgoing()) else {
            break;
        };
        let mut step = vec![part.step as u8];
        step.extend(Sha256::digest(&part.content));
        assert_eq!(step, vectors.bytes("step"), "{}", part.step);
        match from_sender {
            Some(_) => receiver.incoming(&part).unwrap(),
            None => sender.incoming(&part).unwrap(),
        }
    }
    let outputs = [receiver.finish().unwrap(), sender.finish().unwrap()];
    for output in &outputs {
        let bytes: Vec<_> = output
            .values
            .iter()
            .flat_map(|value| value.tag(32))
            .copied()
            .collect();
        assert_eq!(Sha256::digest(bytes)[..], vectors.bytes("values"));
        assert_eq!(
            output
                .matched
                .iter()
                .flatten()
                .filter(|matched| **matched)
                .count(),
            10
        );
    }
    let epoch = 3_u32.to_be_bytes();
    let pseudonyms = Pseudonyms::new(&[b"agreement", &epoch, b"email", b"own-matches"]);
    let [output, _] = outputs;
    let first = &output.values[0];
    assert_eq!(pseudonyms.of(first, None), vectors.array("pseudonym"));
    assert_eq!(
        pseudonyms.of(first, Some(&output.values[1])),
        vectors.array("pseudonym")
    );

    let terms = vectors.array("terms");
    let first = Toss::with_nonce(terms, Direction::First, [1; 32]);
    assert_eq!(first.commitment(), vectors.array("commitment"));
    let second = Toss::with_nonce(terms, Direction::Second, [2; 32]);
    assert_eq!(second.commitment(), vectors.array("commitment"));
    let joined = first.committed(second.commitment()).join(&[2; 32]).unwrap();
    assert_eq!(joined.as_bytes(), &vectors.array("joined"));
    vectors.end();
}
