//! The strings of the SSH wire format: a 32-bit big-endian length, then the bytes.

/// The name of the only kind of key that is used.
pub(crate) const ED25519: &[u8] = b"ssh-ed25519";

/// Appends one string.
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Takes one string off the front.
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (bytes, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

/// A pair of the key kind's name and `bytes`: a public key or a signature.
pub(crate) fn named(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + ED25519.len() + bytes.len());
    put(&mut out, ED25519);
    put(&mut out, bytes);
    out
}

/// The bytes of a pair made by [`named`], which must be all of `blob`.
pub(crate) fn unnamed<const N: usize>(mut blob: &[u8]) -> Option<[u8; N]> {
    let name = take(&mut blob)?;
    let bytes = take(&mut blob)?;
    if name != ED25519 || !blob.is_empty() {
        return None;
    }
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncations_are_refused() {
        let whole = named(&[7; 32]);
        assert_eq!(unnamed::<32>(&whole), Some([7; 32]));
        for end in 0..whole.len() {
            assert_eq!(unnamed::<32>(&whole[..end]), None, "{end}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(unnamed::<32>(&longer), None);
        assert_eq!(unnamed::<64>(&whole), None);
    }
}
