//! `data seal`.

use std::io::ErrorKind;
use std::path::Path;

use incamera_net::disk_full;
use incamera_party::Sealing;
use incamera_seal::{
    Change, Consents, Inherited, KeyRing, ObjectError, Outline, Removal, Said, SealError, SealJob,
    SealLimits, SealReport, SignedManifest, Source, SourceError, SourceKeyError, Step,
    destroy_superseded, seal_dataset_keeping,
};
use incamera_types::limits::{PEOPLE_FACTOR, PEOPLE_SLACK};
use incamera_types::{ColumnName, ColumnType, DatasetName, Date, IdKind};
use indicatif::ProgressBar;
use serde_json::json;

use super::before::Before;
use super::data::own_dataset;
use super::home::{Home, Reading};
use super::whose::Whose;
use super::{kept_until, register, room_client, small};
use crate::args::DataSeal;
use crate::clock::{now, today};
use crate::failure::{Context, Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words;

/// Seals a file as one of the party's data sets.
pub fn run(arguments: &DataSeal, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = room_client::own_agreement(&folder, &file)?;
    let spec = own_dataset(&folder, &agreement, &arguments.dataset)?;
    let home = Home::new(&folder, &agreement, spec);
    kept_until::check(spec, &format!("`{}` was not sealed", spec.name))?;
    lasting(arguments)?;
    let _lock = folder.sealing_lock(&agreement.id)?;
    let (report, before, over) = home.seal(arguments, printer)?;
    let again = register::to_seal_again(&folder, &agreement, spec);
    let sealed = folder.sealed(&agreement.id, &arguments.dataset);
    show(
        &report,
        before.as_ref(),
        &arguments.dataset,
        &sealed,
        &again,
        over,
        printer,
    );
    Ok(())
}

/// Refuses to seal for days that are over.
fn lasting(arguments: &DataSeal) -> Done {
    match arguments.until.filter(|until| *until < today()) {
        None => Ok(()),
        Some(until) => Err(
            Failure::usage(format!("`{}` was not sealed", arguments.dataset))
                .why(format!("{until} (UTC) is over"))
                .hint("`--until` takes the last day on which the data are to be used"),
        ),
    }
}

/// Why a file is not sealed without `--yes`.
fn objection(outline: &Outline, before: Option<&Before>) -> Option<String> {
    if outline.sealed == 0 {
        return Some(match (outline.rows, outline.without_pseudonym) {
            (0, _) => "nothing would be sealed: the file has no rows".to_owned(),
            (rows, without) if rows == without => {
                "nothing would be sealed: no row's id has a pseudonym".to_owned()
            }
            _ if outline.small_classes.rows_left_out > 0 => {
                "nothing would be sealed: too few people agreed to the same purposes (`[sealing] class_people` in party.toml)".to_owned()
            }
            _ => "nothing would be sealed: no row's person is known and agreed to a purpose of its columns".to_owned(),
        });
    }
    let before = before?;
    let fewer = before
        .rows
        .is_some_and(|rows| outline.sealed < rows.div_ceil(2));
    fewer.then(|| {
        format!(
            "{} rows would replace {}: fewer than half",
            outline.sealed,
            before.text()
        )
    })
}

/// Whether a room may refuse the data, since they are about more people than their owner has
/// declared. A room counts slice by slice, and of many slices one is larger by chance: so less
/// than it takes in all is objected to.
fn beyond(people: u64, declared: u64) -> bool {
    let most = declared.saturating_mul(PEOPLE_FACTOR);
    people > (most - most / 8).saturating_add(PEOPLE_SLACK)
}

impl Home<'_> {
    fn too_many(&self, outline: &Outline) -> Option<String> {
        let declared = match self.agreement.parties.get(&self.spec.owner)?.people {
            0 => self.agreement.matching.max_ids,
            people => people,
        };
        beyond(outline.people, declared).then(|| {
            format!(
                "the file is about far more than the {declared} people that the agreement declares: a room refuses data about more than {PEOPLE_FACTOR} times as many, and finds out only after the charge"
            )
        })
    }

    /// Whether a register's file may bring back what people took back in the sealed data alone:
    /// it gives some a purpose that the consents kept here do not have. Other data sets are
    /// sealed by those consents.
    fn brings_back(&self, before: &Before, said: &Said<'_>) -> Option<String> {
        self.spec.purposes_column()?;
        let taken = |removal: &&Removal| {
            matches!(removal.change, Change::ConsentRemoved | Change::Forgotten)
        };
        let removal = before.inherits.removals.iter().rev().find(taken)?;
        // A version that was sealed since was asked about already.
        let sealed = before.manifest.as_ref();
        if sealed.is_some_and(|sealed| sealed.change() == Change::Sealed) {
            return None;
        }
        let what = match removal.change {
            Change::Forgotten => "forgot people",
            _ => "took consents away",
        };
        let version = removal.version;
        let kept = Consents::read(&self.folder.consents(&self.agreement.id));
        match kept.map(|kept| said.people_who_gain(&kept)) {
            Ok(0) => None,
            Ok(people) => Some(format!(
                "version {version} {what}, and the file gives {} a purpose not agreed to by the consents kept here: make sure that the file knows what was taken back",
                words::people(people)
            )),
            Err(_) => Some(format!(
                "version {version} {what}, and the consents kept here do not read: make sure that the file knows what was taken back"
            )),
        }
    }

    /// The last day of data that have nobody's pseudonym, where pseudonyms end: as late as that of
    /// any could be.
    fn last_of_nobody(&self) -> Option<Date> {
        let days = i32::try_from(self.agreement.matching.key_days()?).ok()?;
        let mut columns = self.spec.columns.iter();
        let matched = columns.any(|column| column.ty == ColumnType::Pseudonym);
        matched.then(|| Date::from_days(today().days().saturating_add(days)))
    }

    fn seal(
        &self,
        arguments: &DataSeal,
        printer: &Printer,
    ) -> Result<(SealReport, Option<Before>, usize), Failure> {
        let what = not_done(&arguments.file.data, "sealed");
        let mut ring = self.folder.ring()?;
        let day = arguments.until.unwrap_or_else(today);
        let whose = Whose::of(self, &mut ring, day)?;
        if let Some(last) = whose.rows_over() {
            return Err(nobody_counts(what, day, last));
        }
        let over = whose.over();
        let people = |id: &str| whose.person(id);
        let kinds = |kind: &IdKind, id: &str| whose.of_kind(kind, id);
        let consents = self.consents()?;
        let source = self.source(&arguments.file.data, &ring, &what)?;
        let before = Before::read(self, &ring, arguments.yes && !arguments.append, printer)?;
        destroy_left(&mut ring, before.as_ref())?;
        let (key_epoch, inherits) = self.goes_on(arguments, before.as_ref(), printer)?;
        let append_to = append_to(arguments, before.as_ref(), &what)?;
        let bar = printer.progress("sealing", None);
        let out = self.folder.sealed(&self.agreement.id, &arguments.dataset);
        let mut progress = |step| show_step(&bar, step);
        let job = SealJob {
            version: before.as_ref().map_or(0, |before| before.version) + 1,
            previous: before.as_ref().map(|before| before.digest),
            append_to,
            key_epoch,
            inherits,
            matching_runs: whose.runs(),
            last_day: (arguments.until)
                .or(whose.last_day())
                .or_else(|| self.last_of_nobody()),
            out: &out,
            limits: self.limits(arguments),
            ..self.job(Reading {
                source: &source,
                id_column: whose.id_column(arguments.file.id_column.as_deref()),
                people: &people,
                kinds: &kinds,
                consents: &consents,
                progress: &mut progress,
            })
        };
        let mut objected = None;
        let key = self.folder.service_key()?;
        let wanted = |outline: &Outline, said: Said<'_>| {
            let replaced = before.as_ref().filter(|_| !arguments.append);
            let objection = objection(outline, replaced)
                .or_else(|| self.too_many(outline))
                .or_else(|| self.brings_back(replaced?, &said));
            objected = objection.filter(|_| !arguments.yes);
            objected.is_none()
        };
        let path = self.folder.consents(&self.agreement.id);
        let keep = |consents: &Consents| consents.write(&path);
        let (at, mut rng) = (now(), rand::rng());
        let sealed = seal_dataset_keeping(job, &mut ring, &key, at, &mut rng, wanted, keep);
        bar.finish_and_clear();
        match (sealed, objected) {
            (Err(SealError::Unwanted), Some(why)) => {
                Err(Failure::failed(what).why(why).hint(UNWANTED))
            }
            (Err(error @ SealError::NotDestroyed { .. }), _) => Err(not_destroyed(&error)),
            (sealed, _) => sealed
                .map(|report| (report, before, over))
                .map_err(|error| {
                    Failure::failed(what)
                        .because(&error)
                        .hint(mend_and_seal(&error))
                }),
        }
    }

    /// The owner's file; one that another tool encrypted is opened with the ring.
    pub fn source(&self, path: &Path, ring: &KeyRing, what: &str) -> Result<Source, Failure> {
        let dataset = Some(&self.spec.name);
        let unlocked = source(path, what)?.unlock(ring, &self.agreement.id, dataset);
        unlocked
            .or_fail(what)
            .map_err(|failure| failure.hint(ENCRYPTED))
    }

    /// The key epoch, and what the version before hands on. What takes the rows' place gets new
    /// keys, so that old copies of the rows open no more; only added rows keep those at hand. A
    /// purpose that is restored needs new ones too: those of its key epoch were destroyed, and
    /// are destroyed wherever they turn up.
    fn goes_on(
        &self,
        arguments: &DataSeal,
        before: Option<&Before>,
        printer: &Printer,
    ) -> Result<(u32, Inherited), Failure> {
        let restore = &arguments.restore;
        let version = before.map_or(0, |before| before.version) + 1;
        let (before, inherits) = before.map_or_else(Default::default, |before| {
            (before.key_epoch, before.inherits.clone())
        });
        let mut inherits = inherits.named(|old| self.agreement.named_now(old));
        if let Some(other) = restore.iter().find(|one| !inherits.revoked.contains(one)) {
            return Err(Failure::usage(format!("`{}` was not sealed", self.spec.name))
                .why(format!("`{other}` is no revoked purpose of it"))
                .hint("name a purpose that `incamera data revoke` ended, or leave `--restore` out"));
        }
        inherits.restore(restore, version);
        for purpose in inherits.revoked.iter() {
            printer.note(format!(
                "`{purpose}` was revoked, and opens nothing of `{}`; `--restore {purpose}` brings it back",
                self.spec.name
            ));
        }
        let anew = !arguments.append || !restore.is_empty();
        let epoch = before.checked_add(u32::from(anew)).ok_or_else(|| {
            Failure::failed(format!("`{}` was not sealed", self.spec.name))
                .why("no key epoch is left")
        })?;
        Ok((epoch, inherits))
    }

    fn limits(&self, arguments: &DataSeal) -> SealLimits {
        let sealing = Sealing {
            memory_mib: arguments
                .memory_mib
                .unwrap_or(self.folder.config.sealing.memory_mib),
            ..self.folder.config.sealing
        };
        sealing.limits()
    }
}

