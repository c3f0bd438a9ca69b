//! `data retag | consent | forget | revoke | rotate`: new versions of sealed data sets, made
//! from the sealed parts alone.
//!
//! The register comes first: its consents are changed and kept, and every data set that is
//! sealed by it names its new version; that alone becomes of one that the command does not name. A data set that names another version than the register
//! had (because a command was cut short) is looked through whole: of each person stay the rows
//! that the consents allow, whatever was meant to happen. So a command that was killed is run
//! again, and does the rest.

mod chosen;
mod left;
mod one;
mod people;
mod show;

use std::collections::BTreeSet;

use incamera_agreement::{Agreement, ConsentSource, SignedAgreement};
use incamera_keys::SigningKey;
use incamera_seal::{Anew, Change, KeyRing};
use incamera_types::{DatasetName, DatasetSpec, Pseudonym, PurposeName, PurposeSet};

use super::{kept_until, room_client};
use crate::args::{DataConsent, DataForget, DataRetag, DataRevoke, DataRotate, Rewriting};
use crate::ask;
use crate::failure::{Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words::people;
use chosen::{Chosen, to_seal_again};
use left::Left;
use people::Ids;
use show::Told;

/// What is done to data sets.
struct Task<'a> {
    change: Change,
    /// Whether columns are brought to what the agreement declares now.
    declared: bool,
    /// Purposes to revoke.
    revoke: PurposeSet,
    anew: Anew,
    /// Whose rows are concerned, and what becomes of their consent.
    people: Option<Concerned<'a>>,
}

impl Task<'_> {
    /// What is done to data sets that are not meant, and follow one that is: of each person stay
    /// the rows that the consents allow.
    fn following() -> Self {
        Self {
            change: Change::Retagged,
            declared: false,
            revoke: PurposeSet::default(),
            anew: Anew::Nothing,
            people: None,
        }
    }
}

/// People, and the purposes that they withdraw consent to; none: they are forgotten.
#[derive(Clone, Copy)]
struct Concerned<'a> {
    among: &'a BTreeSet<Pseudonym>,
    withdrawn: Option<&'a PurposeSet>,
}

/// An owner at work on its sealed data sets.
struct Work<'a> {
    folder: Folder,
    agreement: SignedAgreement,
    ring: KeyRing,
    key: SigningKey,
    printer: &'a Printer,
    /// Whether nothing is done, and no key destroyed either.
    dry_run: bool,
    _lock: std::fs::File,
}

impl<'a> Work<'a> {
    fn open(options: &Rewriting, printer: &'a Printer) -> Result<Self, Failure> {
        let folder = Folder::open(&options.party.party)?;
        let file = folder.agreement_file(options.under.agreement.as_deref())?;
        let agreement = room_client::own_agreement(&folder, &file)?;
        let lock = folder.sealing_lock(&agreement.agreement().id)?;
        let mut ring = folder.ring()?;
        match options.dry_run {
            true => kept_until::foretell(&folder, &agreement, &ring, printer),
            false => kept_until::enforce(&folder, &agreement, &mut ring, printer)?,
        }
        Ok(Self {
            key: folder.service_key()?,
            folder,
            agreement,
            ring,
            printer,
            dry_run: options.dry_run,
            _lock: lock,
        })
    }

    fn agreement(&self) -> &Agreement {
        self.agreement.agreement()
    }

    /// The owner's data set that says who agreed to what.
    fn register(&self) -> Option<&DatasetSpec> {
        let me = self.folder.name();
        let mut own = self.agreement().datasets.values();
        own.find(|spec| &spec.owner == me && spec.purposes_column().is_some())
    }

    fn is_register(&self, name: &DatasetName) -> bool {
        self.register()
            .is_some_and(|register| &register.name == name)
    }

    /// Whether `name` is sealed by the consents of the register.
    fn by_register(&self, name: &DatasetName) -> bool {
        let spec = self.agreement().datasets.get(name);
        spec.is_some_and(|spec| {
            !spec.public
                && matches!(self.agreement().consent_of(spec), ConsentSource::Dataset(register) if register.name != *name)
        })
    }

