//! A peer that holds the right keys and sends what no correct program sends: the test plays the
//! mailer, and the built program is the shop.

use std::ops::ControlFlow;

use incamera_matching::exchange::Alike;
use incamera_matching::vole::{Security, Setup, VoleRun};
use incamera_matching::{Method, Partition, Reveals, Terms};
use incamera_net::client;
use incamera_net::services::{MeetingFrame, MeetingHello, meeting_frame::Frame};
use incamera_net::tls::TlsOptions;
use incamera_types::{AgreementDigest, Digest as _};
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchMessage, VolePart};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::*;
use crate::cut_off::world_as;
use crate::invariants::support::Holdings;

/// What is sent in place of a message, and whether more is.
type Bent = ControlFlow<Vec<MatchMessage>, Vec<MatchMessage>>;
type Bend = Box<dyn FnMut(MatchMessage) -> Bent>;

/// Ids of the mailer, of which the shop has none.
const IDS: u64 = 40;

/// The mailer's side, as the agreement has it.
fn setup(world: &World) -> Setup {
    let signed = Holdings(world.root()).agreement();
    let agreement = signed.agreement();
    let id_kind = agreement.matching.ids.first().unwrap().clone();
    Setup {
        alike: Alike {
            rules: agreement.matching.id_writing(&id_kind).rules.number(),
            partition: Partition::WHOLE,
        },
        terms: Terms {
            agreement_id: agreement.id,
            agreement_digest: agreement.digest,
            epoch: agreement.matching.epoch,
            id_kind,
            method: Method::Vole,
            reveals: Reveals::Nothing,
            max_ids: agreement.matching.max_ids,
        },
        security: Security::Malicious,
        me: "mailer".parse().unwrap(),
        peer: "shop".parse().unwrap(),
        own: IDS,
        numbering: String::new(),
    }
}

/// The mailer at the meeting point.
struct Mailer {
    run: VoleRun,
    sender: mpsc::Sender<MeetingFrame>,
    frames: Streaming<MeetingFrame>,
}

impl Mailer {
    async fn come(world: &World, setup: Setup) -> Self {
        let holdings = Holdings(world.root());
        let (signed, key) = (holdings.agreement(), holdings.key("mailer/service_key"));
        let agreement = signed.agreement();
        let shop = &agreement.parties[&setup.peer];
        let options = TlsOptions::default();
        let channel = client::connect(shop.url.as_str(), &shop.service, Some(&key), &options);
        let (sender, receiver) = mpsc::channel(64);
        let hello = Frame::Hello(MeetingHello {
            agreement_digest: agreement.digest.as_bytes().to_vec(),
            party: setup.me.to_string(),
            id_kind: setup.terms.id_kind.to_string(),
            partition: 0,
            partitions: 1,
            agreement_id: agreement.id.as_bytes().to_vec(),
        });
        sender.send(frame(hello)).await.unwrap();
        let mut client = client::meeting(channel.await.unwrap());
        let joined = client.join(ReceiverStream::new(receiver)).await;
        let mut frames = joined.unwrap().into_inner();
        let first = frames.message().await.unwrap().unwrap();
        assert!(matches!(first.frame, Some(Frame::Ready(_))));
        Self {
            run: VoleRun::new(setup, &mut rand::rng()).unwrap(),
            sender,
            frames,
        }
    }

    /// Sends all that is due, bent; until either side hangs up.
    async fn play(mut self, bend: &mut Bend) {
        loop {
            self.pump();
            while let Some(message) = self.run.outgoing() {
                let bent = bend(message);
                let (ControlFlow::Continue(sent) | ControlFlow::Break(sent)) = &bent;
                for message in sent {
                    let bytes = incamera_wire::encode(message);
                    let sent = self.sender.send(frame(Frame::Message(bytes.into())));
                    let _ = sent.await;
                }
                if bent.is_break() {
                    return;
                }
            }
            let Ok(Some(MeetingFrame {
                frame: Some(Frame::Message(bytes)),
            })) = self.frames.message().await
            else {
                return;
            };
            let message = incamera_wire::decode(&bytes, 1 << 22).unwrap();
            if self.run.incoming(message).is_err() {
                return self.part().await;
            }
        }
    }

    /// Hangs up as the program does, so that what was sent before arrives.
    async fn part(mut self) {
        drop(self.sender);
        while let Ok(Some(_)) = self.frames.message().await {}
    }

    fn pump(&mut self) {
        if self.run.is_to_be_counted() {
            self.run.begin().unwrap();
        }
        if let Some(hasher) = self.run.hasher() {
            let ids = (0..IDS).map(|id| hasher.hash(format!("m{id}@mail.example").as_bytes()));
            let ids: Vec<_> = ids.collect();
            self.run.give(&ids, &mut rand::rng()).unwrap();
        }
    }
}

fn frame(frame: Frame) -> MeetingFrame {
    MeetingFrame { frame: Some(frame) }
}

/// What the program says after a run with a mailer that bends what it sends.
fn met(world: &World, setup: Setup, mut bend: Bend) -> String {
    let shop = Running::start(world, "shop", &[]);
    let playing = async { Mailer::come(world, setup).await.play(&mut bend).await };
    Runtime::new().unwrap().block_on(playing);
    let (code, said) = shop.end();
    assert_eq!(code, 1, "{said:#}");
    let text = said.to_string();
    assert!(!text.contains("@mail.example"), "{said:#}");
    text
}

fn is_hello(message: &MatchMessage) -> bool {
    matches!(message.message, Some(Message::Hello(_)))
}

fn is_nonce(message: &MatchMessage) -> bool {
    matches!(message.message, Some(Message::Nonce(_)))
}

