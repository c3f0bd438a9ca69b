//! I4 for tokens: a key that the analyst signed asks what the token says, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use incamera_keys::{SigningKey, sign_message};
use incamera_release::{
    MAX_TOKEN_S, MIN_LEFT_S, OwnRules, RESERVATION_S, Refusal, RefusalKind, RequestRefusal,
    ReservationsError, Token, TokenError, TokenTerms, VerifiedRequest, verify_release,
    verify_request,
};
use incamera_types::{AnalystRef, Digest as _, PrivacyLoss, QueryName, TokenDigest, UnixTime};
use incamera_wire::v1::{
    Answer, Grant, LogEntry, RequestEnvelope, Signed, Token as Message, TokenFile,
};
use incamera_wire::{Format, FormatError, decode, encode};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use crate::world::{CUSTOMERS, MAILING, NOW, PURCHASES, Session, TEMPLATE, World, name};

const SOON: u64 = 600;

fn queries(names: &[&str]) -> BTreeSet<QueryName> {
    names.iter().map(|query| name(query)).collect()
}

fn made(world: &mut World, queries: &BTreeSet<QueryName>, expires: UnixTime) -> Token {
    let analyst = world.analyst.clone();
    let key = world.analysts[&analyst].duplicate();
    made_by(world, &key, &analyst, queries, expires)
}

fn made_by(
    world: &mut World,
    key: &SigningKey,
    analyst: &AnalystRef,
    queries: &BTreeSet<QueryName>,
    expires: UnixTime,
) -> Token {
    let terms = TokenTerms {
        analyst,
        queries,
        reason: "a dashboard",
        expires,
    };
    Token::new(
        &world.agreement.agreement().clone(),
        &terms,
        key,
        &mut world.rng,
    )
    .unwrap()
}

fn asked(world: &mut World, token: &Token) -> Result<VerifiedRequest, RequestRefusal> {
    let signed = signed(world, token);
    verify_request(&signed, &world.active(), NOW)
}

fn signed(world: &mut World, token: &Token) -> Signed {
    let request = world.request();
    request
        .sign_by_token(token, NOW.plus(SOON), &mut world.rng)
        .unwrap()
}

fn refused(world: &mut World, token: &Token) -> TokenError {
    match asked(world, token).unwrap_err() {
        RequestRefusal::Token(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_asks_in_its_analysts_name() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["buyers", "lift"]), NOW.plus(SOON));
    let token = Token::from_text(&token.to_text()).unwrap();
    let request = asked(&mut world, &token).unwrap();
    assert_eq!(request.analyst(), &world.analyst);
    assert_eq!(request.reason(), "a dashboard");
    assert_eq!(request.token(), Some(token.digest()));
    let plain = world.request();
    let plain = world.sign(&plain);
    let plain = verify_request(&plain, &world.active(), NOW).unwrap();
    assert_eq!(plain.token(), None);
}

/// The secret key inside.
fn inner(token: &Token) -> SigningKey {
    let text = BASE64.decode(token.to_text().as_bytes()).unwrap();
    let file: TokenFile = decode(&text, text.len()).unwrap();
    SigningKey::from_seed(file.secret.as_slice().try_into().unwrap())
}

fn granted(world: &mut World, token: &Token) -> Session {
    let request = asked(world, token).unwrap();
    let session = world.session_of(request);
    world.grant(session)
}

fn entry(grant: &Signed) -> LogEntry {
    let grant: Grant = decode(&grant.body, 1 << 20).unwrap();
    decode(&grant.log.unwrap().entry, 1 << 20).unwrap()
}

/// An owner can tell: its log names the token, and nothing where the analyst signed.
#[test]
fn i4_log_and_receipt_name_the_token() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let session = granted(&mut world, &token);
    for grant in &session.grants {
        assert_eq!(entry(grant).token, token.digest().as_bytes());
    }
    for grant in &world.granted().grants {
        assert!(entry(grant).token.is_empty());
    }
    let other = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    assert_ne!(other.digest(), token.digest());
}

