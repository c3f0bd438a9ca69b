//! An object store on the loopback, for tests: objects by bucket and name over HTTP/1.1.
//!
//! Answers `GET` and `HEAD` with `Range` and `If-Match`, and lists in pages as S3 does (version 2)
//! and as Azure does. Which faults it has is told it object by object.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest as _, Sha256};

/// The access key that S3 requests must name.
pub const ACCESS_KEY: &str = "AKIATESTACCESSKEY";
const MODIFIED: &str = "Sun, 01 Mar 2026 10:00:00 GMT";
const MODIFIED_ISO: &str = "2026-03-01T10:00:00.000Z";
/// Objects of a page of a listing.
const PAGE: usize = 2;
const SLOW_BYTES: usize = 64 << 10;

/// What is wrong with an object.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The status of every answer.
    pub status: Option<u16>,
    /// So many answers are cut off in the middle.
    pub cut: usize,
    /// Waits so long before each 64 KiB.
    pub slow: Duration,
    /// After so many answers it is replaced by these bytes.
    pub replaced: Option<(usize, Vec<u8>)>,
    /// `If-Match` is not looked at.
    pub ignores_match: bool,
    /// Answers with all of it, whatever part is asked for.
    pub whole: bool,
    /// Says neither which version it is nor of when.
    pub no_version: bool,
    /// Sends the reader on to this address.
    pub elsewhere: Option<String>,
}

struct Object {
    bytes: Vec<u8>,
    faults: Faults,
    answers: usize,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    log: Vec<String>,
}

/// A store that answers until the test ends.
pub struct ObjectStore {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl ObjectStore {
    /// A store without objects; behind TLS, if there is a configuration.
    ///
    /// # Errors
    /// No free port.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                thread::spawn(move || {
                    // A reader that goes away is no fault of the store.
                    let _ = match tls.and_then(|tls| ServerConnection::new(tls).ok()) {
                        Some(tls) => serve(StreamOwned::new(tls, stream), &state),
                        None => serve(stream, &state),
                    };
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an object; `name` begins with the bucket.
    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.put_faulty(name, bytes, Faults::default());
    }

    /// Puts an object with faults.
    pub fn put_faulty(&self, name: &str, bytes: impl Into<Vec<u8>>, faults: Faults) {
        let object = Object {
            bytes: bytes.into(),
            faults,
            answers: 0,
        };
        lock(&self.state).objects.insert(name.to_owned(), object);
    }

    /// The requests so far: method, target, and the range where there is one.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        lock(&self.state).log.clone()
    }

    /// The environment in which the clients of all vendors find it.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}", self.address);
        let text = |text: &str| text.to_owned();
        vec![
            ("AWS_ENDPOINT", url.clone()),
            ("AWS_ALLOW_HTTP", text("true")),
            ("AWS_ACCESS_KEY_ID", text(ACCESS_KEY)),
            ("AWS_SECRET_ACCESS_KEY", text("secret-of-the-test")),
            ("AWS_REGION", text("eu-central-1")),
            ("GOOGLE_BASE_URL", url.clone()),
            ("GOOGLE_ALLOW_HTTP", text("true")),
            ("GOOGLE_SKIP_SIGNATURE", text("true")),
            ("AZURE_STORAGE_ENDPOINT", url),
            ("AZURE_STORAGE_ACCOUNT_NAME", text("account")),
            ("AZURE_ALLOW_HTTP", text("true")),
            ("AZURE_SKIP_SIGNATURE", text("true")),
            ("NO_PROXY", text("127.0.0.1")),
        ]
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request, as far as it is looked at.
struct Request {
    head: bool,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

impl Request {
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ');
        let head = words.next() == Some("HEAD");
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), unescaped(value)));
        let (path, query) = (unescaped(path), query.collect());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Ok(Some(Self {
            head,
            path: path.trim_start_matches('/').to_owned(),
            query,
            headers,
        }))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first and last byte that are asked for.
    fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }

    fn text(&self) -> String {
        let method = if self.head { "HEAD" } else { "GET" };
        let range = self.header("range").unwrap_or_default();
        format!("{method} {} {range}", self.path)
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = (*byte == b'%').then(|| after.split_at_checked(2)).flatten();
        match digits.and_then(|(digits, after)| Some((hex::decode(digits).ok()?, after))) {
            Some((decoded, after)) => {
                bytes.extend(decoded);
                rest = after;
            }
            None => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer, and how it is given.
#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut: bool,
    slow: Duration,
}

fn serve(stream: impl Read + Write, state: &Mutex<State>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream)? {
        let reply = reply(&request, &mut lock(state));
        if !give(stream.get_mut(), &request, reply)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Gives an answer; says whether there may be another on the same connection.
fn give(stream: &mut impl Write, request: &Request, reply: Reply) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} -\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", reply.body.len()));
    stream.write_all(head.as_bytes())?;
    if request.head {
        return stream.flush().map(|()| true);
    }
    let length = reply.body.len() / if reply.cut { 2 } else { 1 };
    let body = reply.body.get(..length).unwrap_or_default();
    for piece in body.chunks(SLOW_BYTES) {
        thread::sleep(reply.slow);
        stream.write_all(piece)?;
    }
    stream.flush()?;
    Ok(!reply.cut)
}

