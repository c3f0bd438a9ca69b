//! Two keys of one epoch: an owner that knows neither takes neither, and people see by the
//! fingerprints which provider has which.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use incamera_seal::CrosswalkReader;

use super::*;
use crate::alone::has_documented_fields;

/// Alpha and beta have the one key and gamma the other, each signed by all.
fn divided(world: &Providers) {
    let store = |name: &str| world.path(&format!("{name}/provider.sqlite"));
    PROVIDERS.iter().for_each(|name| world.start(name));
    assert_eq!(world.keys("make", "alpha").code, 0);
    for name in PROVIDERS {
        world.stage.stop(name);
        fs::rename(store(name), world.path(&format!("{name}.first"))).unwrap();
        world.start(name);
    }
    assert_eq!(world.keys("make", "alpha").code, 0);
    for name in ["alpha", "beta"] {
        world.stage.stop(name);
        fs::copy(world.path(&format!("{name}.first")), store(name)).unwrap();
        world.start(name);
    }
}

/// What the owner's crosswalk names.
fn of_key(world: &Providers) -> String {
    let mut files = fs::read_dir(world.path("shop/crosswalks")).unwrap();
    let path = files.find_map(|file| {
        let path = file.unwrap().path();
        path.extension()
            .is_some_and(|e| e == "parquet")
            .then_some(path)
    });
    let reader = CrosswalkReader::open(&path.unwrap()).unwrap();
    let run = reader.columns().run.unwrap();
    format!("SHA256:{}", STANDARD_NO_PAD.encode(run))
}

#[test]
fn of_two_keys_an_owner_takes_neither_until_somebody_says_which() {
    let world = Providers::agreed();
    divided(&world);
    let keys = PROVIDERS.map(|name| {
        let status = world.status(name);
        has_documented_fields(&status);
        status["keys"][0]["fingerprint"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
    let data = world.ids("some", 0..20);
    let refused = world.matched(&data, &[]);
    assert_eq!(refused.code, 3, "{}", refused.failure());
    for words in ["two keys", "`alpha`, `beta` and `gamma`"] {
        assert!(refused.failure().contains(words), "{}", refused.failure());
    }
    assert!(refused.text("/error/hint").contains("fingerprint"));
    assert_eq!(world.counted("alpha"), (0, 0));
    let without = world.matched(&data, &["--without", "gamma"]);
    assert_eq!(without.code, 0, "{}", without.failure());
    assert_eq!(without.text("/key_fingerprint"), keys[0]);
    has_documented_fields(&without.document);
    // Rooms and brokers refuse rows of this key beside those of another.
    let of_one = of_key(&world);
    assert_eq!(of_one, keys[0]);
    // From now on it knows.
    let more = world.ids("more", 20..30);
    let again = world.matched(&more, &["--append"]);
    assert_eq!(again.code, 0, "{}", again.failure());
    assert_eq!(
        again.document["providers_left_out"],
        serde_json::json!(["gamma"])
    );
    assert!(again.errors.contains("another key"), "{}", again.errors);
    assert_eq!(of_key(&world), of_one);
    // Also by what it learnt when it matched another kind of id.
    let slots = fs::read_dir(world.path("shop/matching")).unwrap();
    let slots = slots.map(|slot| slot.unwrap().path().join("provider-keys"));
    let known = slots.into_iter().find(|path| path.exists()).unwrap();
    let of_another = PathBuf::from(world.path("shop/matching/of-another-kind"));
    fs::create_dir(&of_another).unwrap();
    fs::rename(known, of_another.join("provider-keys")).unwrap();
    let yet_more = world.ids("yet-more", 30..40);
    let again = world.matched(&yet_more, &["--append"]);
    assert_eq!(again.code, 0, "{}", again.failure());
    assert_eq!(of_key(&world), of_one);
}
