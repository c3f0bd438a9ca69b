//! What the agreement says of a matching, and what the command may then be asked for.

use incamera_agreement::{Agreement, MatchingMethod};
use incamera_matching::{Method, Partition, Reveals, Terms};
use incamera_types::{IdKind, PartyName};

use crate::args::MatchRun;
use crate::failure::{Done, Failure};

/// Which kind of id is matched.
pub fn id_kind(named: Option<&IdKind>, agreement: &Agreement) -> Result<IdKind, Failure> {
    let kinds = &agreement.matching.ids;
    let listed: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let chosen = match (named, kinds.as_slice()) {
        (Some(named), _) => kinds.iter().find(|kind| *kind == named),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    chosen.cloned().ok_or_else(|| {
        Failure::usage("which kind of id is to be matched?").hint(format!(
            "name one with `--id`: the agreement matches {}",
            listed.join(", ")
        ))
    })
}

/// Through providers each owner of data matches for itself.
pub fn owner(agreement: &Agreement, me: &PartyName) -> Result<PartyName, Failure> {
    match agreement.owners().contains(me) {
        true => Ok(me.clone()),
        false => Err(Failure::usage(format!(
            "`{me}` owns no private data in this agreement, and has nothing to match"
        ))),
    }
}

/// The part that is to be matched: both sides name the same, and no id is in two.
pub fn partition(arguments: &MatchRun, agreement: &Agreement) -> Result<Partition, Failure> {
    let parts = agreement.matching.match_partitions;
    let named = arguments.partition.unwrap_or_default();
    if named.of() == parts {
        return Ok(named);
    }
    let hint = match parts {
        1 => "the agreement has all ids matched in one run: leave `--partition` out".to_owned(),
        _ => format!(
            "the agreement has ids matched in {parts} parts, one run each: name one with `--partition`, from 0/{parts} to {}/{parts}",
            parts - 1
        ),
    };
    Err(Failure::usage("which part of the ids is to be matched?").hint(hint))
}

/// The other party of a two-party matching.
pub fn peer(agreement: &Agreement, me: &PartyName) -> Result<PartyName, Failure> {
    if !agreement.parties.contains_key(me) {
        return Err(Failure::usage(format!(
            "`{me}` is no party of this agreement"
        )));
    }
    let mut others = agreement.owners().into_iter().filter(|party| *party != me);
    match (others.next(), others.next()) {
        (Some(peer), None) => Ok(peer.clone()),
        _ => Err(Failure::usage("this agreement is not between two owners")
            .hint("matching by `commutative` or `vole` takes exactly two")),
    }
}

/// What both sides agreed to.
pub fn terms(agreement: &Agreement, kind: &IdKind) -> Result<Terms, Failure> {
    let matching = &agreement.matching;
    let method = match matching.method {
        MatchingMethod::None => Method::None,
        MatchingMethod::Commutative => Method::Commutative,
        MatchingMethod::Provider => Method::Provider,
        MatchingMethod::Vole => Method::Vole,
        other => {
            return Err(Failure::usage(format!(
                "this version does not match by `{other}`"
            )));
        }
    };
    let reveals = match matching.reveals {
        incamera_agreement::Reveals::Nothing => Reveals::Nothing,
        incamera_agreement::Reveals::OwnMatches => Reveals::OwnMatches,
        other => {
            return Err(Failure::usage(format!(
                "this version reveals `nothing` or `own-matches`, and not `{other}`"
            )));
        }
    };
    Ok(Terms {
        agreement_id: agreement.id,
        agreement_digest: agreement.digest,
        epoch: matching.epoch,
        id_kind: kind.clone(),
        method,
        reveals,
        max_ids: matching.max_ids,
    })
}

/// Whom `--without` leaves out are providers, and enough others are left.
pub fn without(arguments: &MatchRun, agreement: &Agreement) -> Done {
    let Some(one) = arguments.without.first() else {
        return Ok(());
    };
    let Some(providers) = &agreement.matching.providers else {
        let what = format!("there is no provider `{one}` to leave out");
        return Err(Failure::usage(what)
            .why("this agreement matches without providers")
            .hint("leave `--without` out"));
    };
    let known = |name: &PartyName| providers.names.contains(name);
    let names: Vec<_> = providers
        .names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    if let Some(other) = arguments.without.iter().find(|name| !known(name)) {
        let what = format!("`{other}` is no provider of this agreement");
        let hint = format!("its providers are {}", names.join(", "));
        return Err(Failure::usage(what).hint(hint));
    }
    let left = providers
        .names
        .iter()
        .filter(|name| !arguments.without.contains(name));
    let (left, needed) = (left.count(), usize::from(providers.threshold));
    match left < needed {
        true => Err(Failure::usage("too few providers are left to be asked")
            .why(format!(
                "{needed} of {} evaluate together, and {} left",
                names.join(", "),
                match left {
                    1 => "1 is".to_owned(),
                    some => format!("{some} are"),
                }
            ))
            .hint("leave fewer of them out")),
        false => Ok(()),
    }
}

/// Refuses what the method does not do.
pub fn allowed(arguments: &MatchRun, terms: &Terms) -> Done {
    if arguments.row_keys && terms.method != Method::Commutative {
        let what = format!(
            "by method `{}` no row is raised by a lasting key",
            terms.method
        );
        return Err(
            Failure::usage(what).hint("leave `--row-keys` out: it is for method `commutative`")
        );
    }
    if arguments.via.is_some() && terms.method != Method::Provider {
        return Err(Failure::usage(format!(
            "by method `{}` there are no links between kinds of id",
            terms.method
        ))
        .hint("leave `--via` out: links are kept by providers, with method `provider`"));
    }
    match terms.method {
        Method::Vole => super::vole::allowed(arguments),
        _ => Ok(()),
    }
}
