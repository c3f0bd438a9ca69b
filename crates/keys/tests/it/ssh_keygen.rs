//! Against the installed `ssh-keygen`; each test says when it is absent.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use incamera_keys::{SigningKey, SshSig};
use tempfile::TempDir;

use crate::signer;

const NAMESPACE: &str = "incamera-agreement";

fn have_ssh_keygen() -> bool {
    let found = Command::new("ssh-keygen")
        .arg("-?")
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("SKIPPED: ssh-keygen is not installed, nothing was checked against it");
    }
    found
}

/// Writes the key, its public part and a list of allowed signers.
fn write_key(dir: &Path, key: &SigningKey) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("key");
    fs::write(&path, key.to_openssh("test").unwrap().as_bytes()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(dir.join("key.pub"), format!("{}\n", key.public())).unwrap();
    let allowed = format!("shop namespaces=\"{NAMESPACE}\" {}\n", key.public());
    fs::write(dir.join("allowed"), allowed).unwrap();
}

fn verified_by_ssh_keygen(dir: &Path, namespace: &str, message: &[u8]) -> bool {
    fs::write(dir.join("message"), message).unwrap();
    Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", "shop", "-n", namespace])
        .args(["-f", "allowed", "-s", "signature"])
        .current_dir(dir)
        .stdin(fs::File::open(dir.join("message")).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn ssh_keygen_verifies_ours() {
    if !have_ssh_keygen() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let key = signer(3);
    write_key(dir.path(), &key);
    let signature = key.sign(NAMESPACE, b"the agreement").unwrap();
    fs::write(dir.path().join("signature"), signature.to_armor()).unwrap();
    let verified = |namespace, message| verified_by_ssh_keygen(dir.path(), namespace, message);
    assert!(verified(NAMESPACE, b"the agreement"));
    assert!(!verified(NAMESPACE, b"another agreement"));
    assert!(!verified("incamera-grant", b"the agreement"));
}

#[test]
fn we_verify_ssh_keygens() {
    if !have_ssh_keygen() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let key = signer(4);
    write_key(dir.path(), &key);
    fs::write(dir.path().join("message"), b"signed by hand").unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-f", "key", "-n", NAMESPACE, "message"])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    let armor = fs::read_to_string(dir.path().join("message.sig")).unwrap();
    let signature = SshSig::from_armor(&armor).unwrap();
    let public = key.public();
    assert_eq!(
        public.verify(NAMESPACE, b"signed by hand", &signature),
        Ok(())
    );
    assert!(
        public
            .verify(NAMESPACE, b"signed by head", &signature)
            .is_err()
    );
}
