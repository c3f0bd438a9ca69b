//! Files, keys and configuration at home.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};

use super::{
    Case, bad_file, contents, match_shop, not_sealed, refused, run, seal, unspoken, with_edit,
    with_file, without_service,
};
use crate::by_hand::tables;
use crate::world::World;

pub const CASES: &[Case] = &[
    ("the search for leaks finds leaks", leaks_are_found),
    ("a file that cannot be read", unreadable_file),
    ("a missing column", missing_column),
    (
        "a file of a folder that is away",
        file_of_a_folder_that_is_away,
    ),
    ("a value that does not fit", value_that_does_not_fit),
    (
        "a Parquet file that does not fit",
        parquet_that_does_not_fit,
    ),
    ("a field that is not UTF-8", not_utf8),
    ("a consent that nobody knows", unknown_purpose),
    ("a quotation mark left open", open_mark),
    ("a file of which nothing would be sealed", nothing_to_seal),
    ("a file with far fewer rows", far_fewer_rows),
    ("wrong passphrase", wrong_passphrase),
    ("unknown keys in a configuration", unknown_configuration_key),
    ("a data set of somebody else", foreign_data_set),
    ("the manifest of another data set", another_manifest),
];

/// Parquet files say row and column.
fn parquet_that_does_not_fit(world: &World) {
    let file = world.path("data/bad.parquet");
    let texts = |text: &str| tables::texts([text.to_owned()].into_iter());
    let sealed = |day: &str, amount: ArrayRef| {
        let columns = vec![
            ("email", texts("p1@mail.example")),
            ("day", texts(day)),
            ("amount", amount),
        ];
        tables::write_parquet(Path::new(&file), columns);
        seal(world, "shop", "purchases", &file)
    };
    let outcome = sealed("31.4.7731", texts("1.00"));
    refused(
        &outcome,
        1,
        &["row 1", "column `day`", "not a date", "mend the file"],
    );
    unspoken(world, &outcome, b"7731");
    let outcome = sealed("2026-04-01", Arc::new(BooleanArray::from(vec![true])));
    refused(
        &outcome,
        1,
        &[
            "column `amount` is",
            "in the file and decimal(10,2) in the agreement",
        ],
    );
}

/// The other cases lean on this.
fn leaks_are_found(world: &World) {
    let outcome = run(world, &["status", "--party", &world.path("shop")]);
    for said in [
        "incamera-status/1",
        "\"party\"",
        "the party's service is up",
    ] {
        let search = || unspoken(world, &outcome, said.as_bytes());
        assert!(
            catch_unwind(AssertUnwindSafe(search)).is_err(),
            "`{said}` was not found"
        );
    }
}

fn unreadable_file(world: &World) {
    let absent = world.path("data/absent.csv");
    for outcome in [
        seal(world, "shop", "purchases", &absent),
        match_shop(world, &absent),
    ] {
        refused(&outcome, 1, &["absent.csv", "No such file"]);
    }
    std::fs::create_dir_all(world.path("data/folder.csv")).unwrap();
    refused(
        &seal(world, "shop", "purchases", &world.path("data/folder.csv")),
        1,
        &["folder.csv"],
    );
    let text = "is neither a .csv nor a .parquet file";
    not_sealed(
        world,
        "purchases",
        "purchases.txt",
        b"email,day,amount\n",
        &[text],
    );
    not_sealed(
        world,
        "purchases",
        "broken.parquet",
        b"PAR1 and no more",
        &["broken.parquet", "Parquet"],
    );
    let ragged =
        b"email,day,amount,category\na@b.example,2026-04-01,1,food\nc@d.example,2026-04-01\n";
    not_sealed(
        world,
        "purchases",
        "ragged.csv",
        ragged,
        &["line 3", "2 fields where the header has 4"],
    );
    not_sealed(
        world,
        "purchases",
        "empty.csv",
        b"",
        &["empty.csv` is empty", "first line"],
    );
    refused(
        &match_shop(world, &bad_file(world, "nothing.csv", b"")),
        1,
        &["nothing.csv` is empty", "mend the file"],
    );
}

fn missing_column(world: &World) {
    let file = b"email,day,price\na@b.example,2026-04-01,387.65\n";
    let says = ["`data/", "has no column `amount`", "must name every column"];
    let outcome = not_sealed(world, "purchases", "no-amount.csv", file, &says[1..]);
    unspoken(world, &outcome, b"a@b.example");
    let file = bad_file(world, "no-email.csv", b"mail\nsecret.person@mail.example\n");
    let outcome = match_shop(world, &file);
    refused(
        &outcome,
        1,
        &["has no column `email`", "name the column with `--column`"],
    );
    unspoken(world, &outcome, b"secret.person");
    for (text, says) in [
        (
            "email;spend\nsecret.person@mail.example;7,5\n",
            ["separated by `;`", "with commas"],
        ),
        (
            "Email\nsecret.person@mail.example\n",
            ["upper and lower case", "as the file has it"],
        ),
    ] {
        let file = bad_file(world, "other-email.csv", text.as_bytes());
        let outcome = match_shop(world, &file);
        refused(&outcome, 1, &says);
        unspoken(world, &outcome, b"secret.person");
    }
}

