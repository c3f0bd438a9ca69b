use std::collections::HashSet;

use incamera_group::mul_add;
use incamera_wire::v1::VolePart;

use super::*;
use crate::okvs::{BinnedRows, decode, eliminate, encode, power};
use crate::oprf::message::{Step, Transcript};
use crate::oprf::values::values;

/// What both sides hold after step 9 of a direction.
struct Held {
    run: Run,
    /// The receiver's.
    a: Elements,
    /// The sender's.
    sum: Elements,
    delta: Factor,
    transcript: Transcript,
    /// What the sender saw of the receiver's ids.
    masked: Vec<Gf128>,
}

impl Held {
    /// With a store that the receiver chose, under its mask or under none.
    fn new(run: Run, store: &[Gf128], masks: bool, seed: u64) -> Self {
        let (mut receiver, VoleS { b: mut sum, delta }) = dealt(store.len(), &mut rng(seed));
        if !masks {
            receiver.c.iter_mut().for_each(|c| *c = Gf128::ZERO);
            receiver.a = sum.clone();
        }
        let masked: Vec<_> = receiver.c.iter().zip(store).map(|(c, p)| *c + *p).collect();
        mul_add(&mut sum, &masked, *delta);
        let transcript = Transcript::new(&run.context());
        Self {
            run,
            a: receiver.a,
            sum,
            delta,
            transcript,
            masked,
        }
    }

    fn rows(&self, ids: std::ops::Range<u64>) -> BinnedRows {
        BinnedRows::new(self.run.shape().unwrap(), &hashed(&self.run.domain, ids))
    }

    /// What the receiver's side of the equation gives, for ids it encoded and for others.
    fn by_receiver(&self, ids: std::ops::Range<u64>) -> Values {
        values(&self.a, None, &self.rows(ids), &self.transcript)
    }

    fn by_sender(&self, ids: std::ops::Range<u64>) -> Values {
        values(
            &self.sum,
            Some(&self.delta),
            &self.rows(ids),
            &self.transcript,
        )
    }
}

fn store(run: &Run, ids: std::ops::Range<u64>) -> Elements {
    encode(&BinnedRows::new(
        run.shape().unwrap(),
        &hashed(&run.domain, ids),
    ))
    .unwrap()
}

/// The coefficients of an id in the receiver's store, and its value.
fn equation(run: &Run, id: u64) -> Vec<Gf128> {
    let shape = run.shape().unwrap();
    let hash = run.domain.id_hasher().hash(&id.to_le_bytes());
    let mut terms = vec![Gf128::ZERO; usize::from(shape.columns)];
    let (_, columns) = hash.place(shape.bins, shape.columns);
    columns
        .iter()
        .for_each(|column| terms[usize::from(*column)] = Gf128::ONE);
    terms.extend((0..usize::from(shape.dense)).map(|k| power(hash.row, k)));
    terms.push(hash.value);
    terms
}

/// Takes from an equation what earlier ones have; whether anything is left of it.
fn independent(mut terms: Vec<Gf128>, basis: &mut Vec<(usize, Vec<Gf128>)>) -> bool {
    let unknowns = terms.len() - 1;
    for (pivot, equation) in basis.iter() {
        let factor = terms[*pivot];
        mul_add(&mut terms, equation, factor);
    }
    let Some(pivot) = terms[..unknowns]
        .iter()
        .position(|term| *term != Gf128::ZERO)
    else {
        return false;
    };
    let inverse = terms[pivot].invert().unwrap();
    terms.iter_mut().for_each(|term| *term = *term * inverse);
    basis.push((pivot, terms));
    true
}

