//! I6: only `Released` values can leave the room; a `RawAggregate` cannot, and becomes one
//! only with every owner's verified grant.
//!
//! The types say so: this file is a proof that does not compile where it fails. That
//! `OpenedGrants` is made by `open_grants` alone is shown in `crates/release`.

use std::fmt;

use incamera_query::{OtherRequest, RawAggregate, Released, release};
use incamera_release::OpenedGrants;

/// Fails to compile if a type implements a trait: then two implementations of
/// `Lacks` fit, and the marker cannot be inferred.
macro_rules! lacks {
    ($type:ty: $($bound:path),+ $(,)?) => {$({
        trait Lacks<Marker> {
            fn holds() {}
        }
        impl<T: ?Sized> Lacks<()> for T {}
        struct Has;
        impl<T: ?Sized + $bound> Lacks<Has> for T {}
        <$type as Lacks<_>>::holds();
    })+};
}

#[test]
fn i6_an_exact_answer_can_be_neither_shown_nor_sent() {
    lacks!(
        RawAggregate: serde::Serialize, prost::Message, fmt::Debug, fmt::Display, fmt::LowerHex,
        ToString, Clone, PartialEq, PartialOrd, std::hash::Hash, AsRef<[u8]>, Into<Vec<u8>>,
        Into<String>, std::ops::Deref, IntoIterator, std::error::Error,
    );
}

#[test]
fn i6_there_is_no_release_without_grants() {
    let _: fn(RawAggregate, &OpenedGrants) -> Result<Released, OtherRequest> = release;
    lacks!(Released: Default, From<RawAggregate>, From<incamera_wire::v1::Answer>);
    lacks!(OpenedGrants: Default, Clone);
    lacks!(RawAggregate: Into<Released>, Into<incamera_wire::v1::Answer>);
}
