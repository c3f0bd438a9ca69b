//! What is known beforehand: the golden files of other crates.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use incamera_agreement::{Agreement, SignedAgreement};
use incamera_keys::{ReceiveKey, SigningKey, SshSig};
use incamera_release::Token;
use incamera_types::{PartyName, UnixTime};
use incamera_wire::decode;
use incamera_wire::v1::{Receipt, ReleaseFile, Signed};
use prost::Message;

macro_rules! release {
    ($name:literal) => {
        include_bytes!(concat!("../../release/tests/golden/", $name)).as_slice()
    };
}

/// The moment of the golden release.
pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

static AGREEMENT: LazyLock<SignedAgreement> = LazyLock::new(|| {
    let agreement = Agreement::parse(release!("spring.toml")).unwrap();
    agreement.verify(&signatures()).unwrap()
});

/// The agreement that all golden messages are under.
pub(crate) fn agreement() -> &'static SignedAgreement {
    &AGREEMENT
}

macro_rules! proposal {
    ($end:literal) => {
        include_bytes!(concat!("../../agreement/tests/golden/proposal-1", $end)).as_slice()
    };
}

/// An agreement under which analysts may propose.
pub(crate) fn proposals() -> &'static Agreement {
    static PROPOSALS: LazyLock<Agreement> =
        LazyLock::new(|| Agreement::parse(proposal!(".toml")).unwrap());
    &PROPOSALS
}

/// A proposal under it, and its analyst's signature.
pub(crate) fn proposal() -> (&'static [u8], SshSig) {
    let signature = std::str::from_utf8(proposal!(".proposal.sig")).unwrap();
    (
        proposal!(".proposal"),
        SshSig::from_armor(signature).unwrap(),
    )
}

/// The signatures of that agreement.
pub(crate) fn signatures() -> BTreeMap<PartyName, SshSig> {
    let armored = [
        ("mailer", release!("spring.toml.mailer.sig")),
        ("shop", release!("spring.toml.shop.sig")),
    ];
    let one = |(party, text): (&str, &[u8])| {
        let text = std::str::from_utf8(text).unwrap();
        (party.parse().unwrap(), SshSig::from_armor(text).unwrap())
    };
    armored.into_iter().map(one).collect()
}

/// The key of an owner's service (`mailer`, `shop`), of the analyst (`ana`) or of the receipt.
pub(crate) fn key(name: &str) -> SigningKey {
    static KEYS: LazyLock<BTreeMap<&'static str, SigningKey>> = LazyLock::new(|| {
        let texts = [
            ("ana", release!("keys/ana")),
            ("receipt", release!("keys/receipt")),
            ("mailer", release!("keys/mailer")),
            ("shop", release!("keys/shop")),
        ];
        let one = |(name, text): (&'static str, &[u8])| {
            let text = std::str::from_utf8(text).unwrap();
            (name, SigningKey::from_openssh(text, None).unwrap())
        };
        texts.into_iter().map(one).collect()
    });
    KEYS[name].duplicate()
}

fn read<M: Message + Default>(bytes: &[u8]) -> M {
    decode(bytes, bytes.len()).unwrap()
}

/// The analyst's request.
pub(crate) fn request() -> &'static Signed {
    static REQUEST: LazyLock<Signed> = LazyLock::new(|| read(release!("request-1")));
    &REQUEST
}

/// The analyst's token.
pub(crate) fn token() -> &'static Token {
    static TOKEN: LazyLock<Token> = LazyLock::new(|| {
        let text = std::str::from_utf8(release!("query-token-1")).unwrap();
        Token::from_text(text).unwrap()
    });
    &TOKEN
}

/// The answer with its receipt.
pub(crate) fn release() -> &'static ReleaseFile {
    static RELEASE: LazyLock<ReleaseFile> = LazyLock::new(|| read(release!("release-1")));
    &RELEASE
}

/// The key that answers for the shop are sealed to.
pub(crate) fn receive_key() -> &'static ReceiveKey {
    static KEY: LazyLock<ReceiveKey> = LazyLock::new(|| {
        let text = include_str!("../../keys/tests/golden/receive_key-1");
        ReceiveKey::from_text(text).unwrap()
    });
    &KEY
}

/// The body of the receipt.
pub(crate) fn receipt() -> Receipt {
    read(&release().receipt.as_ref().unwrap().body)
}
