//! `init`: a party's folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use incamera_keys::{PublicKey, ReceiveKey, ReceivePublicKey, SigningKey};
use incamera_party::{PinFile, PublicFile, RingLock, Sealing, TokenId, TokenLock};
use incamera_seal::KeyRing;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

use crate::args::Init;
use crate::failure::{Context, Done, Failure};
use crate::folder::{Folder, key_passphrase, strong_passphrase};
use crate::printer::Printer;

/// Makes keys, key ring and configuration.
pub fn run(arguments: &Init, printer: &Printer) -> Done {
    let folder = &arguments.folder;
    if arguments.receive_key {
        return add_receive_key(arguments, printer);
    }
    if folder.join("party.toml").exists() {
        return Err(Failure::usage(format!(
            "`{}` is a party's folder already",
            folder.display()
        ))
        .hint("name another folder; keys are never overwritten"));
    }
    let protection = Protection::of(arguments)?;
    make_folders(folder)?;
    protection.make(folder)?;
    let signs = make_key(
        &folder.join("signing_key"),
        &format!("{} signing key", arguments.name),
    )?;
    let service = make_key(
        &folder.join("service_key"),
        &format!("{} service key", arguments.name),
    )?;
    let receives = make_receive_key(&folder.join("receive_key"))?;
    let mut analysts = BTreeMap::new();
    for name in &arguments.analyst {
        let key = make_key(&folder.join("analysts").join(name.as_str()), name.as_str())?;
        analysts.insert(name.clone(), key);
    }
    let public = PublicFile {
        format: PublicFile::FORMAT.to_owned(),
        name: arguments.name.clone(),
        signs,
        service,
        receives: Some(receives),
        url: url(arguments),
        people: match arguments.provider {
            true => 0,
            false => arguments.people,
        },
        provider: arguments.provider,
        analysts,
    };
    let text = public
        .to_toml()
        .or_fail("the public file was not written")?;
    write(&folder.join("public.toml"), &text, 0o644)?;
    write(
        &folder.join("party.toml"),
        &configuration(arguments, &signs, &protection.lines()),
        0o644,
    )?;
    if arguments.provider {
        write(&folder.join("provider.toml"), &provider(arguments), 0o644)?;
    }
    show(arguments, &public, &protection, printer);
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

/// The key that opens the answers that are sealed to the party.
fn make_receive_key(path: &Path) -> Result<ReceivePublicKey, Failure> {
    let what = format!("the key `{}` was not made", path.display());
    let key = ReceiveKey::generate(&mut rand::rng()).or_fail(&what)?;
    write(path, &key.to_text(), 0o600)?;
    Ok(key.public().clone())
}

/// For a folder of a program that knew no such key: makes it, and names it in `public.toml`.
fn add_receive_key(arguments: &Init, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.folder)?;
    if folder.name() != &arguments.name {
        return Err(Failure::usage(format!(
            "the folder is `{}`'s, not `{}`'s",
            folder.name(),
            arguments.name
        ))
        .hint("name the party that the folder was made for with `--name`"));
    }
    let file = arguments.folder.join("public.toml");
    let what = "the public file was not read";
    let mut public = PublicFile::load(&file).or_fail(what)?;
    if folder.config.keys.receive.exists() {
        return Err(
            Failure::usage("the party has a key to receive with already")
                .why(format!(
                    "`{}` is there",
                    folder.config.keys.receive.display()
                ))
                .hint(
                    "keys are never overwritten: what was sealed to this one opens with it alone",
                ),
        );
    }
    public.receives = Some(make_receive_key(&folder.config.keys.receive)?);
    let text = public
        .to_toml()
        .or_fail("the public file was not written")?;
    std::fs::write(&file, text).or_fail("the public file was not written")?;
    let guide = format!(
        "\n  next  put the line `receives = ...` of {} under [parties.{}] in a new version of the agreement",
        file.display(),
        public.name
    );
    let text = format!(
        "`{}` has a key to receive answers with{}",
        public.name,
        printer.guide(guide)
    );
    printer.result(text, "incamera-init/1", &public);
    Ok(())
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

/// What will open the ring, checked before anything is made.
enum Protection {
    /// A passphrase, which the folder keeps in a file.
    Passphrase(SecretString),
    /// Something that lies elsewhere.
    Elsewhere(RingLock),
}

impl Protection {
    fn of(arguments: &Init) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path).or_fail(format!("`{}` is no path", path.display()))
        };
        if let Some(file) = &arguments.ring_identity {
            return Ok(Self::Elsewhere(RingLock::Identity(absolute(file)?)));
        }
        if let Some(file) = &arguments.ring_ssh_key {
            return Ok(Self::Elsewhere(RingLock::SshKey(absolute(file)?)));
        }
        if let (Some(module), Some(pin)) = (&arguments.token_module, &arguments.token_pin_file) {
            return Ok(Self::Elsewhere(RingLock::Token(TokenLock {
                module: module.clone(),
                token: token(arguments)?,
                pin: PinFile::At(absolute(pin)?),
            })));
        }
        let given = arguments.passphrase_file.as_deref();
        let secret = given.map(strong_passphrase).transpose()?;
        Ok(Self::Passphrase(secret.unwrap_or_else(random_passphrase)))
    }

    /// Makes the ring.
    fn make(&self, folder: &Path) -> Done {
        let rng = &mut rand::rng();
        let what = "the key ring was not made";
        match self {
            Self::Passphrase(secret) => {
                let file = folder.join("passphrase.txt");
                write(&file, secret.expose_secret(), 0o600)?;
                KeyRing::create(&folder.join("ring.age"), secret, rng).or_fail(what)?;
            }
            Self::Elsewhere(lock) => {
                let passphrase = key_passphrase()?;
                lock.create(&folder.join(self.ring()), passphrase.as_ref(), rng)
                    .or_fail(what)
                    .map_err(|failure| failure.hint("mend what is named, and run this again"))?;
            }
        }
        Ok(())
    }

    fn ring(&self) -> &'static str {
        match self {
            Self::Elsewhere(RingLock::Token(_)) => "ring.token",
            _ => "ring.age",
        }
    }

    /// The lines of `party.toml` under `[keys]`.
    fn lines(&self) -> String {
        let ring = format!("ring = \"{}\"", self.ring());
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        match self {
            Self::Passphrase(_) => format!("{ring}\npassphrase_file = \"passphrase.txt\"\n"),
            Self::Elsewhere(RingLock::PassphraseFile(file)) => {
                format!("{ring}\npassphrase_file = {}\n", quoted(file))
            }
            Self::Elsewhere(RingLock::Identity(file)) => {
                format!("{ring}\nring_identity = {}\n", quoted(file))
            }
            Self::Elsewhere(RingLock::SshKey(file)) => {
                format!("{ring}\nring_ssh_key = {}\n", quoted(file))
            }
            Self::Elsewhere(RingLock::Token(lock)) => {
                let token = match &lock.token {
                    TokenId::Label(label) => format!("label = {label:?}"),
                    TokenId::Serial(serial) => format!("serial = {serial:?}"),
                };
                let pin = match &lock.pin {
                    PinFile::At(file) => format!("pin_file = {}", quoted(file)),
                    PinFile::Env(variable) => format!("pin_file_env = {variable:?}"),
                };
                format!(
                    "{ring}\n\n[keys.token]                   # purpose keys never leave it\nmodule = {}\n{token}\n{pin}\n",
                    quoted(&lock.module)
                )
            }
        }
    }

    /// What to back up.
    fn back_up(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "back up ring.age and passphrase.txt",
            Self::Elsewhere(RingLock::Token(_)) => {
                "back up ring.token, and the token by its maker's means: its keys never leave it"
            }
            Self::Elsewhere(_) => "back up ring.age and what opens it",
        }
    }
}

