//! A matching peer that sends what it likes, loses its link, and comes back.

use incamera_group::{Backend, EncodedPoint};
use incamera_matching::exchange::{Alike, Base, Block, Resumable, Setup, Side, Tuning};
use incamera_matching::{
    Exchange, MatchError, MatchInput, MatchingSecret, Method, Mode, Partition, Reveals, Seed,
    Terms, Value,
};
use incamera_types::{Digest as _, MatchRunDigest, MatchingEpoch};
use incamera_wire::decode;
use rand_core::{Infallible, TryCryptoRng, TryRng};

use crate::reach::reached;

/// Gives one byte for ever, so that the run has the name that the vectors' peers know.
struct Constant(u8);

impl TryRng for Constant {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}
impl TryCryptoRng for Constant {}

/// The mailer of the vectors of crate `matching`, and its journal.
struct Mailer {
    exchange: Exchange,
    own: Vec<Value>,
    theirs: Vec<Value>,
}

const IDS: [&str; 3] = ["ana@mail.example", "bo@mail.example", "cy@mail.example"];

pub(crate) fn terms(reveals: Reveals) -> Terms {
    let id = "783d523ec432dd16ce190c6d911f58d02768a86fce9f11cd6b23aefe5ff392ba";
    let digest = "442bbfcbb78490f1e71a8ecee35cfa8c97e12433016247121db2ca3cf85a2cf0";
    Terms {
        agreement_id: id.parse().unwrap(),
        agreement_digest: digest.parse().unwrap(),
        epoch: MatchingEpoch(1),
        id_kind: "email".parse().unwrap(),
        method: Method::Commutative,
        reveals,
        max_ids: 1000,
    }
}

impl Mailer {
    /// `how`: 1 own-matches, 2 proofs, 4 a run that was cut off.
    fn new(how: u8) -> Self {
        let reveals = match how & 1 {
            0 => Reveals::Nothing,
            _ => Reveals::OwnMatches,
        };
        let terms = terms(reveals);
        let (me, peer) = ("mailer".parse().unwrap(), "shop".parse().unwrap());
        let partition = Partition::WHOLE;
        let input = MatchInput {
            terms: &terms,
            rules: 2,
            mode: Mode::Full,
            partition,
            me: &me,
            peer: &peer,
            ids: [1; 32],
            crosswalk: [2; 32],
        };
        let keys = Seed::from_bytes([3; 32]).run(&input.digest());
        let held: usize = if how & 4 == 0 { 0 } else { 2 };
        let resume = (held > 0).then(|| Resumable {
            nonce: [7; 32],
            run: MatchRunDigest::from_bytes([9; 32]),
            received: 1,
            raised: 2,
        });
        let setup = Setup {
            terms,
            me,
            peer,
            secret: &MatchingSecret::from_key(&[0x11; 32]),
            keys: &keys,
            own: IDS.len() as u64,
            mode: Mode::Full,
            alike: Alike {
                rules: 2,
                partition,
            },
            numbering: String::new(),
            base: Base::default(),
            row_keys: how & 2 != 0,
            tuning: Tuning::new(2, 4).unwrap(),
            backend: Backend::best(),
            resume,
        };
        Self {
            exchange: Exchange::new(setup, &mut Constant(7)).unwrap(),
            own: vec![[0; 16]; held.min(1)],
            theirs: vec![[0; 16]; held],
        }
    }

    /// Whatever is due: ids, values, work, writing.
    fn work(&mut self) -> Result<(), MatchError> {
        let _ = self.exchange.begin();
        loop {
            while let Some(keep) = self.exchange.to_keep() {
                let values = match keep.side {
                    Side::Own => &mut self.own,
                    Side::Theirs => &mut self.theirs,
                };
                assert_eq!(values.len() as u64, keep.first);
                values.extend(&keep.values);
                self.exchange.kept(keep.mark)?;
            }
            if let Some(asked) = self.exchange.recall() {
                let range = &asked.places;
                let values = &self.theirs[range.start as usize..range.end as usize];
                self.exchange.recalled(&asked, values.to_vec())?;
            }
            if let Some(range) = self.exchange.wanted() {
                let mut ids = Block::new();
                let wanted = &IDS[range.start as usize..range.end as usize];
                wanted.iter().for_each(|id| ids.push(id.as_bytes()));
                self.exchange.give(range.start, ids)?;
            }
            let Some(job) = self.exchange.job() else {
                return Ok(());
            };
            self.exchange.done(job.work())?;
        }
    }

    fn check(&self) {
        let progress = self.exchange.progress();
        assert!(progress.own <= progress.own_total);
        assert!(progress.theirs <= progress.theirs_total || self.exchange.agreed().is_none());
        assert!(!self.exchange.is_finished() || self.own.len() == IDS.len());
    }
}

/// How the mailer is set up; then a peer's messages, each after its length in two bytes, whose
/// first bit says that the link is lost instead.
pub fn exchange(data: &[u8]) {
    let Some((how, mut rest)) = data.split_first() else {
        return;
    };
    if let Some(points) = EncodedPoint::split(rest) {
        assert_eq!(EncodedPoint::join(&points), rest);
    }
    let (mut mailer, mut lost) = (Mailer::new(*how), false);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        while mailer.exchange.outgoing().is_some() {}
        let length = u16::from_be_bytes(*length);
        if length & 0x8000 != 0 {
            if let Err(error) = mailer.exchange.rejoin() {
                assert!(matches!(error, MatchError::GetsNowhere { .. }), "{error}");
                return;
            }
            (rest, lost) = (after, true);
            continue;
        }
        let (message, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let Ok(message) = decode(message, message.len()) else {
            continue;
        };
        let taken = mailer.exchange.incoming(message);
        if taken.and_then(|()| mailer.work()).is_err() {
            assert!(!mailer.exchange.is_finished() && mailer.exchange.outgoing().is_none());
            return;
        }
        mailer.check();
        if mailer.exchange.must_start_anew() {
            let _ = mailer.exchange.start_anew();
            return;
        }
    }
    while mailer.exchange.outgoing().is_some() {}
    let (finished, kept) = (mailer.exchange.is_finished(), mailer.theirs.len() as u64);
    match mailer.exchange.finish() {
        Ok(done) => {
            assert!(finished && done.own == IDS.len() as u64 && done.theirs == kept);
            reached(["finished", "finished: own matches"][usize::from(how & 1)]);
            if lost {
                reached("finished by another link");
            }
        }
        Err(error) => assert!(!finished && matches!(error, MatchError::EndedEarly { .. })),
    }
}
