//! The files that rows come from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input::Input;
use super::object::{Object, masked, objects_at};
use super::{AddressError, SourceError};
use crate::keytools::SourceKeys;

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Csv,
    Parquet,
}

/// Where rows come from: a file, or all files of a folder, of one kind and with the same
/// columns, in order of name; or an object of a store, or all objects below a name.
///
/// `.csv` is comma-separated UTF-8 with the column names in the first line; `.parquet` is
/// Parquet; encrypted files are opened by [`Source::unlock`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    kind: Kind,
    files: Vec<SourceFile>,
    /// The keys of each file that is encrypted: see [`Source::unlock`].
    keys: Vec<Option<SourceKeys>>,
}

/// A file of a source.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// Its path, or its address as it may be shown.
    name: PathBuf,
    object: Option<Arc<Object>>,
}

impl SourceFile {
    /// A file of this machine.
    fn local(path: PathBuf) -> Self {
        Self {
            name: path,
            object: None,
        }
    }

    /// What to call it.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> Result<Input, SourceError> {
        match &self.object {
            None => Input::open(&self.name),
            Some(object) => {
                let opened = object.open().map(Input::Object);
                opened.map_err(|why| SourceError::Object {
                    path: self.name.clone(),
                    why,
                })
            }
        }
    }
}

impl From<Arc<Object>> for SourceFile {
    fn from(object: Arc<Object>) -> Self {
        Self {
            name: object.shown().clone(),
            object: Some(object),
        }
    }
}

impl PartialEq for SourceFile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for SourceFile {}

impl Source {
    /// The files at `path`: one that ends in `.csv` or `.parquet`, or a folder of such. A folder's
    /// hidden files, its folders and the marks that other programs leave there (`_SUCCESS`) do not
    /// count. `file:///...` is a path too.
    ///
    /// `s3://`, `gs://`, `az://` and `abfss://` are addresses of an object, or of all objects below
    /// a name, also in what looks like folders there; `https://` of one file. What is at the
    /// address is asked for now.
    ///
    /// # Errors
    /// [`SourceError`]: an ending that is neither, a folder of both or of none, a file of a folder
    /// that cannot be looked at, an address of another kind, a store that does not give it.
    pub fn of(path: &Path) -> Result<Self, SourceError> {
        match place(path)? {
            Place::Objects(text) => {
                let objects = objects_at(text)?.into_iter();
                let shown = PathBuf::from(masked(text));
                Self::of_files(shown, objects.map(SourceFile::from).collect())
            }
            Place::File(path) if is_folder(&path)? => {
                let files = files_in(&path)?.into_iter();
                Self::of_files(path, files.map(SourceFile::local).collect())
            }
            Place::File(path) => Self::of_files(path.clone(), vec![SourceFile::local(path)]),
        }
    }

    /// `path` as it may be shown: an address without what can be a credential.
    #[must_use]
    pub fn shown(path: &Path) -> PathBuf {
        match path.to_str().filter(|text| text.contains("://")) {
            Some(text) if !path.exists() => masked(text).into(),
            _ => path.into(),
        }
    }

    fn of_files(path: PathBuf, files: Vec<SourceFile>) -> Result<Self, SourceError> {
        let kinds = files.iter().map(|file| kind(&file.name));
        let kinds: Vec<Kind> = kinds.collect::<Result<_, _>>()?;
        match kinds.split_first() {
            None => Err(SourceError::EmptyFolder { path }),
            Some((first, rest)) if rest.iter().any(|kind| kind != first) => {
                Err(SourceError::MixedFolder { path })
            }
            Some((kind, _)) => Ok(Self::new(*kind, files)),
        }
    }

    /// Whether it is Parquet, which may be encrypted.
    #[must_use]
    pub fn is_parquet(&self) -> bool {
        self.kind == Kind::Parquet
    }

    fn new(kind: Kind, files: Vec<SourceFile>) -> Self {
        let keys = vec![None; files.len()];
        Self { kind, files, keys }
    }

    /// The files that may be encrypted, and where their keys go.
    pub(crate) fn parquet_files(
        &mut self,
    ) -> impl Iterator<Item = (&SourceFile, &mut Option<SourceKeys>)> {
        let parquet = self.kind == Kind::Parquet;
        let files = self.files.iter().zip(&mut self.keys);
        files.filter(move |_| parquet)
    }

    /// The keys of the file of this number, if it is encrypted.
    pub(super) fn keys(&self, file: usize) -> Option<&SourceKeys> {
        self.keys.get(file)?.as_ref()
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// What to call the file of this number.
    pub(super) fn name(&self, file: usize) -> &Path {
        self.files.get(file).map_or(Path::new(""), SourceFile::name)
    }

    /// The path of a file, where there are several and it must be said which.
    pub(super) fn which(&self, file: usize) -> Option<PathBuf> {
        let several = self.files.get(file).filter(|_| self.files.len() > 1);
        several.map(|file| file.name.clone())
    }

    /// An error of one of the files, which says which one where there are several.
    pub(super) fn in_file(&self, path: &Path, error: SourceError) -> SourceError {
        let named = matches!(
            error,
            SourceError::Io { .. }
                | SourceError::Object { .. }
                | SourceError::NotCsv { .. }
                | SourceError::NotParquet { .. }
                | SourceError::Encrypted { .. }
                | SourceError::Empty { .. }
                | SourceError::MissingColumns { .. }
                | SourceError::OtherCase { .. }
                | SourceError::DuplicateColumn { .. }
                | SourceError::OtherColumns { .. }
        );
        if named || self.files.len() == 1 {
            return error;
        }
        SourceError::InFile {
            path: path.into(),
            error: Box::new(error),
        }
    }
}

fn kind(path: &Path) -> Result<Kind, SourceError> {
    let ending = path.extension().map(OsStr::to_ascii_lowercase);
    match ending.as_ref().and_then(|ending| ending.to_str()) {
        Some("csv") => Ok(Kind::Csv),
        Some("parquet") => Ok(Kind::Parquet),
        _ => Err(SourceError::Ending { path: path.into() }),
    }
}

/// Whether it is a folder. What cannot be looked at is none if its name ends like a file's: then
/// opening it says why.
fn is_folder(path: &Path) -> Result<bool, SourceError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(_) if path.extension().is_some() => Ok(false),
        Err(error) => Err(unlooked(path, error)),
    }
}