/// Destroys old keys that a command which was cut short has left.
fn destroy_left(ring: &mut KeyRing, before: Option<&Before>) -> Done {
    let Some(manifest) = before.and_then(|before| before.manifest.as_ref()) else {
        return Ok(());
    };
    let destroyed = destroy_superseded(ring, manifest);
    let what = format!("old keys of `{}` were not destroyed", manifest.dataset());
    destroyed.or_fail(what).map(drop)
}

fn not_destroyed(error: &SealError) -> Failure {
    Failure::failed("it is sealed, and old keys are not destroyed yet")
        .because(error)
        .hint(
            "run `incamera data push` once that is mended: any command on the data set destroys them",
        )
}

/// The version that rows are added to.
fn append_to<'b>(
    arguments: &DataSeal,
    before: Option<&'b Before>,
    what: &str,
) -> Result<Option<&'b SignedManifest>, Failure> {
    if !arguments.append {
        return Ok(None);
    }
    let manifest = before.and_then(|before| before.manifest.as_ref());
    manifest.map(Some).ok_or_else(|| {
        Failure::failed(what)
            .why("nothing sealed is here to add rows to")
            .hint(
                "seal all rows, without `--append`; or put the sealed data set back from a backup",
            )
    })
}

/// Shows how far it is.
pub fn show_step(bar: &ProgressBar, step: Step) {
    match step {
        Step::Read(rows) => bar.set_position(rows),
        Step::Sealed(rows, of) => {
            bar.set_message("writing");
            bar.set_length(of);
            bar.set_position(rows);
        }
        _ => {}
    }
}

