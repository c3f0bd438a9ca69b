//! `ring serve`: who gets in, what is answered, what the log says.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use incamera_testkit::stage::free_address;
use serde_json::{Value, json};

use crate::world::{AGREEMENT, Data, World};

const AMOUNT: &str = "amount = { type = \"decimal(10,2)\", unit = \"EUR\", min = 0, max = 500, purposes = [\"measurement\"] }";
/// A column that serves a second purpose.
const CATEGORY: &str = "category = { type = \"text\", purposes = [\"ads\", \"measurement\"] }";

/// A world with two sealed data sets of the shop; nothing runs any more.
pub fn sealed() -> World {
    let world = World::agreed_as(|text| text.replace(AMOUNT, &format!("{AMOUNT}\n{CATEGORY}")));
    world.write_data(&Data::small());
    for party in ["shop", "mailer"] {
        world.start_party(party, &[]);
    }
    world.match_people();
    for party in ["shop", "mailer"] {
        world.stage.stop(party);
    }
    for dataset in ["customers", "purchases"] {
        world.seal_one("shop", dataset);
    }
    world
}

/// The shop's endpoint for one purpose, until `stop` or the end of the world.
pub struct Serving<'a> {
    world: &'a World,
    at: SocketAddr,
    token: String,
}

impl<'a> Serving<'a> {
    pub fn start(world: &'a World, purpose: &str) -> Self {
        Self::start_under(world, purpose, AGREEMENT)
    }

    /// The same, where there are several agreements.
    pub fn start_under(world: &'a World, purpose: &str, agreement: &str) -> Self {
        let file = world.path(&format!("shop/agreements/{agreement}.toml"));
        let at = free_address().unwrap();
        let (shop, listen) = (world.path("shop"), at.to_string());
        let arguments = [
            "ring",
            "serve",
            "--party",
            &shop,
            "--purpose",
            purpose,
            "--listen",
            &listen,
            "--agreement",
            &file,
        ];
        let log = world.root().join("endpoint.log");
        world
            .stage
            .start("ring", &arguments, &[], &log, at)
            .unwrap();
        let file = world.path("shop/ring-endpoint.json");
        let begun = Instant::now();
        // It listens a moment before it says so.
        while !Path::new(&file).exists() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(document["purpose"], purpose);
        assert_eq!(document["url"], format!("http://{at}"));
        let token = document["token"].as_str().unwrap().to_owned();
        Self { world, at, token }
    }

    /// Ends it as Ctrl-C does.
    pub fn stop(self) {
        let process = self.world.stage.process("ring").unwrap().to_string();
        Command::new("kill")
            .args(["-INT", &process])
            .status()
            .unwrap();
        let file = self.world.root().join("shop/ring-endpoint.json");
        let start = Instant::now();
        while file.exists() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!file.exists(), "the token outlives the endpoint");
        self.world.stage.stop("ring");
    }

    /// Sends bytes and gives what comes back, until the other side hangs up.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A connection that is reset after its answer is as good.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn request(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
        let answer = self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        let status = answer.get(9..12).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (
            status.unwrap_or(0),
            serde_json::from_str(body).unwrap_or_default(),
        )
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.request("POST", path, &self.token, &body.to_string())
    }
}

