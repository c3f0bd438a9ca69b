//! Sources in stores: real HTTP, by the real clients, against a store on the loopback.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use incamera_seal::{AddressError, ObjectError, SealError, Source, SourceError, read_texts};
use incamera_testkit::objects::{Faults, ObjectStore};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::world::{CUSTOMERS_CSV, PURCHASES_CSV, World, customers, purchases};

const SECRET: &str = "secret";

fn store() -> ObjectStore {
    ObjectStore::start(None).unwrap()
}

/// The address of an object for a plain web client, with what could be a signature.
fn web(store: &ObjectStore, name: &str) -> PathBuf {
    let address = store.address();
    format!("http://{address}/{name}?X-Amz-Signature={SECRET}").into()
}

fn texts(source: &Path, column: &str) -> Result<Vec<String>, SourceError> {
    let mut all = Vec::new();
    let source = Source::of(source)?;
    read_texts(&source, column, &mut |text| all.push(text.to_owned()))?;
    Ok(all)
}

/// Why an object does not read; nothing that is secret is said of it.
fn refused(source: &Path) -> ObjectError {
    match texts(source, "id").unwrap_err() {
        ref error @ SourceError::Object { ref why, .. } => {
            let mut next: Option<&dyn Error> = Some(error);
            while let Some(error) = next {
                for text in [error.to_string(), format!("{error:?}")] {
                    assert!(!text.contains(SECRET), "{text}");
                }
                next = error.source();
            }
            *why
        }
        other => panic!("{other:?}"),
    }
}

/// More bytes than a few windows have.
fn long_csv(rows: usize) -> String {
    let row = |row: usize| format!("person{row}@mail.example,{}\n", "x".repeat(row % 400));
    let rows: String = (0..rows).map(row).collect();
    format!("id,note\n{rows}")
}

