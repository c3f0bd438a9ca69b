//! `ring show`, `recipients`, `new`, `recover`, `change`: nothing here shows a key.

use std::collections::BTreeMap;
use std::path::Path;

use incamera_party::{LockError, RingLock};
use incamera_seal::{KeyRing, PurposeSlot, RingError};
use serde::Serialize;

use crate::args::{NewLock, PartyFolder, RingChange, RingNew, RingRecipients, RingRecover};
use crate::failure::{Context, Done, Failure};
use crate::folder::{Folder, key_passphrase, strong_passphrase};
use crate::printer::Printer;
use crate::words::counted;

/// What a ring holds, without a key.
#[derive(Serialize)]
struct Shown {
    path: String,
    kind: &'static str,
    purpose_keys: Vec<Keys>,
    purpose_keys_in_token: bool,
    matching_secrets: usize,
    recovery_recipients: Vec<String>,
    recovery_file: Option<String>,
}

/// The purpose keys of a data set's key epoch.
#[derive(Serialize)]
struct Keys {
    agreement_id: String,
    dataset: String,
    key_epoch: u32,
    purposes: Vec<String>,
}

/// Shows what kind of ring it is, and what it holds.
pub fn show(arguments: &PartyFolder, printer: &Printer) -> Done {
    let ring = Folder::open(&arguments.party)?.ring()?;
    let shown = shown(&ring);
    printer.result(text(&shown), "incamera-ring-show/1", &shown);
    Ok(())
}

fn shown(ring: &KeyRing) -> Shown {
    let recipients = ring.recovery_recipients().to_vec();
    let file = ring.recovery_file();
    Shown {
        path: ring.path().display().to_string(),
        kind: ring.kind(),
        purpose_keys: keys(ring.all_purpose_slots()),
        purpose_keys_in_token: ring.keys_in_token(),
        matching_secrets: ring.matching_slots().count(),
        recovery_recipients: recipients,
        recovery_file: file.exists().then(|| file.display().to_string()),
    }
}

fn keys<'a>(slots: impl Iterator<Item = &'a PurposeSlot>) -> Vec<Keys> {
    let mut sets: BTreeMap<(String, String, u32), Vec<String>> = BTreeMap::new();
    for slot in slots {
        let set = (
            slot.agreement_id.to_string(),
            slot.dataset.to_string(),
            slot.key_epoch,
        );
        sets.entry(set).or_default().push(slot.purpose.to_string());
    }
    let keys = |((agreement_id, dataset, key_epoch), purposes)| Keys {
        agreement_id,
        dataset,
        key_epoch,
        purposes,
    };
    sets.into_iter().map(keys).collect()
}

fn text(shown: &Shown) -> String {
    let mut lines = vec![format!("key ring {}: {}", shown.path, shown.kind)];
    for keys in &shown.purpose_keys {
        lines.push(format!(
            "  {} of agreement {}, key epoch {}: {} ({})",
            keys.dataset,
            keys.agreement_id.get(..16).unwrap_or(&keys.agreement_id),
            keys.key_epoch,
            counted(keys.purposes.len() as u64, "purpose key", "purpose keys"),
            keys.purposes.join(", ")
        ));
    }
    lines.push(format!(
        "  {} and the key of noise seeds",
        counted(
            shown.matching_secrets as u64,
            "matching secret",
            "matching secrets"
        )
    ));
    lines.extend(recovery(shown));
    lines.join("\n")
}

fn recovery(shown: &Shown) -> Vec<String> {
    if shown.recovery_recipients.is_empty() {
        return vec![
            "  nobody can recover it: add somebody with `incamera ring recipients --add KEY`"
                .into(),
        ];
    }
    let recipients = shown.recovery_recipients.iter();
    let mut lines: Vec<String> = recipients
        .map(|recipient| format!("  can be recovered by {recipient}"))
        .collect();
    if shown.recovery_file.is_none() {
        lines.push("  its recovery file is not there: the next change writes it".into());
    }
    if shown.purpose_keys_in_token {
        lines.push(
            "  what recovery does not cover: purpose keys, which never leave the token. If the token is lost, seal the data again"
                .into(),
        );
    }
    lines
}

