//! Objects of a store, read where they are: by ranges, into memory, never onto a disk.
//!
//! # What is read is one object
//! The first answer says which version it is (`ETag`, or `Last-Modified` where a web server has
//! no other, and the size). Every later request asks for that version, and every answer is
//! compared with it, so that rows of two versions never come together.
//!
//! # Memory
//! An object is read in windows of a few MiB ([`reader`]); the next is on its way while one is
//! parsed.

mod address;
mod error;
mod line;
mod reader;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, GetOptions, GetRange, ObjectMeta, ObjectStore, RetryConfig};

pub(crate) use address::masked;
pub use error::{AddressError, ObjectError};
pub(crate) use reader::{ObjectBytes, ObjectReader};

use super::SourceError;
use address::{Address, Vendor};
use line::{Answer, Line};

/// The most objects that are read as one data set.
const MOST_OBJECTS: usize = 100_000;
/// What the folders of table formats are named, in which an object of the right ending need not
/// be a part of the table.
const TABLE_FOLDERS: [&str; 2] = ["_delta_log", ".hoodie"];

/// Asked for the first time: a wrong address is said soon.
fn first_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
    }
}

/// One object.
#[derive(Debug)]
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    line: Arc<Line>,
    key: Key,
    /// Its address, as it may be shown.
    shown: PathBuf,
    version: OnceLock<Version>,
}

/// Which version of an object is read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    e_tag: Option<String>,
    /// Milliseconds since 1970; 0 where the server does not say.
    modified: i64,
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            size: meta.size,
            e_tag: meta.e_tag.clone(),
            modified: meta.last_modified.timestamp_millis(),
        }
    }

    /// A request for `range` of this version. A weak tag matches nothing in `If-Match`; answers
    /// are compared anyhow.
    fn request(&self, range: std::ops::Range<u64>) -> GetOptions {
        let strong = self.e_tag.as_ref().filter(|tag| !tag.starts_with("W/"));
        let range = GetRange::Bounded(range);
        GetOptions::new()
            .with_range(Some(range))
            .with_if_match(strong)
    }
}

impl Object {
    pub(crate) fn shown(&self) -> &PathBuf {
        &self.shown
    }

    /// Opens it for reading.
    pub(crate) fn open(self: &Arc<Self>) -> Result<ObjectReader, ObjectError> {
        let size = self.version()?.size;
        Ok(ObjectReader::new(Arc::clone(self), size))
    }

    /// The version that is read, from the first time on that it is asked for.
    fn version(&self) -> Result<&Version, ObjectError> {
        if self.version.get().is_none() {
            let found = self
                .line
                .begin(first_look(Arc::clone(&self.store), self.key.clone()));
            let _ = self.version.set(found.wait()?);
        }
        self.version.get().ok_or(ObjectError::Answer)
    }

    /// Begins to fetch a range, which lies in the object.
    fn fetch(&self, range: std::ops::Range<u64>) -> Result<Answer<Bytes>, ObjectError> {
        let version = self.version()?.clone();
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        Ok(self.line.begin(async move {
            let expected = usize::try_from(range.end - range.start);
            let expected = expected.map_err(|_| ObjectError::Answer)?;
            let found = store.get_opts(&key, version.request(range)).await?;
            if Version::of(&found.meta) != version {
                return Err(ObjectError::Changed);
            }
            let mut bytes = BytesMut::with_capacity(expected);
            let mut stream = found.into_stream();
            while let Some(more) = stream.next().await.transpose()? {
                if bytes.len() + more.len() > expected {
                    return Err(ObjectError::Answer);
                }
                bytes.extend_from_slice(&more);
            }
            match bytes.len() == expected {
                true => Ok(bytes.freeze()),
                false => Err(ObjectError::CutOff),
            }
        }))
    }
}

/// Which version there is, by the answer to a request for one byte: there are servers, and
/// addresses with signatures, that answer nothing else.
async fn first_look(store: Arc<dyn ObjectStore>, key: Key) -> Result<Version, ObjectError> {
    let range = GetOptions::new().with_range(Some(GetRange::Bounded(0..1)));
    let found = match store.get_opts(&key, range).await {
        Ok(found) => Version::of(&found.meta),
        Err(error) => match ObjectError::of(&error) {
            // Nothing in it to give a part of.
            ObjectError::Status { status: 416 } => return Ok(Version::empty()),
            why => return Err(why),
        },
    };
    match found.e_tag.is_none() && found.modified == 0 {
        true => Err(ObjectError::NoVersion),
        false => Ok(found),
    }
}

