//! Sealed answers: each receiver opens its own, as what it is, and nobody else does.

use incamera_keys::{ReceiveKey, sign_message};
use incamera_release::{
    Address, Receiver, RequestError, RequestRefusal, SealedAnswerError, open_answer, seal_answer,
    verify_request,
};
use incamera_types::{AgreementDigest, Digest, RequestDigest};
use incamera_wire::v1::{Answer, ReleaseFile, RequestEnvelope, SealedAnswer, Signed};
use incamera_wire::{Format, decode, encode};

use crate::receipt::{self, Done};
use crate::world::{NOW, World, name};

fn party(text: &str) -> Receiver {
    Receiver::Party(name(text))
}

fn address(done: &Done, receiver: Receiver) -> Address {
    let agreement = done.world.agreement.agreement().digest;
    let receipt = receipt::receipt(done);
    let request = Digest::from_slice(&receipt.request_digest).unwrap();
    Address {
        agreement,
        request,
        receiver,
    }
}

fn key(done: &mut Done) -> ReceiveKey {
    ReceiveKey::generate(&mut done.world.rng).unwrap()
}

/// An answer sealed to the shop.
fn sealed() -> (Done, ReceiveKey, Address, SealedAnswer) {
    let mut done = receipt::done();
    let shop = key(&mut done);
    let address = address(&done, party("shop"));
    let sealed = seal_answer(&done.file, shop.public(), &address, &mut done.world.rng).unwrap();
    (done, shop, address, sealed)
}

fn open(
    done: &Done,
    sealed: &SealedAnswer,
    key: &ReceiveKey,
    address: &Address,
) -> Result<ReleaseFile, SealedAnswerError> {
    open_answer(sealed, key, address, &done.world.agreement).map(|(file, _)| file)
}

#[test]
fn each_receiver_opens_its_own_and_no_other_does() {
    let (mut done, shop, address, sealed) = sealed();
    assert_eq!(open(&done, &sealed, &shop, &address).unwrap(), done.file);
    assert_eq!(Address::claimed(&sealed).unwrap(), address);

    let mailer = key(&mut done);
    let error = open(&done, &sealed, &mailer, &address).unwrap_err();
    assert!(matches!(error, SealedAnswerError::Closed), "{error}");
    // The analyst is a receiver like the others.
    let analyst = Address {
        receiver: Receiver::Analyst(name("mailer/ana")),
        ..address.clone()
    };
    let rng = &mut done.world.rng;
    let to_ana = seal_answer(&done.file, mailer.public(), &analyst, rng).unwrap();
    assert_eq!(Address::claimed(&to_ana).unwrap(), analyst);
    assert!(open(&done, &to_ana, &mailer, &analyst).is_ok());
    assert!(open(&done, &to_ana, &shop, &analyst).is_err());
}

#[test]
fn what_stands_in_clear_is_bound() {
    let (mut done, shop, honest, sealed) = sealed();
    let others = [
        Address {
            receiver: party("mailer"),
            ..honest.clone()
        },
        Address {
            receiver: Receiver::Analyst(name("shop/ana")),
            ..honest.clone()
        },
        Address {
            request: RequestDigest::from_bytes([0; 32]),
            ..honest.clone()
        },
        Address {
            agreement: AgreementDigest::from_bytes([0; 32]),
            ..honest.clone()
        },
    ];
    for other in others {
        // As it is, it is not what is expected.
        let error = open(&done, &sealed, &shop, &other).unwrap_err();
        assert!(matches!(error, SealedAnswerError::Other { .. }), "{error}");
        // Relabelled, it does not open.
        let rng = &mut done.world.rng;
        let labels = seal_answer(&done.file, shop.public(), &other, rng).unwrap();
        let relabelled = SealedAnswer {
            encapped_key: sealed.encapped_key.clone(),
            ciphertext: sealed.ciphertext.clone(),
            ..labels.clone()
        };
        let error = open(&done, &relabelled, &shop, &other).unwrap_err();
        assert!(matches!(error, SealedAnswerError::Closed), "{error}");
        // Sealed anew by whoever likes to: opens, and its receipt is of another request.
        let forged = open(&done, &labels, &shop, &other);
        let same = (other.agreement, other.request) == (honest.agreement, honest.request);
        assert_eq!(forged.is_ok(), same, "{forged:?}");
    }
}

#[test]
fn no_byte_of_it_can_be_changed() {
    let (done, shop, address, sealed) = sealed();
    let bytes = encode(&sealed);
    let step = bytes.len() / 300;
    for at in (0..bytes.len()).step_by(step).chain(0..120) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let Ok(changed) = decode::<SealedAnswer>(&changed, changed.len()) else {
            continue;
        };
        if changed == sealed {
            continue; // Of an unknown field.
        }
        assert!(open(&done, &changed, &shop, &address).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_inside_is_verified() {
    let (mut done, shop, address, _) = sealed();
    let rng = &mut done.world.rng;
    let forged = ReleaseFile {
        answer: encode(&Answer::default()),
        ..done.file.clone()
    };
    let sealed = seal_answer(&forged, shop.public(), &address, rng).unwrap();
    let error = open(&done, &sealed, &shop, &address).unwrap_err();
    assert!(matches!(error, SealedAnswerError::Receipt(_)), "{error}");
}

/// Twenty groups more or less do not show.
#[test]
fn the_length_tells_little() {
    let (mut done, shop, address, sealed) = sealed();
    assert_eq!(sealed.ciphertext.len() % (16 << 10), 16, "the tag");
    let longer = ReleaseFile {
        answer: [done.file.answer.clone(), vec![0; 600]].concat(),
        ..done.file.clone()
    };
    let rng = &mut done.world.rng;
    let again = seal_answer(&longer, shop.public(), &address, rng).unwrap();
    assert_eq!(again.ciphertext.len(), sealed.ciphertext.len());
}

fn envelope(signed: &Signed) -> RequestEnvelope {
    decode(&signed.body, signed.body.len()).unwrap()
}

#[test]
fn a_request_says_what_its_answer_is_sealed_to() {
    let mut world = World::new();
    let reply = ReceiveKey::generate(&mut world.rng).unwrap();
    let (request, analyst) = (world.request(), world.analyst.clone());
    let key = world.analysts[&analyst].duplicate();
    let keys = (&key, reply.public());
    let signed = request.sign_for_reply(&analyst, "", world.expires, keys, &mut world.rng);
    let signed = signed.unwrap();
    let verified = verify_request(&signed, &world.active(), NOW).unwrap();
    assert_eq!(verified.reply_key(), Some(reply.public()));
    assert_eq!(
        verified.digest(),
        request.digest(),
        "it is no part of what is asked"
    );
    assert!(world.verified().reply_key().is_none());

    // Nobody puts another key in, and what is no key is said to be none.
    let other = ReceiveKey::generate(&mut world.rng).unwrap();
    let swapped = RequestEnvelope {
        reply_key: other.public().as_bytes().to_vec(),
        ..envelope(&signed)
    };
    let swapped = Signed {
        body: encode(&swapped),
        ..signed.clone()
    };
    let error = verify_request(&swapped, &world.active(), NOW).unwrap_err();
    assert!(matches!(error, RequestRefusal::Signed(_)), "{error}");
    let short = RequestEnvelope {
        reply_key: vec![1; 31],
        ..envelope(&signed)
    };
    let short = sign_message(&key, Format::Request, &short).unwrap();
    let error = verify_request(&short, &world.active(), NOW).unwrap_err();
    let field = RequestError::Field { field: "reply_key" };
    assert_eq!(error, RequestRefusal::Request(field));
}