/// What is told before anything is read where no row could be sealed for that long.
fn nobody_counts(what: String, day: Date, last: Date) -> Failure {
    Failure::failed(what)
        .why(format!(
            "no id has a pseudonym that counts until {day}: the last counts until {last} (UTC)"
        ))
        .hint(match last < today() {
            true => "run `incamera match run` again, where the providers' key has ended under a version of the agreement with the next `epoch`, and seal again",
            false => "name a day that is no later with `--until`, or leave it out; pseudonyms that count longer come from `incamera match run` once there is a key that does, under a version of the agreement with the next `epoch`",
        })
}

const UNWANTED: &str = "nothing was sealed: check that it is the right file, whole, and that `incamera match run` has its ids; say `--yes` if it is meant so";

/// What to do about an encrypted file that does not open.
pub const ENCRYPTED: &str = "nothing was read: write the file with the client in `python/` while `incamera ring serve` runs, the data set's name as master key, or write it unencrypted";

/// What was not done with an owner's file. Its address is shown without a signature.
pub fn not_done(path: &Path, done: &str) -> String {
    format!("`{}` was not {done}", Source::shown(path).display())
}

/// The owner's file, by its ending.
fn source(path: &Path, what: &str) -> Result<Source, Failure> {
    Source::of(path).map_err(|error| {
        let hint = mend_source(&error).unwrap_or("run the command again once that is mended");
        Failure::failed(what).because(&error).hint(hint)
    })
}