/// The lines of the shop's access log.
pub fn access_log(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path("shop/ring-access.log")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The folder of a sealed data set of the shop.
pub fn sealed_folder(world: &World, dataset: &str) -> std::path::PathBuf {
    let sealed = std::fs::read_dir(world.path("shop/sealed")).unwrap();
    let id = sealed.map(|entry| entry.unwrap().path()).next().unwrap();
    id.join(dataset)
}

/// References to a key of each part, as they would stand in the files.
fn references(world: &World, dataset: &str, key: &str) -> Vec<String> {
    use base64::Engine as _;
    let folder = sealed_folder(world, dataset);
    let inspected = world.done(&["data", "inspect", &folder.display().to_string()]);
    let agreement = inspected.text("/agreement_id");
    let parts = std::fs::read_dir(folder.join("parts")).unwrap();
    let stem = |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files = parts.map(|entry| stem(entry.unwrap().path()));
    let text = |file| format!("incamera-key-reference/1 {agreement} {dataset} {file} {key}");
    files
        .map(|file| base64::engine::general_purpose::STANDARD.encode(text(file)))
        .collect()
}

fn question(wrapped_key: &str) -> Value {
    json!({ "wrapped_key": wrapped_key, "master_key_id": "purchases" })
}

#[test]
fn i3_an_endpoint_gives_keys_of_one_purpose_and_logs_what_it_gives() {
    let world = sealed();
    let serving = Serving::start(&world, "ads");
    let category = references(&world, "purchases", "column category");
    let amount = references(&world, "purchases", "column amount");
    assert!(!category.is_empty());
    let mut keys = Vec::new();
    for one in &category {
        let (status, answer) = serving.post("/v1/unwrap", &question(one));
        assert_eq!(
            (status, &answer["format"]),
            (200, &json!("incamera-ring-endpoint/1"))
        );
        keys.push(answer["key"].as_str().unwrap().to_owned());
    }
    for one in &amount {
        let (status, answer) = serving.post("/v1/unwrap", &question(one));
        assert_eq!(status, 403, "{answer}");
        assert!(
            answer["error"]
                .as_str()
                .unwrap()
                .contains("for the purpose `ads`"),
            "{answer}"
        );
    }
    // A wrap is made and not opened again.
    let own = json!({ "key": "AAAAAAAAAAAAAAAAAAAAAA==", "master_key_id": "purchases/amount" });
    let (status, answer) = serving.post("/v1/wrap", &own);
    assert_eq!(status, 200, "{answer}");
    let wrapped = answer["wrapped_key"].as_str().unwrap();
    let (status, answer) = serving.post("/v1/unwrap", &question(wrapped));
    assert_eq!(status, 403, "{answer}");

    let log = access_log(&world);
    assert_eq!(log.len(), category.len() + amount.len() + 2);
    for (line, granted) in log
        .iter()
        .zip([vec![true; category.len()], vec![false; amount.len()]].concat())
    {
        assert_eq!(line["format"], "incamera-ring-access/1");
        assert_eq!(
            (&line["asked"], &line["purpose"]),
            (&json!("unwrap"), &json!("ads"))
        );
        assert_eq!(
            (&line["dataset"], &line["granted"]),
            (&json!("purchases"), &json!(granted))
        );
        assert!(line["time"].as_u64().unwrap() > 0 && line["file_id"].is_string());
        assert_eq!(line["column"], if granted { "category" } else { "amount" });
        assert_eq!(line["why"].is_string(), !granted);
    }
    assert_eq!(log[log.len() - 2]["master_key_id"], "purchases/amount");
    // Neither keys nor wraps nor the token.
    let text = std::fs::read_to_string(world.path("shop/ring-access.log")).unwrap();
    let said = std::fs::read_to_string(world.root().join("endpoint.log")).unwrap();
    for secret in keys
        .iter()
        .chain([&serving.token, &wrapped.to_owned(), &category[0]])
    {
        assert!(!text.contains(secret.as_str()) && !said.contains(secret.as_str()));
    }
    let mode = std::fs::metadata(world.path("shop/ring-access.log")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    serving.stop();
}

#[test]
fn an_endpoint_gives_nothing_to_whoever_asks_wrongly() {
    let world = sealed();
    let serving = Serving::start(&world, "measurement");
    let amount = &references(&world, "purchases", "column amount");
    let good = amount
        .iter()
        .map(|one| question(one))
        .find(|one| serving.post("/v1/unwrap", one).0 == 200)
        .unwrap();
    let text = good.to_string();
    let ask = |path, token: &str, body: &str| serving.request("POST", path, token, body).0;
    for token in [
        "",
        "x",
        &serving.token[1..],
        &serving.token.to_uppercase(),
        &format!("{}0", serving.token),
    ] {
        assert_eq!(ask("/v1/unwrap", token, &text), 401, "{token}");
    }
    let right = serving.token.as_str();
    assert_eq!(ask("/v1/unwrap", right, &text), 200);
    assert_eq!(ask("/v1/wrap", right, &text), 400);
    assert_eq!(ask("/v1/keys", right, &text), 404);
    assert_eq!(ask("/", right, &text), 404);
    assert_eq!(serving.request("GET", "/v1/unwrap", right, "").0, 405);
    let mut other = good.clone();
    other["master_key_id"] = json!("customers");
    assert_eq!(ask("/v1/unwrap", right, &other.to_string()), 400);
    let more = text.replacen('{', "{\"purpose\":\"ads\",", 1);
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "{\"wrapped_key\":1}",
        &text[1..],
        &more,
    ] {
        assert_eq!(ask("/v1/unwrap", right, body), 400, "{body}");
    }
    for wrapped in ["", "!", "AAAA", &"A".repeat(4000)] {
        assert_eq!(serving.post("/v1/unwrap", &question(wrapped)).0, 400);
    }
    let large = format!("{}{}", " ".repeat(9 << 10), text);
    assert_eq!(ask("/v1/unwrap", right, &large), 413);
    // A body that says it is larger than it is: the answer does not wait for ever.
    let wraps = |key: &str, master: &str| {
        serving
            .post("/v1/wrap", &json!({ "key": key, "master_key_id": master }))
            .0
    };
    assert_eq!(wraps("AAAA", "purchases"), 403);
    assert_eq!(wraps("!", "purchases"), 400);
    assert_eq!(wraps("AAAAAAAAAAAAAAAAAAAAAA==", "Purchases"), 400);
    assert_eq!(wraps("AAAAAAAAAAAAAAAAAAAAAA==", "mailing"), 403);
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01".as_slice(),
        b"GET\r\n\r\n",
        &[0; 70_000],
    ] {
        assert!(!serving.raw(garbage).contains("200 OK"));
    }
    // Silence is ended, and keeps nobody out.
    let start = Instant::now();
    let silent = TcpStream::connect(serving.at).unwrap();
    let slow = format!(
        "POST /v1/unwrap HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {right}\r\ncontent-length: 50\r\n\r\n"
    );
    let answer = std::thread::scope(|scope| {
        let slow = scope.spawn(|| serving.raw(slow.as_bytes()));
        assert_eq!(ask("/v1/unwrap", right, &text), 200);
        slow.join().unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(40));
    drop(silent);
    // Each of them is in the log, with a reason.
    let log = access_log(&world);
    let refused = log.iter().filter(|line| line["granted"] == json!(false));
    assert!(refused.clone().all(|line| line["why"].is_string()));
    assert!(refused.count() > 20);
}

#[test]
fn many_ask_at_once_and_each_is_answered_and_logged() {
    let world = sealed();
    let serving = Serving::start(&world, "measurement");
    let all = references(&world, "purchases", "footer");
    let before = all.len();
    let ask = || {
        let statuses = all
            .iter()
            .map(|one| serving.post("/v1/unwrap", &question(one)).0);
        statuses.collect::<Vec<u16>>()
    };
    let first = ask();
    assert!(first.contains(&200));
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        for asker in askers {
            assert_eq!(asker.join().unwrap(), first);
        }
    });
    assert_eq!(access_log(&world).len(), 17 * before);
}

