//! I4: the analyst's own signature covers query, parameters, purpose and expiry, and the
//! agreement allows it.

use incamera_agreement::{Agreement, sign};
use incamera_keys::{SigningKey, sign_message};
use incamera_release::{
    MAX_LIFETIME_S, Request, RequestError, RequestRefusal, VerifiedRequest, verify_request,
};
use incamera_types::{Date, Digest as _, ParamType, Params, UnixTime, Value};
use incamera_wire::v1::parameter::Value as WireValue;
use incamera_wire::v1::{Parameter, RequestEnvelope, Signed};
use incamera_wire::{Format, decode, encode};

use crate::world::{NOW, TEMPLATE, World, measurement, name, params};

fn envelope(signed: &Signed) -> RequestEnvelope {
    decode(&signed.body, 1 << 20).unwrap()
}

fn check(world: &World, signed: &Signed) -> Result<VerifiedRequest, RequestRefusal> {
    verify_request(signed, &world.active(), NOW)
}

/// A good request with a change, signed again by the analyst or (wrongly) not.
fn changed(change: impl FnOnce(&mut RequestEnvelope), sign_again: bool) -> RequestRefusal {
    let mut world = World::new();
    let request = world.request();
    let mut signed = world.sign(&request);
    assert!(check(&world, &signed).is_ok());
    let mut envelope = envelope(&signed);
    change(&mut envelope);
    if sign_again {
        let key = &world.analysts[&world.analyst];
        signed = sign_message(key, Format::Request, &envelope).unwrap();
    } else {
        signed.body = encode(&envelope);
    }
    check(&world, &signed).unwrap_err()
}

fn inner(envelope: &mut RequestEnvelope) -> &mut incamera_wire::v1::Request {
    envelope.request.as_mut().unwrap()
}

/// No field can be changed on the way.
#[test]
fn i4_the_signature_covers_every_field() {
    let changes: [fn(&mut RequestEnvelope); 9] = [
        |envelope| inner(envelope).query = "buyers".into(),
        |envelope| inner(envelope).purpose = "ads".into(),
        |envelope| inner(envelope).params[0].value = Some(WireValue::Date(1)),
        |envelope| inner(envelope).manifests[0][0] ^= 1,
        |envelope| inner(envelope).measurement[0] ^= 1,
        |envelope| inner(envelope).agreement_digest[0] ^= 1,
        |envelope| envelope.expires += 1,
        |envelope| envelope.reason.push('!'),
        |envelope| envelope.nonce[0] ^= 1,
    ];
    for change in changes {
        let refusal = changed(change, false);
        assert!(matches!(refusal, RequestRefusal::Signed(_)), "{refusal:?}");
    }
}

/// And what the analyst does sign is held against the agreement.
#[test]
fn i4_the_agreement_decides_what_may_be_asked() {
    let refused = |change: fn(&mut RequestEnvelope)| match changed(change, true) {
        RequestRefusal::Request(error) => error,
        other => panic!("{other:?}"),
    };
    let (from, date) = (name("from"), ParamType::Date);
    assert_eq!(
        refused(|envelope| inner(envelope).query = "everything".into()),
        RequestError::UnknownQuery
    );
    assert_eq!(
        refused(|envelope| inner(envelope).purpose = "ads".into()),
        RequestError::Purpose {
            query: name("lift"),
            purpose: name("measurement")
        }
    );
    assert_eq!(
        refused(|envelope| inner(envelope).agreement_digest = vec![7; 32]),
        RequestError::OtherAgreement
    );
    assert_eq!(
        refused(|envelope| drop(inner(envelope).params.remove(0))),
        RequestError::MissingParam {
            name: from,
            ty: date
        }
    );
    assert_eq!(
        refused(|envelope| inner(envelope).params[0].value = Some(WireValue::Int(1))),
        RequestError::ParamType {
            name: name("from"),
            ty: date
        }
    );
    let extra = |envelope: &mut RequestEnvelope| {
        let value = Some(WireValue::Int(1));
        inner(envelope).params.push(Parameter {
            name: "extra".into(),
            value,
        });
    };
    assert_eq!(refused(extra), RequestError::UnknownParam);
    let twice = |envelope: &mut RequestEnvelope| {
        let first = inner(envelope).params[0].clone();
        inner(envelope).params.push(first);
    };
    assert_eq!(refused(twice), RequestError::UnknownParam);
    assert_eq!(
        refused(|envelope| drop(inner(envelope).manifests.pop())),
        RequestError::Manifests
    );
    assert_eq!(
        refused(|envelope| inner(envelope).measurement = vec![9; 32]),
        RequestError::Measurement
    );
    assert_eq!(
        refused(|envelope| envelope.nonce.clear()),
        RequestError::Field { field: "nonce" }
    );
    assert_eq!(
        refused(|envelope| envelope.reason = "two\nlines".into()),
        RequestError::Field { field: "reason" }
    );
}

