//! Every file of `vectors/v2`, made by the independent script beside it.

use std::path::Path;

use incamera_group::Backend;
use incamera_matching::exchange::{Alike, Base, Block, Resumable, Setup, Side, Tuning};
use incamera_matching::{
    Exchange, MatchError, MatchInput, MatchingSecret, Partition, Reveals, Seed, Terms, Value,
};
use incamera_types::{MatchingEpoch, Pseudonym};
use incamera_wire::v1::MatchMessage;
use prost::Message;

use crate::vectors::{Constant, Vector, name};

/// A vector that is played, and what it keeps.
struct Played {
    vector: Vector,
    exchange: Exchange,
    ids: Vec<String>,
    own: Vec<Value>,
    theirs: Vec<Value>,
}

fn bytes<const N: usize>(vector: &Vector, name: &str) -> [u8; N] {
    hex::decode(vector.one(name)).unwrap().try_into().unwrap()
}

fn values(vector: &Vector, name: &str) -> Vec<Value> {
    let found = vector.all(name);
    let bytes = found
        .first()
        .map_or_else(Vec::new, |hex| hex::decode(hex).unwrap());
    bytes.as_chunks().0.to_vec()
}

fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(vector: &Vector, name: &str) -> T {
    vector.one(name).parse().unwrap()
}

fn terms(vector: &Vector) -> Terms {
    Terms {
        agreement_id: word(vector, "agreement-id"),
        agreement_digest: word(vector, "agreement-digest"),
        epoch: MatchingEpoch(word(vector, "epoch")),
        id_kind: word(vector, "id-kind"),
        method: word(vector, "method"),
        reveals: word(vector, "reveals"),
        max_ids: word(vector, "max-ids"),
    }
}

impl Played {
    fn start(vector: Vector) -> Self {
        let terms = terms(&vector);
        let (me, peer) = (word(&vector, "party"), word(&vector, "peer"));
        let alike = Alike {
            rules: word(&vector, "rules"),
            partition: Partition::new(word(&vector, "partition"), word(&vector, "partitions"))
                .unwrap(),
        };
        let input = MatchInput {
            terms: &terms,
            rules: alike.rules,
            mode: word(&vector, "mode"),
            partition: alike.partition,
            me: &me,
            peer: &peer,
            ids: bytes(&vector, "ids-digest"),
            crosswalk: bytes(&vector, "crosswalk-digest"),
        };
        let (mode, digest) = (input.mode, input.digest());
        assert_eq!(digest.to_string(), vector.one("input"));
        let keys = Seed::from_bytes(bytes(&vector, "seed")).run(&digest);
        let random = u8::from_str_radix(vector.one("random"), 16).unwrap();
        let ids: Vec<String> = vector.all("id").into_iter().map(str::to_owned).collect();
        let (own, theirs) = (values(&vector, "held-own"), values(&vector, "held-theirs"));
        let resume = vector.all("held-run").first().map(|run| Resumable {
            nonce: [random; 32],
            run: run.parse().unwrap(),
            received: own.len() as u64,
            raised: theirs.len() as u64,
        });
        let setup = Setup {
            terms,
            me,
            peer,
            secret: &MatchingSecret::from_key(&bytes(&vector, "key")),
            keys: &keys,
            own: ids.len() as u64,
            mode,
            alike,
            numbering: String::new(),
            base: Base::default(),
            row_keys: false,
            tuning: Tuning::default(),
            backend: Backend::best(),
            resume,
        };
        Self {
            exchange: Exchange::new(setup, &mut Constant(random)).unwrap(),
            vector,
            ids,
            own,
            theirs,
        }
    }

    /// All that is due before the next message.
    fn work(&mut self) -> Result<(), MatchError> {
        let _ = self.exchange.begin();
        loop {
            while let Some(keep) = self.exchange.to_keep() {
                match keep.side {
                    Side::Own => self.own.extend(&keep.values),
                    Side::Theirs => self.theirs.extend(&keep.values),
                }
                self.exchange.kept(keep.mark)?;
            }
            if let Some(asked) = self.exchange.recall() {
                let range = &asked.places;
                let values = &self.theirs[range.start as usize..range.end as usize];
                self.exchange.recalled(&asked, values.to_vec())?;
            }
            if let Some(range) = self.exchange.wanted() {
                let mut block = Block::new();
                let wanted = &self.ids[range.start as usize..range.end as usize];
                wanted.iter().for_each(|id| block.push(id.as_bytes()));
                self.exchange.give(range.start, block)?;
            }
            let Some(job) = self.exchange.job() else {
                return Ok(());
            };
            self.exchange.done(job.work())?;
        }
    }

    /// An error must come with the last message, or at the end.
    fn play(&mut self) -> Result<(), MatchError> {
        loop {
            while let Some(message) = self.exchange.outgoing() {
                let expected = self.vector.messages.pop_front();
                let found = Some((true, message.encode_to_vec()));
                assert_eq!(expected, found, "a sent message differs");
            }
            let Some((sent, bytes)) = self.vector.messages.pop_front() else {
                return match self.exchange.is_finished() {
                    true => Ok(()),
                    false => Err(MatchError::EndedEarly {
                        peer: word(&self.vector, "peer"),
                    }),
                };
            };
            assert!(!sent, "a message was not sent");
            let message = MatchMessage::decode(bytes.as_slice()).unwrap();
            let taken = self.exchange.incoming(message).and_then(|()| self.work());
            if taken.is_err() {
                assert!(self.vector.messages.is_empty(), "refused too early");
                return taken;
            }
        }
    }

    /// What was kept is what the script computed, pseudonyms included.
    fn check(&self, file: &str) {
        assert_eq!(self.own, values(&self.vector, "own"), "{file}");
        assert_eq!(self.theirs, values(&self.vector, "theirs"), "{file}");
        let terms = terms(&self.vector);
        let makes = terms.pseudonyms();
        let pseudonyms = self.own.iter().map(|value| match terms.reveals {
            Reveals::OwnMatches => makes.of_tag(value),
            _ => Pseudonym::from_bytes(*value),
        });
        let found: Vec<_> = self.ids.iter().cloned().zip(pseudonyms).collect();
        assert_eq!(found, self.vector.pairs("pseudonym"), "{file}");
    }
}

#[test]
fn every_vector_of_the_exchange() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/v2");
    let (mut accepted, mut rejected) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let vector = Vector::read(&path);
        let expect = vector.one("expect").to_owned();
        let mut played = Played::start(vector);
        match played.play() {
            Ok(()) => {
                assert_eq!(expect, "accept", "{file}");
                played.check(&file);
                accepted += 1;
            }
            Err(error) => {
                assert_eq!(expect, format!("reject {}", name(&error)), "{file}");
                rejected += 1;
            }
        }
    }
    assert_eq!((accepted, rejected), (14, 54));
}