/// A link whose disk is away has rows too: none is matched, and none forgotten, without them.
fn file_of_a_folder_that_is_away(world: &World) {
    let folder = world.path("data/away");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(format!("{folder}/a.csv"), "email\np1@mail.example\n").unwrap();
    std::os::unix::fs::symlink("/nowhere/b.csv", format!("{folder}/b.csv")).unwrap();
    let says = ["away/b.csv", "what a link leads to is there"];
    refused(&match_shop(world, &folder), 1, &says);
    let forget = [
        "data",
        "forget",
        "--party",
        &world.path("shop"),
        "--ids",
        &folder,
        "--yes",
    ];
    refused(&run(world, &forget), 1, &says);
}

fn value_that_does_not_fit(world: &World) {
    let head = "email,day,amount\np1@mail.example,2026-04-01,12.50\n";
    for (row, secret, column) in [
        ("p2@mail.example,2026-04-01,12x7731", "12x7731", "amount"),
        ("p2@mail.example,31.04.2026x,12.50", "31.04.2026x", "day"),
        ("p2@mail.example,2026-04-01,7731.123", "7731.123", "amount"),
        (
            "p2@mail.example,2026-04-01,7731000000000000000000",
            "7731000",
            "amount",
        ),
        ("p2@mail.example,,12.50", "p2@mail", "day"),
    ] {
        let says = [
            "line 3",
            &format!("column `{column}`"),
            "purchases-bad.csv",
            "nothing was sealed",
            "mend the file",
        ];
        let text = format!("{head}{row}\n");
        let outcome = not_sealed(
            world,
            "purchases",
            "purchases-bad.csv",
            text.as_bytes(),
            &says,
        );
        unspoken(world, &outcome, secret.as_bytes());
        unspoken(world, &outcome, b"p2@mail");
    }
}

fn not_utf8(world: &World) {
    let says = [
        "line 3",
        "column `email`",
        "not UTF-8",
        "save the file as UTF-8",
    ];
    let bytes =
        b"email,day,amount\np1@mail.example,2026-04-01,1\nzw\xfflf7731@mail.example,2026-04-01,1\n";
    let outcome = not_sealed(world, "purchases", "latin.csv", bytes, &says);
    unspoken(world, &outcome, b"lf7731");
    let file = bad_file(
        world,
        "latin-ids.csv",
        b"email\np1@mail.example\nzw\xfflf7731@mail.example\n",
    );
    let outcome = match_shop(world, &file);
    refused(&outcome, 1, &says);
    unspoken(world, &outcome, b"lf7731");
}

fn unknown_purpose(world: &World) {
    let text = b"email,consent\np1@mail.example,ads\np2@mail.example,ads;secret7731\n";
    let says = [
        "line 3",
        "column `consent`",
        "purpose",
        "the agreement does not have",
    ];
    let outcome = not_sealed(world, "customers", "consents.csv", text, &says);
    unspoken(world, &outcome, b"secret7731");
    unknown_purpose_of_a_stranger(world);
}

/// A row that matches nobody is left out, and still must be understood.
fn unknown_purpose_of_a_stranger(world: &World) {
    let text = b"email,consent\np1@mail.example,ads\nstranger@mail.example,ads;secret7731\n";
    let says = ["line 3", "column `consent`", "the agreement does not have"];
    let outcome = not_sealed(world, "customers", "stranger.csv", text, &says);
    unspoken(world, &outcome, b"secret7731");
    unspoken(world, &outcome, b"stranger@mail");
}

fn open_mark(world: &World) {
    let text =
        b"email,day,amount\np1@mail.example,2026-04-01,\"47.31\np2@mail.example,2026-04-01,1.00\n";
    let says = [
        "line 2",
        "a quotation mark is opened and never closed",
        "close it",
        "mend the file",
    ];
    let outcome = not_sealed(world, "purchases", "open.csv", text, &says);
    unspoken(world, &outcome, b"47.31");
    let file = bad_file(
        world,
        "open-ids.csv",
        b"email\np1@mail.example\n\"p2@mail.example\n",
    );
    refused(&match_shop(world, &file), 1, &["line 3", "never closed"]);
}

fn nothing_to_seal(world: &World) {
    let nobody = b"email,consent\nstranger@mail.example,ads\n";
    let says = [
        "nothing would be sealed: no row's id has a pseudonym",
        "`--yes`",
        "`incamera match run`",
    ];
    let consents = world.path("shop/consents");
    let before = contents(Path::new(&consents));
    not_sealed(world, "customers", "nobody.csv", nobody, &says);
    assert!(
        before == contents(Path::new(&consents)),
        "consents were replaced"
    );
    not_sealed(
        world,
        "purchases",
        "none.csv",
        b"email,day,amount\n",
        &["the file has no rows"],
    );
    // p9 refuses `measurement`, for which all columns of the purchases are.
    let refuser = b"email,day,amount\np9@mail.example,2026-04-01,1.00\n";
    not_sealed(
        world,
        "purchases",
        "refuser.csv",
        refuser,
        &["no row's person is known and agreed"],
    );
}

