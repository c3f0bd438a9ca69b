//! Bodies out of HTTP/2 (RFC 9113), so that a frame's header in the middle hides nothing.

use std::collections::BTreeMap;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const PADDED: u8 = 0x8;

/// The body of one stream, in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The stream's number.
    pub stream: u32,
    /// All its data frames, joined.
    pub bytes: Vec<u8>,
}

/// The bodies of one direction of a connection, in order of stream; none if it is not HTTP/2.
#[must_use]
pub fn http2_bodies(direction: &[u8]) -> Vec<Body> {
    let mut rest = direction.strip_prefix(PREFACE).unwrap_or(direction);
    let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while let Some(frame) = Frame::first(rest) {
        if let Some(data) = frame.data {
            bodies
                .entry(frame.stream)
                .or_default()
                .extend_from_slice(data);
        }
        rest = frame.after;
    }
    bodies
        .into_iter()
        .map(|(stream, bytes)| Body { stream, bytes })
        .collect()
}

struct Frame<'a> {
    stream: u32,
    /// The data, if it is a data frame.
    data: Option<&'a [u8]>,
    after: &'a [u8],
}

impl<'a> Frame<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(FRAME_HEADER_BYTES)?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *header.first_chunk()?;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        let (payload, after) = rest.split_at_checked(length)?;
        let data = match (kind, flags & PADDED) {
            (DATA, 0) => Some(payload),
            (DATA, _) => Some(unpad(payload)?),
            _ => None,
        };
        Some(Self {
            stream,
            data,
            after,
        })
    }
}

fn unpad(payload: &[u8]) -> Option<&[u8]> {
    let (padding, data) = payload.split_first()?;
    data.get(..data.len().checked_sub(usize::from(*padding))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    #[test]
    fn data_is_joined_by_stream() {
        let bytes = [
            PREFACE.to_vec(),
            framed(4, 0, 0, &[1; 6]),
            framed(1, 4, 1, b"headers"),
            framed(DATA, 0, 1, b"a secr"),
            framed(DATA, 0, 3, b"other"),
            framed(DATA, PADDED, 1, b"\x02et\0\0"),
            framed(DATA, 0, 1, b"cut")[..10].to_vec(),
        ]
        .concat();
        let bodies = http2_bodies(&bytes);
        assert_eq!(bodies.len(), 2);
        assert_eq!(
            (bodies[0].stream, bodies[0].bytes.as_slice()),
            (1, b"a secret".as_slice())
        );
        assert_eq!(
            (bodies[1].stream, bodies[1].bytes.as_slice()),
            (3, b"other".as_slice())
        );
    }
}