/// Several row groups of several windows, of texts that do not compress.
fn long_parquet(rows: usize) -> Vec<u8> {
    let text = |row: usize| format!("{:032x}", (row as u128 + 1).wrapping_pow(21));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let column = |salt: usize| -> ArrayRef {
        let texts = (0..rows).map(|row| text(row * 7 + salt));
        Arc::new(StringArray::from_iter_values(texts))
    };
    let batch = RecordBatch::try_from_iter([
        ("before", column(1)),
        ("id", column(2)),
        ("number", numbers),
        ("after", column(3)),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows / 3))
        .set_dictionary_enabled(false)
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn an_object_is_read_like_the_file() {
    let (world, store) = (World::new(), store());
    let csv = long_csv(60_000);
    assert!(csv.len() > 10 << 20);
    let table = long_parquet(600_000);
    assert!(table.len() > 50 << 20, "{}", table.len());
    for (name, bytes) in [("long.csv", csv.into_bytes()), ("long.parquet", table)] {
        let size = bytes.len();
        let file = texts(&world.file(name, &bytes), "id").unwrap();
        store.put(name, bytes);
        assert!(file == texts(&web(&store, name), "id").unwrap(), "{name}");
        let asked = bytes_asked(&store, name);
        match name.ends_with(".csv") {
            true => assert!(asked < size + (1 << 20), "{asked} of {size}"),
            // One column of four, whose texts are a third of the bytes.
            false => assert!(asked < size * 2 / 5, "{asked} of {size}"),
        }
    }
}

/// How many bytes of an object were asked for.
fn bytes_asked(store: &ObjectStore, name: &str) -> usize {
    let log = store.log();
    let of = log.iter().filter(|line| line.contains(name));
    let range = |line: &String| {
        let (first, last) = line.rsplit_once('=')?.1.split_once('-')?;
        Some(last.parse::<usize>().ok()? + 1 - first.parse::<usize>().ok()?)
    };
    of.map(|line| range(line).unwrap()).sum()
}

#[test]
fn what_is_sealed_of_an_object_is_what_is_sealed_of_the_file() {
    let (mut by_file, mut by_object, store) = (World::sealed(), World::new(), store());
    store.put("customers.csv", CUSTOMERS_CSV);
    store.put("purchases.csv", PURCHASES_CSV);
    let source = |name: &str| Source::of(&web(&store, name)).unwrap();
    let report = by_object
        .seal(&customers(), &source("customers.csv"))
        .unwrap();
    by_object.consents = report.consents;
    let report = by_object
        .seal(&purchases(), &source("purchases.csv"))
        .unwrap();
    let again = by_file.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    assert_eq!(
        (
            report.rows,
            report.sealed,
            &report.clamped,
            &report.replaced
        ),
        (again.rows, again.sealed, &again.clamped, &again.replaced)
    );
    for purpose in ["ads", "measurement"] {
        let rows = |world: &World| world.texts("purchases", purpose, "category");
        assert_eq!(rows(&by_file), rows(&by_object));
    }
}

#[test]
fn an_asynchronous_thread_may_read_too() {
    let store = store();
    store.put("a.csv", "id\n1\n2\n");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let read = runtime.block_on(async { texts(&web(&store, "a.csv"), "id").unwrap() });
    assert_eq!(read, ["1", "2"]);
}

/// Rows of two versions never come together, also where a server does not look at `If-Match`.
#[test]
fn an_object_that_is_replaced_while_it_is_read_is_refused() {
    let csv = long_csv(60_000);
    let other = csv.replace("person", "nobody");
    let table = long_parquet(150_000);
    let mut other_table = table.clone();
    let middle = table.len() / 2;
    other_table[middle] ^= 1;
    for ignores_match in [false, true] {
        for (name, bytes, other, after) in [
            ("a.csv", csv.as_bytes(), other.as_bytes(), 3),
            ("a.csv", csv.as_bytes(), other.as_bytes(), 1),
            ("a.parquet", &table, &other_table, 3),
        ] {
            let store = store();
            let faults = Faults {
                replaced: Some((after, other.to_vec())),
                ignores_match,
                ..Faults::default()
            };
            store.put_faulty(name, bytes, faults);
            assert_eq!(
                refused(&web(&store, name)),
                ObjectError::Changed,
                "{name} {after}"
            );
        }
    }
    // And nothing is sealed of it.
    let (mut world, store) = (World::sealed(), store());
    let before = std::fs::read(world.out("purchases").join("manifest")).unwrap();
    let faults = Faults {
        replaced: Some((1, PURCHASES_CSV.replace("food", "home").into_bytes())),
        ..Faults::default()
    };
    store.put_faulty("purchases.csv", PURCHASES_CSV, faults);
    let source = Source::of(&web(&store, "purchases.csv")).unwrap();
    let error = world.seal(&purchases(), &source).unwrap_err();
    let why = ObjectError::Changed;
    assert!(
        matches!(error, SealError::Source(SourceError::Object { why: found, .. }) if found == why)
    );
    assert!(std::fs::read(world.out("purchases").join("manifest")).unwrap() == before);
}

#[test]
fn an_answer_that_is_cut_off_or_slow_is_asked_for_again() {
    let (store, csv) = (store(), long_csv(60_000));
    let ids = csv
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap().0.to_owned());
    let ids: Vec<String> = ids.collect();
    for faults in [
        Faults {
            cut: 3,
            ..Faults::default()
        },
        Faults {
            slow: Duration::from_millis(5),
            ..Faults::default()
        },
    ] {
        store.put_faulty("a.csv", csv.as_bytes(), faults);
        assert!(texts(&web(&store, "a.csv"), "id").unwrap() == ids);
    }
}

#[test]
fn a_refusal_of_the_store_says_why() {
    let store = store();
    let faulty = |faults: Faults| {
        store.put_faulty("a.csv", "id\n1\n", faults);
        refused(&web(&store, "a.csv"))
    };
    let status = |status| Faults {
        status: Some(status),
        ..Faults::default()
    };
    assert_eq!(refused(&web(&store, "gone.csv")), ObjectError::NotFound);
    assert_eq!(faulty(status(401)), ObjectError::Unauthenticated);
    assert_eq!(faulty(status(403)), ObjectError::Denied);
    assert_eq!(faulty(status(503)), ObjectError::Status { status: 503 });
    assert_eq!(faulty(status(418)), ObjectError::Status { status: 418 });
    let whole = Faults {
        whole: true,
        ..Faults::default()
    };
    assert_eq!(faulty(whole), ObjectError::NoRanges);
    let no_version = Faults {
        no_version: true,
        ..Faults::default()
    };
    assert_eq!(faulty(no_version), ObjectError::NoVersion);
    // In clear to this machine alone, whatever the server says.
    let elsewhere = Faults {
        elsewhere: Some(format!("http://0.0.0.0:{}/b.csv", store.address().port())),
        ..Faults::default()
    };
    store.put("b.csv", "id\n1\n");
    assert_eq!(faulty(elsewhere), ObjectError::Unreachable);
    store.put("empty.csv", "");
    let error = texts(&web(&store, "empty.csv"), "id").unwrap_err();
    assert!(matches!(error, SourceError::Empty { .. }), "{error}");
    let closed = "http://127.0.0.1:9/a.csv";
    assert_eq!(refused(closed.as_ref()), ObjectError::Unreachable);
    store.put("a.parquet", "no parquet at all");
    let error = texts(&web(&store, "a.parquet"), "id").unwrap_err();
    assert!(matches!(&error, SourceError::NotParquet { .. }), "{error}");
    assert!(!error.to_string().contains(SECRET));
}

