//! Where a service listens: `https://host:port` and nothing more.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Why a text is not the address of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("the address of a service starts with `https://`")]
    Scheme,
    /// A path, a query, a user name or anything else beside host and port.
    #[error("the address of a service is `https://host:port` and nothing more")]
    Form,
    /// No port, or not a number from 1 to 65535.
    #[error("the address of a service names its port, a number from 1 to 65535")]
    Port,
    /// Not a host name and not an IP address.
    #[error("the host of a service is a name in lower-case ASCII or an IP address")]
    Host,
}

/// The address of a party's service or of the room.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceUrl {
    text: String,
    host: String,
    port: u16,
}

impl ServiceUrl {
    /// The host: a name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as it is written in the agreement.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `host:port`, an IPv6 address in brackets: what one dials.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.strip_prefix("https://").unwrap_or(&self.text)
    }
}

fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edge = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && !edge && label.bytes().all(plain)
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn host_of(text: &str) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().ok().map(|_| inner);
    }
    let numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().next().is_some_and(|b| b.is_ascii_digit()));
    let good = if numeric {
        text.parse::<Ipv4Addr>().is_ok()
    } else {
        is_name(text)
    };
    good.then_some(text)
}

impl FromStr for ServiceUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let authority = text.strip_prefix("https://").ok_or(UrlError::Scheme)?;
        if authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(UrlError::Form);
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => return Err(UrlError::Port),
        };
        let plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| plain && *port != 0);
        Ok(Self {
            port: port.ok_or(UrlError::Port)?,
            host: host_of(host).ok_or(UrlError::Host)?.to_owned(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses() {
        for (text, host, port) in [
            ("https://shop.example:7443", "shop.example", 7443),
            ("https://localhost:1", "localhost", 1),
            ("https://127.0.0.1:65535", "127.0.0.1", 65535),
            ("https://[::1]:7443", "::1", 7443),
        ] {
            let url: ServiceUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.as_str()), (host, port, text));
            assert_eq!(format!("https://{}", url.authority()), text);
        }
    }

    #[test]
    fn bad_addresses() {
        for (text, error) in [
            ("http://shop.example:1", UrlError::Scheme),
            ("shop.example:1", UrlError::Scheme),
            ("https://shop.example", UrlError::Port),
            ("https://shop.example:", UrlError::Port),
            ("https://shop.example:0", UrlError::Port),
            ("https://shop.example:+1", UrlError::Port),
            ("https://shop.example:70000", UrlError::Port),
            ("https://[::1]", UrlError::Port),
            ("https://shop.example:1/", UrlError::Form),
            ("https://u:p@shop.example:1", UrlError::Form),
            ("https://:1", UrlError::Host),
            ("https://Shop.example:1", UrlError::Host),
            ("https://shop..example:1", UrlError::Host),
            ("https://-a:1", UrlError::Host),
            ("https://1.2.3:1", UrlError::Host),
            ("https://[::g]:1", UrlError::Host),
        ] {
            assert_eq!(text.parse::<ServiceUrl>(), Err(error), "{text}");
        }
    }
}
