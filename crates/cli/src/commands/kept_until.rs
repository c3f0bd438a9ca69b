//! Data sets whose last day is over: their keys are destroyed.

use incamera_agreement::Agreement;
use incamera_seal::{KeyRing, destroy_all};
use incamera_types::DatasetSpec;

use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// Destroys the purpose keys of the party's own data sets that are not kept any longer.
pub fn enforce(
    folder: &Folder,
    agreement: &Agreement,
    ring: &mut KeyRing,
    printer: &Printer,
) -> Done {
    for spec in not_kept(folder, agreement) {
        let destroyed = destroy_all(ring, &agreement.id, &spec.name)
            .or_fail(format!("the keys of `{}` were not destroyed", spec.name))?;
        if destroyed > 0 {
            printer.warn(format!(
                "`{}` is not kept any longer: its purpose keys were destroyed; copies of the key ring made before still have them",
                spec.name
            ));
        }
    }
    Ok(())
}

/// Says whose purpose keys [`enforce`] would destroy.
pub fn foretell(folder: &Folder, agreement: &Agreement, ring: &KeyRing, printer: &Printer) {
    let has_keys = |spec: &&DatasetSpec| !ring.purpose_slots(&agreement.id, &spec.name).is_empty();
    for spec in not_kept(folder, agreement).filter(has_keys) {
        printer.warn(format!(
            "`{}` is not kept any longer: its purpose keys would be destroyed",
            spec.name
        ));
    }
}

/// The party's own data sets whose last day is over.
fn not_kept<'a>(
    folder: &'a Folder,
    agreement: &'a Agreement,
) -> impl Iterator<Item = &'a DatasetSpec> {
    let own = agreement.datasets.values();
    own.filter(|spec| &spec.owner == folder.name() && over(spec))
}

/// Whether the last day of a data set is over.
pub fn over(spec: &DatasetSpec) -> bool {
    spec.keep_until.is_some_and(|day| day.end() < now())
}

/// Refuses what is kept no longer; `what` was not done to it.
pub fn check(spec: &DatasetSpec, what: &str) -> Done {
    match spec.keep_until.filter(|_| over(spec)) {
        None => Ok(()),
        Some(day) => Err(Failure::new(Exit::Refused, what)
            .why(format!(
                "{day} (UTC) was the last day on which the agreement has `{}` kept",
                spec.name
            ))
            .hint("agree on a new version with a later `keep_until`")),
    }
}