#[test]
fn addresses_are_refused_before_anybody_is_asked() {
    for (text, expected) in [
        ("http://host.example/a.csv", AddressError::Clear),
        (
            "https://me:secret@host.example/a.csv",
            AddressError::Credentials,
        ),
        ("ftp://host.example/a.csv", AddressError::Scheme),
        ("https://host.example/a/", AddressError::Folder),
    ] {
        let error = Source::of(text.as_ref()).unwrap_err();
        let SourceError::Address { why, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*why, expected);
        assert!(!format!("{error} {error:?}").contains(SECRET));
    }
}

/// Reads what the environment names, in a process of its own: that is where settings come from.
#[test]
fn read_in_a_child() {
    let Some(address) = std::env::var_os("INCAMERA_TEST_OBJECT") else {
        return;
    };
    match texts(address.as_ref(), "id") {
        Ok(texts) => println!("\nREAD {}", texts.join(" ")),
        Err(error) => println!("\nERROR {error}{}", cause(&error)),
    }
}

fn cause(error: &SourceError) -> String {
    error
        .source()
        .map_or_else(String::new, |why| format!(": {why}"))
}

/// What a child reads of an address.
fn child(store: &ObjectStore, address: &str, more: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "objects::read_in_a_child", "--nocapture"]);
    for name in std::env::vars_os().map(|(name, _)| name) {
        let text = name.to_string_lossy();
        if ["AWS_", "GOOGLE_", "AZURE_"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            command.env_remove(&name);
        }
    }
    command.envs(store.environment()).envs(more.iter().copied());
    let output = command
        .env("INCAMERA_TEST_OBJECT", address)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines();
    let mut said = lines.filter(|line| line.starts_with("READ") || line.starts_with("ERROR"));
    said.next().unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn every_vendors_client_reads_an_object_and_all_below_a_name() {
    let store = store();
    for (name, bytes) in [
        ("box/day/5.csv", "id\n5\n"),
        ("box/day/1.csv", "id\n1\n"),
        ("box/day/later/7.csv", "id\n7\n"),
        ("box/day/2 a.csv", "id\n2\n"),
        ("box/day/4.CSV", "id\n4\n"),
        ("box/day/.hidden.parquet", "no"),
        ("box/day/_SUCCESS", ""),
        ("box/day/_temporary/0.csv", "id\n0\n"),
        ("box/day/", ""),
        ("box/daybreak.csv", "id\n9\n"),
        ("other/day/6.csv", "id\n6\n"),
    ] {
        store.put(name, bytes);
    }
    for start in [
        "s3://box",
        "s3a://box",
        "gs://box",
        "az://box",
        "abfss://box@account.dfs.core.windows.net",
    ] {
        let read = |rest: &str| child(&store, &format!("{start}/{rest}"), &[]);
        assert_eq!(read("day/"), "READ 1 2 4 5 7", "{start}");
        assert_eq!(read("day"), "READ 1 2 4 5 7", "{start}");
        assert_eq!(read("day/5.csv"), "READ 5", "{start}");
        assert_eq!(read("day/2%20a.csv"), "READ 2", "{start}");
        assert!(read("nothing").contains("no such object"), "{start}");
    }
    let pages = store.log();
    let pages = pages
        .iter()
        .filter(|line| line.trim_end() == "GET box")
        .count();
    assert!(pages >= 20, "{pages} pages");
}

#[test]
fn a_bucket_that_is_no_folder_of_one_kind_is_refused() {
    let store = store();
    for (name, bytes) in [
        ("box/mixed/a.csv", "id\n1\n"),
        ("box/mixed/b.parquet", "PAR1"),
        ("box/other/a.csv", "id\n1\n"),
        ("box/other/notes.txt", "notes"),
        ("box/table/a.parquet", "PAR1"),
        ("box/table/_delta_log/0.json", "{}"),
        ("box/out.csv/part-0.csv", "id\n1\n"),
        ("box/columns/a.csv", "id\n1\n"),
        ("box/columns/b.csv", "more\n2\n"),
    ] {
        store.put(name, bytes);
    }
    for (name, says) in [
        ("mixed", "must be one of them"),
        ("other", "neither a .csv nor a .parquet"),
        ("table", "rows there that were deleted"),
        ("empty/", "has no .csv and no .parquet"),
        ("columns", "`s3://box/columns/b.csv` has no column"),
        ("gone.csv", "no such object"),
    ] {
        let said = child(&store, &format!("s3://box/{name}"), &[]);
        assert!(said.starts_with("ERROR") && said.contains(says), "{said}");
    }
    assert_eq!(child(&store, "s3://box/out.csv", &[]), "READ 1");
}