    /// Does the task to all of them, or, in a dry run, says what it would do.
    fn all(
        &mut self,
        task: &Task<'_>,
        chosen: &Chosen,
        dry_run: bool,
    ) -> Result<Vec<Told>, Failure> {
        let mut consents = self.consents(task, chosen)?;
        if let Some(consents) = &consents {
            let mut all = chosen.all();
            all.try_for_each(|manifest| self.retagged(task, manifest, consents))?;
        }
        if let Some(consents) = consents.as_ref().filter(|_| !dry_run) {
            self.keep_alone(chosen, consents)?;
        }
        let following = Task::following();
        let meant = chosen.meant.iter().map(|manifest| (task, manifest));
        let followers = chosen.followers.iter();
        let followers = followers.map(|manifest| (&following, manifest));
        let mut told = Vec::new();
        for (task, manifest) in meant.chain(followers) {
            match self.one(task, manifest, consents.as_mut(), dry_run) {
                Ok(one) => told.push(one),
                Err(failure) => return Err(show::so_far(&told, failure)),
            }
        }
        match chosen.stale.first().filter(|_| task.people.is_none()) {
            Some((name, why)) => Err(show::so_far(&told, to_seal_again(name, why))),
            None => Ok(told),
        }
    }

    /// Leaf purposes by name: a parent stands for its leaves.
    fn leaves(&self, name: &PurposeName) -> Result<PurposeSet, Failure> {
        let leaves = self.agreement().leaves_of(name);
        if leaves.is_empty() {
            let known = self.agreement().purposes.keys();
            let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
            let failure = Failure::usage(format!("the agreement has no purpose `{name}`"))
                .hint(format!("it has {}", known.join(", ")));
            return Err(match self.agreement().succession(name) {
                Some(succession) => failure.why(succession.to_string()),
                None => failure,
            });
        }
        Ok(leaves)
    }
}

/// Asks a person, unless `--yes` was said, before keys are destroyed.
fn confirm(options: &Rewriting, yes: bool, what: &str) -> Done {
    if yes || options.dry_run {
        return Ok(());
    }
    let nobody = || {
        Failure::usage("nothing was done")
            .why(format!(
                "{what}; it cannot be undone, and nobody is at a terminal to agree to it"
            ))
            .hint("say `--yes`; `--dry-run` shows what it would do")
    };
    ask::agreed(
        &format!("{what}; it cannot be undone. Go on?"),
        "nothing was done",
        nobody,
    )
}

/// Brings sealed data sets to the agreement's newest purposes.
pub fn retag(arguments: &DataRetag, printer: &Printer) -> Done {
    let mut work = Work::open(&arguments.options, printer)?;
    let chosen = work.chosen(&arguments.datasets)?;
    let task = Task {
        change: Change::Retagged,
        declared: true,
        revoke: PurposeSet::default(),
        anew: Anew::Nothing,
        people: None,
    };
    let told = work.all(&task, &chosen, arguments.options.dry_run)?;
    let left = match arguments.datasets.is_empty() {
        true => work.leave(None, &chosen, arguments.options.dry_run)?,
        false => Left::beside(&chosen),
    };
    show::all(
        &work,
        "retag",
        &told,
        (None, &left),
        &[],
        arguments.options.dry_run,
    );
    Ok(())
}

/// New purpose keys, and with `--data-keys` new data keys.
pub fn rotate(arguments: &DataRotate, printer: &Printer) -> Done {
    let mut work = Work::open(&arguments.options, printer)?;
    let chosen = work.chosen(&arguments.datasets)?;
    let task = Task {
        change: Change::Rotated,
        declared: false,
        revoke: PurposeSet::default(),
        anew: match arguments.data_keys {
            true => Anew::DataKeys,
            false => Anew::PurposeKeys,
        },
        people: None,
    };
    let told = work.all(&task, &chosen, arguments.options.dry_run)?;
    let left = Left::beside(&chosen);
    show::all(
        &work,
        "rotate",
        &told,
        (None, &left),
        &[],
        arguments.options.dry_run,
    );
    Ok(())
}

/// Destroys the keys of a purpose.
pub fn revoke(arguments: &DataRevoke, printer: &Printer) -> Done {
    let mut work = Work::open(&arguments.options, printer)?;
    let revoke = work.leaves(&arguments.purpose)?;
    let chosen = work.chosen(&arguments.datasets)?;
    let what = format!(
        "the keys of the purpose `{}` of {} will be destroyed",
        arguments.purpose,
        chosen.names()
    );
    confirm(&arguments.options, arguments.yes, &what)?;
    let task = Task {
        change: Change::Revoked,
        declared: false,
        revoke,
        anew: Anew::Nothing,
        people: None,
    };
    let told = work.all(&task, &chosen, arguments.options.dry_run)?;
    let further = [
        "not undone: keys that were granted already, and answers that have left the room",
        "sealing again does not bring the purpose back; `incamera data seal --restore PURPOSE` does",
    ];
    show::all(
        &work,
        "revoke",
        &told,
        (None, &Left::beside(&chosen)),
        &further,
        arguments.options.dry_run,
    );
    Ok(())
}

