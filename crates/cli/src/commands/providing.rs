//! `provider keys make`, `refresh`, `finish`, and `provider status`.

use std::collections::BTreeMap;
use std::path::Path;

use incamera_agreement::ActiveAgreement;
use incamera_dp::interval::thousands;
use incamera_matching::statement::KeyStatement;
use incamera_net::status::chain;
use incamera_provider::{CeremonyError, Counted, Held, Store, StoredLinks};
use incamera_types::{AgreementId, PartyName};
use serde_json::{Value, json};

use super::block_on;
use super::matching::fields;
use super::room_client::{agreements, connect_failure, options, own_agreement, problem_failure};
use crate::args::{PartyFolder, ProviderCeremony};
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words::counted;

/// Makes the key of an agreement's providers.
pub fn make(arguments: &ProviderCeremony, printer: &Printer) -> Done {
    let (folder, agreement) = opened(arguments)?;
    let (me, service) = (folder.name().clone(), folder.service_key()?);
    let options = options(&folder);
    printer.note("asking all providers for their part of the key");
    let made = block_on(async {
        let made = incamera_provider::make_keys(&agreement, &me, &service, &options).await;
        made.map_err(|error| ended("the key was not made", error))
    })?;
    tell("the key is made", &agreement, &made, json!({}), printer);
    printer.note(COMPARE);
    Ok(())
}

/// What makes sure that no provider made two keys, and shows each owner another.
const COMPARE: &str = "before anybody matches, let the people of all providers compare the fingerprint: `incamera provider status` shows it at each";

/// Makes new shares of the same key.
pub fn refresh(arguments: &ProviderCeremony, printer: &Printer) -> Done {
    let (folder, agreement) = opened(arguments)?;
    let (me, service) = (folder.name().clone(), folder.service_key()?);
    let options = options(&folder);
    printer.note("asking all providers for new shares of the key");
    let made = block_on(async {
        let made = incamera_provider::refresh_keys(&agreement, &me, &service, &options).await;
        made.map_err(|error| ended("the shares were not refreshed", error))
    })?;
    tell(
        "the shares are new, the key is the same",
        &agreement,
        &made,
        json!({}),
        printer,
    );
    Ok(())
}

/// Gives what was left of a ceremony to those that lack it, with whoever is up.
pub fn finish(arguments: &ProviderCeremony, printer: &Printer) -> Done {
    let (folder, agreement) = opened(arguments)?;
    let (me, service) = (folder.name().clone(), folder.service_key()?);
    let options = options(&folder);
    printer.note("asking whoever is up for the newest key statement");
    let finished = block_on(async {
        let finished = incamera_provider::finish_keys(&agreement, &me, &service, &options).await;
        finished.map_err(|error| ended("nothing was finished", error))
    })?;
    let left: Vec<String> = finished.left.iter().map(|left| chain(left)).collect();
    for left in &left {
        printer.warn(left);
    }
    let what = match finished.given.is_empty() {
        true => "nobody who was reached lacks the newest key statement".to_owned(),
        false => format!(
            "those that lacked it have it now: {}",
            names(&finished.given)
        ),
    };
    let told = json!({ "given": finished.given, "left_out": left });
    tell(&what, &agreement, &finished.statement, told, printer);
    Ok(())
}

fn names(names: &[PartyName]) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn opened(arguments: &ProviderCeremony) -> Result<(Folder, ActiveAgreement), Failure> {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let signed = own_agreement(&folder, &file)?;
    is_provider(folder.name(), &signed)?;
    let active = signed.at(now()).or_fail("the agreement is not in force")?;
    Ok((folder, active))
}

fn is_provider(me: &PartyName, agreement: &incamera_agreement::Agreement) -> Done {
    let providers = agreement.matching.providers.as_ref();
    match providers.is_some_and(|providers| providers.names.contains(me)) {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Refused,
            format!("`{me}` is no provider of this agreement"),
        )
        .hint("one of the parties named by `providers` under [matching] makes the key; name its folder with `--party DIR`")),
    }
}

