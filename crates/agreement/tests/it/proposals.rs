//! Proposed queries: their files, their ceilings, and whose signatures make them run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use incamera_agreement::{
    APPROVED_NAMESPACE, Agreement, PROPOSED_NAMESPACE, Proposal, ProposalError, approve, doubts,
    explain, files, propose,
};
use incamera_keys::{SigningKey, SshSig};
use incamera_types::limits::MAX_PROPOSAL_BYTES;
use incamera_types::{AnalystRef, Date, PartyName, UnixTime};

use crate::{HOUSE, LIFT, parse};

const PROPOSALS: &str = include_str!("../agreements/proposals.toml");
const DRAFT: &str = include_str!("../proposals/reach.toml");

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn party(name: &str) -> PartyName {
    name.parse().unwrap()
}

fn ana() -> AnalystRef {
    "mailer/ana".parse().unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn made(draft: &str) -> Result<Proposal, ProposalError> {
    parse(PROPOSALS).propose(draft, &ana(), day("2027-01-31"))
}

fn good() -> Proposal {
    made(DRAFT).unwrap()
}

/// The draft with an edit.
fn edited(from: &str, to: &str) -> Result<Proposal, ProposalError> {
    assert!(DRAFT.contains(from), "{from}");
    made(&DRAFT.replacen(from, to, 1))
}

/// Approvals of both owners.
fn approvals(proposal: &Proposal) -> BTreeMap<PartyName, SshSig> {
    let approve = |seed| approve(proposal, &key(seed)).unwrap();
    BTreeMap::from([(party("shop"), approve(1)), (party("mailer"), approve(3))])
}

fn now() -> UnixTime {
    day("2027-01-01").end()
}

#[test]
fn a_proposal_is_read_as_a_query_of_the_agreement_is() {
    let proposal = good();
    let query = proposal.query();
    assert_eq!(query.name.as_str(), "reach");
    let text = std::str::from_utf8(proposal.bytes()).unwrap();
    assert!(text.starts_with("format    = \"incamera-proposal/1\"\n"));
    assert!(text.ends_with(DRAFT), "the draft stands in it as it was");
    assert_eq!(&text[query.sql_at..][..query.sql.len()], query.sql);
    assert_eq!(
        (proposal.analyst(), proposal.expires()),
        (&ana(), day("2027-01-31"))
    );
    // The same section in the agreement is the same query.
    let within = parse(&format!("{PROPOSALS}\n{DRAFT}"));
    let same = &within.queries["reach"];
    assert_eq!(
        (&same.sql, &same.reads, &same.per_person),
        (&query.sql, &query.reads, &query.per_person)
    );
    assert_eq!(
        (&same.groups, &same.rows, same.epsilon),
        (&query.groups, &query.rows, query.epsilon)
    );
    let again = parse(PROPOSALS).proposal(proposal.bytes()).unwrap();
    assert_eq!(again.digest(), proposal.digest());
    let owners: Vec<_> = proposal.owners().iter().map(ToString::to_string).collect();
    assert_eq!(owners, ["mailer", "shop"]);
}

#[test]
fn what_is_malformed_is_refused_with_its_place_in_the_draft() {
    for (from, to, place, what) in [
        ("epsilon = 0.5", "epsilon = x", "epsilon = x", ""),
        (
            "purpose = ",
            "porpoise = ",
            "porpoise",
            "`porpoise` is not a field of `queries.reach`",
        ),
        (
            "[queries.reach]",
            "[queries.lift]",
            "lift]",
            "the agreement has a query `lift`",
        ),
        (
            "[queries.reach]",
            "[datasets.reach]",
            "",
            "`queries` is missing",
        ),
        (
            "\"mailing.mailed\"]",
            "\"mailing.mailed\", \"mailing.day\"]",
            "\"mailing.day\"",
            "has no column `day`",
        ),
        (
            "[queries.reach]",
            "format = \"incamera-proposal/1\"\n[queries.reach]",
            "format",
            "`format` is not a field of a draft of a proposal",
        ),
        (
            "analysts = [\"mailer/ana\"]",
            "analysts = [\"mailer/eve\"]",
            "\"mailer/eve\"",
            "has no analyst `eve`",
        ),
    ] {
        let draft = DRAFT.replacen(from, to, 1);
        let Err(ProposalError::Invalid(error)) = made(&draft) else {
            panic!("{to}")
        };
        let found = error.problems().find(|problem| problem.what.contains(what));
        let found = found.unwrap_or_else(|| panic!("{to}: {error}"));
        if to != "epsilon = x" {
            assert!(draft[found.span.start..].starts_with(place), "{found}");
        }
    }
    // What a terminal would hide from an owner who reads it.
    for hidden in ["\r", "\u{1b}[2K", "\u{202e}"] {
        let draft = DRAFT.replacen("FROM customers", &format!("FROM customers -- {hidden}x"), 1);
        assert!(
            matches!(made(&draft), Err(ProposalError::Invalid(_))),
            "{hidden:?}"
        );
    }
    // The same, and further lines, written with escapes where the file shows plain text.
    for hidden in ["\\u001b[8m", "\\n  8. add up", "\\u202e", "\\u2028", "\\t"] {
        for (place, from) in [
            ("a value of a group", "\"mailed\""),
            ("the purpose", "\"measurement\""),
        ] {
            let draft = DRAFT.replacen(from, &format!("\"x{hidden}\""), 1);
            assert_ne!(draft, DRAFT, "{place}");
            let Err(ProposalError::Invalid(error)) = made(&draft) else {
                panic!("{hidden} in {place}")
            };
            let said =
                |problem: &incamera_agreement::Problem| problem.what.contains("do not see as such");
            assert!(error.problems().any(said), "{hidden} in {place}: {error}");
        }
        let draft = format!("{DRAFT}\n\"a{hidden}\" = 1\n");
        let Err(ProposalError::Invalid(error)) = made(&draft) else {
            panic!("{hidden} in a key")
        };
        assert!(
            !error
                .to_string()
                .contains(['\u{1b}', '\u{202e}', '\u{2028}']),
            "{error}"
        );
    }
    let two = format!(
        "{DRAFT}\n{}",
        DRAFT.replace("queries.reach", "queries.more")
    );
    let Err(ProposalError::Invalid(error)) = made(&two) else {
        panic!("two queries")
    };
    assert!(error.to_string().contains("a proposal has one"), "{error}");
    let long = format!("{DRAFT}\n# {}", "x".repeat(MAX_PROPOSAL_BYTES));
    let Err(ProposalError::Invalid(error)) = made(&long) else {
        panic!("too long")
    };
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[test]
fn heads_are_read_with_care() {
    let agreement = parse(PROPOSALS);
    let text = String::from_utf8(good().bytes().to_vec()).unwrap();
    for (from, to, what) in [
        (
            "incamera-proposal/1",
            "incamera-proposal/2",
            "reads incamera-proposal/1 and not",
        ),
        (
            "incamera-proposal/1",
            "incamera-agreement/1",
            "this file is not a proposal",
        ),
        (
            "analyst   = \"mailer/ana\"",
            "analyst   = \"ana\"",
            "analyst",
        ),
        (
            "expires   = 2027-01-31",
            "expires   = \"2027-01-31\"",
            "is a day without quotes",
        ),
        (
            "expires   = 2027-01-31",
            "expires   = 2027-01-31\nnote = 1",
            "`note` is not a field of a proposal",
        ),
    ] {
        let error = agreement
            .proposal(text.replacen(from, to, 1).as_bytes())
            .unwrap_err();
        let ProposalError::Invalid(error) = error else {
            panic!("{to}: {error}")
        };
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(matches!(
        agreement.proposal(b"\xff"),
        Err(ProposalError::Invalid(_))
    ));
    assert!(matches!(
        agreement.proposal(PROPOSALS.as_bytes()),
        Err(ProposalError::Invalid(_))
    ));
    assert!(Agreement::parse(text.as_bytes()).is_err());
}

#[test]
fn i4_ceilings_hold() {
    for (from, to, what) in [
        (
            "epsilon = 0.5",
            "epsilon = 0.500001",
            "a run costs epsilon 0.500001, and may cost 0.5",
        ),
        (
            "delta = 1e-8",
            "delta = 2e-8",
            "a run costs delta 2e-8, and may cost 1e-8",
        ),
        (
            "min_people = 50",
            "min_people = 49",
            "from 49 people on, and may from 50 on",
        ),
    ] {
        let Err(ProposalError::Beyond { what: said }) = edited(from, to) else {
            panic!("{to}")
        };
        assert!(said.contains(what), "{said}");
    }
    assert!(edited("epsilon = 0.5", "epsilon = 0.1").is_ok());
    assert!(edited("delta = 1e-8", "delta = 1e-9").is_ok());
    assert!(edited("min_people = 50", "min_people = 51").is_ok());
    let late = parse(PROPOSALS).propose(DRAFT, &ana(), day("2027-02-01"));
    assert!(
        matches!(late, Err(ProposalError::Beyond { .. })),
        "{late:?}"
    );
    // Without `until`, the agreement's last day.
    let open = parse(&PROPOSALS.replace("until = 2027-01-31\n", ""));
    assert!(open.propose(DRAFT, &ana(), day("2027-03-31")).is_ok());
    let late = open.propose(DRAFT, &ana(), day("2027-04-01"));
    assert!(
        matches!(late, Err(ProposalError::Beyond { .. })),
        "{late:?}"
    );
    for (from, to, what) in [
        (
            "purposes = [\"measurement\"]\ndatasets",
            "purposes = [\"ads\"]\ndatasets",
            "for the purpose `measurement`, and may be for ads",
        ),
        (
            "\"purchases\", \"mailing\"]\nepsilon",
            "\"purchases\"]\nepsilon",
            "it reads `mailing`, and may read customers and purchases",
        ),
    ] {
        let closed = parse(&PROPOSALS.replacen(from, to, 1));
        let error = closed
            .propose(DRAFT, &ana(), day("2027-01-31"))
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

/// Epsilon without delta is a stronger promise and costs budgets more: it is the cost that a
/// ceiling bounds.
#[test]
fn i4_a_ceiling_is_one_of_cost() {
    let loss = |proposal: &Proposal| proposal.agreement().cost(proposal.query());
    let most = loss(&good());
    let Err(ProposalError::Beyond { what }) = edited("delta = 1e-8", "delta = 0") else {
        panic!("nothing is dearer than the ceiling")
    };
    let said = "at epsilon 0.5 and delta 0 a run is charged rho 0.125, and may be charged rho ";
    assert!(what.starts_with(&format!("{said}{}", most.rho)), "{what}");
    // Where rho is the same, delta may be 0: epsilon² / 2 = rho.
    let pure = |epsilon: &str| {
        let draft = DRAFT.replacen("delta = 1e-8", "delta = 0", 1);
        made(&draft.replacen("epsilon = 0.5", &format!("epsilon = {epsilon}"), 1))
    };
    assert!(loss(&pure("0.0956").unwrap()).within(&most));
    assert!(matches!(pure("0.0957"), Err(ProposalError::Beyond { .. })));
    // A ceiling without delta bounds epsilon alone.
    let open =
        parse(&PROPOSALS.replacen("epsilon = 0.5\ndelta = 1e-8", "epsilon = 0.5\ndelta = 0", 1));
    let draft = DRAFT.replacen("delta = 1e-8", "delta = 0", 1);
    assert!(open.propose(&draft, &ana(), day("2027-01-31")).is_ok());
}

/// What is set aside for thresholds makes no query dearer than its ceiling.
#[test]
fn i4_a_ceiling_lets_groups_be_discovered() {
    let draft = DRAFT.replacen("[\"mailed\", \"not mailed\"]", "\"discovered\"", 1);
    assert_ne!(draft, DRAFT);
    let proposal = made(&draft).unwrap();
    let loss = proposal.agreement().cost(proposal.query());
    assert_ne!(loss.delta0, incamera_types::Delta::ZERO);
}

#[test]
fn only_who_is_named_proposes_and_only_where_there_is_a_section() {
    let only_bob = PROPOSALS.replace("[\"mailer/ana\", \"mailer/bob\"]", "[\"mailer/bob\"]");
    let error = parse(&only_bob)
        .propose(DRAFT, &ana(), day("2027-01-31"))
        .unwrap_err();
    assert_eq!(error, ProposalError::NotAProposer { analyst: ana() });
    for without in [LIFT, HOUSE] {
        let agreement = parse(without);
        assert_eq!(agreement.proposals, None);
        let error = agreement
            .propose(DRAFT, &ana(), day("2027-01-31"))
            .unwrap_err();
        assert_eq!(error, ProposalError::Nothing);
        assert_eq!(
            agreement.proposal(good().bytes()).unwrap_err(),
            ProposalError::Nothing
        );
    }
}

#[test]
fn i4_a_proposal_is_for_one_version_of_the_agreement() {
    let other = parse(&PROPOSALS.replace("max_runs = 12", "max_runs = 13"));
    let error = other.proposal(good().bytes()).unwrap_err();
    assert_eq!(error, ProposalError::OtherAgreement);
}

#[test]
fn i4_it_runs_when_its_analyst_and_every_owner_read_have_signed_and_until_its_day_ends() {
    let proposal = good();
    let signature = propose(&proposal, &key(5)).unwrap();
    let signed = proposal.clone().signed(&signature).unwrap();
    let all = approvals(&proposal);
    let end = day("2027-01-31").end();
    for now in [now(), end] {
        let approved = signed.clone().approved(&all, now).unwrap();
        assert_eq!(approved.query().name.as_str(), "reach");
        assert_eq!(approved.proposal().digest(), proposal.digest());
    }
    let over = signed.clone().approved(&all, end.plus(1)).unwrap_err();
    assert_eq!(
        over,
        ProposalError::Expired {
            day: day("2027-01-31")
        }
    );
    for missing in ["shop", "mailer"] {
        let mut some = all.clone();
        let taken = some.remove(&party(missing)).unwrap();
        let error = signed.clone().approved(&some, now()).unwrap_err();
        let owners = vec![party(missing)];
        assert_eq!(error, ProposalError::NotApproved { owners });
        assert!(
            error
                .to_string()
                .contains(&format!("approved by `{missing}`")),
            "{error}"
        );
        // Under another party's name it is nobody's.
        let other = party(if missing == "shop" { "mailer" } else { "shop" });
        some.insert(other, taken);
        assert!(signed.clone().approved(&some, now()).is_err());
    }
}

#[test]
fn i4_signatures_count_for_this_text_this_key_and_this_use() {
    let proposal = good();
    let bytes = proposal.bytes();
    let not_signed = |signature: SshSig| {
        let error = proposal.clone().signed(&signature).unwrap_err();
        assert_eq!(error, ProposalError::NotSigned { analyst: ana() });
    };
    // Another key, another use, another text.
    not_signed(propose(&proposal, &key(6)).unwrap());
    not_signed(key(5).sign(APPROVED_NAMESPACE, bytes).unwrap());
    not_signed(key(5).sign("incamera-agreement", bytes).unwrap());
    let changed = edited("epsilon = 0.5", "epsilon = 0.4").unwrap();
    not_signed(propose(&changed, &key(5)).unwrap());

    let signed = proposal
        .clone()
        .signed(&propose(&proposal, &key(5)).unwrap())
        .unwrap();
    let not_approved = |signature: SshSig| {
        let mut all = approvals(&proposal);
        all.insert(party("shop"), signature);
        let error = signed.clone().approved(&all, now()).unwrap_err();
        let owners = vec![party("shop")];
        assert_eq!(error, ProposalError::NotApproved { owners });
    };
    not_approved(approve(&proposal, &key(3)).unwrap());
    not_approved(key(2).sign(APPROVED_NAMESPACE, bytes).unwrap());
    not_approved(approve(&changed, &key(1)).unwrap());
    // What an owner signs as a proposer, or of an agreement, approves nothing.
    not_approved(key(1).sign(PROPOSED_NAMESPACE, bytes).unwrap());
    not_approved(key(1).sign("incamera-agreement", bytes).unwrap());
}

/// A person may have the key that signs for a party, and be its analyst with it.
#[test]
fn i4_proposing_with_an_owners_key_approves_nothing() {
    let ana_key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG56HN0psLeP0Tr0xVmP7/TvKpcWbjym8uT7/M2AUFvx";
    let both = PROPOSALS.replace(ana_key, &key(3).public().to_string());
    let proposal = parse(&both)
        .propose(DRAFT, &ana(), day("2027-01-31"))
        .unwrap();
    let signature = propose(&proposal, &key(3)).unwrap();
    let signed = proposal.clone().signed(&signature).unwrap();
    let mut all = approvals(&proposal);
    assert!(signed.clone().approved(&all, now()).is_ok());
    all.insert(party("mailer"), signature);
    assert!(signed.approved(&all, now()).is_err());
    // Nor does approving propose.
    let approval = approve(&proposal, &key(3)).unwrap();
    assert!(proposal.signed(&approval).is_err());
}

#[test]
fn proposals_are_explained() {
    let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = flat(good().explain());
    for part in [
        "Proposal reach, under agreement spring-campaign version 1",
        "proposed by mailer/ana",
        "it runs once mailer and shop approve it",
        "until the end of 2027-01-31 (UTC)",
        "a run costs each of mailer and shop: epsilon 0.5",
        "COUNT(DISTINCT customers.person) AS people",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let page = flat(explain(&parse(PROPOSALS)));
    for part in [
        "What may be asked besides: proposals",
        "proposed by mailer/ana and mailer/bob",
        "reads columns of customers, mailing and purchases, and of no other",
        "at most epsilon 0.5, delta 1e-8",
        "no proposal runs after 2027-01-31 (UTC)",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!flat(explain(&parse(LIFT))).contains("proposals"));
    let much = parse(&PROPOSALS.replace("epsilon = 0.5", "epsilon = 6"));
    let doubts = doubts(&much).join("\n");
    assert!(
        doubts.contains("a proposed query has epsilon 6"),
        "{doubts}"
    );
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_proposal() {
    let proposal = good();
    let file = golden("proposal-1.proposal");
    fs::write(&file, proposal.bytes()).unwrap();
    fs::write(golden("proposal-1.toml"), PROPOSALS).unwrap();
    let signature = propose(&proposal, &key(5)).unwrap();
    fs::write(files::proposed_path(&file), signature.to_armor()).unwrap();
    for (party, approval) in approvals(&proposal) {
        fs::write(files::signature_path(&file, &party), approval.to_armor()).unwrap();
    }
}

/// A committed proposal of version 1: it must be read for ever.
#[test]
fn the_proposal_of_version_1_is_approved() {
    let agreement = files::read(&golden("proposal-1.toml")).unwrap();
    let file = golden("proposal-1.proposal");
    let proposal = agreement.proposal(&fs::read(&file).unwrap()).unwrap();
    let signature = files::read_signature(&files::proposed_path(&file))
        .unwrap()
        .unwrap();
    let approvals = files::read_signatures(&file, &agreement).unwrap();
    let signed = proposal.signed(&signature).unwrap();
    let approved = signed.approved(&approvals, now()).unwrap();
    assert_eq!(approved.query().name.as_str(), "reach");
}