/// People withdraw their consent to a purpose.
pub fn consent(arguments: &DataConsent, printer: &Printer) -> Done {
    let mut work = Work::open(&arguments.options, printer)?;
    let withdrawn = work.also_as_before(&work.leaves(&arguments.remove)?);
    if work.register().is_none() {
        return Err(Failure::usage("nobody's consents are kept here")
            .why("no data set of this party has a column of type `purposes`")
            .hint(
                "consents come from such a column; `incamera data revoke` ends a purpose for all",
            ));
    }
    let ids = Ids::of_rows(&work, &arguments.ids)?;
    let chosen = work.chosen(&[])?;
    let what = format!(
        "the consent of {} to `{}` will be withdrawn, and old keys destroyed{}",
        people(ids.known.len() as u64),
        arguments.remove,
        work.and_shut(&chosen)
    );
    confirm(&arguments.options, arguments.yes, &what)?;
    let task = Task {
        change: Change::ConsentRemoved,
        declared: false,
        revoke: PurposeSet::default(),
        anew: Anew::Nothing,
        people: Some(Concerned {
            among: &ids.known,
            withdrawn: Some(&withdrawn),
        }),
    };
    let links = match arguments.options.dry_run {
        true => None,
        false => ids.leave_links(&work, Some(&withdrawn))?,
    };
    let told = work.all(&task, &chosen, arguments.options.dry_run)?;
    let left = work.leave(Some(&ids.kind), &chosen, arguments.options.dry_run)?;
    if !arguments.options.dry_run {
        (ids.all_looked_up()).map_err(|failure| show::so_far(&told, failure))?;
        links.map_or(Ok(()), |failure| Err(show::so_far(&told, failure)))?;
    }
    let further = [
        "change it in your own source file too: the next `incamera data seal` takes the consents from there",
        "not undone: answers that have left the room",
    ];
    show::all(
        &work,
        "consent",
        &told,
        (Some(&ids), &left),
        &further,
        arguments.options.dry_run,
    );
    Ok(())
}

/// What is said where people are forgotten who are in no sealed data.
const NOTHING_SEALED: &str = "no data set with people is sealed here: this is about the crosswalk and the links told to providers alone";

/// Forgets people: their rows, their consents, their place in the crosswalk and their links; the
/// last two also where nothing is sealed yet.
pub fn forget(arguments: &DataForget, printer: &Printer) -> Done {
    let mut work = Work::open(&arguments.options, printer)?;
    let ids = Ids::read(&work, &arguments.ids)?;
    let chosen = work.chosen_if_any(&[])?;
    let what = format!(
        "{} will be forgotten{}{}",
        people(ids.known.len() as u64),
        match chosen.none_sealed() {
            true => "",
            false => ", and old keys destroyed",
        },
        work.and_shut(&chosen)
    );
    confirm(&arguments.options, arguments.yes, &what)?;
    let task = Task {
        change: Change::Forgotten,
        declared: false,
        revoke: PurposeSet::default(),
        anew: Anew::Nothing,
        people: Some(Concerned {
            among: &ids.known,
            withdrawn: None,
        }),
    };
    let links = match arguments.options.dry_run {
        true => None,
        false => ids.leave_links(&work, None)?,
    };
    let told = work.all(&task, &chosen, arguments.options.dry_run)?;
    let left = work.leave(Some(&ids.kind), &chosen, arguments.options.dry_run)?;
    if !arguments.options.dry_run {
        // Last, so that a command that was killed still finds their pseudonyms.
        ids.leave_crosswalk(&work.folder, &work.agreement().id)?;
        (ids.all_looked_up()).map_err(|failure| show::so_far(&told, failure))?;
        links.map_or(Ok(()), |failure| Err(show::so_far(&told, failure)))?;
    }
    let further: Vec<&str> = (chosen.none_sealed().then_some(NOTHING_SEALED).into_iter())
        .chain([
            "take them out of your own source files too: the next `incamera data seal` and `incamera match run` read those",
            "not undone: answers that have left the room",
        ])
        .collect();
    show::all(
        &work,
        "forget",
        &told,
        (Some(&ids), &left),
        &further,
        arguments.options.dry_run,
    );
    Ok(())
}