/// An entry that keeps quiet about the token, or names one where the analyst signed, is not the
/// request's: the room opens no grant with it.
#[test]
fn i4_a_log_entry_of_another_token_opens_nothing() {
    let said = |by_token: bool, says: Vec<u8>| {
        let mut world = World::new();
        let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
        let mut session = match by_token {
            true => granted(&mut world, &token),
            false => world.granted(),
        };
        let mut grant: Grant = decode(&session.grants[1].body, 1 << 20).unwrap();
        let log = grant.log.as_mut().unwrap();
        let mut entry: LogEntry = decode(&log.entry, 1 << 20).unwrap();
        entry.token = says;
        log.entry = encode(&entry);
        let shop = &world.owners["shop"].signer;
        session.grants[1] = sign_message(shop, Format::Grant, &grant).unwrap();
        world.open(session).unwrap_err().fault().to_string()
    };
    for (by_token, says) in [(true, vec![]), (true, vec![7; 32]), (false, vec![7; 32])] {
        let fault = said(by_token, says);
        assert!(fault.contains("the log entry has another token"), "{fault}");
    }
}

/// Owners refuse all tokens, or one, in both rounds; what analysts sign themselves goes on.
#[test]
fn i4_an_owners_rules_refuse_tokens() {
    let one: fn(TokenDigest) -> OwnRules = |token| OwnRules {
        refused_tokens: BTreeSet::from([token]),
        ..OwnRules::default()
    };
    let all: fn(TokenDigest) -> OwnRules = |_| OwnRules {
        refuse_tokens: true,
        ..OwnRules::default()
    };
    let (own, another) = ("takes no questions by tokens", "does not permit this token");
    for (rules, words) in [(all, own), (one, another)] {
        let mut world = World::new();
        let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
        let second = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
        let rules = OwnRules {
            insecure_accept_simulated: true,
            ..rules(token.digest())
        };
        let refused = |refusal: Refusal| {
            assert_eq!(refusal.kind(), RefusalKind::Policy);
            assert!(refusal.to_string().contains(words), "{refusal}");
        };
        let request = asked(&mut world, &token).unwrap();
        let mut session = world.session_of(request.clone());
        world.reserve_all(&mut session);
        world.owner("shop").rules = rules;
        refused(world.commit(&session, "shop").unwrap_err());
        let mut session = world.session_of(request);
        refused(world.reserve(&mut session, "shop").unwrap_err());
        assert_eq!(world.spent("shop"), PrivacyLoss::default());
        let request = asked(&mut world, &second).unwrap();
        let mut session = world.session_of(request);
        let by_another = world.reserve(&mut session, "shop");
        assert_eq!(by_another.is_ok(), words == another);
        world.granted();
        assert_ne!(world.spent("shop"), PrivacyLoss::default());
    }
}

/// Owners grant on it, and the receipt holds.
#[test]
fn i10_a_receipt_shows_a_tokens_request() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let request = asked(&mut world, &token).unwrap();
    let session = world.session_of(request.clone());
    let session = world.grant(session);
    let answer = Answer {
        query: "lift".into(),
        simulated: true,
        ..Answer::default()
    };
    let (_, release) = world.issue(session, &answer);
    let report = verify_release(&release, &world.agreement).unwrap();
    assert_eq!(report.request_digest, request.digest());
    assert_eq!(report.token, Some(token.digest()));
}

/// Whoever has the secret key may sign for longer: it ends with the token all the same.
#[test]
fn i4_a_request_ends_with_its_token() {
    let mut world = World::new();
    let end = NOW.plus(SOON / 2);
    let token = made(&mut world, &queries(&["lift"]), end);
    let good = signed(&mut world, &token);
    let mut envelope: RequestEnvelope = decode(&good.body, 1 << 20).unwrap();
    assert_eq!(envelope.expires, end.0);
    envelope.expires = NOW.plus(SOON).0;
    let longer = sign_message(&inner(&token), Format::Request, &envelope).unwrap();
    let request = verify_request(&longer, &world.active(), NOW).unwrap();
    assert_eq!(request.expires(), end);
}