/// Who can recover the ring.
#[derive(Serialize)]
struct Recipients {
    recovery_recipients: Vec<String>,
    recovery_file: String,
}

/// Adds and removes recovery recipients, and lists them.
pub fn recipients(arguments: &RingRecipients, printer: &Printer) -> Done {
    let mut ring = Folder::open(&arguments.of.party)?.ring()?;
    for key in &arguments.remove {
        if !ring.is_recovery(key).map_err(not_changed)? {
            return Err(Failure::failed("the recovery recipients were not changed")
                .why(format!("`{key}` is none of them"))
                .hint("`incamera ring recipients` lists them"));
        }
    }
    for key in &arguments.add {
        if !ring.add_recovery(key).map_err(not_changed)? {
            printer.note(format!("{key} is a recipient already"));
        }
    }
    for key in &arguments.remove {
        ring.remove_recovery(key).map_err(not_changed)?;
        printer.note(
            "copies of the recovery file made before still open for the key that was removed",
        );
    }
    let shown = shown(&ring);
    let document = Recipients {
        recovery_recipients: ring.recovery_recipients().to_vec(),
        recovery_file: ring.recovery_file().display().to_string(),
    };
    let text = recovery(&shown).join("\n");
    printer.result(text, "incamera-ring-recipients/1", &document);
    Ok(())
}

fn not_changed(error: RingError) -> Failure {
    let what = "the recovery recipients were not changed";
    match error {
        RingError::Recipient => Failure::usage(what)
            .because(&error)
            .hint("give a public key, as `age-keygen -y FILE` or `cat KEY.pub` shows it"),
        _ => Failure::failed(what).because(&error).or_hint(
            "see that the folder of the key ring and the files in it can be written, and run the command again",
        ),
    }
}

/// A ring that was made of another.
#[derive(Serialize)]
struct Made {
    ring: String,
    kind: &'static str,
    lost: Vec<Keys>,
    recovery_recipients: Vec<String>,
    old_ring: Option<String>,
    old_recovery_file: Option<String>,
}

/// Makes a new, empty ring.
pub fn new(arguments: &RingNew, printer: &Printer) -> Done {
    let (lock, lines) = new_lock(&arguments.lock)?;
    let made = lock.create(&arguments.out, key_passphrase()?.as_ref(), &mut rand::rng());
    let ring = made.map_err(|error| {
        let hint = match &error {
            LockError::Ring(error) => new_ring_hint(error),
            _ => "name another file with `--out`",
        };
        Failure::failed("the ring was not made")
            .because(&error)
            .hint(hint)
    })?;
    say_made(&ring, Vec::new(), &lines, None, printer);
    Ok(())
}

/// Makes a new ring of the recovery file.
pub fn recover(arguments: &RingRecover, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.of.party)?;
    let beside = || KeyRing::recovery_file_of(&folder.config.keys.ring);
    let from = arguments.from.clone().unwrap_or_else(beside);
    let what = format!("the ring was not recovered from `{}`", from.display());
    let passphrase = key_passphrase()?;
    let opener = identity_lock(&arguments.identity).or_fail(&what)?;
    let opener = opener.age(passphrase.as_ref()).or_fail(&what)?;
    let (lock, lines) = new_lock(&arguments.lock)?;
    let backend = lock.age(passphrase.as_ref()).or_fail(&what)?;
    let made = KeyRing::recover(&from, opener, &arguments.out, Box::new(backend));
    let (ring, lost) = made.map_err(|error| {
        Failure::failed(what)
            .because(&error)
            .hint(new_ring_hint(&error))
    })?;
    say_made(&ring, keys(lost.iter()), &lines, None, printer);
    Ok(())
}