impl Version {
    fn empty() -> Self {
        Self {
            size: 0,
            e_tag: None,
            modified: 0,
        }
    }
}

/// The objects at an address: one, or all below it that are of a data set, in order of name.
pub(crate) fn objects_at(text: &str) -> Result<Vec<Arc<Object>>, SourceError> {
    let path = || PathBuf::from(masked(text));
    let address = Address::parse(text);
    let address = address.map_err(|why| SourceError::Address { path: path(), why })?;
    let objects = At::new(address).and_then(|at| at.objects());
    let objects = objects.map_err(|why| SourceError::Object { path: path(), why })?;
    match objects {
        Found::Table => Err(SourceError::TableFolder { path: path() }),
        Found::Objects(objects) => Ok(objects),
    }
}

enum Found {
    Objects(Vec<Arc<Object>>),
    /// A folder that a table format keeps.
    Table,
}

/// An address, and the line to its store.
struct At {
    address: Address,
    line: Arc<Line>,
    /// Gives up soon.
    first: Arc<dyn ObjectStore>,
    store: Arc<dyn ObjectStore>,
}

impl At {
    fn new(address: Address) -> Result<Self, ObjectError> {
        Ok(Self {
            line: Arc::new(Line::new()?),
            first: address.store(first_retries())?,
            store: address.store(RetryConfig::default())?,
            address,
        })
    }

    fn objects(&self) -> Result<Found, ObjectError> {
        if self.address.is_folder() {
            return self.below();
        }
        let key = self.address.key.clone();
        let look = first_look(Arc::clone(&self.first), key.clone());
        match self.line.begin(look).wait() {
            Ok(version) => {
                let object = self.object(key, Some(version));
                Ok(Found::Objects(vec![object]))
            }
            Err(ObjectError::NotFound) if self.address.vendor != Vendor::Web => {
                match self.below()? {
                    Found::Objects(none) if none.is_empty() => Err(ObjectError::NotFound),
                    found => Ok(found),
                }
            }
            Err(why) => Err(why),
        }
    }

    fn object(&self, key: Key, version: Option<Version>) -> Arc<Object> {
        Arc::new(Object {
            store: Arc::clone(&self.store),
            line: Arc::clone(&self.line),
            shown: self.address.shown(&key),
            key,
            version: version.map_or_else(OnceLock::new, OnceLock::from),
        })
    }

    /// The objects below the address. As in a folder, names that begin with `.` do not count;
    /// nor, as in the buckets that other tools write, those with `_`.
    fn below(&self) -> Result<Found, ObjectError> {
        let listing = list(Arc::clone(&self.first), self.address.key.clone());
        let mut keys = Vec::new();
        for key in self.line.begin(listing).wait()? {
            let Some(rest) = key.prefix_match(&self.address.key) else {
                continue;
            };
            let names: Vec<_> = rest.collect();
            if names.is_empty() {
                continue;
            }
            if names
                .iter()
                .any(|name| TABLE_FOLDERS.contains(&name.as_ref()))
            {
                return Ok(Found::Table);
            }
            if !names
                .iter()
                .any(|name| name.as_ref().starts_with(['.', '_']))
            {
                keys.push(key.clone());
            }
        }
        keys.sort();
        let objects = keys.into_iter().map(|key| self.object(key, None));
        Ok(Found::Objects(objects.collect()))
    }
}

/// The names below `prefix`.
async fn list(store: Arc<dyn ObjectStore>, prefix: Key) -> Result<Vec<Key>, ObjectError> {
    let mut found = store.list(Some(&prefix));
    let mut keys = Vec::new();
    while let Some(object) = found.next().await.transpose()? {
        if keys.len() == MOST_OBJECTS {
            return Err(ObjectError::TooMany { most: MOST_OBJECTS });
        }
        // What stands for a folder, and has no bytes.
        if object.size > 0 || object.location.extension().is_some() {
            keys.push(object.location);
        }
    }
    Ok(keys)
}
