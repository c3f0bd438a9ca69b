//! I4 for proposed queries: one runs when its analyst and every owner read have signed this very
//! text under this agreement, in time, within the ceilings, and its owner still says so.

use std::collections::BTreeMap;

use incamera_agreement::{ApprovedProposal, Proposal, ProposalError, approve, propose};
use incamera_keys::{SigningKey, SshSig, sign_message};
use incamera_release::{
    MIN_LEFT_S, RESERVATION_S, Refusal, RefusalKind, Request, RequestError, RequestRefusal,
    ReservationsError, Token, TokenError, TokenTerms, VerifiedRequest, verify_release,
    verify_request,
};
use incamera_types::{Date, Digest as _, PartyName, UnixTime};
use incamera_wire::v1::{Answer, LogEntry, RequestEnvelope, Signed};
use incamera_wire::{Format, decode, encode};

use crate::world::{NOW, Session, TEMPLATE, World, measurement, name, params};

const SECTION: &str = r#"
[proposals]
analysts = ["mailer/ana"]
purposes = ["measurement"]
epsilon = 1.0
delta = 1e-8
min_people = 50
until = 2027-01-31
"#;

const DRAFT: &str = r#"
[queries.mailed]
purpose = "measurement"
analysts = ["mailer/ana"]
receivers = ["mailer"]
reads = ["customers.person", "mailing.person", "mailing.mailed"]
sql = """
SELECT COUNT(DISTINCT customers.person) AS people
FROM customers JOIN mailing ON mailing.person = customers.person
WHERE mailing.mailed
"""
rows = { mailing = 1 }
per_person = { groups = 1 }
epsilon = 0.5
delta = 1e-8
min_people = 50
"#;

fn answer() -> Answer {
    Answer {
        query: "mailed".into(),
        simulated: true,
        ..Answer::default()
    }
}

fn world() -> World {
    World::sealed(&format!("{TEMPLATE}{SECTION}"))
}

fn day(text: &str) -> Date {
    name(text)
}

fn proposal(world: &World) -> Proposal {
    let agreement = world.agreement.agreement();
    agreement
        .propose(DRAFT, &world.analyst, day("2027-01-31"))
        .unwrap()
}

fn approvals(world: &World, proposal: &Proposal) -> BTreeMap<PartyName, SshSig> {
    let signs = world.signs.iter();
    signs
        .map(|(party, key)| (party.clone(), approve(proposal, key).unwrap()))
        .collect()
}

fn approved(world: &World) -> ApprovedProposal {
    let proposal = proposal(world);
    let approvals = approvals(world, &proposal);
    let signature = propose(&proposal, &world.analysts[&world.analyst]).unwrap();
    let signed = proposal.signed(&signature).unwrap();
    signed.approved(&approvals, NOW).unwrap()
}

/// Both owners know at home that they approved it.
fn at_home(world: &mut World, proposal: &Proposal) {
    for party in ["mailer", "shop"] {
        world.owner(party).rules.approved.insert(proposal.digest());
    }
}

fn request(world: &World) -> Request {
    let approved = approved(world);
    Request::proposed(
        &approved,
        Default::default(),
        &world.digests(),
        measurement(1),
    )
    .unwrap()
}

fn asked(world: &mut World) -> Signed {
    let request = request(world);
    world.sign(&request)
}

fn verify(world: &World, signed: &Signed) -> Result<VerifiedRequest, RequestRefusal> {
    verify_request(signed, &world.active(), NOW)
}

/// The envelope after an edit, signed again by its analyst.
fn edited(world: &mut World, edit: impl FnOnce(&mut RequestEnvelope)) -> RequestRefusal {
    let mut envelope: RequestEnvelope = decode(&asked(world).body, 1 << 20).unwrap();
    edit(&mut envelope);
    let signed = sign_message(&world.analysts[&world.analyst], Format::Request, &envelope);
    verify(world, &signed.unwrap()).unwrap_err()
}

fn is_policy(refusal: &RequestRefusal) {
    assert_eq!(
        Refusal::Request(refusal.clone()).kind(),
        RefusalKind::Policy
    );
}

