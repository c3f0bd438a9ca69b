//! All parties' signatures or none; and the same with the real ssh-keygen.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use incamera_agreement::{Agreement, NAMESPACE, sign};
use incamera_keys::{SigningKey, SshSig};
use incamera_types::{PartyName, UnixTime};

use crate::{LIFT, parse};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn party(name: &str) -> PartyName {
    name.parse().unwrap()
}

fn signatures(shop: &SigningKey, mailer: &SigningKey) -> BTreeMap<PartyName, SshSig> {
    let sign = |key| sign(LIFT.as_bytes(), key).unwrap();
    BTreeMap::from([(party("shop"), sign(shop)), (party("mailer"), sign(mailer))])
}

#[test]
fn all_signatures_make_an_agreement_active_until_its_last_day_ends() {
    let signed = parse(LIFT).verify(&signatures(&key(1), &key(3))).unwrap();
    let end = signed.agreement().expires.end();
    assert_eq!(end.to_string(), "2027-03-31T23:59:59Z");
    assert_eq!(signed.at(end).unwrap().name, "spring-campaign");
    let expired = signed.at(end.plus(1)).unwrap_err();
    assert!(expired.to_string().contains("2027-03-31"), "{expired}");
    assert!(signed.at(UnixTime(0)).is_ok());
}

#[test]
fn i4_one_missing_signature_opens_nothing() {
    for missing in ["shop", "mailer"] {
        let mut signatures = signatures(&key(1), &key(3));
        signatures.remove(&party(missing));
        let error = parse(LIFT).verify(&signatures).unwrap_err();
        assert_eq!(
            (error.missing.as_slice(), error.bad.len()),
            (&[party(missing)][..], 0)
        );
        assert!(
            error
                .to_string()
                .contains(&format!("no signature of `{missing}`")),
            "{error}"
        );
    }
    let error = parse(LIFT).verify(&BTreeMap::new()).unwrap_err();
    assert_eq!(error.missing, [party("mailer"), party("shop")]);
}

#[test]
fn i4_a_signature_counts_for_this_file_this_key_and_this_use() {
    let bad = |signature: SshSig| {
        let mut signatures = signatures(&key(1), &key(3));
        signatures.insert(party("shop"), signature);
        parse(LIFT).verify(&signatures).unwrap_err().bad
    };
    let other_file = sign(LIFT.replace("400", "401").as_bytes(), &key(1)).unwrap();
    assert_eq!(bad(other_file), [party("shop")]);
    for other_key in [key(2), key(3), key(6)] {
        assert_eq!(
            bad(sign(LIFT.as_bytes(), &other_key).unwrap()),
            [party("shop")]
        );
    }
    let other_use = key(1).sign("file", LIFT.as_bytes()).unwrap();
    assert_eq!(bad(other_use), [party("shop")]);
}

#[test]
fn a_stranger_adds_nothing() {
    let mut signatures = signatures(&key(1), &key(3));
    signatures.insert(party("stranger"), sign(LIFT.as_bytes(), &key(6)).unwrap());
    assert!(parse(LIFT).verify(&signatures).is_ok());
}

fn has_ssh_keygen() -> bool {
    let found = Command::new("ssh-keygen")
        .arg("-?")
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("SKIPPED: no ssh-keygen here, signatures were not compared with it");
    }
    found
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).unwrap();
    }
}

#[test]
fn ssh_keygen_verifies_what_we_sign() {
    if !has_ssh_keygen() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (allowed, signature) = (folder.path().join("allowed"), folder.path().join("sig"));
    std::fs::write(&allowed, format!("shop {}\n", key(1).public())).unwrap();
    std::fs::write(
        &signature,
        sign(LIFT.as_bytes(), &key(1)).unwrap().to_armor(),
    )
    .unwrap();
    let verify = |text: &str| {
        let file = folder.path().join("agreement.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", "shop", "-n", NAMESPACE]);
        command.arg("-f").arg(&allowed).arg("-s").arg(&signature);
        command.stdin(std::fs::File::open(&file).unwrap());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    };
    assert!(verify(LIFT));
    assert!(!verify(&LIFT.replace("400", "401")));
}

#[test]
fn we_verify_what_ssh_keygen_signs() {
    if !has_ssh_keygen() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agreement.toml");
    std::fs::write(&file, LIFT).unwrap();
    let mut signatures = BTreeMap::new();
    for (name, seed) in [("shop", 1), ("mailer", 3)] {
        let secret = folder.path().join(name);
        write_private(&secret, &key(seed).to_openssh(name).unwrap());
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-Y", "sign", "-n", NAMESPACE, "-f"])
            .arg(&secret)
            .arg(&file);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        assert!(
            command.status().unwrap().success(),
            "ssh-keygen signs for {name}"
        );
        let made = folder.path().join("agreement.toml.sig");
        let armor = std::fs::read_to_string(&made).unwrap();
        std::fs::remove_file(&made).unwrap();
        signatures.insert(party(name), SshSig::from_armor(&armor).unwrap());
    }
    assert!(parse(LIFT).verify(&signatures).is_ok());
    let other = Agreement::parse(LIFT.replace("400", "401").as_bytes()).unwrap();
    assert_eq!(other.verify(&signatures).unwrap_err().bad.len(), 2);
}

#[test]
fn i4_an_agreement_on_disk_holds_with_all_signatures_beside_it() {
    use incamera_agreement::files::{FileError, read, read_signed, signature_path};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agreement.toml");
    assert!(matches!(read(&path), Err(FileError::Read { .. })));
    std::fs::write(&path, LIFT).unwrap();
    let write = |name: &str, seed| {
        let armor = sign(LIFT.as_bytes(), &key(seed)).unwrap().to_armor();
        std::fs::write(signature_path(&path, &party(name)), armor).unwrap();
    };
    write("shop", 1);
    let Err(FileError::Unsigned { source, .. }) = read_signed(&path) else {
        panic!("the mailer has not signed")
    };
    assert_eq!(source.missing, [party("mailer")]);
    write("mailer", 3);
    assert!(read_signed(&path).is_ok());
    std::fs::write(signature_path(&path, &party("mailer")), "-----BEGIN").unwrap();
    assert!(matches!(
        read_signed(&path),
        Err(FileError::NotASignature { .. })
    ));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(read(&path), Err(FileError::TooLarge { .. })));
    std::fs::write(&path, "format = 1").unwrap();
    assert!(matches!(read_signed(&path), Err(FileError::Invalid { .. })));
}