fn status(status: u16) -> Reply {
    Reply {
        status,
        body: b"<Error><Code>secret-of-the-store</Code></Error>".to_vec(),
        ..Reply::default()
    }
}

fn reply(request: &Request, state: &mut State) -> Reply {
    state.log.push(request.text());
    let signed = request.header("authorization");
    if signed.is_some_and(|signed| !signed.contains(ACCESS_KEY)) {
        return status(403);
    }
    let lists = |name: &str| request.query.contains_key(name);
    if lists("list-type") || lists("comp") {
        return listing(request, state);
    }
    match state.objects.get_mut(&request.path) {
        Some(object) => answer(request, object),
        None => status(404),
    }
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("\"{}\"", hex::encode(digest.get(..16).unwrap_or_default()))
}

fn answer(request: &Request, object: &mut Object) -> Reply {
    let replaced = object
        .faults
        .replaced
        .take_if(|(after, _)| object.answers >= *after);
    if let Some((_, bytes)) = replaced {
        object.bytes = bytes;
    }
    object.answers += 1;
    let (faults, bytes) = (&mut object.faults, &object.bytes);
    if let Some(address) = &faults.elsewhere {
        return Reply {
            status: 307,
            headers: vec![("Location", address.clone())],
            ..Reply::default()
        };
    }
    if let Some(wrong) = faults.status {
        return status(wrong);
    }
    let tag = tag(bytes);
    let other = request
        .header("if-match")
        .is_some_and(|wanted| wanted != tag);
    if other && !faults.ignores_match {
        return status(412);
    }
    let mut reply = Reply {
        status: 200,
        slow: faults.slow,
        cut: faults.cut > 0 && !request.head,
        ..Reply::default()
    };
    faults.cut = faults.cut.saturating_sub(1);
    if !faults.no_version {
        reply.headers.push(("ETag", tag));
        reply.headers.push(("Last-Modified", MODIFIED.to_owned()));
    }
    reply.body.clone_from(bytes);
    match request.range().filter(|_| !faults.whole) {
        Some((first, _)) if first >= bytes.len() => return status(416),
        Some((first, last)) => {
            let last = last.min(bytes.len() - 1);
            reply.status = 206;
            let range = format!("bytes {first}-{last}/{}", bytes.len());
            reply.headers.push(("Content-Range", range));
            reply.body = bytes.get(first..=last).unwrap_or_default().to_vec();
        }
        None => {}
    }
    reply
}

/// A page of the names below a prefix.
fn listing(request: &Request, state: &State) -> Reply {
    let asked = |name: &str| request.query.get(name).map_or("", String::as_str);
    let azure = request.query.contains_key("comp");
    let after = asked(if azure {
        "marker"
    } else {
        "continuation-token"
    });
    let bucket = format!("{}/", request.path.trim_end_matches('/'));
    let objects = state.objects.iter();
    let below = objects.filter_map(|(name, object)| Some((name.strip_prefix(&bucket)?, object)));
    let mut below = below.filter(|(name, _)| name.starts_with(asked("prefix")) && *name > after);
    let page: Vec<_> = below.by_ref().take(PAGE).collect();
    let next = below
        .next()
        .and_then(|_| page.last())
        .map_or("", |(name, _)| name);
    let body = match azure {
        true => azure_page(&page, next),
        false => s3_page(&page, next),
    };
    Reply {
        status: 200,
        headers: vec![("Content-Type", "application/xml".to_owned())],
        body: body.into_bytes(),
        ..Reply::default()
    }
}

fn s3_page(page: &[(&str, &Object)], next: &str) -> String {
    let one = |(name, object): &(&str, &Object)| {
        let (tag, size) = (tag(&object.bytes), object.bytes.len());
        format!(
            "<Contents><Key>{name}</Key><LastModified>{MODIFIED_ISO}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
        )
    };
    let objects: String = page.iter().map(one).collect();
    let next = match next {
        "" => String::new(),
        next => format!("<NextContinuationToken>{next}</NextContinuationToken>"),
    };
    format!("<?xml version=\"1.0\"?><ListBucketResult>{objects}{next}</ListBucketResult>")
}

fn azure_page(page: &[(&str, &Object)], next: &str) -> String {
    let one = |(name, object): &(&str, &Object)| {
        let (tag, size) = (tag(&object.bytes), object.bytes.len());
        let tag = tag.trim_matches('"');
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>{MODIFIED}</Last-Modified><Etag>{tag}</Etag><Content-Length>{size}</Content-Length><Content-Type>text/csv</Content-Type></Properties></Blob>"
        )
    };
    let objects: String = page.iter().map(one).collect();
    format!(
        "<?xml version=\"1.0\"?><EnumerationResults><Blobs>{objects}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
    )
}