#[test]
fn i4_a_proposed_query_goes_the_whole_way_and_its_name_is_in_log_and_receipt() {
    let mut world = world();
    let proposal = proposal(&world);
    at_home(&mut world, &proposal);
    let signed = asked(&mut world);
    let request = verify(&world, &signed).unwrap();
    assert_eq!(request.query().name.as_str(), "mailed");
    assert_eq!(request.request().proposal(), Some(proposal.digest()));
    assert!(request.proposed().is_some());
    let cost = world.agreement.cost(request.query());
    let session = world.session_of(request.clone());
    let session = world.grant(session);
    for party in ["mailer", "shop"] {
        assert_eq!(world.spent(party), cost, "{party}");
    }
    for grant in &session.grants {
        let grant: incamera_wire::v1::Grant = decode(&grant.body, 1 << 20).unwrap();
        let entry: LogEntry = decode(&grant.log.unwrap().entry, 1 << 20).unwrap();
        assert_eq!(entry.proposal, proposal.digest().as_bytes());
        assert_eq!(entry.query, "mailed");
    }
    let (opened, file) = world.issue(session, &answer());
    assert_eq!(opened.loss(), cost);
    let report = verify_release(&file, &world.agreement).unwrap();
    assert_eq!(report.request.proposal(), Some(proposal.digest()));
    assert_eq!(report.query.sql, proposal.query().sql);
}

/// A log entry of another proposal, or of none, is not the request's.
#[test]
fn i4_a_log_entry_without_the_proposal_opens_nothing() {
    let mut world = world();
    let proposal = proposal(&world);
    at_home(&mut world, &proposal);
    let signed = asked(&mut world);
    let request = verify(&world, &signed).unwrap();
    let mut session = world.session_of(request);
    session = world.grant(session);
    let shop = world.owners["shop"].signer.duplicate();
    let mut grant: incamera_wire::v1::Grant = decode(&session.grants[1].body, 1 << 20).unwrap();
    let log = grant.log.as_mut().unwrap();
    let mut entry: LogEntry = decode(&log.entry, 1 << 20).unwrap();
    entry.proposal.clear();
    log.entry = encode(&entry);
    session.grants[1] = sign_message(&shop, Format::Grant, &grant).unwrap();
    let error = world.open(session).unwrap_err();
    let fault = error.fault().to_string();
    assert!(
        fault.contains("the log entry has another proposal"),
        "{fault}"
    );
}

#[test]
fn i4_an_approval_that_comes_with_a_request_is_not_enough_at_home() {
    let mut world = world();
    let proposal = proposal(&world);
    world
        .owner("mailer")
        .rules
        .approved
        .insert(proposal.digest());
    let signed = asked(&mut world);
    let request = verify(&world, &signed).unwrap();
    let mut session = world.session_of(request);
    world.reserve(&mut session, "mailer").unwrap();
    let refusal = world.reserve(&mut session, "shop").unwrap_err();
    assert!(matches!(refusal, Refusal::NotApproved), "{refusal}");
    assert_eq!(refusal.kind(), RefusalKind::Policy);
    assert_eq!(world.spent("shop"), Default::default());
}

/// Taken back between the rounds: nothing is charged.
#[test]
fn i4_an_approval_can_be_taken_back_until_the_charge() {
    let mut world = world();
    let proposal = proposal(&world);
    at_home(&mut world, &proposal);
    let signed = asked(&mut world);
    let request = verify(&world, &signed).unwrap();
    let mut session = world.session_of(request);
    world.reserve_all(&mut session);
    world.owner("shop").rules.approved.clear();
    let refusal = world.commit(&session, "shop").unwrap_err();
    assert!(matches!(refusal, Refusal::NotApproved), "{refusal}");
    assert_eq!(world.spent("shop"), Default::default());
}

#[test]
fn i4_every_owner_read_has_to_approve_in_the_request() {
    let mut world = world();
    for missing in [0, 1] {
        let refusal = edited(&mut world, |envelope| {
            envelope
                .proposed
                .as_mut()
                .unwrap()
                .approvals
                .remove(missing);
        });
        let owners = vec![name(["mailer", "shop"][missing])];
        assert_eq!(refusal, ProposalError::NotApproved { owners }.into());
        is_policy(&refusal);
    }
    // One owner's approval under the other's name.
    let refusal = edited(&mut world, |envelope| {
        let approvals = &mut envelope.proposed.as_mut().unwrap().approvals;
        approvals[1].signature = approvals[0].signature.clone();
    });
    let owners = vec![name("shop")];
    assert_eq!(refusal, ProposalError::NotApproved { owners }.into());
    // The analyst's signature in an approval's place, and no signature at all.
    let refusal = edited(&mut world, |envelope| {
        let proposed = envelope.proposed.as_mut().unwrap();
        proposed.approvals[1].signature = proposed.signature.clone();
    });
    is_policy(&refusal);
    let refusal = edited(&mut world, |envelope| {
        let approvals = &mut envelope.proposed.as_mut().unwrap().approvals;
        approvals[1].signature = vec![1, 2, 3];
    });
    assert_eq!(refusal, RequestError::Field { field: "proposed" }.into());
}