fn token(arguments: &Init) -> Result<TokenId, Failure> {
    match (&arguments.token_label, &arguments.token_serial) {
        (Some(label), _) => Ok(TokenId::Label(label.clone())),
        (_, Some(serial)) => Ok(TokenId::Serial(serial.clone())),
        _ => Err(Failure::usage("which token is meant?")
            .hint("name it by `--token-label` or `--token-serial`")),
    }
}

/// 128 random bits, in groups that can be read out.
fn random_passphrase() -> SecretString {
    let mut bytes = [0u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    let groups: Vec<String> = bytes.chunks(2).map(hex::encode).collect();
    SecretString::from(groups.join("-"))
}

fn configuration(arguments: &Init, signs: &PublicKey, ring: &str) -> String {
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
         receive = \"receive_key\"        # opens the answers that are sealed to you\n\
         {ring}\
         \n\
         [ledger]\n\
         path = \"ledger.sqlite\"\n\
         \n\
         [budget]                       # your own ceiling over all agreements\n\
         epsilon = 20.0\n\
         delta = 1e-6\n\
         {sealing}",
        name = arguments.name,
        listen = arguments.listen,
        simulated = simulated(arguments),
        sealing = sealing(),
    )
}

/// How data are sealed where nothing is said, to be said otherwise.
fn sealing() -> String {
    let Sealing {
        memory_mib,
        part_rows,
        class_people,
    } = Sealing::default();
    format!(
        "# [sealing]                    # as it is where nothing is said; take a line's first # away\n\
         # memory_mib   = {memory_mib}          # rows held in memory; further ones go to the disk, encrypted\n\
         # part_rows    = {part_rows}       # of one consent class and partition\n\
         # class_people = {class_people}            # a consent class of fewer people is sealed as one with fewer purposes\n"
    )
}

/// `provider.toml`.
fn provider(arguments: &Init) -> String {
    let (name, listen) = (&arguments.name, arguments.listen);
    let health = arguments
        .health
        .map(|health| format!("health   = \"{health}\"\n"));
    format!(
        "# The service of the provider `{name}`. Paths are relative to this file.\n\
         format   = \"incamera-provider/1\"\n\
         listen   = \"{listen}\"\n\
         {}\
         store    = \"provider.sqlite\"   # sealed shares, counts, links\n\
         sessions = 4                   # of one party at once\n",
        health.unwrap_or_default()
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

fn show(arguments: &Init, public: &PublicFile, protection: &Protection, printer: &Printer) {
    let folder = arguments.folder.display();
    let next = match arguments.provider {
        true => format!(
            "sign the agreement that names it, then: incamera provider serve --party {folder}"
        ),
        false => format!(
            "incamera agreement new --for ad-measurement --with {folder} --with OTHER/public.toml"
        ),
    };
    let guide = format!(
        "\n  give the others  {folder}/public.toml\n  keep to yourself everything else, and {}\n  next             {next}",
        protection.back_up()
    );
    let text = format!(
        "`{}` is ready in {folder}{}",
        public.name,
        printer.guide(guide)
    );
    printer.result(text, "incamera-init/1", public);
}
