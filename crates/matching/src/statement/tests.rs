use incamera_group::{Point, Scalar};
use incamera_oprf::shares::Share;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const FROM: UnixTime = UnixTime(1_800_000_000);
const DAY_S: u64 = 86_400;

fn place(number: u16) -> Place {
    Place::new(number).unwrap()
}

pub(super) fn name(name: &str) -> PartyName {
    name.parse().unwrap()
}

fn service_key(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::from_seed(&seed)
}

fn agreed_with(names: &[&str]) -> Agreed {
    let key = |n: &&str| (name(n), service_key(n).public());
    Agreed {
        agreement_id: AgreementId::from_bytes([1; 32]),
        epoch: MatchingEpoch(3),
        threshold: 2,
        providers: names.iter().map(key).collect(),
        valid_s: 90 * DAY_S,
    }
}

fn agreed() -> Agreed {
    agreed_with(&NAMES)
}

/// Public keys of shares on the line `k + slope x` at these places.
fn keys(k: u8, slope: u8, places: &[u16]) -> PublicKeys {
    let scalar = |number: u8| Scalar::from_secret(b"statement", &[number; 32]);
    let shares = places.iter().map(|number| {
        let x = Scalar::from_number(u64::from(*number).try_into().unwrap());
        let secret = scalar(k).add(&scalar(slope).multiply(&x)).unwrap();
        (place(*number), Point::base_multiply(&secret).encode())
    });
    PublicKeys::new(2, shares).unwrap()
}

pub(super) fn holders() -> BTreeMap<Place, PartyName> {
    // Places and names are in different orders.
    BTreeMap::from([
        (place(1), name("gamma")),
        (place(2), name("alpha")),
        (place(5), name("beta")),
    ])
}

pub(super) fn ceremony(byte: u8) -> CeremonyDigest {
    CeremonyDigest::from_bytes([byte; 32])
}

/// The same for all holders.
pub(super) fn keys_of(k: u8, slope: u8) -> PublicKeys {
    keys(k, slope, &[1, 2, 5])
}

pub(super) fn statement_of(
    number: u64,
    keys: PublicKeys,
    holders: BTreeMap<Place, PartyName>,
    ceremony: CeremonyDigest,
) -> KeyStatement {
    KeyStatement::new(&agreed(), number, keys, holders, ceremony, FROM).unwrap()
}

fn statement() -> KeyStatement {
    statement_of(1, keys_of(7, 8), holders(), ceremony(2))
}

/// A signature of one whose ceremony ended with what the statement says.
fn sign(statement: &KeyStatement, by: &str) -> Vec<u8> {
    let own = (statement.keys(), statement.ceremony());
    statement.sign(own, &service_key(by)).unwrap()
}

fn signatures(statement: &KeyStatement) -> BTreeMap<Place, Vec<u8>> {
    let holders = statement.holders.iter();
    holders
        .map(|(place, name)| (*place, sign(statement, name.as_str())))
        .collect()
}

fn signed(statement: &KeyStatement) -> Vec<u8> {
    statement.file(&signatures(statement))
}

fn not_signed(by: &str) -> Result<KeyStatement, StatementError> {
    Err(StatementError::NotSigned { provider: name(by) })
}

#[test]
fn what_all_signed_is_taken() {
    let file = signed(&statement());
    let opened = KeyStatement::open(&file, &agreed()).unwrap();
    assert_eq!(opened, statement());
    assert_eq!(opened.number(), 1);
    assert_eq!(opened.holders(), &holders());
    assert_eq!(opened.ceremony(), ceremony(2));
    assert_eq!(opened.keys(), &keys(7, 8, &[1, 2, 5]));
    assert_eq!(opened.valid_until(), FROM.plus(90 * DAY_S));
    // One provider alone signs alone.
    let (share, alone) = Share::alone(&mut ChaCha20Rng::seed_from_u64(1));
    let one = Agreed {
        threshold: 1,
        ..agreed_with(&["alpha"])
    };
    let holder = BTreeMap::from([(share.place(), name("alpha"))]);
    let statement = KeyStatement::new(&one, 1, alone, holder, ceremony(0), FROM).unwrap();
    assert_eq!(KeyStatement::open(&signed(&statement), &one), Ok(statement));
}