/// The part of a step, changed.
fn part(step: u32, change: fn(&mut VolePart)) -> Bend {
    Box::new(move |mut message| {
        match &mut message.message {
            Some(Message::Vole(part)) if part.step == step => change(part),
            _ => {}
        }
        ControlFlow::Continue(vec![message])
    })
}

/// A message twice.
fn twice(is: fn(&MatchMessage) -> bool) -> Bend {
    Box::new(move |message| {
        let again = is(&message).then(|| message.clone());
        ControlFlow::Continue([message].into_iter().chain(again).collect())
    })
}

fn is_part(message: &MatchMessage, step: u32) -> bool {
    matches!(&message.message, Some(Message::Vole(part)) if part.step == step)
}

/// A message that is kept back until the next one has left.
fn late(is: fn(&MatchMessage) -> bool) -> Bend {
    let mut kept = None;
    Box::new(move |message| {
        if is(&message) {
            kept = Some(message);
            return ControlFlow::Continue(Vec::new());
        }
        ControlFlow::Continue([message].into_iter().chain(kept.take()).collect())
    })
}

/// The line is cut in place of a message.
fn cut(is: fn(&MatchMessage) -> bool) -> Bend {
    Box::new(move |message| match is(&message) {
        true => ControlFlow::Break(Vec::new()),
        false => ControlFlow::Continue(vec![message]),
    })
}

/// A point of the first step that is none: its last 32 bytes are the base of the transfers.
fn no_point(part: &mut VolePart) {
    let at = part.content.len() - 32;
    part.content[at..].fill(0);
}

/// A mailer, what is said of it, and whether the run was counted before that was found.
fn cases() -> Vec<(Bend, &'static str, bool)> {
    let misbehaves = [
        (twice(is_hello), "a second greeting"),
        (twice(is_nonce), "a nonce where none is due"),
        (
            twice(|sent| is_part(sent, 1)),
            "a part of step 1, where step 3 is due",
        ),
        (twice(|sent| is_part(sent, 8)), "a part of step 8"),
        (
            late(|sent| is_part(sent, 9)),
            "a part of step 12, where step 9 is due",
        ),
        (part(8, |part| part.content.push(0)), "are due"),
        (
            part(8, |part| part.content.truncate(100)),
            "a part of 100 bytes, where",
        ),
        (
            part(5, |part| part.offset = 16),
            "a part from byte 16, where byte 0 is due",
        ),
        (
            part(3, |part| part.direction = 7),
            "a part of another direction",
        ),
        (part(1, no_point), "of the peer's transfers is refused"),
        (
            part(9, |part| part.content[0] ^= 1),
            "not what it had committed to",
        ),
        // That it hung up, or that its command ended: whichever is heard first.
        (cut(|sent| is_part(sent, 3)), "nothing was written"),
    ];
    let counted = misbehaves.map(|(bend, says)| (bend, says, true));
    counted
        .into_iter()
        .chain([(late(is_hello), "a message before the greeting", false)])
        .collect()
}

/// Every one is found out and named for what it did; what it costs is said: the run is counted,
/// and the next counts as one more. The crosswalk of the run before stays, and the next run ends
/// well.
#[test]
fn frames_that_are_twice_out_of_order_too_long_or_short_end_the_run() {
    let world = world_as(by_vole);
    write_ids(&world, "shop", 0..200);
    write_ids(&world, "mailer", 100..300);
    run_well(&world);
    let path = crate::cut_off::crosswalk(&world, "shop");
    let before = fs::read(&path).unwrap();
    let mut runs = counted(&world, "shop");
    for (bend, says, counts) in cases() {
        let said = met(&world, setup(&world), bend);
        assert!(said.contains(says), "{says}: {said}");
        assert!(said.contains("on both sides"), "{said}");
        assert!(
            said.contains("is a new run, and counts as one"),
            "{says}: {said}"
        );
        runs += usize::from(counts);
        assert_eq!(counted(&world, "shop"), runs, "{says}");
        assert!(fs::read(&path).unwrap() == before, "{says}");
    }
    run_well(&world);
    assert!(fs::read(&path).unwrap() != before);
}

/// A greeting of other terms uses up no run, and starting anew would not mend it.
#[test]
fn a_greeting_of_another_agreement_or_of_too_many_ids_uses_up_no_run() {
    let world = world_as(by_vole);
    write_ids(&world, "shop", 0..200);
    let honest = || -> Bend { Box::new(|message| ControlFlow::Continue(vec![message])) };
    let other = |change: fn(&mut Setup)| {
        let mut setup = setup(&world);
        change(&mut setup);
        met(&world, setup, honest())
    };
    let agreement =
        other(|setup| setup.terms.agreement_digest = AgreementDigest::from_bytes([9; 32]));
    let epoch = other(|setup| setup.terms.epoch.0 += 1);
    let security = other(|setup| setup.security = Security::SemiHonest);
    let many = met(
        &world,
        setup(&world),
        Box::new(|mut message| {
            if let Some(Message::Hello(hello)) = &mut message.message {
                hello.set_size = 400_000;
            }
            ControlFlow::Continue(vec![message])
        }),
    );
    for (said, says) in [
        (agreement, "its agreement is not ours"),
        (epoch, "it matches epoch 2, we match epoch 1"),
        (security, "another `security`"),
        (many, "a party that declares 400000 ids"),
    ] {
        assert!(said.contains(says), "{said}");
        assert!(
            said.contains("`mailer` matches under other terms"),
            "{said}"
        );
        assert!(!said.contains("counts as one"), "{said}");
    }
    assert_eq!(counted(&world, "shop"), 0);
    let crosswalks = world.root().join("shop/crosswalks").read_dir();
    assert!(!crosswalks.is_ok_and(|mut all| all.next().is_some()));
}