#[test]
fn i4_only_known_analysts_ask_only_what_they_may() {
    let unknown = changed(|envelope| envelope.analyst = "mailer/bob".into(), true);
    assert_eq!(unknown, RequestRefusal::UnknownAnalyst);
    let nobody = changed(|envelope| envelope.analyst = "ana".into(), true);
    assert_eq!(nobody, RequestRefusal::UnknownAnalyst);
    // Signed with ana's key in the name of sam.
    let other = changed(|envelope| envelope.analyst = "shop/sam".into(), true);
    assert!(matches!(other, RequestRefusal::Signed(_)));
    // Sam is known, and may not ask this.
    let mut world = World::new();
    world.analyst = name("shop/sam");
    let request = world.request();
    let signed = world.sign(&request);
    assert_eq!(
        check(&world, &signed).unwrap_err(),
        RequestRefusal::NotAllowed
    );
    // A stranger's key.
    let stranger = SigningKey::generate(&mut world.rng);
    let forged = sign_message(&stranger, Format::Request, &envelope(&signed)).unwrap();
    assert!(matches!(
        check(&world, &forged),
        Err(RequestRefusal::Signed(_))
    ));
}

#[test]
fn i4_requests_expire() {
    let mut world = World::new();
    let request = world.request();
    let signed = world.sign(&request);
    let at = |now| verify_request(&signed, &world.active(), now);
    assert!(at(UnixTime(world.expires.0 - 1)).is_ok());
    let late_s = 5;
    let late = at(world.expires.plus(late_s)).unwrap_err();
    assert_eq!(late, RequestRefusal::Expired { late_s });
    world.expires = NOW.plus(MAX_LIFETIME_S + 1);
    let long = world.sign(&request);
    assert_eq!(check(&world, &long).unwrap_err(), RequestRefusal::TooLong);
}

#[test]
fn i4_the_agreement_must_be_in_force() {
    let world = World::new();
    let last: Date = name("2027-03-31");
    assert!(world.agreement.at(last.end()).is_ok());
    assert!(world.agreement.at(last.end().plus(1)).is_err());
    // One signature less, and there is no agreement to verify requests under.
    let bytes = world.agreement.bytes();
    let shop = &world.signs["shop"];
    let one = [(name("shop"), sign(bytes, shop).unwrap())].into();
    let missing = Agreement::parse(bytes).unwrap().verify(&one).unwrap_err();
    assert_eq!(missing.missing, [name("mailer")]);
}

/// A value outside what the agreement declares is refused however the analyst's own program made
/// and signed the request, and is in none that ours makes.
#[test]
fn i4_parameters_stay_inside_their_declared_domains() {
    let params_line = "params = { from = { type = \"date\" }, until = { type = \"date\" } }";
    let declared = "params = { from = { type = \"date\", min = 2026-03-01, max = 2026-03-31 }, until = { type = \"date\", values = [2026-05-31, 2026-08-31] } }";
    assert!(TEMPLATE.contains(params_line));
    let mut world = World::sealed(&TEMPLATE.replacen(params_line, declared, 1));
    let day = |text: &str| name::<Date>(text);
    let asked = |from: &str, until: &str| {
        [("from", from), ("until", until)]
            .map(|(param, on)| (name(param), Value::Date(day(on))))
            .into_iter()
            .collect::<Params>()
    };
    let inside = [("2026-03-01", "2026-05-31"), ("2026-03-31", "2026-08-31")];
    let outside = [
        ("2026-02-28", "2026-05-31", "from"),
        ("2026-04-01", "2026-05-31", "from"),
        ("2026-03-15", "2026-06-30", "until"),
    ];
    let made = |world: &World, params| {
        let agreement = world.agreement.agreement();
        Request::new(
            agreement,
            &name("lift"),
            params,
            &world.digests(),
            measurement(1),
        )
    };
    let request = made(&world, asked("2026-03-15", "2026-05-31")).unwrap();
    let signed = world.sign(&request);
    let by_hand = |from: &str, until: &str| {
        let mut envelope = envelope(&signed);
        let all = &mut inner(&mut envelope).params;
        all[0].value = Some(WireValue::Date(day(from).days()));
        all[1].value = Some(WireValue::Date(day(until).days()));
        let key = &world.analysts[&world.analyst];
        check(
            &world,
            &sign_message(key, Format::Request, &envelope).unwrap(),
        )
    };
    for (from, until) in inside {
        by_hand(from, until).unwrap();
        made(&world, asked(from, until)).unwrap();
    }
    for (from, until, which) in outside {
        let refusal = by_hand(from, until).unwrap_err();
        let error = made(&world, asked(from, until)).unwrap_err();
        let RequestError::ParamDomain { name, allowed } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(name.as_str(), which);
        assert!(
            allowed.contains("2026-03-01") || allowed.contains("2026-08-31"),
            "{allowed}"
        );
        // The refusal says what may be asked, and not what was.
        assert!(
            !error
                .to_string()
                .contains(if which == "from" { from } else { until }),
            "{error}"
        );
        assert_eq!(refusal, RequestRefusal::Request(error));
    }
}