/// The bytes of version 1, which every later version reads.
#[test]
fn the_golden_statement_is_read_and_written() {
    let golden = include_str!("../../vectors/provider-keys-1.hex");
    let golden = hex::decode(golden.split_whitespace().collect::<String>()).unwrap();
    assert_eq!(KeyStatement::open(&golden, &agreed()), Ok(statement()));
    assert_eq!(signed(&statement()), golden);
}

/// Whoever composes a statement gets no signature under what the signer did not see itself.
/// What people compare is of the key: of no refresh, and of no other key, epoch or time.
#[test]
fn a_key_has_one_fingerprint() {
    let one = statement();
    let fingerprint = "SHA256:tfeNrjQsUNMS/NRdk/oHwOnsO3ww41NF98c7vlSD2AE";
    assert_eq!(one.fingerprint(), fingerprint);
    let refreshed = one.refreshed(&agreed(), keys_of(7, 9), ceremony(3));
    assert_eq!(refreshed.unwrap().fingerprint(), fingerprint);
    let changes: [fn(&mut ProviderKeys); 5] = [
        |keys| keys.key[0] ^= 1,
        |keys| keys.epoch += 1,
        |keys| keys.agreement_id[0] ^= 1,
        |keys| keys.valid_from += 1,
        |keys| keys.valid_until += 1,
    ];
    for change in changes {
        let mut other = one.message();
        change(&mut other);
        assert_ne!(super::fingerprint(&other), fingerprint);
    }
}

#[test]
fn a_provider_signs_what_its_own_ceremony_ended_with_alone() {
    let key = service_key("alpha");
    let (one, other) = (keys(7, 8, &[1, 2, 5]), keys(7, 9, &[1, 2, 5]));
    for own in [
        (&one, ceremony(3)),
        (&other, ceremony(2)),
        (&other, ceremony(3)),
    ] {
        let refused = statement().sign(own, &key);
        assert_eq!(refused, Err(StatementError::NotWitnessed));
    }
    assert!(statement().sign((&one, ceremony(2)), &key).is_ok());
}

#[test]
fn every_providers_signature_is_needed() {
    for (at, by) in holders() {
        let mut missing = signatures(&statement());
        missing.remove(&at);
        let refused = KeyStatement::open(&statement().file(&missing), &agreed());
        // The signatures behind it move up: the first that does not hold is named, or the last.
        assert!(matches!(refused, Err(StatementError::NotSigned { .. })));
        let mut other = signatures(&statement());
        other.insert(at, sign(&statement(), "delta"));
        let refused = KeyStatement::open(&statement().file(&other), &agreed());
        assert_eq!(refused, not_signed(by.as_str()));
        // Of another statement: a holder that was told something else signed something else.
        let told = KeyStatement {
            ceremony: ceremony(3),
            ..statement()
        };
        let mut other = signatures(&statement());
        other.insert(at, sign(&told, by.as_str()));
        let refused = KeyStatement::open(&statement().file(&other), &agreed());
        assert_eq!(refused, not_signed(by.as_str()));
    }
    let mut more = signatures(&statement());
    more.insert(place(16), sign(&statement(), "alpha"));
    let refused = KeyStatement::open(&statement().file(&more), &agreed());
    assert_eq!(refused, Err(StatementError::Providers));
}

fn opened_as(agreed: &Agreed) -> StatementError {
    KeyStatement::open(&signed(&statement()), agreed).unwrap_err()
}

