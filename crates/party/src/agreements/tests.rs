use std::collections::BTreeMap;
use std::path::Path;

use incamera_agreement::{
    AdMeasurement, Agreement, PartyInputs, files, sign, template_ad_measurement,
};
use incamera_attest::TeeKind;
use incamera_keys::SigningKey;
use incamera_net::agreements::{Agreements, NotOurs};
use incamera_types::{Digest as _, Measurement, PartyName};

use super::*;
use crate::owner::come_back;

struct Party {
    signs: SigningKey,
    service: SigningKey,
}

impl Party {
    fn new() -> Self {
        let mut rng = rand::rng();
        Self {
            signs: SigningKey::generate(&mut rng),
            service: SigningKey::generate(&mut rng),
        }
    }

    /// What this party, by this name, makes of a folder.
    fn knows(&self, name: &str, folder: &Path) -> Agreements {
        let name = name.parse().unwrap();
        Agreements::new(folder, name, self.signs.public(), self.service.public())
    }

    fn inputs(&self, name: &str) -> PartyInputs {
        PartyInputs {
            name: Some(name.parse().unwrap()),
            signs: Some(self.signs.public()),
            service: Some(self.service.public()),
            receives: None,
            url: Some(format!("https://{name}.example:7443").parse().unwrap()),
            people: Some(100),
        }
    }
}

fn draft(shop: &Party, mailer: &Party) -> String {
    template_ad_measurement(&AdMeasurement {
        name: Some("campaign".into()),
        expires: Some("2999-12-31".parse().unwrap()),
        shop: shop.inputs("shop"),
        mailer: mailer.inputs("mailer"),
        analyst_key: Some(SigningKey::generate(&mut rand::rng()).public()),
        room_url: Some("https://room.example:7443".parse().unwrap()),
        tee: Some(TeeKind::Simulated),
        measurement: Some(Measurement::from_bytes([7; 32])),
        ..AdMeasurement::default()
    })
}

/// Writes a file with the signatures that its own text asks for.
fn put(folder: &Path, name: &str, text: &str, signers: &[(&str, &Party)]) -> AgreementDigest {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    for (party, keys) in signers {
        let signature = sign(text.as_bytes(), &keys.signs).unwrap().to_armor();
        let party = party.parse().unwrap();
        std::fs::write(files::signature_path(&path, &party), signature).unwrap();
    }
    Agreement::parse(text.as_bytes()).unwrap().digest
}

#[test]
fn i4_an_agreement_that_gives_us_other_keys_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, mailer) = (Party::new(), Party::new());
    let known = shop.knows("shop", folder.path());
    let text = draft(&shop, &mailer);
    let first = put(
        folder.path(),
        "a.toml",
        &text,
        &[("shop", &shop), ("mailer", &mailer)],
    );
    assert!(known.active(&first).is_ok());

    // The mailer speaks for the shop: the shop's service key, a signing key of its own.
    let puppet = Party {
        signs: SigningKey::generate(&mut rand::rng()),
        service: shop.service.duplicate(),
    };
    let forged = draft(&puppet, &mailer);
    let signers = [("shop", &puppet), ("mailer", &mailer)];
    let alone = put(folder.path(), "b.toml", &forged, &signers);
    assert!(known.active(&alone).is_err());

    // The same as a second version: it neither counts nor takes the first one's place.
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let forged = forged.replacen("version = 1\n", &version, 1);
    let second = put(folder.path(), "c.toml", &forged, &signers);
    assert!(known.active(&second).is_err());
    assert!(known.active(&first).is_ok());
}

