//! Addresses of objects: which store, and what in it.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use super::error::{AddressError, ObjectError};

/// A port of this machine at which nobody answers.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    Amazon,
    Google,
    Azure,
    /// Any web server: one file.
    Web,
}

/// The address of an object, or of what is below a name.
#[derive(Clone, Debug)]
pub(super) struct Address {
    url: Url,
    pub(super) vendor: Vendor,
    /// The name of the object, or the beginning of names; empty for a web server, whose address
    /// is one file.
    pub(super) key: Key,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|_| AddressError::Form)?;
        let vendor = match url.scheme() {
            "s3" | "s3a" => Vendor::Amazon,
            "gs" => Vendor::Google,
            "az" | "abfs" | "abfss" => Vendor::Azure,
            "https" => Vendor::Web,
            "http" if is_here(&url) => Vendor::Web,
            "http" => return Err(AddressError::Clear),
            _ => return Err(AddressError::Scheme),
        };
        // `container@account` is no credential.
        let named = !url.username().is_empty() && vendor != Vendor::Azure;
        if named || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(AddressError::Form);
        }
        if vendor == Vendor::Web {
            let key = Key::default();
            return match url.path().ends_with('/') {
                true => Err(AddressError::Folder),
                false => Ok(Self { url, vendor, key }),
            };
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Query);
        }
        let key = Key::from_url_path(url.path()).map_err(|_| AddressError::Form)?;
        Ok(Self { url, vendor, key })
    }

    /// Whether it can only be the beginning of names.
    pub(super) fn is_folder(&self) -> bool {
        self.vendor != Vendor::Web
            && (self.url.path().ends_with('/') || self.key.as_ref().is_empty())
    }

    /// The address of `key` in the same store as it may be shown: a query can be a signature.
    pub(super) fn shown(&self, key: &Key) -> PathBuf {
        let scheme = self.url.scheme();
        let at = self.url.authority();
        match self.vendor {
            Vendor::Web => format!("{scheme}://{at}{}", self.url.path()).into(),
            _ => format!("{scheme}://{at}/{key}").into(),
        }
    }

    /// The store, as the environment says how to get there.
    pub(super) fn store(&self, retry: RetryConfig) -> Result<Arc<dyn ObjectStore>, ObjectError> {
        let url = self.url.as_str();
        let settings = |variables| move |_| ObjectError::Settings { variables };
        Ok(match self.vendor {
            Vendor::Amazon => {
                let builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
                Arc::new(builder.build().map_err(settings("`AWS_...`"))?)
            }
            Vendor::Google => {
                let builder = GoogleCloudStorageBuilder::from_env();
                let builder = builder.with_url(url).with_retry(retry);
                Arc::new(builder.build().map_err(settings("`GOOGLE_...`"))?)
            }
            Vendor::Azure => {
                let builder = MicrosoftAzureBuilder::from_env();
                let builder = builder.with_url(url).with_retry(retry);
                Arc::new(builder.build().map_err(settings("`AZURE_STORAGE_...`"))?)
            }
            Vendor::Web => {
                let builder = HttpBuilder::new().with_url(url).with_retry(retry);
                let builder = builder.with_client_options(self.web_options());
                Arc::new(builder.build().map_err(|_| ObjectError::Answer)?)
            }
        })
    }

    /// What is not encrypted goes to this machine alone: not through a proxy, and not where the
    /// server sends the reader on to.
    fn web_options(&self) -> ClientOptions {
        match self.url.scheme() {
            "http" => ClientOptions::new()
                .with_allow_http(true)
                .with_proxy_url(NOWHERE)
                .with_proxy_excludes("127.0.0.0/8,::1,localhost"),
            _ => ClientOptions::new(),
        }
    }
}

/// Whether the address is of this machine, without asking anybody.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An address as it may be shown, whatever it is: without query, name and password.
pub(crate) fn masked(text: &str) -> String {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect();
    let Some((scheme, rest)) = text.split_once("://") else {
        return clean(text);
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let rest = rest.get(..end).unwrap_or_default();
    let (at, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let at = match at.rsplit_once('@') {
        Some((container, _)) if scheme.starts_with("abfs") && !container.contains(':') => at,
        Some((_, host)) => host,
        None => at,
    };
    clean(&format!("{scheme}://{at}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_read() {
        for (text, vendor, key, folder) in [
            ("s3://b/a%20b/c.csv", Vendor::Amazon, "a b/c.csv", false),
            ("s3://b", Vendor::Amazon, "", true),
            ("s3a://b/day/", Vendor::Amazon, "day", true),
            ("gs://b/c.parquet", Vendor::Google, "c.parquet", false),
            ("az://box/c.csv", Vendor::Azure, "c.csv", false),
            (
                "abfss://box@me.dfs.core.windows.net/c",
                Vendor::Azure,
                "c",
                false,
            ),
            ("https://host.example/c.csv?sig=1", Vendor::Web, "", false),
            ("http://127.0.0.1:80/c.csv", Vendor::Web, "", false),
            ("http://[::1]/c.csv", Vendor::Web, "", false),
            ("http://localhost:1/c.csv", Vendor::Web, "", false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.vendor, address.key.as_ref()),
                (vendor, key),
                "{text}"
            );
            assert_eq!(address.is_folder(), folder, "{text}");
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        for (text, why) in [
            ("ftp://host/a.csv", AddressError::Scheme),
            ("http://host.example/a.csv", AddressError::Clear),
            ("http://localhost.host.example/a.csv", AddressError::Clear),
            ("http://10.0.0.1/a.csv", AddressError::Clear),
            (
                "https://me:word@host.example/a.csv",
                AddressError::Credentials,
            ),
            ("s3://key:word@b/a.csv", AddressError::Credentials),
            (
                "abfss://box:word@me.dfs.core.windows.net/a.csv",
                AddressError::Credentials,
            ),
            ("s3://b/a.csv?version=1", AddressError::Query),
            ("s3://b/a#1.csv", AddressError::Query),
            ("s3:///a.csv", AddressError::Form),
            ("https://", AddressError::Form),
            ("https://host.example/folder/", AddressError::Folder),
        ] {
            assert_eq!(Address::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn what_is_shown_has_no_credentials() {
        for (text, shown) in [
            (
                "https://h.example/a.csv?X-Amz-Signature=ab#c",
                "https://h.example/a.csv",
            ),
            ("https://me:word@h.example/a.csv", "https://h.example/a.csv"),
            ("s3://key:wo@rd@b/a@b.csv", "s3://b/a@b.csv"),
            (
                "abfss://box@me.example/a.csv",
                "abfss://box@me.example/a.csv",
            ),
            (
                "abfss://box:word@me.example/a.csv",
                "abfss://me.example/a.csv",
            ),
            ("s3://b\u{1b}[2J/a.csv", "s3://b[2J/a.csv"),
            ("a.csv?x", "a.csv?x"),
        ] {
            assert_eq!(masked(text), shown);
        }
        let address = Address::parse("https://h.example/a%20b.csv?sig=1").unwrap();
        let shown = address.shown(&Key::default());
        assert_eq!(shown, PathBuf::from("https://h.example/a%20b.csv"));
        let address = Address::parse("abfss://box@me.dfs.core.windows.net/x/").unwrap();
        let shown = address.shown(&Key::from("x/a b.csv"));
        let expected = "abfss://box@me.dfs.core.windows.net/x/a b.csv";
        assert_eq!(shown, PathBuf::from(expected));
    }
}