/// Copies the ring under new protection.
pub fn change(arguments: &RingChange, printer: &Printer) -> Done {
    let ring = Folder::open(&arguments.of.party)?.ring()?;
    let (lock, lines) = new_lock(&arguments.lock)?;
    let what = "the ring was not copied";
    let backend = lock.age(key_passphrase()?.as_ref()).or_fail(what)?;
    let made = ring.copy_to(&arguments.out, Box::new(backend));
    let made = made.map_err(|error| {
        Failure::failed(what)
            .because(&error)
            .hint(new_ring_hint(&error))
    })?;
    say_made(&made, Vec::new(), &lines, Some(&ring), printer);
    Ok(())
}

fn new_ring_hint(error: &RingError) -> &'static str {
    match error {
        RingError::Exists { .. } | RingError::Name { .. } => "name another file with `--out`",
        RingError::RecoveryExists { .. } => {
            "`incamera ring recover --from` that file makes the ring of it; if it is of no use any more, move it elsewhere, or name another file with `--out`"
        }
        RingError::WrongIdentity { .. } => {
            "name the identity of one of the recovery recipients with `--identity`"
        }
        RingError::OtherKind { .. } => {
            "make the new ring with `incamera init` in another folder, and seal the data again there"
        }
        _ => "name the recovery file with `--from`; a copy from a backup does as well",
    }
}

fn say_made(
    ring: &KeyRing,
    lost: Vec<Keys>,
    lines: &str,
    old: Option<&KeyRing>,
    printer: &Printer,
) {
    let mut text = format!(
        "a new key ring is at {} ({})\n  put into `party.toml` under [keys], in place of the old lines:\n    ring = {}\n    {lines}\n  then start the service anew",
        ring.path().display(),
        ring.kind(),
        quoted(ring.path()),
    );
    for keys in &lost {
        text += &format!(
            "\n  lost with the token: {} of {}, key epoch {}; seal the data set again",
            keys.purposes.join(", "),
            keys.dataset,
            keys.key_epoch
        );
    }
    for recipient in ring.recovery_recipients() {
        text += &format!("\n  can be recovered by {recipient}: look whether you know that key");
    }
    let old_ring = old.map(|old| old.path().display().to_string());
    let old_file = old.map(KeyRing::recovery_file).filter(|file| file.exists());
    let old_file = old_file.map(|file| file.display().to_string());
    if let Some(path) = &old_ring {
        let recovery = old_file.iter().map(|file| format!(" and {file}"));
        text += &format!(
            "\n  the old ring stays, opens as before and keeps keys that are destroyed from now on: delete {path}{} and every copy once the new one is in use",
            recovery.collect::<String>()
        );
    }
    let made = Made {
        ring: ring.path().display().to_string(),
        kind: ring.kind(),
        lost,
        recovery_recipients: ring.recovery_recipients().to_vec(),
        old_ring,
        old_recovery_file: old_file,
    };
    printer.result(text, "incamera-ring-made/1", &made);
}

/// An identity file of either kind, told by its first line.
fn identity_lock(path: &Path) -> Result<RingLock, LockError> {
    let text = std::fs::read_to_string(path).map_err(|source| LockError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(if text.starts_with("-----BEGIN") {
        RingLock::SshKey(path.to_owned())
    } else {
        RingLock::Identity(path.to_owned())
    })
}

/// A path as `party.toml` has it, from wherever that lies.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("{:?}", path.display().to_string())
}

/// What the new ring opens with, and the line of `party.toml` that says so.
fn new_lock(lock: &NewLock) -> Result<(RingLock, String), Failure> {
    let line = |key: &str, path: &Path| format!("{key} = {}", quoted(path));
    match (
        &lock.passphrase_file,
        &lock.ring_identity,
        &lock.ring_ssh_key,
    ) {
        (Some(file), _, _) => {
            strong_passphrase(file)?;
            let lock = RingLock::PassphraseFile(file.clone());
            Ok((lock, line("passphrase_file", file)))
        }
        (_, Some(file), _) => Ok((
            RingLock::Identity(file.clone()),
            line("ring_identity", file),
        )),
        (_, _, Some(file)) => Ok((RingLock::SshKey(file.clone()), line("ring_ssh_key", file))),
        _ => Err(Failure::usage("nothing says what opens the new ring")
            .hint("name `--passphrase-file`, `--ring-identity` or `--ring-ssh-key`")),
    }
}