#[test]
fn i4_the_text_that_was_signed_is_the_one_that_runs() {
    let mut world = world();
    // Other SQL after the approval: no signature holds.
    for (from, to) in [
        ("mailing.mailed\n", "NOT mailing.mailed\n"),
        ("epsilon = 0.5", "epsilon = 0.4"),
    ] {
        let refusal = edited(&mut world, |envelope| {
            let proposed = envelope.proposed.as_mut().unwrap();
            let text = String::from_utf8(proposed.proposal.clone()).unwrap();
            assert!(text.contains(from));
            proposed.proposal = text.replacen(from, to, 1).into_bytes();
        });
        let analyst = name("mailer/ana");
        assert_eq!(refusal, ProposalError::NotSigned { analyst }.into());
    }
    // The proposal named is the one that comes along.
    let refusal = edited(&mut world, |envelope| {
        envelope.request.as_mut().unwrap().proposal = vec![7; 32];
    });
    assert_eq!(refusal, RequestError::Field { field: "proposal" }.into());
    let refusal = edited(&mut world, |envelope| {
        envelope.request.as_mut().unwrap().proposal.clear();
    });
    assert_eq!(refusal, RequestError::Field { field: "proposal" }.into());
    let refusal = edited(&mut world, |envelope| envelope.proposed = None);
    assert_eq!(refusal, RequestError::Field { field: "proposal" }.into());
    // Nor does it lend its signatures to another query.
    let refusal = edited(&mut world, |envelope| {
        envelope.request.as_mut().unwrap().query = "lift".into();
    });
    assert_eq!(refusal, RequestError::UnknownQuery.into());
}

/// An approved proposal beside a request for one of the agreement's queries changes nothing.
#[test]
fn i4_a_proposal_is_no_way_around_a_query_of_the_agreement() {
    let mut world = world();
    let with = asked(&mut world);
    let with: RequestEnvelope = decode(&with.body, 1 << 20).unwrap();
    let lift = world.request();
    let mut envelope: RequestEnvelope = decode(&world.sign(&lift).body, 1 << 20).unwrap();
    envelope.proposed = with.proposed;
    let signed = sign_message(&world.analysts[&world.analyst], Format::Request, &envelope);
    let refusal = verify(&world, &signed.unwrap()).unwrap_err();
    assert_eq!(refusal, RequestError::Field { field: "proposal" }.into());
}

#[test]
fn i4_a_proposal_ends_with_its_day_and_with_its_agreement() {
    let mut world = world();
    let signed = asked(&mut world);
    let end = day("2027-01-31").end();
    world.expires = end.plus(3600);
    let request = request(&world);
    let late = world.sign(&request);
    let at = |now: UnixTime| verify_request(&late, &world.agreement.at(now).unwrap(), now);
    assert!(at(end).is_ok());
    let refusal = at(end.plus(1)).unwrap_err();
    let over = ProposalError::Expired {
        day: day("2027-01-31"),
    };
    assert_eq!(refusal, over.into());
    is_policy(&refusal);
    // Another version, with the same keys: the proposal names the first.
    let text = std::str::from_utf8(world.agreement.bytes()).unwrap();
    let text = text.replace("max_runs = 12", "max_runs = 13");
    let other = crate::world::signed(&text, &world.signs);
    let refusal = verify_request(&signed, &other.at(NOW).unwrap(), NOW).unwrap_err();
    assert_eq!(refusal, ProposalError::OtherAgreement.into());
}

/// Reserved everywhere this long before the last day ends, by a request that says it is good for
/// an hour more.
fn reserved_before_its_end(left_s: u64) -> (World, Session, UnixTime) {
    let mut world = world();
    let proposal = proposal(&world);
    at_home(&mut world, &proposal);
    let over = proposal.expires().end().plus(1);
    world.now = UnixTime(over.0 - left_s);
    world.expires = over.plus(3600);
    let signed = asked(&mut world);
    let request = verify_request(&signed, &world.active(), world.now).unwrap();
    let mut session = world.session_of(request);
    world.reserve_all(&mut session);
    (world, session, over)
}