/// What to do about a file or an object that does not read; none where its rows must be mended.
pub fn mend_source(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::Object { why, .. } => Some(mend_object(why)),
        SourceError::InFile { error, .. } => mend_source(error),
        SourceError::Encrypted { why, .. } => Some(mend_encrypted(why)),
        SourceError::Io { source, .. } => match source.kind() {
            ErrorKind::NotFound => Some(
                "nothing was read: see that the path is right, and that what a link leads to is there",
            ),
            ErrorKind::PermissionDenied => {
                Some("nothing was read: give this user the right to read it")
            }
            _ => None,
        },
        SourceError::Ending { .. }
        | SourceError::Address { .. }
        | SourceError::EmptyFolder { .. }
        | SourceError::MixedFolder { .. } => Some(
            "nothing was read: give a file that ends in .csv or .parquet, a folder of such, or the address of such objects; unpack what is compressed",
        ),
        SourceError::NotCsv { .. } => {
            Some("nothing was read: write it as CSV in UTF-8 with commas, or as Parquet")
        }
        SourceError::NotText { .. } => {
            Some("nothing was read: cast the column to text where the file is written")
        }
        _ => None,
    }
}

fn mend_encrypted(why: &SourceKeyError) -> &'static str {
    match why {
        SourceKeyError::Sealed => "nothing was read: give the file that it was sealed from",
        SourceKeyError::OtherDataset { .. } => {
            "nothing was read: give it to the command for the data set that it was written for, or write it anew"
        }
        SourceKeyError::Damaged => {
            "nothing was read: take a whole copy, or write it anew without an AAD prefix"
        }
        _ => {
            "nothing was read: decrypt it with what encrypted it, or have it written for this key ring (docs/pyarrow.md)"
        }
    }
}

fn mend_object(why: &ObjectError) -> &'static str {
    match why {
        ObjectError::Denied | ObjectError::Unauthenticated | ObjectError::Settings { .. } => {
            "nothing was read: give credentials that may read and list there in the environment, such as `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_REGION`"
        }
        ObjectError::Unreachable => {
            "nothing was read: `AWS_ENDPOINT` names another store that speaks S3, `SSL_CERT_FILE` the certificates to trust"
        }
        ObjectError::Changed => "nothing was kept of it: run the command again once it is whole",
        _ => "nothing was kept of it: run the command again once that is mended",
    }
}

/// What to do about a file that was refused.
pub fn mend_and_seal(error: &SealError) -> &'static str {
    match error {
        SealError::Source(SourceError::MissingColumns { .. } | SourceError::OtherCase { .. }) => {
            "nothing was sealed: mend the file, or name the column with raw ids with `--column`"
        }
        SealError::Source(SourceError::WiderThanTagged { .. }) => {
            "nothing was sealed: take the purposes out of the agreement's column in a new version, or have the data collected for them; a tag says what was promised to people, and is not changed here"
        }
        SealError::Source(SourceError::Tag { .. }) => {
            "nothing was sealed: mend what the file says of the column where it is written"
        }
        SealError::NotAdded { .. } => {
            "nothing was sealed: seal all rows again, those that are sealed and the new ones, without `--append`"
        }
        SealError::Source(error) => mend_source(error)
            .unwrap_or("nothing was sealed: mend the file, or the agreement, and seal again"),
        full if disk_full(full) => {
            "nothing was sealed, and what was sealed before is as it was: make room on the disk and seal again"
        }
        _ => "nothing was sealed: run the command again once that is mended",
    }
}

fn counts<'a>(counts: impl IntoIterator<Item = (&'a ColumnName, &'a u64)>) -> String {
    let count = |(column, count)| format!("{column} {count}");
    counts.into_iter().map(count).collect::<Vec<_>>().join(", ")
}

fn number(count: u64) -> String {
    match count {
        0 => String::new(),
        some => some.to_string(),
    }
}

