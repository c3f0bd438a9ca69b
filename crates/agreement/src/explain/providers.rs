//! Matching through providers, in words.

use incamera_dp::interval::thousands;
use incamera_types::and;

use crate::model::Matching;
use crate::page::Page;
use crate::providers::Providers;

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
    for link in &providers.links {
        page.sub_point(format_args!(
            "a party that knows which {} belongs to which {} may leave that with the providers, encrypted, with what the person agreed to and until when: who has the same {} then gets the pseudonym of the {}; the providers see that entries exist, whose they are, for what purpose and until which week, and which are asked for again",
            link.from, link.to, link.from, link.to
        ));
    }
}
