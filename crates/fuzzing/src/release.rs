//! The messages of a release. Bodies are taken as they are, and once more as if their honest
//! signer had signed them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use incamera_keys::hpke::RoomPublicKey;
use incamera_keys::{SigningKey, sign_message};
use incamera_release::{
    Address, AllReserved, ReceiptError, Receiver, Request, Token, open_answer, verify_release,
    verify_request,
};
use incamera_types::{AgreementDigest, Transcript};
use incamera_wire::v1::{
    self, Answer, Grant, Receipt, ReleaseFile, RequestEnvelope, Reservation, SealedAnswer, Signed,
    TokenFile,
};
use incamera_wire::{Format, decode, encode};
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::reach::reached;
use crate::world::{self, NOW};

fn read<M: Message + Default>(data: &[u8]) -> Option<M> {
    decode(data, data.len()).ok()
}

fn signed<M: Message>(format: Format, body: &M, signer: &str) -> Signed {
    sign_message(&world::key(signer), format, body).unwrap()
}

/// An analyst's request, signed by somebody or by the analyst.
pub fn request(data: &[u8]) {
    let active = world::agreement().at(NOW).unwrap();
    if let Some(signed) = read::<Signed>(data)
        && let Ok(request) = verify_request(&signed, &active, NOW)
    {
        // Nobody else has the key: only what was signed can hold.
        assert_eq!(signed.body, world::request().body);
        assert_eq!(request.analyst().to_string(), "mailer/ana");
        reached("signed");
    }
    if let Some(envelope) = read::<RequestEnvelope>(data) {
        let signed = signed(Format::Request, &envelope, "ana");
        if let Ok(request) = verify_request(&signed, &active, NOW) {
            assert_eq!(
                request.query().name.as_str(),
                envelope.request.unwrap().query
            );
            assert!(request.expires() > NOW);
            reached("envelope");
        }
    }
}

/// A bearer's text, and any bytes as a token that the analyst signed.
pub fn token(data: &[u8]) {
    let agreement = world::agreement();
    let text = std::str::from_utf8(data).ok();
    if let Some(token) = text.and_then(|text| Token::from_text(text).ok()) {
        let again = Token::from_text(&token.to_text()).unwrap();
        assert_eq!(again.digest(), token.digest());
        // Nobody else has the key: only what was signed can hold.
        let known = token.digest() == world::token().digest();
        assert!(known || token.check(agreement, NOW).is_err());
        reached(if known { "known" } else { "another" });
    }
    let Some(mut claims) = read::<v1::Token>(data) else {
        return;
    };
    let secret = [7; 32];
    claims.key = SigningKey::from_seed(&secret).public().as_bytes().to_vec();
    let file = TokenFile {
        format: Format::QueryToken.as_str().to_owned(),
        secret: secret.to_vec(),
        token: Some(signed(Format::QueryToken, &claims, "ana")),
    };
    if let Ok(token) = Token::from_text(&BASE64.encode(encode(&file))) {
        asked_by(&token);
    }
}

/// Whoever has the token asks what it covers, while it lasts, and in the analyst's name.
fn asked_by(token: &Token) {
    let active = world::agreement().at(NOW).unwrap();
    let envelope: RequestEnvelope = read(&world::request().body).unwrap();
    let request = Request::from_wire(&envelope.request.unwrap(), &active, None).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let signed = request
        .sign_by_token(token, NOW.plus(600), &mut rng)
        .unwrap();
    let checked = token.check(&active, NOW);
    if let Ok(request) = verify_request(&signed, &active, NOW) {
        assert_eq!(checked, Ok(()));
        assert!(token.queries().contains(&request.query().name));
        assert!(request.expires() > NOW && request.expires() <= token.expires());
        assert_eq!(request.token(), Some(token.digest()));
        assert_eq!(request.analyst().to_string(), "mailer/ana");
        reached("claims");
    }
}

