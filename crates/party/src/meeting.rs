//! Where two parties that match meet.
//!
//! Each party's `match run` dials the service of the party whose name comes later: the
//! peer's, or its own. The service knows both by their service keys, waits until both are
//! there, and passes messages on. It sees blinded points only, and keeps nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use incamera_agreement::Agreement;
use incamera_keys::PublicKey;
use incamera_net::agreements::Agreements;
use incamera_net::server::caller;
use incamera_net::services::meeting_server::Meeting as MeetingService;
use incamera_net::services::{MeetingFrame, MeetingHello, MeetingReady, meeting_frame::Frame};
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::{AgreementDigest, AgreementId, Digest, IdKind, PartyName};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Frames under way in one direction: bounds memory to a few megabytes a pair.
const FRAMES_UNDER_WAY: usize = 8;

/// Which matching: version, kind of id, part of the ids.
type Key = (AgreementDigest, IdKind, u32);
type Replies = mpsc::Sender<Result<MeetingFrame, Status>>;

/// One side of a pair.
struct Half {
    party: PartyName,
    agreement: AgreementId,
    /// By this half's version of the agreement.
    owners: Owners,
    frames: Streaming<MeetingFrame>,
    replies: Replies,
}

/// The meeting point.
pub(crate) struct Meeting {
    agreements: Arc<Agreements>,
    waiting: Mutex<HashMap<Key, Half>>,
}

impl Meeting {
    pub(crate) fn new(agreements: Arc<Agreements>) -> Self {
        Self {
            agreements,
            waiting: Mutex::default(),
        }
    }

    /// The caller must be the party that it says it is, and in the agreement.
    async fn admit(
        &self,
        hello: &MeetingHello,
        key: Option<&PublicKey>,
    ) -> Result<(Key, AgreementId, Owners), Status> {
        let digest = AgreementDigest::from_slice(&hello.agreement_digest)
            .map_err(|_| malformed("agreement digest"))?;
        let kind: IdKind = hello.id_kind.parse().map_err(|_| malformed("id kind"))?;
        let name: PartyName = hello.party.parse().map_err(|_| malformed("party"))?;
        let signed = match self.agreements.active_aside(digest).await {
            Ok(signed) => signed,
            Err(refused) => {
                self.tell_of_another_version(hello, &name, key);
                return Err(refused);
            }
        };
        let owners = owners(signed.agreement());
        let known = owners.get(&name);
        if known.is_none() || known != key {
            return Err(Problem::new(
                ProblemKind::Refused,
                "not-the-party",
                format!("the caller is not `{name}`, an owner of data here: its TLS key is not that party's service key"),
            )
            .hint("use the service key that the agreement names")
            .into());
        }
        // At most so many wait as the agreement has parts.
        let parts = hello.partitions.max(1);
        if parts != signed.agreement().matching.match_partitions || hello.partition >= parts {
            return Err(Problem::new(
                ProblemKind::Refused,
                "not-the-parts",
                format!(
                    "the agreement has ids matched in {} parts, and this is part {} of {parts}",
                    signed.agreement().matching.match_partitions,
                    hello.partition
                ),
            )
            .hint("match the parts that this version of the agreement names")
            .into());
        }
        let id = signed.agreement().id;
        Ok(((digest, kind, hello.partition), id, owners))
    }

    /// A party came under a version that does not count here. Who waits for it under another one
    /// would wait in vain: both hear why. Only the party itself, by its service key, ends that.
    fn tell_of_another_version(
        &self,
        hello: &MeetingHello,
        name: &PartyName,
        key: Option<&PublicKey>,
    ) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_waited_for = |of: &Key, half: &Half| {
            let same = is_same_matching(of, &half.agreement, hello);
            let known = half.owners.get(name);
            same && half.party != *name && known.is_some() && known == key
        };
        for (_, half) in waiting.extract_if(|of, half| is_waited_for(of, half)) {
            tracing::info!(party = %half.party, %name, "the other party came with another version");
            let _ = half.replies.try_send(Err(another_version(name)));
        }
    }

    /// The half that waits for this one, or this one is put to wait.
    fn pair(&self, key: Key, half: Half) -> Option<(Half, Half)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.remove(&key) {
            Some(other) if other.party != half.party && !other.replies.is_closed() => {
                Some((other, half))
            }
            // A side that comes again replaces its earlier self.
            _ => {
                waiting.insert(key, half);
                None
            }
        }
    }
}

/// Whether a greeting is of a matching but for the version of its agreement.
fn is_same_matching((_, kind, part): &Key, agreement: &AgreementId, hello: &MeetingHello) -> bool {
    agreement.as_bytes() == hello.agreement_id.as_slice()
        && kind.as_str() == hello.id_kind
        && *part == hello.partition
}

type Owners = HashMap<PartyName, PublicKey>;

/// The owners of data, and what they are known by.
fn owners(agreement: &Agreement) -> Owners {
    let owners = agreement.owners().into_iter();
    let known = owners.filter_map(|name| {
        let party = agreement.parties.get(name)?;
        Some((name.clone(), party.service))
    });
    known.collect()
}