fn far_fewer_rows(world: &World) {
    let rows: String = std::fs::read_to_string(world.path("data/purchases.csv"))
        .unwrap()
        .lines()
        .take(40)
        .map(|line| format!("{line}\n"))
        .collect();
    let says = ["rows would replace version", "fewer than half", "`--yes`"];
    not_sealed(world, "purchases", "fewer.csv", rows.as_bytes(), &says);
    // Meant so: what is replaced is said.
    let (shop, file) = (world.path("shop"), world.path("data/fewer.csv"));
    let arguments = [
        "data",
        "seal",
        "purchases",
        "--party",
        &shop,
        "--data",
        &file,
        "--yes",
    ];
    let sealed = run(world, &arguments);
    assert_eq!(sealed.code, 0, "{}", sealed.failure());
    let (now, before) = (sealed.number("/sealed"), sealed.number("/replaces/sealed"));
    assert!(now > 0 && now < before / 2, "{}", sealed.document);
    assert_eq!(
        sealed.number("/version"),
        sealed.number("/replaces/version") + 1
    );
    let whole = seal(
        world,
        "shop",
        "purchases",
        &world.path("data/purchases.csv"),
    );
    assert_eq!(whole.number("/sealed"), before, "more rows need no word");
    assert_eq!(whole.number("/replaces/sealed"), now);
    world.push_one("shop");
}

fn wrong_passphrase(world: &World) {
    let secret = b"wrong-passphrase-7731";
    let purchases = world.path("data/purchases.csv");
    with_file(&world.path("shop/passphrase.txt"), Some(secret), || {
        let customers = world.path("data/customers.csv");
        let sealed = seal(world, "shop", "purchases", &purchases);
        for outcome in [sealed, match_shop(world, &customers)] {
            refused(
                &outcome,
                1,
                &["ring.age", "passphrase does not open", "passphrase_file"],
            );
            unspoken(world, &outcome, secret);
        }
    });
    without_passphrase_no_service(world, secret);
    with_file(&world.path("shop/passphrase.txt"), None, || {
        let outcome = seal(world, "shop", "purchases", &purchases);
        refused(
            &outcome,
            1,
            &["passphrase.txt", "No such file", "`passphrase_file`"],
        );
    });
}

fn without_passphrase_no_service(world: &World, secret: &[u8]) {
    let shop = world.path("shop");
    without_service(world, "shop", || {
        with_file(&world.path("shop/passphrase.txt"), Some(secret), || {
            let outcome = run(world, &["party", "serve", "--party", &shop]);
            refused(&outcome, 1, &["key ring", "passphrase", "`[keys]`"]);
            unspoken(world, &outcome, secret);
        });
    });
}

fn unknown_configuration_key(world: &World) {
    for (file, command) in [
        ("shop/party.toml", vec!["status", "--party", "shop"]),
        ("shop/party.toml", vec!["party", "serve", "--party", "shop"]),
        (
            "room/room.toml",
            vec!["room", "serve", "--config", "room/room.toml"],
        ),
    ] {
        let mut arguments: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let last = arguments.pop().unwrap();
        arguments.push(world.path(&last));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let edit = |text: &str| text.replacen("listen", "lissen = 1\nlisten", 1);
        let text = std::fs::read_to_string(world.path(file)).unwrap();
        let line = edit(&text)
            .lines()
            .position(|line| line.starts_with("lissen"))
            .unwrap()
            + 1;
        with_edit(&world.path(file), edit, || {
            let place = format!("{file}:{line}:1");
            refused(
                &run(world, &arguments),
                1,
                &[&place, "unknown field `lissen`"],
            );
        });
        with_edit(
            &world.path(file),
            |text| text.replacen("/1\"", "/2\"", 1),
            || {
                refused(
                    &run(world, &arguments),
                    1,
                    &["/2`, not `incamera-", "newer version"],
                );
            },
        );
    }
}

fn foreign_data_set(world: &World) {
    let outcome = seal(
        world,
        "mailer",
        "purchases",
        &world.path("data/purchases.csv"),
    );
    refused(
        &outcome,
        2,
        &["`purchases` is no data set of `mailer`", "`mailing`"],
    );
}

/// One data set's manifest in the folder of another: nothing is sent, and nothing made of it.
fn another_manifest(world: &World) {
    let agreement = Path::new(&world.path("shop/sealed")).read_dir().unwrap();
    let agreement = agreement.map(|entry| entry.unwrap().path()).next().unwrap();
    let manifest = |dataset: &str| agreement.join(dataset).join("manifest");
    let other = std::fs::read(manifest("customers")).unwrap();
    let ours = manifest("purchases");
    with_file(ours.to_str().unwrap(), Some(&other), || {
        let shop = world.path("shop");
        for verb in [
            &["data", "push", "purchases"][..],
            &["data", "rotate"],
            &["data", "rotate", "--dry-run"],
        ] {
            let outcome = run(world, &[verb, &["--party", &shop]].concat());
            let says = ["purchases/manifest", "is the manifest of `customers`"];
            refused(&outcome, 1, &says);
        }
    });
}