/// A token that ends between the rounds charges nothing, though the envelope is good for longer.
#[test]
fn i4_a_token_that_ends_between_the_rounds_is_refused() {
    let mut world = World::new();
    let end = NOW.plus(RESERVATION_S / 2);
    let token = made(&mut world, &queries(&["lift"]), end);
    let mut envelope: RequestEnvelope = decode(&signed(&mut world, &token).body, 1 << 20).unwrap();
    envelope.expires = NOW.plus(SOON).0;
    let longer = sign_message(&inner(&token), Format::Request, &envelope).unwrap();
    let request = verify_request(&longer, &world.active(), NOW).unwrap();
    let mut session = world.session_of(request);
    world.reserve_all(&mut session);
    world.is_too_late(&session, end);
}

/// No owner charges what may be over before another has: a reservation ends with its request.
#[test]
fn i5_nobody_commits_to_a_request_that_is_nearly_over() {
    let mut world = World::new();
    let commit = |world: &mut World, left_s| {
        let token = made(world, &queries(&["lift"]), NOW.plus(left_s));
        let request = asked(world, &token).unwrap();
        let mut session = world.session_of(request);
        world.reserve_all(&mut session);
        world.commit(&session, "shop")
    };
    let refusal = commit(&mut world, MIN_LEFT_S - 1).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Reservations(ReservationsError::EndsSoon { .. })
    ));
    assert_eq!(world.spent("shop"), PrivacyLoss::default());
    commit(&mut world, MIN_LEFT_S).unwrap();
}

#[test]
fn i4_a_token_asks_only_what_it_names() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["buyers"]), NOW.plus(SOON));
    assert_eq!(
        refused(&mut world, &token),
        TokenError::Query {
            query: name("lift")
        }
    );
}

/// A token gives no right that its analyst has not.
#[test]
fn i4_a_token_asks_only_what_its_analyst_may() {
    let mut world = World::new();
    world.analyst = name("shop/sam");
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let refusal = asked(&mut world, &token).unwrap_err();
    assert_eq!(refusal, RequestRefusal::NotAllowed);
}

#[test]
fn i4_a_token_ends() {
    let mut world = World::new();
    let over = made(&mut world, &queries(&["lift"]), NOW);
    assert_eq!(
        refused(&mut world, &over),
        TokenError::Expired { late_s: 0 }
    );
    let last = made(&mut world, &queries(&["lift"]), NOW.plus(MAX_TOKEN_S));
    assert!(asked(&mut world, &last).is_ok());
    let long = made(&mut world, &queries(&["lift"]), NOW.plus(MAX_TOKEN_S + 1));
    assert_eq!(refused(&mut world, &long), TokenError::TooLong);
}

#[test]
fn i4_a_token_is_its_analysts_own() {
    let mut world = World::new();
    let (lift, end) = (queries(&["lift"]), NOW.plus(SOON));
    let ana = world.analyst.clone();
    let sam = world.analysts[&name::<AnalystRef>("shop/sam")].duplicate();
    let forged = made_by(&mut world, &sam, &ana, &lift, end);
    assert!(matches!(
        refused(&mut world, &forged),
        TokenError::Signed(_)
    ));
    // A token makes no token.
    let token = made(&mut world, &lift, end);
    let grandchild = made_by(&mut world, &inner(&token), &ana, &lift, end);
    assert!(matches!(
        refused(&mut world, &grandchild),
        TokenError::Signed(_)
    ));
}

/// Another analyst's name over a token of one's own.
#[test]
fn i4_a_token_stands_for_its_analyst_alone() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let good = signed(&mut world, &token);
    let inner = inner(&token);
    let resigned = |change: fn(&mut RequestEnvelope)| {
        let mut envelope: RequestEnvelope = decode(&good.body, 1 << 20).unwrap();
        change(&mut envelope);
        sign_message(&inner, Format::Request, &envelope).unwrap()
    };
    let check = |signed: &Signed| verify_request(signed, &world.active(), NOW);
    assert!(check(&resigned(|_| {})).is_ok());
    let other = check(&resigned(|envelope| envelope.analyst = "shop/sam".into()));
    assert!(matches!(
        other,
        Err(RequestRefusal::Token(TokenError::Signed(_)))
    ));
    let without = check(&resigned(|envelope| envelope.token = None));
    assert!(matches!(without, Err(RequestRefusal::Signed(_))));
}