fn unlooked(path: &Path, source: std::io::Error) -> SourceError {
    SourceError::Io {
        path: path.into(),
        source,
    }
}

/// The files of a folder, in order of name. None is passed over because it cannot be looked at:
/// a link whose disk is away has rows too.
fn files_in(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let io = |source| unlooked(path, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        if !is_aside(&file) && !is_folder_there(&file)? {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Behind a link, too.
fn is_folder_there(file: &Path) -> Result<bool, SourceError> {
    let found = std::fs::metadata(file).map_err(|source| unlooked(file, source))?;
    Ok(found.is_dir())
}

/// Hidden, or a mark of a program that wrote the folder: `_SUCCESS`, `_metadata`. A name that
/// begins so and ends like one of rows is one of rows.
fn is_aside(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") || (name.starts_with(b"_") && kind(file).is_err())
}

/// What a path is.
enum Place<'a> {
    File(PathBuf),
    /// The address of objects.
    Objects(&'a str),
}

/// What is meant: the path itself, that of a `file:` address, or another address.
fn place(path: &Path) -> Result<Place<'_>, SourceError> {
    let text = path.to_str();
    let Some((text, (scheme, rest))) = text.and_then(|text| Some((text, text.split_once("://")?)))
    else {
        return Ok(Place::File(path.into()));
    };
    // A name that has `://` in it and is no address.
    if path.exists() {
        return Ok(Place::File(path.into()));
    }
    if scheme != "file" {
        return Ok(Place::Objects(text));
    }
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let local = rest.starts_with('/').then(|| unescaped(rest)).flatten();
    let local = local.ok_or_else(|| SourceError::Address {
        path: masked(text).into(),
        why: AddressError::Form,
    })?;
    Ok(Place::File(local.into()))
}

/// A text with its `%20` and the like undone.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "a\n").unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_its_files_in_order() {
        let folder = folder(&["b.csv", "a.CSV", "c.csv", ".hidden.parquet"]);
        std::fs::create_dir(folder.path().join("d.csv")).unwrap();
        let source = Source::of(folder.path()).unwrap();
        let files = source.files().iter();
        let names = files.map(|file| file.name().file_name().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["a.CSV", "b.csv", "c.csv"]);
    }

    #[test]
    fn a_folder_of_other_files_is_refused() {
        let of = |files: &[&str]| Source::of(folder(files).path()).unwrap_err();
        assert!(matches!(of(&[]), SourceError::EmptyFolder { .. }));
        let mixed = of(&["a.csv", "b.parquet"]);
        assert!(matches!(mixed, SourceError::MixedFolder { .. }));
        assert!(matches!(
            of(&["a.csv", "notes.txt"]),
            SourceError::Ending { .. }
        ));
    }

    #[test]
    fn marks_of_other_programs_are_no_files_of_a_folder() {
        let folder = folder(&["_SUCCESS", "_metadata", "_b.csv", "a.csv"]);
        let source = Source::of(folder.path()).unwrap();
        assert_eq!(source.files().len(), 2);
    }

    /// What is skipped is not forgotten and not matched, and nobody hears of it.
    #[cfg(unix)]
    #[test]
    fn a_file_of_a_folder_that_cannot_be_looked_at_is_named() {
        let folder = folder(&["a.csv"]);
        let link = folder.path().join("b.csv");
        let aim = |at: &Path| {
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(at, &link).unwrap();
            Source::of(folder.path())
        };
        assert_eq!(aim(&folder.path().join("a.csv")).unwrap().files().len(), 2);
        let inner = tempfile::tempdir().unwrap();
        assert_eq!(aim(inner.path()).unwrap().files().len(), 1);
        // A link to nothing, to itself, and to what is below a file.
        for wrong in ["gone.csv", "b.csv", "a.csv/below"] {
            let error = aim(&folder.path().join(wrong)).unwrap_err();
            assert!(
                matches!(&error, SourceError::Io { path, .. } if *path == link),
                "{wrong}: {error:?}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_told_so() {
        let folder = folder(&[]);
        let of = |name: &str| Source::of(&folder.path().join(name)).unwrap_err();
        assert!(matches!(of("gone"), SourceError::Io { .. }));
        assert!(matches!(of("gone.txt"), SourceError::Ending { .. }));
    }

    #[test]
    fn addresses_are_paths_or_refused() {
        let folder = folder(&["a b.csv"]);
        let url = format!("file://{}/a%20b.csv", folder.path().display());
        let source = Source::of(url.as_ref()).unwrap();
        assert_eq!(source.files()[0].name(), folder.path().join("a b.csv"));
        for bad in [
            "ftp://host/a.csv",
            "http://host.example/a.csv",
            "file://host/a.csv",
            "file:///a%zz.csv",
            "file:///%2",
        ] {
            let error = Source::of(bad.as_ref()).unwrap_err();
            assert!(matches!(error, SourceError::Address { .. }), "{bad}");
        }
    }
}
