//! Links beside people known by their owners' own numbers: links are of ids, numbers find none.

use super::{ALL, done, email, pair};
use crate::provided::{PROVIDERS, World, agreement};

/// A text without what stands between these two.
fn without(text: &str, from: &str, to: &str) -> String {
    let (head, rest) = text.split_once(from).unwrap();
    let (_, tail) = rest.split_once(to).unwrap();
    format!("{head}{to}{tail}")
}

/// Registers of own numbers, with a pseudonym of each kind; of two owners, as such are.
fn world() -> World {
    let kinds = "ids = [\"email\", \"cookie\"]\nlink = \"waterfall\"\nlinks = [{ from = \"cookie\", to = \"email\" }]";
    let person = "person = { type = \"pseudonym\", id = \"email\" }";
    let register = "person = { type = \"person\" }\nemail = { type = \"pseudonym\", id = \"email\" }\ncookie = { type = \"pseudonym\", id = \"cookie\" }";
    let purposes = "measurement = { label = \"Measuring\" }\nads = { label = \"Choosing\" }";
    World::agreed(|sections| {
        let text = agreement(sections, "max_ids = 1_000\nkey_days = 90");
        assert!(text.contains(person));
        let text = without(&text, "[datasets.of_mailer]", "[datasets.of_press]");
        let text = without(&text, "[budgets.mailer]", "[budgets.press]");
        text.replace("ids = [\"email\"]", kinds)
            .replace(person, register)
            .replace("measurement = { label = \"Measuring\" }", purposes)
    })
}

/// Whoever forgets a customer's number is warned that links of the customer's ids stay, which
/// they do until they are taken back by those.
#[test]
fn who_is_forgotten_by_number_stays_linked_until_ids_are_named() {
    let world = world();
    world.match_emails(0..20);
    let cookies: String = (0..20).map(|n| format!("cookie-{n}\n")).collect();
    let cookies = world.file("cookies.csv", &format!("cookie\n{cookies}"));
    done(world.matched("shop", &cookies, &["--id", "cookie"]));
    let pairs: Vec<_> = (0..20).map(|n| pair(n, n)).collect();
    assert!(pairs.iter().all(|(_, _, consent, _)| *consent == ALL));
    done(world.put("shop", &pairs));
    let rows: String = (0..20)
        .map(|n| format!("c{n},{},cookie-{n},5\n", email(n)))
        .collect();
    let data = world.file("of_shop.csv", &format!("person,email,cookie,spend\n{rows}"));
    let shop = world.path("shop");
    let seal = ["data", "seal", "of_shop", "--party", &shop, "--data", &data];
    let sealed = done(world.told(&seal));
    assert_eq!(sealed.number("/sealed"), 20);
    // A register's rows last as long as the providers' key, as all its pseudonyms do.
    assert!(!sealed.text("/last_day").is_empty());
    let stored = || PROVIDERS.map(|name| world.stored(name));
    let before = stored();

    let numbers = world.file("numbers.txt", "c4\n");
    let forget = ["data", "forget", "--party", &shop, "--ids", &numbers];
    let forgotten = done(world.told(&[&forget[..], &["--yes"]].concat()));
    let by_id = "incamera match links remove --id KIND";
    assert!(forgotten.errors.contains(by_id), "{}", forgotten.errors);
    assert_eq!(stored(), before);
    let looked = done(world.looked_up(0..20));
    assert_eq!(looked.number("/linked"), 20);

    let gone = world.file("gone.csv", &format!("email\n{}\n", email(4)));
    let remove = ["match", "links", "remove", "--party", &shop];
    let remove = [&remove[..], &["--id", "email", "--data", &gone]].concat();
    assert_eq!(done(world.told(&remove)).number("/ids_that_lost_links"), 1);
    assert_eq!(stored(), before.map(|entries| entries - 2));
    let looked = done(world.looked_up(0..20));
    assert_eq!(looked.number("/linked"), 19);
    assert!(!world.linked().contains_key("cookie-4"));
}
