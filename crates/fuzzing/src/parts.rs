//! Bytes taken apart.

/// Takes bytes off the front, as many as two bytes there say.
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
    let (bytes, after) = after.split_at(length);
    *rest = after;
    Some(bytes)
}

/// Takes bytes off the front; zeros where there are none left.
pub(crate) fn array<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (bytes, after) = rest.split_at(N.min(rest.len()));
    *rest = after;
    let mut taken = [0; N];
    taken[..bytes.len()].copy_from_slice(bytes);
    taken
}
