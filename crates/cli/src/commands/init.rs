//! `init`: a party's folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use incamera_keys::{PublicKey, SigningKey};
use incamera_party::PublicFile;
use incamera_seal::KeyRing;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

use crate::args::Init;
use crate::failure::{Context, Done, Failure};
use crate::printer::Printer;

/// Makes keys, key ring and configuration.
pub fn run(arguments: &Init, printer: &Printer) -> Done {
    let folder = &arguments.folder;
    if folder.join("party.toml").exists() {
        return Err(Failure::usage(format!(
            "`{}` is a party's folder already",
            folder.display()
        ))
        .hint("name another folder; keys are never overwritten"));
    }
    let passphrase = passphrase(arguments)?;
    make_folders(folder)?;
    let mut rng = rand::rng();
    let signs = make_key(
        &folder.join("signing_key"),
        &format!("{} signing key", arguments.name),
    )?;
    let service = make_key(
        &folder.join("service_key"),
        &format!("{} service key", arguments.name),
    )?;
    let mut analysts = BTreeMap::new();
    for name in &arguments.analyst {
        let key = make_key(&folder.join("analysts").join(name.as_str()), name.as_str())?;
        analysts.insert(name.clone(), key);
    }
    write(
        &folder.join("passphrase.txt"),
        passphrase.expose_secret(),
        0o600,
    )?;
    KeyRing::create(&folder.join("ring.age"), &passphrase, &mut rng)
        .or_fail("the key ring was not made")?;
    let public = PublicFile {
        format: PublicFile::FORMAT.to_owned(),
        name: arguments.name.clone(),
        signs,
        service,
        url: url(arguments),
        people: arguments.people,
        analysts,
    };
    let text = public
        .to_toml()
        .or_fail("the public file was not written")?;
    write(&folder.join("public.toml"), &text, 0o644)?;
    write(
        &folder.join("party.toml"),
        &configuration(arguments, &signs),
        0o644,
    )?;
    show(arguments, &public, printer);
    Ok(())
}

fn url(arguments: &Init) -> String {
    let made = || format!("https://{}", arguments.listen);
    arguments.url.clone().unwrap_or_else(made)
}

fn make_folders(folder: &Path) -> Done {
    let what = format!("the folder `{}` was not made", folder.display());
    for name in [
        "",
        "agreements",
        "analysts",
        "crosswalks",
        "consents",
        "sealed",
    ] {
        fs::create_dir_all(folder.join(name)).or_fail(&what)?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).or_fail(what)
}

fn make_key(path: &Path, comment: &str) -> Result<PublicKey, Failure> {
    let what = format!("the key `{}` was not made", path.display());
    let key = SigningKey::generate(&mut rand::rng());
    let text = key.to_openssh(comment).or_fail(&what)?;
    write(path, &text, 0o600)?;
    let public = key.public();
    write(
        &path.with_extension("pub"),
        &format!("{public} {comment}\n"),
        0o644,
    )?;
    Ok(public)
}

/// Writes a new file; one that is there is not touched.
fn write(path: &Path, text: &str, mode: u32) -> Done {
    let what = format!("`{}` was not written", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .or_fail(&what)?;
    file.write_all(text.as_bytes()).or_fail(&what)?;
    file.sync_all().or_fail(what)
}

/// The passphrase of the ring: checked before anything is made.
fn passphrase(arguments: &Init) -> Result<SecretString, Failure> {
    let text = match &arguments.passphrase_file {
        Some(path) => fs::read_to_string(path).or_fail(format!(
            "the passphrase file `{}` was not read",
            path.display()
        ))?,
        None => random_passphrase(),
    };
    let secret = SecretString::from(text.trim_end_matches(['\n', '\r']).to_owned());
    if secret.expose_secret().chars().count() < 12 {
        return Err(Failure::usage("the passphrase is too short")
            .why("whoever finds the ring can try passphrases")
            .hint("use at least 12 characters, or leave `--passphrase-file` out"));
    }
    Ok(secret)
}

/// 128 random bits, in groups that can be read out.
fn random_passphrase() -> String {
    let mut bytes = [0u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    let groups: Vec<String> = bytes.chunks(2).map(hex::encode).collect();
    groups.join("-")
}

fn configuration(arguments: &Init, signs: &PublicKey) -> String {
    let health = match arguments.health {
        Some(address) => format!("health = \"{address}\"\n"),
        None => format!(
            "# health = \"127.0.0.1:{}\"   # take the first # away: /healthz, plain HTTP\n",
            arguments.listen.port().checked_add(1).unwrap_or(7444)
        ),
    };
    format!(
        "# The service of `{name}`. Paths are relative to this file.\n\
         format = \"incamera-party/1\"\n\
         name   = \"{name}\"\n\
         signs  = \"{signs}\"   # agreements that give you another key do not count\n\
         listen = \"{listen}\"\n\
         {health}\
         {simulated}\
         agreements = \"agreements\"      # NAME.toml with NAME.toml.PARTY.sig of each party\n\
         \n\
         [keys]\n\
         signing = \"signing_key\"        # may lie offline: only `agreement sign` needs it\n\
         service = \"service_key\"\n\
         ring = \"ring.age\"\n\
         passphrase_file = \"passphrase.txt\"\n\
         \n\
         [ledger]\n\
         path = \"ledger.sqlite\"\n\
         \n\
         [budget]                       # your own ceiling over all agreements\n\
         epsilon = 20.0\n\
         delta = 1e-6\n",
        name = arguments.name,
        listen = arguments.listen,
        simulated = simulated(arguments),
    )
}

#[cfg(feature = "simulated")]
fn simulated(arguments: &Init) -> &'static str {
    match arguments.insecure_accept_simulated {
        true => "insecure_accept_simulated = true   # SIMULATED TEE: protects nothing\n",
        false => "",
    }
}

#[cfg(not(feature = "simulated"))]
fn simulated(_arguments: &Init) -> &'static str {
    ""
}

fn show(arguments: &Init, public: &PublicFile, printer: &Printer) {
    let folder = arguments.folder.display();
    let text = format!(
        "`{}` is ready in {folder}\n  give the others  {folder}/public.toml\n  keep to yourself everything else, and back up ring.age and passphrase.txt\n  next             incamera agreement new --for ad-measurement --with {folder} --with OTHER/public.toml",
        public.name
    );
    printer.result(text, "incamera-init/1", public);
}