/// Also where two analysts have one key.
#[test]
fn i4_a_token_names_its_analyst() {
    let mut world = World::agreed(&TEMPLATE.replace("{sam}", "{ana}"));
    for (dataset, rows) in [
        ("customers", CUSTOMERS),
        ("purchases", PURCHASES),
        ("mailing", MAILING),
    ] {
        world.seal(dataset, rows);
    }
    let token = made(&mut world, &queries(&["buyers"]), NOW.plus(SOON));
    let good = signed(&mut world, &token);
    let mut envelope: RequestEnvelope = decode(&good.body, 1 << 20).unwrap();
    envelope.analyst = "shop/sam".into();
    let other = sign_message(&inner(&token), Format::Request, &envelope).unwrap();
    let refusal = verify_request(&other, &world.active(), NOW).unwrap_err();
    assert_eq!(refusal, RequestRefusal::Token(TokenError::OtherAnalyst));
}

/// What is wrong with a token is said of the right field.
#[test]
fn malformed_tokens_say_which_field() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let text = BASE64.decode(token.to_text().as_bytes()).unwrap();
    let file: TokenFile = decode(&text, text.len()).unwrap();
    let body: Message = decode(&file.token.clone().unwrap().body, 1 << 20).unwrap();
    let changes: [(&str, fn(&mut Message)); 4] = [
        ("nonce", |token| token.nonce.clear()),
        ("reason", |token| token.reason = "a\nb".into()),
        ("queries", |token| token.queries.push("a b".into())),
        ("analyst", |token| token.analyst = "ana".into()),
    ];
    for (field, change) in changes {
        let (mut file, mut body) = (file.clone(), body.clone());
        change(&mut body);
        let key = &world.analysts[&world.analyst];
        file.token = Some(sign_message(key, Format::QueryToken, &body).unwrap());
        let error = Token::from_text(&BASE64.encode(encode(&file))).unwrap_err();
        assert_eq!(error, TokenError::Format(FormatError::Field { field }));
    }
}

#[test]
fn i4_a_token_is_of_one_agreement_version() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let text = BASE64.decode(token.to_text().as_bytes()).unwrap();
    let mut file: TokenFile = decode(&text, text.len()).unwrap();
    let mut body: Message = decode(&file.token.unwrap().body, 1 << 20).unwrap();
    body.agreement_digest[0] ^= 1;
    let key = &world.analysts[&world.analyst];
    file.token = Some(sign_message(key, Format::QueryToken, &body).unwrap());
    let other = Token::from_text(&BASE64.encode(encode(&file))).unwrap();
    assert_eq!(refused(&mut world, &other), TokenError::OtherAgreement);
}

#[test]
fn other_texts_are_no_tokens() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let good = token.to_text();
    for text in [
        "",
        "Bearer",
        "%%%",
        &good[..good.len() / 2],
        &"A".repeat(1 << 22),
    ] {
        assert!(matches!(
            Token::from_text(text),
            Err(TokenError::Malformed | TokenError::Format(_) | TokenError::Signed(_))
        ));
    }
    let bytes = BASE64.decode(good.as_bytes()).unwrap();
    let mut file: TokenFile = decode(&bytes, bytes.len()).unwrap();
    file.secret[0] ^= 1;
    assert!(matches!(
        Token::from_text(&BASE64.encode(encode(&file))),
        Err(TokenError::OtherKey)
    ));
    assert!(Token::from_text(&format!("{}\n", good.as_str())).is_ok());
}

#[test]
fn debug_shows_no_key() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    assert_eq!(format!("{token:?}"), "Token(mailer/ana)");
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/query-token-1")
}

#[test]
#[ignore = "writes the golden file anew: only for a format that has no version yet"]
fn write_golden_token() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["buyers", "lift"]), NOW.plus(SOON));
    fs::write(golden(), token.to_text().as_bytes()).unwrap();
}

#[test]
fn a_token_of_version_1_is_read() {
    let token = Token::from_text(&fs::read_to_string(golden()).unwrap()).unwrap();
    assert_eq!(token.analyst(), &name::<AnalystRef>("mailer/ana"));
    assert_eq!(token.queries(), &queries(&["buyers", "lift"]));
    assert_eq!(token.reason(), "a dashboard");
    assert_eq!(token.expires(), NOW.plus(SOON));
}