#[test]
fn a_statement_is_of_its_agreement_alone() {
    let other = Agreed {
        agreement_id: AgreementId::from_bytes([9; 32]),
        ..agreed()
    };
    assert_eq!(opened_as(&other), StatementError::Other);
    let other = Agreed {
        epoch: MatchingEpoch(4),
        ..agreed()
    };
    assert_eq!(opened_as(&other), StatementError::Other);
    let (expected, found) = (3, 2);
    let other = Agreed {
        threshold: expected,
        ..agreed()
    };
    assert_eq!(
        opened_as(&other),
        StatementError::Threshold { expected, found }
    );
    for names in [&["alpha", "beta"][..], &["alpha", "beta", "gamma", "delta"]] {
        assert_eq!(opened_as(&agreed_with(names)), StatementError::Providers);
    }
    let other = Agreed {
        valid_s: 91 * DAY_S,
        ..agreed()
    };
    assert_eq!(opened_as(&other), StatementError::Validity);
    // The agreement gives this name another key.
    let mut other = agreed();
    other
        .providers
        .insert(name("beta"), service_key("delta").public());
    assert_eq!(Err(opened_as(&other)), not_signed("beta"));
}

/// Changes what is signed, then has all sign it.
fn changed(change: impl Fn(&mut ProviderKeys)) -> StatementError {
    let mut body = statement().message();
    change(&mut body);
    let sign = |name: &PartyName| {
        sign_message(&service_key(name.as_str()), Format::ProviderKeys, &body).unwrap()
    };
    let file = ProviderKeysFile {
        format: Format::ProviderKeys.as_str().to_owned(),
        signatures: holders()
            .values()
            .map(|name| sign(name).signature)
            .collect(),
        body: incamera_wire::encode(&body),
    };
    KeyStatement::open(&incamera_wire::encode(&file), &agreed()).unwrap_err()
}

#[test]
fn what_all_signed_and_makes_no_sense_is_refused() {
    let misfit = SharesError::Misfit { place: place(5) };
    let other_share = keys(9, 9, &[1, 2, 5])
        .shares()
        .last()
        .map(|(_, key)| *key)
        .unwrap();
    let of = changed(|body| body.shares[2].public_key = other_share.as_bytes().to_vec());
    assert_eq!(of, StatementError::Shares(misfit));
    let of = changed(|body| body.key = other_share.as_bytes().to_vec());
    assert_eq!(of, StatementError::Key);
    let of = changed(|body| body.number = 0);
    assert_eq!(of, StatementError::Validity);
    let of = changed(|body| body.valid_until += 1);
    assert_eq!(of, StatementError::Validity);
    for found in [0, 17, 1 << 20] {
        let of = changed(|body| body.shares[0].place = found);
        assert!(matches!(
            of,
            StatementError::Places(PlaceError::OutOfRange { .. })
        ));
    }
    let of = changed(|body| body.shares[1].place = 1);
    let twice = SharesError::Places(PlaceError::Twice { place: place(1) });
    assert_eq!(of, StatementError::Shares(twice));
    let of = changed(|body| body.shares[1].provider = "gamma".to_owned());
    assert_eq!(of, StatementError::Providers);
    let field = |field| StatementError::Format(FormatError::Field { field });
    assert_eq!(
        changed(|body| body.shares[1].provider.clear()),
        field("provider")
    );
    assert_eq!(
        changed(|body| body.shares[1].public_key.truncate(31)),
        field("public_key")
    );
    assert_eq!(
        changed(|body| body.agreement_id.push(0)),
        field("agreement_id")
    );
    assert_eq!(changed(|body| body.ceremony.clear()), field("ceremony"));
}