/// A thief of the shop's signing key signs a version that suits it: nothing comes of it as
/// long as the mailer has not signed too, not even with a signature of the thief's in the
/// mailer's name. And nothing at all once the shop has another key.
#[test]
fn i4_a_version_under_a_stolen_signing_key_waits_for_everybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (shop, mailer) = (Party::new(), Party::new());
    let both = ["shop", "mailer"].map(|name| match name {
        "shop" => shop.knows(name, path),
        _ => mailer.knows(name, path),
    });
    let text = draft(&shop, &mailer);
    let signers = [("shop", &shop), ("mailer", &mailer)];
    let first = put(path, "a.toml", &text, &signers);
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let next = text.replacen("version = 1\n", &version, 1);
    for thief in [
        &[("shop", &shop)][..],
        &[("shop", &shop), ("mailer", &shop)],
    ] {
        let second = put(path, "b.toml", &next, thief);
        for known in &both {
            let refused = known.active(&second).unwrap_err();
            assert_eq!(refused.code(), "agreement-unsigned");
            assert!(known.active(&first).is_ok());
        }
    }
    let second = put(path, "b.toml", &next, &signers);
    assert!(both.iter().all(|known| known.active(&second).is_ok()));
    let renewed = Party {
        signs: SigningKey::generate(&mut rand::rng()),
        service: shop.service.duplicate(),
    };
    let known = renewed.knows("shop", path);
    assert!(known.active(&second).is_err() && known.active(&first).is_err());
    let anew = draft(&renewed, &mailer);
    let signers = [("shop", &renewed), ("mailer", &mailer)];
    let anew = put(path, "c.toml", &anew, &signers);
    assert!(known.active(&anew).is_ok());
}

/// Who agreed to `ads` has not agreed to `measurement`, whoever signs that.
#[test]
fn i3_a_version_that_passes_consents_on_falsely_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, mailer) = (Party::new(), Party::new());
    let known = shop.knows("shop", folder.path());
    let signers = [("shop", &shop), ("mailer", &mailer)];
    let text = draft(&shop, &mailer);
    let first = put(folder.path(), "a.toml", &text, &signers);
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let next = text.replacen("version = 1\n", &version, 1);
    let ads = "ads = { label = \"Choosing audiences\" }";
    assert!(next.contains(ads));
    let absorbed = next
        .replacen(ads, "", 1)
        .replace("[\"ads\", \"measurement\"]", "[\"measurement\"]")
        .replacen("campaigns\" }", "campaigns\", replaces = [\"ads\"] }", 1);
    let second = put(folder.path(), "b.toml", &absorbed, &signers);
    let refused = known.admit(&Agreement::parse(absorbed.as_bytes()).unwrap());
    assert_eq!(refused, Err(NotOurs::Successions));
    assert!(known.active(&second).is_err() && known.active(&first).is_ok());
    // A new name for the old purpose counts.
    let renamed = next.replace("\"ads\"", "\"looks\"").replacen(
        ads,
        "looks = { label = \"x\", replaces = [\"ads\"] }",
        1,
    );
    let second = put(folder.path(), "b.toml", &renamed, &signers);
    assert!(known.active(&second).is_ok());
    // What was revoked is so under the new name, and not under the old one, which opens nothing.
    let renamed = Agreement::parse(renamed.as_bytes()).unwrap();
    let names = |name: &str| std::iter::once(name.parse().unwrap()).collect();
    let stay = |before, now| come_back(&names(before), &names(now), &renamed).is_empty();
    assert!(stay("ads", "looks") && stay("looks", "looks"));
    assert!(!stay("ads", "ads") && !stay("ads", "measurement"));
    // It is renamed once: another does not take the old name over later, and no new purpose
    // takes it up.
    let version = format!("version = 3\nid = \"{first}\"\nfollows = \"{second}\"\n");
    let next = text.replacen("version = 1\n", &version, 1);
    let third = |purposes: &str| {
        let text = next
            .replace("\"ads\"", "\"looks\"")
            .replacen(ads, purposes, 1);
        known.admit(&Agreement::parse(text.as_bytes()).unwrap())
    };
    let looks = "looks = { label = \"x\" }";
    for claimed in [
        format!("{looks}\nselling = {{ label = \"y\", replaces = [\"ads\"] }}"),
        format!("{looks}\n{ads}"),
    ] {
        assert_eq!(third(&claimed), Err(NotOurs::Successions), "{claimed}");
    }
    assert_eq!(third(looks), Ok(()));
    // What version 2 says nothing of, version 1 does.
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let other = text.replacen("version = 1\n", &version, 1);
    let other = other
        .replace("\"ads\"", "\"looks\"")
        .replacen(ads, looks, 1);
    let second = put(folder.path(), "b.toml", &other, &signers);
    let version = format!("version = 3\nid = \"{first}\"\nfollows = \"{second}\"\n");
    let again = text.replacen("version = 1\n", &version, 1);
    let again = known.admit(&Agreement::parse(again.as_bytes()).unwrap());
    assert_eq!(again, Err(NotOurs::Successions));
}

