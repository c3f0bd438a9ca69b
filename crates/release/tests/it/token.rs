//! I4 for tokens: a key that the analyst signed asks what the token says, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use incamera_keys::{SigningKey, sign_message};
use incamera_release::{
    MAX_TOKEN_S, Record, RequestRefusal, Token, TokenError, TokenTerms, VerifiedRequest, issue,
    verify_release, verify_request,
};
use incamera_types::{AnalystRef, QueryName, UnixTime};
use incamera_wire::v1::{Answer, RequestEnvelope, Signed, Token as Message, TokenFile};
use incamera_wire::{Format, decode, encode};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use crate::world::{NOW, World, name};

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
    assert!(request.by_token());
    let plain = world.request();
    let plain = world.sign(&plain);
    assert!(
        !verify_request(&plain, &world.active(), NOW)
            .unwrap()
            .by_token()
    );
}

/// Owners grant on it, and the receipt holds.
#[test]
fn i10_a_receipt_shows_a_tokens_request() {
    let mut world = World::new();
    let token = made(&mut world, &queries(&["lift"]), NOW.plus(SOON));
    let request = asked(&mut world, &token).unwrap();
    let session = world.session_of(request.clone());
    let session = world.grant(session);
    let evidence = session.evidence.clone();
    let opened = world.open(session).unwrap();
    let record = Record {
        request: &request,
        grants: &opened,
        manifests: &world.manifests,
        evidence: &evidence,
    };
    let key = world.receipt_key.duplicate();
    let answer = Answer {
        query: "lift".into(),
        simulated: true,
        ..Answer::default()
    };
    let release = issue(&record, &answer, &key, &mut world.rng).unwrap();
    let report = verify_release(&release, &world.agreement).unwrap();
    assert_eq!(report.request_digest, request.digest());
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
    let text = BASE64.decode(token.to_text().as_bytes()).unwrap();
    let file: TokenFile = decode(&text, text.len()).unwrap();
    let inner = SigningKey::from_seed(file.secret.as_slice().try_into().unwrap());
    let grandchild = made_by(&mut world, &inner, &ana, &lift, end);
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
    let text = BASE64.decode(token.to_text().as_bytes()).unwrap();
    let file: TokenFile = decode(&text, text.len()).unwrap();
    let inner = SigningKey::from_seed(file.secret.as_slice().try_into().unwrap());
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