/// A receiver that declared 64 ids fits as many as the store has columns, and no more: this is
/// the figure of the module's documentation.
#[test]
fn a_store_fits_as_many_ids_as_it_has_columns_and_no_more() {
    let run = run(64, 1, Reveals::Nothing);
    let length = run.shape().unwrap().len();
    let mut basis = Vec::new();
    let fits = |id: &u64| basis.len() < length && independent(equation(&run, *id), &mut basis);
    let chosen: Vec<u64> = (0..5_000).filter(fits).collect();
    assert_eq!((length, chosen.len()), (163, 163));

    let system = chosen.iter().map(|id| equation(&run, *id)).collect();
    let held = Held::new(run, &eliminate(system, length).unwrap(), true, 1);
    let (theirs, ours) = (held.by_receiver(0..5_000), held.by_sender(0..5_000));
    let right: Vec<u64> = (0..5_000)
        .filter(|id| theirs[*id as usize] == ours[*id as usize])
        .collect();
    assert_eq!(right, chosen);

    // One id more has no solution.
    let more = (0..5_000).find(|id| !chosen.contains(id)).unwrap();
    let system = chosen
        .iter()
        .chain([&more])
        .map(|id| equation(&run, *id))
        .collect();
    assert!(eliminate(system, length).is_none());
    // At other sizes, in thousandths of what was declared: the figures of the documentation.
    let figure = |items: u64| OkvsShape::for_items(items).unwrap().len() as u64 * 1000 / items;
    let at = [
        64,
        1 << 10,
        1 << 14,
        1 << 15,
        (1 << 15) + 1,
        1 << 20,
        1 << 22,
    ];
    assert_eq!(at.map(figure), [2546, 1486, 1278, 1260, 1361, 1318, 1318]);
    assert!((1 << 14..1 << 17).all(|items| (1260..1370).contains(&figure(items))));
}

/// A direction that was played, and what went across.
struct Played {
    run: Run,
    parts: Vec<VolePart>,
    /// The receiver's, at the end and while its store was on the way.
    theirs: Output,
    a: Elements,
    /// The sender's.
    ours: Output,
    made: VoleS,
}

impl Played {
    fn new(run: Run, x: std::ops::Range<u64>, y: std::ops::Range<u64>, seed: u64) -> Self {
        let (mut receiver, mut sender) = whole(run, x, y, seed);
        let (mut parts, mut a, mut made) = (Vec::new(), None, None);
        loop {
            let from_sender = sender.outgoing();
            let Some(part) = from_sender.clone().or_else(|| receiver.outgoing()) else {
                break;
            };
            match from_sender {
                Some(_) => receiver.incoming(&part).unwrap(),
                None => sender.incoming(&part).unwrap(),
            }
            parts.push(part);
            let held = receiver.phase().and_then(Receiving::a);
            a = held.cloned().or(a);
            let held = sender.phase().and_then(Sending::made);
            made = held.cloned().or(made);
        }
        Self {
            run,
            parts,
            theirs: receiver.finish().unwrap(),
            a: a.unwrap(),
            ours: sender.finish().unwrap(),
            made: made.unwrap(),
        }
    }

    /// What the values hang on: the steps up to 9.
    fn transcript(&self) -> Transcript {
        let mut transcript = Transcript::new(&self.run.context());
        for step in STEPS {
            let parts = self.parts.iter().filter(|part| part.step == step as u32);
            let content: Vec<_> = parts.flat_map(|part| part.content.clone()).collect();
            transcript.add(step, &content);
        }
        transcript
    }

    fn values(
        &self,
        vector: &Elements,
        delta: Option<&Factor>,
        ids: std::ops::Range<u64>,
    ) -> Values {
        let ids = hashed(&self.run.domain, ids);
        let rows = BinnedRows::new(self.run.shape().unwrap(), &ids);
        values(vector, delta, &rows, &self.transcript())
    }

    /// The values of any ids, by the sender's key.
    fn by_key(&self, ids: std::ops::Range<u64>) -> Values {
        let VoleS { b: mut sum, delta } = self.made.clone();
        let store = self
            .parts
            .iter()
            .filter(|part| part.step == Step::Store as u32);
        let store: Vec<_> = store.flat_map(|part| part.content.clone()).collect();
        let masked = store[DIGEST_BYTES..].as_chunks().0.iter().copied();
        let masked: Vec<_> = masked.map(Gf128::from_bytes).collect();
        mul_add(&mut sum, &masked, *delta);
        self.values(&sum, Some(&delta), ids)
    }
}

/// The steps that values hang on, in order.
const STEPS: [Step; 9] = [
    Step::Transfers,
    Step::Corrections,
    Step::Challenge,
    Step::Answer,
    Step::Trees,
    Step::SumChallenge,
    Step::Sum,
    Step::Store,
    Step::Opened,
];

