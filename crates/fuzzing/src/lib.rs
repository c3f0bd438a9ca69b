//! One function for each parser of foreign bytes.

/// A parser, fed: it must neither panic nor take long, whatever the bytes.
pub type Target = fn(&[u8]);
