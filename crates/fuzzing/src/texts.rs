//! What people write and what stands in text files.

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use incamera_agreement::{Agreement, Problem, ProposalError, ServiceUrl, diff, explain};
use incamera_keys::{PublicKey, SshSig, note};
use incamera_matching::plan::Instructions;
use incamera_matching::{Partition, ids};
use incamera_net::config::{self, ConfigError};
use incamera_net::tls;
use incamera_party::{PartyConfig, PublicFile};
use incamera_provider::ProviderConfig;
use incamera_tlog::Checkpoint;
use incamera_types::{
    AgreementDigest, AnalystRef, Budget, ColumnRef, ColumnType, Date, Decimal, Delta, Epsilon,
    IdForm, IdKind, IdRules, IdWriting, Measurement, Moment, ParamType, PartyName, RegionCode,
    UnixTime, ZoneName,
};

use crate::reach::reached;
use crate::world;

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The agreement: parsed, explained, compared, or refused with places inside the text.
pub fn agreement(data: &[u8]) {
    let agreement = match Agreement::parse(data) {
        Ok(agreement) => agreement,
        Err(error) => {
            error.problems().for_each(|problem| inside(problem, data));
            return;
        }
    };
    assert_eq!(agreement.bytes(), data);
    reached("agreement");
    assert!(!explain(&agreement).is_empty());
    assert!(diff(&agreement, &agreement).is_empty());
    let known = world::agreement();
    let _ = diff(known, &agreement);
    let leaves = agreement.leaf_purposes();
    assert!(
        agreement
            .consent_names()
            .values()
            .all(|leaf| leaves.contains(leaf))
    );
    for query in agreement.queries.values() {
        let _ = (agreement.cost(query), agreement.owners_read(query));
    }
    // Nobody signed it.
    assert!(agreement.verify(&world::signatures()).is_err() || known.bytes() == data);
}

/// A place inside the text.
fn inside(problem: &Problem, data: &[u8]) {
    assert!(problem.span.start <= problem.span.end);
    assert!(problem.span.end <= data.len());
    assert!(problem.line > 0 && problem.column > 0);
}

fn refused(error: &ProposalError, data: &[u8]) {
    if let ProposalError::Invalid(error) = error {
        error.problems().for_each(|problem| inside(problem, data));
    }
}

/// A proposal under a known agreement, and the draft of one: read, or refused with places inside
/// the text; within the ceilings if it was read; signed by nobody unless it is the known one.
pub fn proposal(data: &[u8]) {
    let agreement = world::proposals();
    let (known, signature) = world::proposal();
    match agreement.proposal(data) {
        Ok(proposal) => {
            assert_eq!(proposal.bytes(), data);
            assert!(!agreement.queries.contains_key(&proposal.query().name));
            let ceilings = agreement.proposals.as_ref().unwrap();
            assert!(proposal.query().epsilon <= ceilings.budget.epsilon);
            assert!(proposal.query().min_people >= ceilings.min_people);
            assert!(!proposal.owners().is_empty() && !proposal.explain().is_empty());
            assert!(proposal.signed(&signature).is_err() || data == known);
            reached("proposal");
        }
        Err(error) => refused(&error, data),
    }
    let Some(draft) = text(data) else { return };
    let (analyst, day) = ("mailer/ana".parse().unwrap(), "2027-01-31".parse().unwrap());
    match agreement.propose(draft, &analyst, day) {
        Ok(proposal) => {
            assert!(proposal.bytes().ends_with(data));
            reached("draft");
        }
        Err(error) => refused(&error, data),
    }
}

/// SSHSIG in both its forms: each signature has one of either.
pub fn signature(data: &[u8]) {
    if let Ok(signature) = SshSig::from_bytes(data) {
        assert_eq!(signature.to_bytes(), data);
        assert!(SshSig::from_armor(&signature.to_armor()).is_ok_and(|again| again == signature));
        let key = *signature.claimed_key();
        let _ = key.verify(signature.namespace(), b"a message", &signature);
        reached("binary");
    }
    if let Some(signature) = text(data).and_then(|text| SshSig::from_armor(text).ok()) {
        assert!(SshSig::from_bytes(&signature.to_bytes()).is_ok_and(|again| again == signature));
        reached("armor");
    }
}

/// Signed notes and the checkpoints in them.
pub fn note(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _ = note::verify(text, "shop", &world::key("shop").public());
    if let Ok(body) = note::unverified_text(text)
        && let Ok(checkpoint) = Checkpoint::parse(body)
    {
        assert_eq!(checkpoint.to_text(), body);
        reached("note");
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        let signed = note::sign(text, "shop", &world::key("shop")).unwrap();
        let body = note::verify(&signed, "shop", &world::key("shop").public()).unwrap();
        assert_eq!(Checkpoint::parse(&body), Ok(checkpoint));
        reached("checkpoint");
    }
}

