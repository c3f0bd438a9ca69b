//! Matching through providers, in words.

use incamera_dp::interval::thousands;
use incamera_types::and;

use crate::model::{Agreement, Matching};
use crate::page::Page;
use crate::providers::{IdLink, Providers};

/// Who can do what, alone and together.
pub(super) fn providers(page: &mut Page, matching: &Matching, providers: &Providers) {
    let (n, t) = (providers.names.len(), providers.threshold);
    page.point(format_args!(
        "matching (provider, by {}): {} hold a key in shares and evaluate ids that they do not see; each party gets pseudonyms for its own people, the same at every party, and learns nothing of the others (at most {} ids a run, {} runs, {} ids a second)",
        and(&matching.ids),
        and(&providers.names),
        thousands(matching.max_ids),
        matching.max_runs,
        thousands(providers.rate),
    ));
    page.sub_point(match n {
        1 => "this one provider knows the key: it can try ids that it guesses, and say whose pseudonym a pseudonym is".to_owned(),
        _ if t == 2 => format!("any 2 of these {n} providers together know the key: they can try ids that they guess, and say whose pseudonym a pseudonym is; one alone learns how many ids came, when and from whom"),
        _ => format!("any {t} of these {n} providers together know the key: they can try ids that they guess, and say whose pseudonym a pseudonym is; fewer learn how many ids came, when and from whom"),
    });
    let runs = u64::from(matching.max_runs).saturating_mul(matching.ids.len() as u64);
    let allowed = matching.max_ids.saturating_mul(runs);
    if matching.ids.len() > 1 {
        page.sub_point("limits are counted for each kind of id, and providers cannot see of which kind an id is: a party can have ids of one kind evaluated within the limits of all");
    }
    let most = providers.most_evaluations(allowed);
    if most > allowed {
        page.sub_point(format_args!(
            "each provider counts for itself, so a party that spreads its runs over different {t} of them can have {} ids evaluated in all, not {}",
            thousands(most),
            thousands(allowed)
        ));
    }
    page.sub_point(format_args!(
        "a key is valid for {} days, and so are the pseudonyms: after that the agreement needs a new epoch, and matching and sealing begin anew",
        providers.key_days
    ));
}

/// What links between kinds of id are for, who may tell them, and who sees what.
pub(super) fn links(page: &mut Page, agreement: &Agreement) {
    let Some(providers) = &agreement.matching.providers else {
        return;
    };
    let owners = and(agreement.owners());
    for link in &providers.links {
        let IdLink { from, to } = link;
        page.sub_point(format_args!(
            "links from {from} to {to}: a party that knows which {from} belongs to which {to} may leave that with the providers, encrypted, with what the person agreed to and until when; who has the same {from} then gets the pseudonym of the {to}. May tell links, and look them up: {owners}"
        ));
    }
    if providers.links.is_empty() {
        return;
    }
    let purposes = agreement.leaf_purposes();
    page.sub_point(format_args!(
        "a link counts only if its person agreed to every purpose of this agreement ({}), it is not over, and {} say so alike; who leads to several is left out",
        and(purposes.iter()),
        match providers.alike() {
            1 => "the provider".to_owned(),
            some => format!("{some} providers"),
        }
    ));
    page.sub_point("of links, every provider sees that entries exist, whose they are, for which purpose, until which week, and what came or went together; and which entries are asked for, by whom, when, and again. It sees neither ids nor which entries are of one id");
    page.sub_point("nobody checks whether a link is true: a party that tells false ones can make others take two people for one, or leave people out; and whoever brings an id that it only guesses gets the pseudonym that its links lead to");
    page.sub_point("who looks links up learns of each id that it brings, exactly and without noise: whether another owner linked it, which one, since when and until when; and which of its own ids lead to one person");
}
