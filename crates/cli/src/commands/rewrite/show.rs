//! What was done, or would be, told to the owner: the numbers are exact, and go nowhere else.

use incamera_seal::{
    Change, Counts, Lacking, RewritePlan, Rewritten, SignedManifest, SmallClasses,
};
use incamera_types::DatasetName;
use serde_json::{Value, json};

use super::Work;
use super::left::Left;
use super::people::Ids;
use crate::commands::small;
use crate::failure::Failure;

/// What became of one data set.
pub(super) struct Told {
    dataset: DatasetName,
    change: Change,
    before: u64,
    key_epoch: u32,
    counts: Counts,
    small: SmallClasses,
    /// Why the new declaration asks for sealing from the source all the same.
    from_source: Vec<String>,
    lacking: Lacking,
    removes: bool,
    changes: bool,
    done: Option<Rewritten>,
}

impl Told {
    pub(super) fn planned(manifest: &SignedManifest, plan: &RewritePlan) -> Self {
        Self {
            dataset: manifest.dataset().clone(),
            change: plan.change(),
            before: manifest.version(),
            key_epoch: plan.key_epoch(),
            counts: plan.counts(),
            small: plan.small_classes().clone(),
            from_source: Vec::new(),
            lacking: plan.lacking().clone(),
            removes: plan.removes(),
            changes: plan.changes(),
            done: None,
        }
    }

    pub(super) fn done(&mut self, done: &Rewritten) {
        self.done = Some(done.clone());
    }

    pub(super) fn with_source(mut self, reasons: Vec<String>) -> Self {
        self.from_source = reasons;
        self
    }

    /// What `data retag` cannot do.
    fn left_to_seal(&self) -> String {
        match self.from_source.is_empty() {
            true => String::new(),
            false => format!(
                "\n  what its sealed values are stays as it was: {}; for values by the new declaration seal it from its source: `incamera data seal {} --data FILE`",
                self.from_source.join("; "),
                self.dataset
            ),
        }
    }

    fn destroyed(&self) -> usize {
        self.done.as_ref().map_or(0, |done| done.keys_destroyed)
    }

    fn text(&self, dry_run: bool) -> String {
        let name = &self.dataset;
        let mut text = match (&self.done, dry_run && self.changes) {
            (Some(done), _) => format!("`{name}` version {} ({})", done.version, self.change),
            (None, true) => format!(
                "`{name}` would get version {} ({})",
                self.before + 1,
                self.change
            ),
            (None, false) => {
                return format!(
                    "`{name}` version {}: nothing to do{}",
                    self.before,
                    self.left_to_seal()
                );
            }
        };
        let counts = &self.counts;
        for (count, what) in [
            (counts.rows_gone, "rows out"),
            (counts.rows_moved, "rows in a smaller consent class"),
            (counts.rewritten as u64, "parts encrypted anew"),
            (counts.rewrapped as u64, "parts with keys wrapped anew"),
            (
                counts.dropped as u64,
                "parts that nothing opens any more, left out",
            ),
            (counts.kept as u64, "parts as they were"),
            (self.destroyed() as u64, "old purpose keys destroyed"),
        ] {
            if count > 0 {
                text.push_str(&format!("\n  {what}: {count}"));
            }
        }
        for line in small::lines(&self.small) {
            text.push_str(&format!("\n  {line}"));
        }
        if self.removes
            || self
                .done
                .as_ref()
                .is_some_and(|done| done.keys_destroyed > 0)
        {
            text.push_str(&format!("\n  key epoch: {}", self.key_epoch));
        }
        for (column, coverage) in &self.lacking {
            let (without, of) = (coverage.without, coverage.of);
            text.push_str(&format!(
                "\n  `{column}` is not in {without} of the {of} parts whose people agreed to it: queries that read it leave these parts out until `{name}` is sealed again"
            ));
        }
        text + &self.left_to_seal()
    }

    fn document(&self) -> Value {
        let counts = &self.counts;
        let lacking = self.lacking.iter().map(|(column, coverage)| {
            let parts = json!({ "without": coverage.without, "of": coverage.of });
            (column.to_string(), parts)
        });
        json!({
            "dataset": self.dataset, "change": self.change.as_str(), "version_before": self.before,
            "version": self.done.as_ref().map(|done| done.version),
            "manifest": self.done.as_ref().map(|done| done.manifest),
            "key_epoch": self.key_epoch, "changes": self.changes,
            "parts_kept": counts.kept, "parts_rewrapped": counts.rewrapped,
            "parts_rewritten": counts.rewritten, "parts_left_out": counts.dropped,
            "rows_moved": counts.rows_moved, "rows_gone": counts.rows_gone,
            "seal_from_source": self.from_source,
            "small_classes": small::document(&self.small),
            "keys_destroyed": self.destroyed(),
            "lacking": lacking.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// Says with a failure which data sets have their new version all the same.
pub(super) fn so_far(told: &[Told], failure: Failure) -> Failure {
    let done = told.iter().filter_map(|one| {
        let version = one.done.as_ref()?.version;
        Some(format!("`{}` version {version}", one.dataset))
    });
    let done: Vec<String> = done.collect();
    match done.is_empty() {
        true => failure,
        false => failure.why(format!(
            "made already, and waiting for `incamera data push`: {}",
            done.join(", ")
        )),
    }
}

/// Which copies open what was taken away.
fn backups(work: &Work<'_>) -> String {
    let ring = work.ring.path();
    format!(
        "whoever kept old files and old manifests opens nothing of them with the keys that are left; copies of `{}` made before now still do, and so does `{}` with all its copies if it was made before: make them anew, and destroy the old ones",
        ring.display(),
        work.ring.recovery_file().display()
    )
}

/// Shows it all.
pub(super) fn all(
    work: &Work<'_>,
    command: &str,
    told: &[Told],
    (ids, left): (Option<&Ids>, &Left),
    further: &[&str],
    dry_run: bool,
) {
    let mut lines: Vec<String> = told.iter().map(|one| one.text(dry_run)).collect();
    if dry_run {
        lines.insert(0, "a dry run: nothing was done".to_owned());
    }
    if let Some(ids) = ids {
        lines.push(format!("people known here: {}", ids.known.len()));
        for (count, what) in [
            (ids.unknown, "ids that nobody here has"),
            (ids.invalid, "texts that are no id of the kind"),
        ] {
            if count > 0 {
                lines.push(format!("{what}: {count}"));
            }
        }
    }
    lines.extend(left.lines(dry_run));
    let of_dropped = !dry_run && left.destroyed() > 0;
    let destroyed = of_dropped || told.iter().any(|one| one.destroyed() > 0);
    let changed = told.iter().any(|one| one.done.is_some());
    let backups = destroyed.then(|| backups(work));
    lines.extend(backups.clone());
    if destroyed {
        lines.push("queries wait until `incamera data push`: what the broker and the room have opens no more".to_owned());
    } else if changed {
        lines.push("the room and the broker go on with the versions before until `incamera data push`; it sends the parts that are new".to_owned());
    }
    lines.extend(further.iter().map(|one| (*one).to_owned()));
    let document = json!({
        "command": command, "dry_run": dry_run,
        "datasets": told.iter().map(Told::document).collect::<Vec<_>>(),
        "people": ids.map(|ids| json!({
            "known": ids.known.len(), "unknown": ids.unknown, "invalid": ids.invalid,
        })),
        "beside": left.document(), "backups": backups, "notes": further,
    });
    let printer = work.printer;
    printer.result(lines.join("\n"), "incamera-rewritten/1", &document);
}
