//! What an adversary would try, for real, a line each.

use std::path::Path;
use std::process::{Command, Stdio};

use incamera_dp::interval::thousands;
use incamera_testkit::wiretap::{Mark, search_bytes, search_folder};
use serde_json::Value;

use super::story::{AGREEMENT, Play};
use crate::agreement_error;
use crate::failure::{Context, Done, Failure};
use crate::folder::Folder;

/// Plays every attack; one that succeeds fails the demo.
pub fn play(play: &Play, answer: &Value) -> Done {
    play.say("\nNow the adversary:");
    search(play)?;
    other_purpose(play)?;
    ask_again(play, answer, "the same question again")?;
    flip_a_byte(play, answer)?;
    roll_back(play, answer)?;
    other_agreement(play)?;
    ssh_keygen(play)
}

fn must(play: &Play, holds: bool, attempt: &str, outcome: &str) -> Done {
    if !holds {
        return Err(Failure::failed(format!(
            "the adversary got further than it should: {attempt}"
        ))
        .why(outcome.to_owned()));
    }
    play.attempt(attempt, outcome);
    Ok(())
}

/// Looks for a known e-mail on the room's disk and in all decrypted traffic.
fn search(play: &Play) -> Done {
    let email = play.campaign().known_email();
    let root = &play.cast.root;
    let what = "the search failed";
    let marks = [Mark::text("e-mail", &email)];
    let disk = search_folder(&root.join("room"), &marks)
        .or_fail(what)?
        .len();
    let traffic = play.taps.decrypt(&root.join("traffic/keys.log"))?;
    let found = search_bytes("traffic", &traffic.plaintext, &marks).len();
    let text = std::fs::read_to_string(root.join("data/customers.csv")).or_fail(what)?;
    let own = text.matches(email.as_str()).count();
    let heard = traffic.decrypted > 0 && traffic.undecrypted == 0;
    let holds = disk + found == 0 && own == 1 && heard;
    let outcome = format!(
        "room's disk {disk} hits; {} KB of traffic, decrypted with a test key log, {found} hits; the shop's own CSV {own}",
        thousands(traffic.said_bytes.div_ceil(1000))
    );
    must(play, holds, "searches for one customer's e-mail", &outcome)
}

/// Asks for another purpose, through the front door and past every check.
fn other_purpose(play: &Play) -> Done {
    let outcome = play.query(AGREEMENT, &["--purpose", "ads"])?;
    let shop = Folder::open(&play.cast.root.join("shop"))?;
    let agreement = agreement_error::read(Path::new(&play.cast.agreement("shop")))?;
    let dataset = "purchases".parse().or_fail("a name")?;
    let manifest = crate::commands::data::own_manifest(&shop, &agreement, &dataset)?;
    let unwrapped = incamera_seal::unwrap_keys(
        manifest.manifest(),
        &"ads".parse().or_fail("a name")?,
        &["amount".parse().or_fail("a name")?],
        &shop.ring()?,
    );
    let holds = outcome.code == 3 && unwrapped.is_err();
    let text = format!(
        "refused (exit {}); and past every check, with the shop's own key ring: no key exists",
        outcome.code
    );
    must(
        play,
        holds,
        "asks for purpose `ads` over measurement columns",
        &text,
    )
}

/// The same question must give the same answer and cost nothing.
fn ask_again(play: &Play, answer: &Value, attempt: &str) -> Done {
    let before = play.spent()?;
    let outcome = play.query(AGREEMENT, &[])?;
    let same = outcome.document.pointer("/answer") == answer.pointer("/answer");
    let after = play.spent()?;
    let holds = outcome.code == 0 && same && before == after && answer.pointer("/answer").is_some();
    let text = if holds {
        "same answer, cost 0, budgets as before".to_owned()
    } else {
        format!(
            "exit {}, same answer {same}, spent {before} then {after}: {}",
            outcome.code,
            outcome.failure()
        )
    };
    must(play, holds, attempt, &text)
}

/// Changes one byte of a sealed part on the room's disk.
fn flip_a_byte(play: &Play, answer: &Value) -> Done {
    let what = "no sealed part was found in the room";
    let parts = play.cast.root.join("room/storage/purchases/parts");
    let mut entries = std::fs::read_dir(parts).or_fail(what)?;
    let part = entries
        .next()
        .ok_or_else(|| Failure::failed(what))?
        .or_fail(what)?;
    let mut bytes = std::fs::read(part.path()).or_fail(what)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    std::fs::write(part.path(), bytes).or_fail(what)?;
    let outcome = play.query(AGREEMENT, &[])?;
    let name = part.path();
    let name = name
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let named = !name.is_empty() && outcome.failure().contains(name);
    let text = format!("refused, part {name} named");
    must(
        play,
        outcome.code != 0 && named,
        "flips a byte of a sealed part",
        &text,
    )?;
    play.push("shop")?;
    ask_again(play, answer, "  pushed again, the repeat")
}

/// Restarts the room from a copy of its folder that is older than the first question.
fn roll_back(play: &Play, answer: &Value) -> Done {
    play.stage.stop("room");
    play.cast.roll_back_room()?;
    play.start_room()?;
    ask_again(
        play,
        answer,
        "restarts the room from a copy of its folder older than the first question, asks again",
    )
}

/// Starts a room under another agreement, at the address that the first one names.
fn other_agreement(play: &Play) -> Done {
    play.write_agreement("other-campaign")?;
    play.stage.stop("room");
    play.cast.write_room("other-campaign")?;
    play.start_room()?;
    let outcome = play.query(AGREEMENT, &[])?;
    let text = format!("refused before anything was asked (exit {})", outcome.code);
    must(
        play,
        outcome.code == 4,
        "starts a room under another agreement",
        &text,
    )?;
    play.stage.stop("room");
    play.cast.write_room(AGREEMENT)?;
    play.start_room()
}

/// Checks a signature without us.
fn ssh_keygen(play: &Play) -> Done {
    let attempt = "checks the shop's signature with ssh-keygen";
    if Command::new("ssh-keygen")
        .arg("-?")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        play.attempt(attempt, "skipped, there is no ssh-keygen here");
        return Ok(());
    }
    let what = "ssh-keygen did not run";
    let public = std::fs::read_to_string(play.cast.path("shop/signing_key.pub")).or_fail(what)?;
    let signers = play.cast.path("allowed_signers");
    std::fs::write(&signers, format!("shop {public}")).or_fail(what)?;
    let file = play.cast.agreement("shop");
    let agreement = std::fs::File::open(&file).or_fail(what)?;
    let status = Command::new("ssh-keygen")
        .args([
            "-Y",
            "verify",
            "-f",
            &signers,
            "-I",
            "shop",
            "-n",
            "incamera-agreement",
        ])
        .args(["-s", &format!("{file}.shop.sig")])
        .stdin(agreement)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .or_fail(what)?;
    must(
        play,
        status.success(),
        attempt,
        "good, without any code of ours",
    )
}