/// An owner's reservation, signed by the owner, beside the other's honest one.
pub fn reservation(data: &[u8]) {
    let Some(mut reservation) = read::<Reservation>(data) else {
        return;
    };
    let active = world::agreement().at(NOW).unwrap();
    let request = verify_request(world::request(), &active, NOW).unwrap();
    let keys = world::receipt().evidence[0].keys.clone().unwrap();
    let room_key = RoomPublicKey::from_bytes(&keys.hpke_key).unwrap().digest();
    let all = ["mailer", "shop"].map(|owner| signed(Format::Reservation, &reservation, owner));
    let checked = AllReserved::check(&request, room_key, &all, NOW, 30);
    assert!(checked.is_err(), "one reservation cannot be two owners'");
    let all = ["mailer", "shop"].map(|owner| {
        owner.clone_into(&mut reservation.owner);
        signed(Format::Reservation, &reservation, owner)
    });
    if AllReserved::check(&request, room_key, &all, NOW, 30).is_ok() {
        assert_eq!(reservation.request_digest, request.digest().as_ref());
        reached("reserved");
    }
}

/// Where the known answer for the shop belongs.
static ADDRESS: LazyLock<Address> = LazyLock::new(|| {
    let report = verify_release(world::release(), world::agreement()).unwrap();
    Address {
        agreement: report.agreement,
        request: report.request_digest,
        receiver: Receiver::Party("shop".parse().unwrap()),
    }
});

/// A sealed answer as it is, and any bytes as what an honest room sealed to the shop.
pub fn sealed_answer(data: &[u8]) {
    let (known, address) = (world::release(), &*ADDRESS);
    let key = world::receive_key();
    if let Some(sealed) = read::<SealedAnswer>(data) {
        let claimed = Address::claimed(&sealed);
        if claimed.as_ref() == Ok(address) {
            reached("address");
        }
        // Nobody can seal what the mutations hold but the golden file's own maker.
        if let Ok((release, _)) = open_answer(&sealed, key, address, world::agreement()) {
            assert_eq!(
                (claimed.unwrap(), release),
                (address.clone(), known.clone())
            );
        }
    }
    let info: AgreementDigest = Transcript::new(Format::SealedAnswer.as_str())
        .field(address.agreement)
        .field(address.request)
        .field("shop")
        .finish();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let inside = key
        .public()
        .seal(info.as_ref(), &[], data, &mut rng)
        .unwrap();
    let sealed = SealedAnswer {
        format: Format::SealedAnswer.as_str().to_owned(),
        agreement_digest: address.agreement.as_ref().to_vec(),
        request_digest: address.request.as_ref().to_vec(),
        receiver: "shop".to_owned(),
        encapped_key: inside.encapped_key,
        ciphertext: inside.ciphertext,
    };
    if let Ok((release, _)) = open_answer(&sealed, key, address, world::agreement()) {
        assert_eq!(
            (&release.answer, &release.salt),
            (&known.answer, &known.salt)
        );
        reached("opened");
    }
}

fn verify(receipt: &Receipt, file: &ReleaseFile) -> Result<(), ReceiptError> {
    let receipt = signed(Format::Receipt, receipt, "receipt");
    let file = ReleaseFile {
        receipt: Some(receipt),
        ..file.clone()
    };
    verify_release(&file, world::agreement()).map(|_| ())
}

/// An owner's grant, signed by the owner, in a receipt that is honest otherwise.
pub fn grant(data: &[u8]) {
    let Some(grant) = read::<Grant>(data) else {
        return;
    };
    let file = world::release();
    for (at, owner) in ["mailer", "shop"].iter().enumerate() {
        let mut receipt = world::receipt();
        receipt.grants[at] = signed(Format::Grant, &grant, owner);
        if verify(&receipt, file).is_ok() {
            assert_eq!(grant.owner, *owner);
            reached(owner);
        }
    }
}

/// A release file as it is, its receipt signed again, and its answer.
pub fn release(data: &[u8]) {
    let known = world::release();
    if let Some(file) = read::<ReleaseFile>(data) {
        if verify_release(&file, world::agreement()).is_ok() {
            assert_eq!((&file.answer, &file.salt), (&known.answer, &known.salt));
            reached("file");
        }
        let signed = file.receipt.as_ref();
        if let Some(receipt) = signed.and_then(|signed| read::<Receipt>(&signed.body)) {
            let _ = verify(&receipt, &file);
        }
    }
    if let Some(receipt) = read::<Receipt>(data)
        && verify(&receipt, known).is_ok()
    {
        reached("receipt");
    }
    let _ = read::<Answer>(data);
}