/// A last day that ends between the rounds counts: no receipt of such a run would hold.
#[test]
fn i4_a_proposal_that_ends_between_the_rounds_is_refused() {
    let (mut world, session, over) = reserved_before_its_end(RESERVATION_S / 2);
    world.now = over;
    world.is_too_late(&session, over);
}

/// Nor does one owner charge what another may be too late for; what is granted in time is an
/// answer whose receipt holds.
#[test]
fn i5_nobody_commits_to_a_proposal_that_is_nearly_over() {
    let (mut world, session, over) = reserved_before_its_end(RESERVATION_S / 2);
    world.now = UnixTime(over.0 - MIN_LEFT_S + 1);
    let refusal = world.commit(&session, "shop").unwrap_err();
    let soon = ReservationsError::EndsSoon {
        owner: name("mailer"),
    };
    assert!(
        matches!(&refusal, Refusal::Reservations(found) if *found == soon),
        "{refusal:?}"
    );
    assert_eq!(world.spent("shop"), Default::default());

    let (mut world, mut session, over) = reserved_before_its_end(RESERVATION_S / 2);
    world.now = UnixTime(over.0 - MIN_LEFT_S);
    for party in ["mailer", "shop"] {
        let grant = world.commit(&session, party).unwrap();
        session.grants.push(grant);
    }
    let (_, file) = world.issue(session, &answer());
    assert!(verify_release(&file, &world.agreement).is_ok());
}

#[test]
fn i4_only_those_whom_the_proposal_names_ask_it() {
    let mut world = world();
    world.analyst = name("shop/sam");
    let approved = {
        let mut ana = self::world();
        std::mem::swap(&mut ana.analyst, &mut world.analyst);
        world.analyst = name("mailer/ana");
        let approved = approved(&world);
        world.analyst = name("shop/sam");
        approved
    };
    let request = Request::proposed(
        &approved,
        Default::default(),
        &world.digests(),
        measurement(1),
    )
    .unwrap();
    let signed = world.sign(&request);
    assert_eq!(
        verify(&world, &signed).unwrap_err(),
        RequestRefusal::NotAllowed
    );
}

/// A token was signed before anybody saw the proposal.
#[test]
fn i4_a_token_asks_no_proposed_query() {
    let mut world = world();
    let request = request(&world);
    let analyst = world.analyst.clone();
    let queries = [name("mailed")].into();
    let terms = TokenTerms {
        analyst: &analyst,
        queries: &queries,
        reason: "",
        expires: world.expires,
    };
    let agreement = world.agreement.agreement().clone();
    let key: SigningKey = world.analysts[&analyst].duplicate();
    let token = Token::new(&agreement, &terms, &key, &mut world.rng).unwrap();
    let signed = request
        .sign_by_token(&token, world.expires, &mut world.rng)
        .unwrap();
    assert_eq!(
        verify(&world, &signed).unwrap_err(),
        TokenError::Proposed.into()
    );
}

#[test]
fn i8_the_proposal_is_part_of_what_is_asked() {
    let world = world();
    let one = request(&world);
    let agreement = world.agreement.agreement();
    let other = DRAFT.replace("min_people = 50", "min_people = 60");
    let other = agreement
        .propose(&other, &world.analyst, day("2027-01-31"))
        .unwrap();
    let signature = propose(&other, &world.analysts[&world.analyst]).unwrap();
    let approvals = approvals(&world, &other);
    let other = other
        .signed(&signature)
        .unwrap()
        .approved(&approvals, NOW)
        .unwrap();
    let make = |approved: &ApprovedProposal, of| {
        Request::proposed(
            approved,
            Default::default(),
            &world.digests(),
            measurement(of),
        )
        .unwrap()
    };
    assert_eq!(make(&approved(&world), 1).digest(), one.digest());
    let mut all = vec![
        one.digest(),
        make(&other, 1).digest(),
        make(&approved(&world), 2).digest(),
    ];
    all.push(one.clone().for_purpose(name("ads")).digest());
    all.push(world.request().digest());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5);
    let read = Request::from_wire(&one.to_wire(), agreement, Some(&approved(&world))).unwrap();
    assert_eq!(read, one);
    let wrong = Request::proposed(
        &approved(&world),
        params("2026-03-01"),
        &world.digests(),
        measurement(1),
    );
    assert_eq!(wrong.unwrap_err(), RequestError::UnknownParam);
}