/// The address of a service, and the certificate that is made for it.
pub fn url(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(url) = text.parse::<ServiceUrl>() else {
        return;
    };
    assert_eq!(url.as_str(), text);
    assert!(!url.host().is_empty() && url.port() > 0);
    let hosts = [url.host().to_owned()];
    let served = tls::server_config(&world::key("shop"), &hosts, &tls::TlsOptions::default());
    reached("url");
    assert!(served.is_ok(), "no certificate can name {}", url.host());
}

fn round_trip<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let again = value.to_string().parse::<T>().ok();
    assert_eq!(again.as_ref(), Some(&value));
    let path = std::any::type_name::<T>();
    reached(path.rsplit("::").next().unwrap());
    Some(value)
}

/// Days, numbers, names, digests and the values of parameters.
pub fn values(data: &[u8]) {
    let number = data
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let _ = UnixTime(number).to_string();
    let Some(text) = text(data) else { return };
    if let Some(day) = round_trip::<Date>(text) {
        let _ = day.end();
    }
    let _ = round_trip::<Decimal>(text);
    for scale in [0, 2, Decimal::MAX_SCALE, u8::MAX] {
        if let Ok(number) = Decimal::parse(text, scale) {
            assert_eq!(number.scale(), scale);
            let _ = number.rescale(Decimal::MAX_SCALE);
        }
    }
    let types = [
        ParamType::Bool,
        ParamType::Int,
        ParamType::Decimal { scale: 4 },
        ParamType::Text,
        ParamType::Date,
        ParamType::Timestamp,
    ];
    for value in types.iter().filter_map(|ty| ty.parse(text).ok()) {
        assert!(!value.canonical().is_empty());
    }
    let _ = round_trip::<PartyName>(text);
    let _ = round_trip::<AnalystRef>(text);
    let _ = round_trip::<ColumnRef>(text);
    let _ = round_trip::<ColumnType>(text);
    let _ = round_trip::<AgreementDigest>(text);
    let _ = round_trip::<Measurement>(text);
    let _ = round_trip::<PublicKey>(text);
    let _ = round_trip::<ZoneName>(text);
    let _ = round_trip::<RegionCode>(text);
    let _ = round_trip::<Moment>(text);
    let _ = round_trip::<Partition>(text);
    let _ = round_trip::<Instructions>(text);
    let _ = (text.parse::<Epsilon>(), text.parse::<Delta>());
    for normaliser in NORMALISERS.iter() {
        if let Some(id) = normaliser.normalised(text) {
            assert_eq!(normaliser.normalised(&id), Some(id));
            reached("an id");
        }
    }
}

/// Of every kind, by every rule. A numbering plan takes long to read.
static NORMALISERS: LazyLock<Vec<ids::Normaliser>> = LazyLock::new(|| {
    let kinds = ["email", "phone", "plain"].map(|kind| kind.parse::<IdKind>().unwrap());
    let all = kinds
        .iter()
        .flat_map(|kind| writings().map(|writing| ids::Normaliser::of(kind, &writing)));
    all.flatten().collect()
});

/// Ids by each rule, and hashes that were given.
fn writings() -> impl Iterator<Item = IdWriting> {
    let raw = IdRules::ALL.map(|rules| IdWriting {
        rules,
        ..IdWriting::default()
    });
    let given = IdWriting {
        rules: IdRules::Published,
        hashed: true,
        form: IdForm::Sha256,
        region: None,
    };
    let at_home = IdWriting {
        rules: IdRules::Published,
        region: "DE".parse().ok(),
        ..IdWriting::default()
    };
    raw.into_iter().chain([given, at_home])
}

fn placed<T>(result: Result<T, ConfigError>, text: &str) -> Option<T> {
    match result {
        Err(ConfigError::Invalid {
            line, column, span, ..
        }) => {
            assert!(line > 0 && column > 0);
            assert!(span.start <= span.end && span.end <= text.len());
            None
        }
        result => result.ok(),
    }
}

/// The configuration files of services, and the file that parties give each other.
pub fn config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let file = Path::new("a.toml");
    if let Some(party) = placed(config::parse::<PartyConfig>(file, text), text) {
        let Budget { epsilon, delta } = party.budget;
        let _ = (epsilon.to_string(), delta.to_string());
        reached("party");
    }
    if placed(config::parse::<ProviderConfig>(file, text), text).is_some() {
        reached("provider");
    }
    if let Some(mut public) = placed(config::parse::<PublicFile>(file, text), text) {
        public.format = PublicFile::FORMAT.to_owned();
        if let Ok(written) = public.to_toml() {
            let again = config::parse::<PublicFile>(file, &written);
            assert_eq!(again.ok(), Some(public));
            reached("public");
        }
    }
    #[cfg(feature = "engine")]
    if placed(config::parse::<incamera_room::RoomConfig>(file, text), text).is_some() {
        reached("room");
    }
}