/// The newer file or its signature is taken away or damaged: the older stays superseded.
#[test]
fn i4_an_older_version_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (shop, mailer) = (Party::new(), Party::new());
    let name: PartyName = "shop".parse().unwrap();
    let ledger = || Ledger::open(&path.join("ledger.sqlite"), &name).unwrap();
    let open = || {
        let (signs, service) = (shop.signs.public(), shop.service.public());
        let memory = Arc::new(Mutex::new(ledger()));
        Agreements::new(path, name.clone(), signs, service).remembering(LedgerMemory(memory))
    };
    let signers = [("shop", &shop), ("mailer", &mailer)];
    let text = draft(&shop, &mailer);
    let first = put(path, "a.toml", &text, &signers);
    assert!(open().active(&first).is_ok());
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let next = text.replacen("version = 1\n", &version, 1);
    let second = put(path, "b.toml", &next, &signers);
    assert!(open().active(&second).is_ok());
    let signature = files::signature_path(&path.join("b.toml"), &"mailer".parse().unwrap());
    let kept = std::fs::read(&signature).unwrap();
    for harm in [None, Some("no signature")] {
        match harm {
            None => std::fs::remove_file(&signature).unwrap(),
            Some(text) => std::fs::write(&signature, text).unwrap(),
        }
        // The process may have ended in between.
        let refused = open().active(&first).unwrap_err();
        assert_eq!(refused.code(), "agreement-superseded");
        assert!(refused.hint_text().unwrap().contains("put it back"));
    }
    std::fs::write(&signature, kept).unwrap();
    std::fs::write(path.join("b.toml"), "no agreement").unwrap();
    assert!(open().active(&first).is_err());
    std::fs::write(path.join("b.toml"), next).unwrap();
    assert!(open().active(&second).is_ok());
}

/// All have signed two files of one version: whoever remembers one takes no other, whatever
/// lies in the folder.
#[test]
fn i4_another_file_of_a_version_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (shop, mailer) = (Party::new(), Party::new());
    let name: PartyName = "shop".parse().unwrap();
    let open = || {
        let ledger = Ledger::open(&path.join("ledger.sqlite"), &name).unwrap();
        let (signs, service) = (shop.signs.public(), shop.service.public());
        let known = Agreements::new(path, name.clone(), signs, service);
        known.remembering(LedgerMemory(Arc::new(Mutex::new(ledger))))
    };
    let signers = [("shop", &shop), ("mailer", &mailer)];
    let text = draft(&shop, &mailer);
    let first = put(path, "a.toml", &text, &signers);
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let next = text.replacen("version = 1\n", &version, 1);
    let second = put(path, "m.toml", &next, &signers);
    assert!(open().active(&second).is_ok());
    for other in ["b.toml", "z.toml"] {
        let twin = put(path, other, &format!("{next}# {other}\n"), &signers);
        let refused = open().active(&twin).unwrap_err();
        assert_eq!(refused.code(), "agreement-does-not-count");
        assert!(open().active(&second).is_ok());
        let newest = open().newest(&first.into()).unwrap().unwrap();
        assert_eq!(newest.agreement().digest, second);
    }
    std::fs::remove_file(path.join("m.toml")).unwrap();
    let newest = open().newest(&first.into()).unwrap().unwrap();
    assert_eq!(newest.agreement().digest, first);
    assert!(open().active(&first).is_err(), "version 2 is remembered");
}

#[test]
fn i4_a_version_must_follow_one_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, mailer) = (Party::new(), Party::new());
    let known = shop.knows("shop", folder.path());
    let text = draft(&shop, &mailer);
    let both: BTreeMap<&str, &Party> = [("shop", &shop), ("mailer", &mailer)].into();
    let signers: Vec<(&str, &Party)> = both.into_iter().collect();
    let first = AgreementDigest::of_file(text.as_bytes());
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"\n");
    let next = text.replacen("version = 1\n", &version, 1);
    let second = put(folder.path(), "b.toml", &next, &signers);
    assert!(
        known.active(&second).is_err(),
        "its predecessor is not here"
    );
    put(folder.path(), "a.toml", &text, &signers);
    assert!(known.active(&second).is_ok());
    assert!(known.active(&first).is_err(), "a newer version is in force");
}