fn another_version(name: &PartyName) -> Status {
    Problem::new(
        ProblemKind::Refused,
        "another-version",
        format!("`{name}` came to match under another version of the agreement"),
    )
    .hint("both sides need the newest version, with the .sig files of all, in their folders `agreements`; then run `match run` again on both: no run is used up")
    .into()
}

fn malformed(field: &str) -> Problem {
    Problem::new(
        ProblemKind::Invalid,
        "malformed-hello",
        format!("the field `{field}` of the first message is malformed"),
    )
}

#[tonic::async_trait]
impl MeetingService for Meeting {
    type JoinStream = ReceiverStream<Result<MeetingFrame, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<MeetingFrame>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let key = caller(&request);
        let mut frames = request.into_inner();
        let first = frames.message().await?.and_then(|frame| frame.frame);
        let Some(Frame::Hello(hello)) = first else {
            return Err(malformed("hello").into());
        };
        let (key, agreement, owners) = self.admit(&hello, key.as_ref()).await?;
        let party = hello.party.parse().map_err(|_| malformed("party"))?;
        let (replies, receiver) = mpsc::channel(FRAMES_UNDER_WAY);
        let half = Half {
            party,
            agreement,
            owners,
            frames,
            replies,
        };
        tracing::info!(party = %half.party, id_kind = %key.1, "joined the meeting point");
        if let Some((one, two)) = self.pair(key, half) {
            tokio::spawn(relay(one, two));
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn relay(one: Half, two: Half) {
    let ready = || MeetingFrame {
        frame: Some(Frame::Ready(MeetingReady {})),
    };
    for half in [&one, &two] {
        if half.replies.send(Ok(ready())).await.is_err() {
            return;
        }
    }
    tokio::join!(
        pass_on(one.frames, two.replies),
        pass_on(two.frames, one.replies)
    );
}

/// Passes messages on until the sender is done or either side goes away.
async fn pass_on(mut from: Streaming<MeetingFrame>, to: Replies) {
    loop {
        let next = match from.message().await {
            Ok(Some(frame)) if matches!(frame.frame, Some(Frame::Message(_))) => Ok(frame),
            Ok(Some(_)) => Err(malformed("message").into()),
            Ok(None) => return,
            Err(_) => Err(peer_left()),
        };
        let ended = next.is_err();
        if to.send(next).await.is_err() || ended {
            return;
        }
    }
}

fn peer_left() -> Status {
    Problem::new(
        ProblemKind::Unavailable,
        "peer-left",
        "the other party's `match run` ended before the matching did",
    )
    .hint("run `match run` again on both sides")
    .into()
}

#[cfg(test)]
mod tests {
    use incamera_agreement::{AdMeasurement, PartyInputs, files, sign, template_ad_measurement};
    use incamera_attest::TeeKind;
    use std::path::Path;
    use std::time::Duration;

    use incamera_keys::SigningKey;
    use incamera_ledger::Ledger;
    use incamera_types::Measurement;

    use super::*;

    /// A party's signing key and service key.
    type Keys = [SigningKey; 2];

    fn keys() -> Keys {
        [(); 2].map(|()| SigningKey::generate(&mut rand::rng()))
    }

    fn inputs(name: &str, [signs, service]: &Keys) -> PartyInputs {
        PartyInputs {
            name: Some(name.parse().unwrap()),
            signs: Some(signs.public()),
            service: Some(service.public()),
            receives: None,
            url: Some(format!("https://{name}.example:7443").parse().unwrap()),
            people: Some(100),
        }
    }

    /// The shop, the mailer, and an agency that owns no data and may only ask.
    fn text(shop: &Keys, mailer: &Keys, [signs, service]: &Keys) -> String {
        let draft = template_ad_measurement(&AdMeasurement {
            name: Some("campaign".into()),
            expires: Some("2999-12-31".parse().unwrap()),
            shop: inputs("shop", shop),
            mailer: inputs("mailer", mailer),
            analyst_key: Some(SigningKey::generate(&mut rand::rng()).public()),
            room_url: Some("https://room.example:7443".parse().unwrap()),
            tee: Some(TeeKind::Simulated),
            measurement: Some(Measurement::from_bytes([7; 32])),
            ..AdMeasurement::default()
        });
        let (signs, service) = (signs.public(), service.public());
        format!(
            "{draft}\n[parties.agency]\nsigns = \"{signs}\"\nservice = \"{service}\"\nurl = \"https://agency.example:7443\"\npeople = 1\n"
        )
    }

    /// Whoever matches learns pseudonyms of the ids that it brings. A party that owns nothing
    /// would stand in for an owner, and whoever holds no party's key for anybody.
    #[tokio::test]
    async fn only_owners_meet() {
        let folder = tempfile::tempdir().unwrap();
        let all = [(); 3].map(|()| keys());
        let [shop, mailer, agency] = &all;
        let (known, digest) = agreed(folder.path(), &all);
        let meeting = Meeting::new(Arc::new(known));
        for (name, key) in [("shop", shop), ("mailer", mailer)] {
            assert_eq!(
                admit(&meeting, &digest, name, Some(key)).await.unwrap(),
                name
            );
        }
        let strangers = [
            ("agency", Some(agency)),
            ("mailer", Some(agency)),
            ("shop", Some(mailer)),
            ("mailer", None),
        ];
        for (name, key) in strangers {
            let refused = admit(&meeting, &digest, name, key).await.unwrap_err();
            assert_eq!(refused.code(), "not-the-party", "{name}");
        }
    }

    /// Parts that the agreement does not have are refused: they would wait for nobody.
    #[tokio::test]
    async fn parts_that_were_not_agreed_do_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let all = [(); 3].map(|()| keys());
        let (known, digest) = agreed(folder.path(), &all);
        let meeting = Meeting::new(Arc::new(known));
        for (partition, partitions, admitted) in [
            (0, 0, true),
            (0, 1, true),
            (1, 1, false),
            (0, 4, false),
            (3, 4, false),
        ] {
            let hello = MeetingHello {
                agreement_digest: digest.as_bytes().to_vec(),
                id_kind: "email".into(),
                party: "shop".into(),
                partition,
                partitions,
                ..MeetingHello::default()
            };
            let key = Some(all[0][1].public());
            let done = meeting.admit(&hello, key.as_ref()).await;
            assert_eq!(done.is_ok(), admitted, "{partition}/{partitions}");
        }
    }

    /// Who comes under a version of another agreement ends nobody's wait.
    #[test]
    fn a_wait_ends_for_versions_of_its_own_agreement_alone() {
        let agreement = AgreementId::from_bytes([1; 32]);
        let key = (
            AgreementDigest::from_bytes([2; 32]),
            "email".parse().unwrap(),
            3,
        );
        let hello = MeetingHello {
            agreement_digest: vec![9; 32],
            agreement_id: vec![1; 32],
            id_kind: "email".into(),
            partition: 3,
            ..MeetingHello::default()
        };
        assert!(is_same_matching(&key, &agreement, &hello));
        let others: [fn(&mut MeetingHello); 4] = [
            |hello| hello.agreement_id = vec![7; 32],
            |hello| hello.agreement_id.clear(),
            |hello| hello.id_kind = "phone".into(),
            |hello| hello.partition = 2,
        ];
        for change in others {
            let mut hello = hello.clone();
            change(&mut hello);
            assert!(!is_same_matching(&key, &agreement, &hello), "{hello:?}");
        }
    }

    /// While a disk is slow, its ledger is locked: whoever waits for it holds up nobody else.
    #[tokio::test]
    async fn a_locked_ledger_stops_no_thread_of_the_runtime() {
        let folder = tempfile::tempdir().unwrap();
        let all = [(); 3].map(|()| keys());
        let (known, digest) = agreed(folder.path(), &all);
        let ledger = Ledger::in_memory(&"shop".parse().unwrap()).unwrap();
        let ledger = Arc::new(Mutex::new(ledger));
        let meeting = Meeting::new(Arc::new(
            known.remembering(crate::agreements::LedgerMemory(ledger.clone())),
        ));
        let (locked, is_locked) = std::sync::mpsc::channel();
        let slow = std::thread::spawn(move || {
            let _held = ledger.lock().unwrap();
            locked.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(2));
        });
        is_locked.recv().unwrap();
        let mut others = 0;
        let admitted = admit(&meeting, &digest, "shop", Some(&all[0]));
        tokio::pin!(admitted);
        // The runtime of this test has one thread.
        let name = loop {
            tokio::select! {
                name = &mut admitted => break name.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(10)) => others += 1,
            }
        };
        assert_eq!(name, "shop");
        assert!(others > 10, "{others}");
        slow.join().unwrap();
    }

    /// An agreement of the shop, the mailer and the agency, as the shop has it.
    fn agreed(folder: &Path, all: &[Keys; 3]) -> (Agreements, AgreementDigest) {
        let [shop, mailer, agency] = all;
        let text = text(shop, mailer, agency);
        let path = folder.join("a.toml");
        std::fs::write(&path, &text).unwrap();
        for (name, key) in ["shop", "mailer", "agency"].into_iter().zip(all) {
            let signature = sign(text.as_bytes(), &key[0]).unwrap().to_armor();
            let file = files::signature_path(&path, &name.parse().unwrap());
            std::fs::write(file, signature).unwrap();
        }
        let name = "shop".parse().unwrap();
        let known = Agreements::new(folder, name, shop[0].public(), shop[1].public());
        let digest = Agreement::parse(text.as_bytes()).unwrap().digest;
        (known, digest)
    }

    async fn admit(
        meeting: &Meeting,
        digest: &AgreementDigest,
        name: &str,
        keys: Option<&Keys>,
    ) -> Result<String, Problem> {
        let hello = MeetingHello {
            agreement_digest: digest.as_bytes().to_vec(),
            id_kind: "email".into(),
            party: name.into(),
            ..MeetingHello::default()
        };
        let key = keys.map(|keys| keys[1].public());
        meeting.admit(&hello, key.as_ref()).await?;
        Ok(name.to_owned())
    }
}