fn ended(what: &str, error: CeremonyError) -> Failure {
    match error {
        CeremonyError::Unreachable { provider, error } => connect_failure(what, &error)
            .why(format!(
                "all providers take part, and `{provider}` was not reached"
            ))
            .or_hint(format!(
                "ask `{provider}` to start its service: `incamera provider serve`"
            )),
        CeremonyError::Refused { provider, problem } => {
            problem_failure(what, &problem).why(format!("`{provider}` says so"))
        }
        CeremonyError::NothingToFinish => Failure::failed(what)
            .because(&CeremonyError::NothingToFinish)
            .hint("make the key with `incamera provider keys make`"),
        error => Failure::failed(what)
            .because(&error)
            .hint("nothing was changed: run this again once the others have looked"),
    }
}

/// Tells of a key, and `more` of what was done beside its fields.
fn tell(
    what: &str,
    agreement: &incamera_agreement::Agreement,
    made: &KeyStatement,
    more: Value,
    printer: &Printer,
) {
    let holders: Vec<_> = made.holders().values().map(ToString::to_string).collect();
    let threshold = made.keys().threshold();
    let mut document = fields(json!({
        "agreement": agreement.name,
        "agreement_id": agreement.id,
        "epoch": agreement.matching.epoch,
        "number": made.number(),
        "threshold": threshold,
        "providers": holders,
        "valid_until": made.valid_until().to_string(),
        "fingerprint": made.fingerprint(),
    }));
    document.extend(fields(more));
    let text = format!(
        "{what}\n  statement    number {}, signed by {}\n  together     {threshold} of {}\n  valid until  {}\n  fingerprint  {}",
        made.number(),
        holders.join(", "),
        holders.len(),
        made.valid_until(),
        made.fingerprint(),
    );
    printer.result(text, "incamera-provider-keys-made/1", &document);
}

/// Tells what the provider's store holds, whether its service runs or not.
pub fn status(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
    let config = folder.provider()?;
    let (held, parties, links) = match config.store.exists() {
        true => read(&config.store).or_fail(NOT_READ)?,
        false => (Vec::new(), Vec::new(), Vec::new()),
    };
    all_open(&folder, &config.store, &held)?;
    let limits = Limits::of(&folder, &parties)?;
    let document = json!({
        "provider": folder.name(),
        "keys": held.iter().map(key_document).collect::<Vec<_>>(),
        "counted": parties.iter().map(|of| counted_document(of, limits.get(of))).collect::<Vec<_>>(),
        "links": links.iter().map(links_document).collect::<Vec<_>>(),
    });
    let mut lines = vec![format!("`{}`, a provider", folder.name())];
    if held.is_empty() {
        lines.push("  no key yet: `incamera provider keys make`".to_owned());
    }
    lines.extend(held.iter().map(key_line));
    lines.extend(parties.iter().map(|of| counted_line(of, limits.get(of))));
    lines.extend(links.iter().map(|one| {
        let entries = counted(one.entries, "entry of links", "entries of links");
        format!("  {}  {entries}", one.source)
    }));
    printer.result(lines.join("\n"), "incamera-provider-status/1", &document);
    Ok(())
}

const NOT_READ: &str = "the provider's store was not read";

/// Shares that the folder's own key ring does not open evaluate nothing.
fn all_open(folder: &Folder, store: &Path, held: &[Held]) -> Done {
    if held.is_empty() {
        return Ok(());
    }
    let key = folder.share_key()?;
    let store = Store::look_at(store).or_fail(NOT_READ)?;
    let mut shut = Vec::new();
    for one in held.iter().filter(|one| !one.erased) {
        if !store.opens(one, &key).or_fail(NOT_READ)? {
            shut.push(key_line(one));
        }
    }
    if shut.is_empty() {
        return Ok(());
    }
    let what = format!(
        "a share of `{}` DOES NOT OPEN with the key ring of this folder: nothing is evaluated with it",
        folder.name()
    );
    let failure = Failure::failed(what).hint("the key ring is another one than the share was sealed under, or one of both was changed: put the ring of the day back that the share is from, never an older store after a refresh; if it is lost, the others go on as long as enough are up, until all agree on a version with the next `epoch` (docs/keys.md)");
    Err(shut
        .into_iter()
        .fold(failure, |failure, line| failure.why(line.trim().to_owned())))
}