fn show(
    report: &SealReport,
    before: Option<&Before>,
    dataset: &DatasetName,
    sealed: &Path,
    again: &[DatasetName],
    over: usize,
    printer: &Printer,
) {
    let mut text = format!(
        "`{dataset}` is sealed: {} of {} rows in {} parts, {} bytes\n  in {}",
        report.sealed,
        report.rows,
        report.parts,
        report.bytes,
        sealed.display()
    );
    if let Some(before) = before {
        let (version, before) = (before.version + 1, before.text());
        let what = match report.parts_kept {
            0 => format!("replaces {before}: {} rows", report.sealed),
            kept => format!(
                "adds {} rows to {before}, whose {kept} parts stay",
                report.sealed
            ),
        };
        text.push_str(&format!(
            "\n  version {version} {what}; questions asked before count as new, and cost again, once it is pushed"
        ));
    }
    if report.keys_destroyed > 0 {
        text.push_str(&format!(
            "\n  key epoch {}: {} destroyed, so that old copies open under nothing here (copies of the key ring made before still open them); queries wait until it is pushed: `incamera data push {dataset}`",
            report.key_epoch,
            words::counted(report.keys_destroyed as u64, "old purpose key", "old purpose keys")
        ));
    }
    for (what, counts) in [
        (
            "without a pseudonym that counts, left out",
            number(report.without_pseudonym),
        ),
        (
            "ids of the crosswalk whose pseudonyms count no more, or not until the day that was named: not used",
            number(over as u64),
        ),
        (
            "without consent to any purpose, left out",
            number(report.without_consent),
        ),
        ("people named more than once", number(report.repeats.people)),
        (
            "of these, with different consents: what all of a person's rows allow counts",
            number(report.repeats.conflicting),
        ),
        ("clamped", counts(&report.clamped)),
        (
            "not in the agreement's list, or never matched",
            counts(&report.replaced),
        ),
        (
            "clock readings that came twice, taken as the first",
            counts(&report.twice),
        ),
        (
            "clock readings that never were, moved on",
            counts(&report.skipped),
        ),
        (
            "columns not in the agreement, ignored",
            report.ignored.join(", "),
        ),
    ] {
        if !counts.is_empty() {
            text.push_str(&format!("\n  {what}: {counts}"));
        }
    }
    if let Some(day) = report.last_day {
        text.push_str(&format!(
            "\n  it can be used until the end of {day} (UTC), the last day of ids that it has: before, run `incamera match run` again, and seal and push it anew; `--until DATE` leaves out ids that end sooner"
        ));
    }
    for line in small::lines(&report.small_classes) {
        text.push_str(&format!("\n  {line}"));
    }
    if !again.is_empty() {
        let names: Vec<String> = again.iter().map(|name| format!("`{name}`")).collect();
        text.push_str(&format!(
            "\n  sealed by the consents before: {}: seal that again too, and push all; once this is pushed it opens nothing",
            names.join(", ")
        ));
    }
    let document = json!({
        "seal_again": again,
        "dataset": dataset, "rows": report.rows, "sealed": report.sealed, "parts": report.parts,
        "version": before.map_or(0, |before| before.version) + 1,
        "replaces": before.map(|before| json!({
            "version": before.version, "sealed": before.rows,
        })),
        "bytes": report.bytes, "without_pseudonym": report.without_pseudonym,
        "without_consent": report.without_consent, "pseudonyms_over": over,
        "people_named_again": report.repeats.people,
        "people_with_different_consents": report.repeats.conflicting, "clamped": report.clamped,
        "parts_kept": report.parts_kept,
        "last_day": report.last_day.map(|day| day.to_string()),
        "key_epoch": report.key_epoch, "keys_destroyed": report.keys_destroyed,
        "small_classes": small::document(&report.small_classes),
        "clock_readings_twice": report.twice, "clock_readings_skipped": report.skipped,
        "replaced": report.replaced, "ignored": report.ignored, "manifest": report.manifest,
    });
    printer.result(text, "incamera-sealed/1", &document);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_people_than_a_room_takes_are_found_at_home() {
        assert!(!beyond(1_175, 100));
        assert!(beyond(1_176, 100));
        assert!(!beyond(1_700_000, 1_000_000));
        assert!(beyond(1_800_000, 1_000_000));
    }
    /// A whole file that somebody else encrypted needs no mending.
    #[test]
    fn an_encrypted_file_is_not_to_be_mended() {
        let hint = |why| {
            let path = "people.parquet".into();
            mend_source(&SourceError::Encrypted { path, why }).unwrap()
        };
        assert!(hint(SourceKeyError::Foreign).contains("decrypt it with what encrypted it"));
        assert!(hint(SourceKeyError::Sealed).contains("that it was sealed from"));
        assert!(hint(SourceKeyError::Damaged).contains("take a whole copy"));
    }
}