#[test]
fn statements_do_not_go_back_and_do_not_contradict() {
    let first = statement();
    let keys_after = keys(7, 9, &[1, 2, 5]);
    let second = first.refreshed(&agreed(), keys_after, ceremony(4)).unwrap();
    assert_eq!(
        (second.number(), second.valid_until()),
        (2, first.valid_until())
    );
    assert_eq!(
        KeyStatement::open(&signed(&second), &agreed()),
        Ok(second.clone())
    );
    assert_eq!(first.follows(&first), Ok(()));
    assert_eq!(second.follows(&first), Ok(()));
    let (newest, found) = (2, 1);
    assert_eq!(
        first.follows(&second),
        Err(StatementError::WentBack { newest, found })
    );
    let contradiction = |number| Err(StatementError::Contradiction { number });
    // Of two with one number the order of their bytes says which is the newer one.
    let other = first
        .refreshed(&agreed(), keys(7, 10, &[1, 2, 5]), ceremony(4))
        .unwrap();
    let changed = KeyStatement {
        ceremony: ceremony(5),
        ..second.clone()
    };
    for other in [other, changed] {
        let (older, newer) = match other.body() < second.body() {
            true => (&other, &second),
            false => (&second, &other),
        };
        assert_eq!(newer.follows(older), Ok(()));
        let (newest, found) = (2, 2);
        let refused = older.follows(newer);
        assert_eq!(refused, Err(StatementError::WentBack { newest, found }));
        assert_eq!(
            (newer.follows(&first), newer.follows(newer)),
            (Ok(()), Ok(()))
        );
    }
    // Another key, or another time, within an epoch.
    let refused = first.refreshed(&agreed(), keys(6, 9, &[1, 2, 5]), ceremony(4));
    assert_eq!(refused.map(drop), contradiction(2));
    let later = FROM.plus(DAY_S);
    let other = KeyStatement::new(
        &agreed(),
        3,
        keys(7, 9, &[1, 2, 5]),
        holders(),
        ceremony(4),
        later,
    );
    assert_eq!(other.unwrap().follows(&second), contradiction(3));
    // A new epoch begins anew: it does not follow, and is not compared.
    let next = Agreed {
        epoch: MatchingEpoch(4),
        ..agreed()
    };
    let next = KeyStatement::new(
        &next,
        1,
        keys(1, 2, &[1, 2, 5]),
        holders(),
        ceremony(6),
        FROM,
    );
    assert_eq!(next.unwrap().follows(&second), Err(StatementError::Other));
}

#[test]
fn a_provider_may_be_left_out_with_a_new_version_of_the_agreement() {
    let without = agreed_with(&["alpha", "gamma"]);
    let left = statement()
        .refreshed(&without, keys(7, 9, &[1, 2]), ceremony(4))
        .unwrap();
    assert_eq!(left.holders().len(), 2);
    assert_eq!(
        KeyStatement::open(&signed(&left), &without),
        Ok(left.clone())
    );
    assert_eq!(left.follows(&statement()), Ok(()));
    let refused = statement().refreshed(&agreed(), keys(7, 9, &[1, 2]), ceremony(4));
    assert_eq!(refused, Err(StatementError::Providers));
}

#[test]
fn keys_have_a_first_and_a_last_second() {
    let (from, until) = (FROM, FROM.plus(90 * DAY_S));
    let refused = Err(StatementError::Expired { from, until });
    assert_eq!(statement().check_time(from), Ok(()));
    assert_eq!(statement().check_time(until), Ok(()));
    assert_eq!(statement().check_time(UnixTime(from.0 - 1)), refused);
    assert_eq!(statement().check_time(until.plus(1)), refused);
}

#[test]
fn files_of_other_versions_and_sizes_are_refused() {
    let mut file = ProviderKeysFile {
        format: "incamera-provider-keys/2".to_owned(),
        ..ProviderKeysFile::default()
    };
    let open = |file: &ProviderKeysFile| {
        KeyStatement::open(&incamera_wire::encode(file), &agreed()).unwrap_err()
    };
    let unknown = open(&file);
    assert!(matches!(
        unknown,
        StatementError::Format(FormatError::Unknown { .. })
    ));
    file.body = vec![0; MAX_BYTES];
    let large = open(&file);
    assert!(matches!(
        large,
        StatementError::Format(FormatError::TooLarge { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever byte of the file is changed or cut away, nothing is taken that was not signed.
    #[test]
    fn changed_files_are_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<bool>()) {
        let mut file = signed(&statement());
        let at = at.index(file.len());
        if cut {
            file.truncate(at);
        } else {
            file[at] ^= 1 << bit;
        }
        prop_assert!(KeyStatement::open(&file, &agreed()).is_err());
    }

    #[test]
    fn any_bytes_are_no_statement(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(KeyStatement::open(&bytes, &agreed()).is_err());
    }
}