/// The same when a request is made.
#[test]
fn requests_are_made_with_just_the_querys_parameters() {
    let world = World::new();
    let make = |params| {
        let agreement = world.agreement.agreement();
        let (query, digests) = (name("lift"), world.digests());
        Request::new(agreement, &query, params, &digests, measurement(1))
    };
    let mut more = params("2026-03-01");
    assert!(make(more.clone()).is_ok());
    more.insert(name("extra"), Value::Int(1));
    assert_eq!(make(more).unwrap_err(), RequestError::UnknownParam);
    let (name, ty) = (name("from"), ParamType::Date);
    assert_eq!(
        make(Params::new()).unwrap_err(),
        RequestError::MissingParam { name, ty }
    );
}

#[test]
fn debug_shows_no_parameter() {
    let request = World::new().request();
    let shown = format!("{request:?}");
    assert!(
        shown.contains("lift") && !shown.contains("2026-03-01"),
        "{shown}"
    );
}

/// Whoever asks for a purpose that a new version renamed or split is told its successors.
#[test]
fn i4_a_purpose_that_is_gone_is_refused_with_its_successor() {
    let asked = World::new().request().to_wire();
    let later = |ads: &str, others: &str| {
        let version = "version = 2\nid = \"ID\"\nfollows = \"ID\"".replace("ID", &"ab".repeat(32));
        let named = TEMPLATE.replace("version = 1", &version);
        let named = named.replace("\"ads\"", "\"audiences\"");
        named.replace(
            "ads = { label = \"Choosing audiences\" }",
            &format!("{ads}\n{others}"),
        )
    };
    let told = |text: &str, purpose: &str| {
        let world = World::agreed(text);
        let mut message = asked.clone();
        message.agreement_digest = world.agreement.digest.as_bytes().to_vec();
        message.purpose = purpose.into();
        let error = Request::from_wire(&message, world.agreement.agreement(), None).unwrap_err();
        let refusal = incamera_release::Refusal::Request(error.clone().into());
        assert_eq!(refusal.kind(), incamera_release::RefusalKind::Policy);
        (
            error.to_string(),
            matches!(error, RequestError::Replaced(_)),
        )
    };
    let renamed = later("audiences = { label = \"x\", replaces = [\"ads\"] }", "");
    let (text, replaced) = told(&renamed, "ads");
    assert!(
        replaced && text.starts_with("purpose `ads` is now `audiences` since version 2:"),
        "{text}"
    );
    let (text, replaced) = told(&renamed, "adds");
    assert!(
        !replaced && text.contains("serves the purpose `measurement`"),
        "{text}"
    );
    let split = later(
        "audiences = { label = \"x\", replaces = [\"ads\"] }",
        "profiles = { label = \"y\", replaces = [\"ads\"] }",
    );
    let (text, _) = told(&split, "ads");
    assert!(
        text.starts_with("purpose `ads` is split into `audiences` and `profiles` since version 2"),
        "{text}"
    );
    let merged = later(
        "audiences = { label = \"x\", replaces = [\"ads\", \"looks\"] }",
        "",
    );
    let (text, _) = told(&merged, "ads");
    assert!(
        text.starts_with("purpose `ads` is merged with `looks` into `audiences` since version 2"),
        "{text}"
    );
}