/// I2: after a run of both directions, with its key, its vectors, everything that went across
/// and a dictionary with every id of the other side, a party finds no pseudonym of the other's
/// rows. With the values of one direction alone it finds them all.
#[test]
fn i2_a_dictionary_finds_no_pseudonym_of_the_others_rows() {
    let dictionary = 0..100_000;
    let (theirs, ours) = (0..300, 200..500);
    let run = |direction| Run {
        direction,
        ..run(300, 300, Reveals::Nothing)
    };
    // We are the sender where their ids are evaluated, and the receiver where ours are.
    let first = Played::new(run(Direction::First), theirs.clone(), ours.clone(), 2);
    let second = Played::new(run(Direction::Second), ours.clone(), theirs, 3);
    let pseudonyms = Pseudonyms::new(&[b"agreement"]);
    let values = first.theirs.values.iter().zip(&*second.ours.values);
    let rows: Vec<_> = values
        .clone()
        .map(|(f, s)| pseudonyms.of(f, Some(s)))
        .collect();
    let (only_theirs, common) = rows.split_at(200);

    let by_key = first.by_key(dictionary.clone());
    assert!(by_key[..300] == *first.theirs.values && by_key[200..500] == *first.ours.values);
    let by_vector = second.values(&second.a, None, dictionary.clone());
    assert!(by_vector[200..500] == *second.theirs.values);
    // As if the other's key were ours: our store and our vector make what it has.
    let mut turned = second.a.clone();
    let delta = &first.made.delta;
    mul_add(&mut turned, &store(&second.run, ours), **delta);
    let by_own_key = second.values(&turned, Some(delta), dictionary);
    let guesses: HashSet<_> = (by_key.iter().zip(&*by_vector))
        .chain(by_key.iter().zip(&*by_own_key))
        .map(|(f, s)| pseudonyms.of(f, Some(s)))
        .chain(by_key.iter().map(|f| pseudonyms.of(f, None)))
        .chain(by_key.iter().map(|f| pseudonyms.of(f, Some(f))))
        .chain(by_key.iter().take(500).flat_map(|f| {
            let known = second.theirs.values.iter();
            known.map(|s| pseudonyms.of(f, Some(s)))
        }))
        .collect();
    assert!(only_theirs.iter().all(|row| !guesses.contains(row)));
    // It does know those of the ids in common, as it must.
    assert!(common.iter().all(|row| guesses.contains(row)));

    // Nothing that went across is one of their values or pseudonyms or half of an id's hash, or has
    // one in it.
    let hashes = [&first, &second].map(|played| hashed(&played.run.domain, 0..1_000));
    let halves = hashes.iter().flatten();
    let halves: Vec<_> = halves
        .flat_map(|hash| [hash.row.to_bytes(), hash.value.to_bytes()])
        .collect();
    let secret = values.flat_map(|(f, s)| [f.secret(), s.secret()]);
    let secret = secret.chain(halves.iter().map(<[_; 16]>::as_slice));
    let secret: HashSet<_> = secret.chain(rows.iter().map(<[_; 16]>::as_slice)).collect();
    let parts = first.parts.iter().chain(&second.parts);
    let mut windows = parts.flat_map(|part| part.content.windows(16));
    assert!(windows.all(|bytes| !secret.contains(bytes)));

    let mut single = first
        .theirs
        .values
        .iter()
        .map(|value| pseudonyms.of(value, None));
    assert!(single.all(|pseudonym| guesses.contains(&pseudonym)));
}

/// What the sender sees of the store shows none of the ids in it; without the mask it shows all.
#[test]
fn a_masked_store_hides_its_ids() {
    let run = run(1000, 1, Reveals::Nothing);
    let ids = store(&run, 0..1000);
    let found = |masks: bool| {
        let held = Held::new(run, &ids, masks, 4);
        let rows = held.rows(0..20_000);
        let products = decode(&held.masked, &rows);
        let pairs = products.iter().zip(rows.rows());
        let zeros = held
            .masked
            .iter()
            .filter(|element| **element == Gf128::ZERO)
            .count();
        (
            pairs
                .filter(|(product, row)| **product == row.value)
                .count(),
            zeros,
        )
    };
    assert_eq!(found(true), (0, 0));
    let (ids, zeros) = found(false);
    assert_eq!(ids, 1000);
    // The columns that nothing settles.
    assert!(zeros > 400, "{zeros}");
}

/// Without the key's part an id that was not encoded has no value that the sender would give.
#[test]
fn no_other_id_has_a_value() {
    let run = run(500, 1, Reveals::Nothing);
    let held = Held::new(run, &store(&run, 0..500), true, 5);
    let theirs: HashSet<_> = held
        .by_receiver(500..20_000)
        .iter()
        .map(|value| value.tag(16).to_vec())
        .collect();
    let ours = held.by_sender(0..20_000);
    assert!(ours.iter().all(|value| !theirs.contains(value.tag(16))));
    assert!(*held.by_receiver(0..500) == ours[..500]);
}