#[test]
fn credentials_and_settings_come_from_the_environment_alone() {
    let store = store();
    store.put("box/a.csv", "id\n1\n");
    store.put_faulty(
        "box/b.csv",
        "id\n1\n",
        Faults {
            replaced: Some((1, b"id\n2\n".to_vec())),
            ..Faults::default()
        },
    );
    let read = |name: &str, more: &[(&str, &str)]| child(&store, &format!("s3://box/{name}"), more);
    assert_eq!(read("a.csv", &[]), "READ 1");
    let said = read("a.csv", &[("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE")]);
    assert!(said.contains("does not let these credentials"), "{said}");
    assert!(
        !said.contains("SOMEBODYELSE") && !said.contains(SECRET),
        "{said}"
    );
    let said = read("a.csv", &[("AWS_ALLOW_HTTP", "false")]);
    assert!(said.starts_with("ERROR"), "{said}");
    let said = read("b.csv", &[]);
    assert!(said.contains("replaced while it was read"), "{said}");
    let said = child(
        &store,
        "gs://box/a.csv",
        &[("GOOGLE_SERVICE_ACCOUNT", "gone.json")],
    );
    assert!(said.contains("missing or wrong: `GOOGLE_...`"), "{said}");
}

#[test]
fn a_certificate_is_trusted_or_nothing_is_read() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
        .unwrap();
    let store = ObjectStore::start(Some(Arc::new(config))).unwrap();
    store.put("a.csv", "id\n1\n");
    let world = World::new();
    let trusted = world.file("trusted.pem", made.cert.pem());
    let port = store.address().port();
    let url = format!("https://localhost:{port}/a.csv?signature={SECRET}");
    let more = [
        ("NO_PROXY", "localhost"),
        ("SSL_CERT_FILE", trusted.to_str().unwrap()),
    ];
    assert_eq!(child(&store, &url, &more), "READ 1");
    let said = child(&store, &url, &more[..1]);
    assert!(
        said.contains("no certificate that this machine trusts"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
    let log = store.log();
    assert!(
        log.iter().all(|line| line.starts_with("GET a.csv")),
        "{log:?}"
    );
}

/// A store that others wrote.
const MOTO: &str = r#"
import logging, sys
logging.disable(logging.CRITICAL)
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
    aws_access_key_id="key", aws_secret_access_key="word")
s3.create_bucket(Bucket="box")
for n in range(1200):
    s3.put_object(Bucket="box", Key=f"day/{n:04}.csv", Body=f"id\n{n}\n".encode())
s3.put_object(Bucket="box", Key="long.csv", Body=open(sys.argv[1], "rb").read())
print(port, flush=True)
sys.stdin.read()
server.stop()
"#;

#[test]
fn a_store_that_others_wrote_is_read() {
    let python = std::env::var_os("INCAMERA_PYTHON").unwrap_or_else(|| "python3".into());
    let imports = Command::new(&python)
        .args(["-c", "import boto3, moto.server"])
        .output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no Python with moto[server]; INCAMERA_PYTHON may name one");
        return;
    }
    let (world, csv) = (World::new(), long_csv(60_000));
    let long = world.file("long.csv", &csv);
    let mut server = Command::new(python)
        .args(["-c", MOTO])
        .arg(long)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    said.read_line(&mut port).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", port.trim());
    let more = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
    ];
    let unused = store();
    let numbers: Vec<String> = (0..1200).map(|n| n.to_string()).collect();
    let read = |name: &str| child(&unused, &format!("s3://box/{name}"), &more);
    assert!(read("day/") == format!("READ {}", numbers.join(" ")));
    let ids = csv
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap().0);
    assert!(read("long.csv") == format!("READ {}", ids.collect::<Vec<_>>().join(" ")));
    assert!(read("gone.csv").contains("no such object"));
    assert!(child(&unused, "s3://other/a.csv", &more).starts_with("ERROR"));
    drop(server.stdin.take());
    server.wait().unwrap();
}