type Read = (Vec<Held>, Vec<Counted>, Vec<StoredLinks>);

fn read(store: &Path) -> Result<Read, incamera_provider::StoreError> {
    let store = Store::look_at(store)?;
    Ok((store.held()?, store.counted()?, store.stored_links()?))
}

fn key_line(key: &Held) -> String {
    let id: String = key
        .matter
        .agreement_id
        .to_string()
        .chars()
        .take(16)
        .collect();
    format!(
        "  key of agreement {id}, epoch {}: statement {}, {} of {} together ({}), valid until {}, fingerprint {}{}",
        key.matter.epoch,
        key.number,
        key.threshold,
        key.providers.len(),
        key.providers.join(", "),
        key.valid_until,
        key.fingerprint,
        match key.erased {
            true => ": over, and its share is erased",
            false => "",
        }
    )
}

/// What the newest version of an agreement allows a party, of one kind of id.
#[derive(Clone, Copy)]
struct Limit {
    max_ids: u64,
    max_runs: u32,
    /// Ids a second.
    rate: u32,
}

/// The limits of agreements whose files are in the folder.
struct Limits(BTreeMap<AgreementId, Limit>);

impl Limits {
    fn of(folder: &Folder, parties: &[Counted]) -> Result<Self, Failure> {
        let known = agreements(folder)?;
        let mut limits = BTreeMap::new();
        for of in parties {
            let id = of.matter.agreement_id;
            let newest = known.newest(&id).or_fail(NOT_READ)?;
            let limit = newest.and_then(|signed| {
                let matching = &signed.agreement().matching;
                Some(Limit {
                    max_ids: matching.max_ids,
                    max_runs: matching.max_runs,
                    rate: matching.providers.as_ref()?.rate,
                })
            });
            limits.extend(limit.map(|limit| (id, limit)));
        }
        Ok(Self(limits))
    }

    fn get(&self, of: &Counted) -> Option<Limit> {
        self.0.get(&of.matter.agreement_id).copied()
    }
}

impl Limit {
    /// Ids that a party may have evaluated in an epoch.
    fn ids_allowed(self) -> u64 {
        self.max_ids.saturating_mul(self.max_runs.into())
    }
}

fn counted_line(of: &Counted, limit: Option<Limit>) -> String {
    let who = format!("  {}, {}", of.party, of.kind);
    let Some(limit) = limit else {
        let (runs, ids) = (
            counted(of.runs, "run", "runs"),
            counted(of.evaluated, "id", "ids"),
        );
        return format!("{who}: {runs}, {ids} evaluated (its agreement is not in this folder)");
    };
    format!(
        "{who}: {} of {} runs, {} of {} ids evaluated; at most {} ids a run, {} a second",
        thousands(of.runs),
        thousands(limit.max_runs),
        thousands(of.evaluated),
        thousands(limit.ids_allowed()),
        thousands(limit.max_ids),
        thousands(limit.rate)
    )
}

fn key_document(key: &Held) -> Value {
    json!({
        "agreement_id": key.matter.agreement_id,
        "epoch": key.matter.epoch,
        "number": key.number,
        "threshold": key.threshold,
        "providers": key.providers,
        "valid_until": key.valid_until.to_string(),
        "erased": key.erased,
        "fingerprint": key.fingerprint,
    })
}

fn counted_document(of: &Counted, limit: Option<Limit>) -> Value {
    json!({
        "agreement_id": of.matter.agreement_id,
        "epoch": of.matter.epoch,
        "party": of.party,
        "id_kind": of.kind,
        "runs": of.runs,
        "evaluated": of.evaluated,
        "max_runs": limit.map(|limit| limit.max_runs),
        "max_ids": limit.map(|limit| limit.max_ids),
        "ids_allowed": limit.map(Limit::ids_allowed),
        "rate": limit.map(|limit| limit.rate),
    })
}

fn links_document(of: &StoredLinks) -> Value {
    json!({
        "agreement_id": of.matter.agreement_id,
        "epoch": of.matter.epoch,
        "source": of.source,
        "entries": of.entries,
    })
}