#[test]
fn an_endpoint_is_of_this_machine_one_a_folder_and_of_a_purpose_there_is() {
    let world = sealed();
    let shop = world.path("shop");
    let refused = |more: &[&str]| {
        let arguments = [&["ring", "serve", "--party", &shop], more].concat();
        world.stage.command(&arguments).unwrap()
    };
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let outcome = refused(&["--purpose", "ads", "--listen", listen]);
        assert_eq!(outcome.code, 2, "{}", outcome.failure());
        assert!(outcome.failure().contains("this machine alone"));
    }
    for purpose in ["research", "no-such"] {
        let outcome = refused(&["--purpose", purpose]);
        assert_eq!(outcome.code, 2, "{}", outcome.failure());
    }
    assert!(!world.root().join("shop/ring-endpoint.json").exists());
    let serving = Serving::start(&world, "ads");
    let second = refused(&["--purpose", "measurement"]);
    assert_eq!(second.code, 1);
    assert!(
        second.failure().contains("another one"),
        "{}",
        second.failure()
    );
    // The first one's token still counts.
    let one = &references(&world, "purchases", "footer")[0];
    assert_ne!(serving.post("/v1/unwrap", &question(one)).0, 401);
    serving.stop();
}

/// Where the log cannot be written no key leaves.
#[test]
fn without_its_log_an_endpoint_gives_nothing() {
    let world = sealed();
    let log = world.root().join("shop/ring-access.log");
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let serving = Serving::start(&world, "ads");
    for one in references(&world, "purchases", "footer") {
        let (status, answer) = serving.post("/v1/unwrap", &question(&one));
        assert_eq!(status, 500, "{answer}");
        assert!(answer.get("key").is_none());
    }
}
