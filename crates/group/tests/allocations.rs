//! No backend allocates for each point. A binary of its own: what counts allocations is of the
//! whole process.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![allow(
    unsafe_code,
    reason = "an allocator is one by `unsafe` alone; this one counts and hands on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use incamera_group::{Backend, EncodedPoint, HashDomain, Scalar};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system's; the count is a number of the thread's own, which needs no
// memory and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often memory is asked for.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Everything that a backend does with many points, by name.
fn counted(backend: Backend, points: &[EncodedPoint]) -> Vec<(&'static str, u64)> {
    let domain = HashDomain::new(b"allocations").unwrap();
    let scalar = Scalar::from_canonical_bytes([7; 32]).unwrap();
    let texts: Vec<[u8; 32]> = points.iter().map(|point| *point.as_bytes()).collect();
    let pairs: Vec<_> = points.iter().copied().zip(&texts).collect();
    let numbers = vec![u128::MAX; points.len()];
    let lists = [points, points];
    vec![
        (
            "multiply",
            allocations(|| drop(backend.multiply(points, &scalar).unwrap())),
        ),
        (
            "hash_and_multiply",
            allocations(|| drop(backend.hash_and_multiply(&domain, &texts, &scalar))),
        ),
        (
            "add_hash_and_multiply",
            allocations(|| {
                let done = backend.add_hash_and_multiply(&domain, &pairs, &scalar);
                drop(done.unwrap());
            }),
        ),
        (
            "sum_and_multiply",
            allocations(|| drop(backend.sum_and_multiply(&lists, &scalar).unwrap())),
        ),
        (
            "combine",
            allocations(|| {
                let _ = backend.combine(points, &numbers).unwrap();
            }),
        ),
    ]
}

/// Eight times the points: a list that grows as it is filled is moved three times more, and
/// nothing is asked for a point, or for a block of points.
#[test]
fn nothing_is_allocated_for_each_point() {
    const FEW: usize = 1024;
    const MANY: usize = 8 * FEW;
    /// Lists that grow, of one call.
    const LISTS: u64 = 2;
    let domain = HashDomain::new(b"points").unwrap();
    let texts: Vec<[u8; 8]> = (0..MANY as u64).map(u64::to_be_bytes).collect();
    let one = Scalar::from_canonical_bytes([1; 32]).unwrap();
    let points = Backend::best().hash_and_multiply(&domain, &texts, &one);
    for backend in Backend::all() {
        let few = counted(backend, points.get(..FEW).unwrap());
        let many = counted(backend, &points);
        for ((what, few), (_, many)) in few.into_iter().zip(many) {
            let more = many.saturating_sub(few);
            assert!(
                more <= 3 * LISTS,
                "{backend}, {what}: {few} allocations for {FEW} points, {many} for {MANY}"
            );
        }
    }
}
