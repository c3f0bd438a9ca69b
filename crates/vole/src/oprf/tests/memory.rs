//! What a run leaves in memory.

use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use super::*;
use crate::prg::random;

/// Secrets are kept under it while memory is looked through.
const MASK: u64 = 0x5bd1_e995_9f4a_7c15;
const CHUNK: usize = 1 << 20;
/// Set for the process that looks through itself.
const CHILD: &str = "INCAMERA_TEST_LOOKS_THROUGH_ITSELF";

/// Both halves, as an allocator may write over the first when it is given back.
fn masked(bytes: &[u8]) -> [u64; 2] {
    let (halves, _) = bytes.as_chunks();
    [0, 1].map(|half| u64::from_ne_bytes(halves[half]) ^ MASK)
}

/// What looks through this process's memory. All that it needs is allocated beforehand: else it
/// could be put where a secret was, over it.
struct Search {
    chunk: Vec<u8>,
    maps: String,
    found: Vec<usize>,
}

impl Search {
    fn new() -> Self {
        Self {
            chunk: vec![0; CHUNK],
            maps: String::with_capacity(CHUNK),
            found: Vec::with_capacity(64),
        }
    }

    /// How often each of the secrets stands in memory, in half at least.
    fn found(&mut self, secrets: &[[u64; 2]]) -> &[usize] {
        let memory = File::open("/proc/self/mem").unwrap();
        self.found.clear();
        self.found.resize(secrets.len(), 0);
        self.maps.clear();
        let mut maps = File::open("/proc/self/maps").unwrap();
        maps.read_to_string(&mut self.maps).unwrap();
        for line in self.maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            let ends = range.split_once('-').unwrap();
            let [start, end] = [ends.0, ends.1].map(|end| u64::from_str_radix(end, 16).unwrap());
            if !rights.starts_with("rw") || line.contains("[v") {
                continue;
            }
            for at in (start..end).step_by(CHUNK) {
                let length = (end - at).min(CHUNK as u64) as usize;
                let read = memory.read_at(&mut self.chunk[..length], at).unwrap_or(0);
                for bytes in self.chunk[..read].as_chunks().0 {
                    let seen = u64::from_ne_bytes(*bytes) ^ MASK;
                    let known = secrets.iter().zip(&mut self.found);
                    known.for_each(|(secret, found)| *found += usize::from(secret.contains(&seen)));
                }
            }
        }
        self.chunk.fill(0);
        &self.found
    }
}

/// Writes over what earlier calls left on the stack.
#[inline(never)]
fn overwrite_stack() {
    black_box([0_u8; 1 << 20]);
}

/// Factor, generator, mask and id of a whole run, which ends or in which the sender is dropped
/// when its vectors are made.
fn secrets_of_a_run(ends: bool) -> Vec<[u64; 2]> {
    let run = run(50, 50, Reveals::Nothing);
    let mut secrets = Vec::new();
    let ids = Zeroizing::new(hashed(&run.domain, 0..50));
    let mut outer = rng(31);
    // What the receiver's generator hangs on.
    secrets.push(masked(&random(&mut rng(31)).get_seed()));
    let mut receiver = Receiver::new(run, &ids, &mut outer).unwrap();
    let mut sender = Sender::new(run, &ids, &mut outer).unwrap();
    secrets.push(masked(&ids[7].row.to_bytes()));
    drop(ids);
    loop {
        while let Some(part) = sender.outgoing() {
            receiver.incoming(&part).unwrap();
        }
        if let Some(VoleS { b, delta }) = sender.phase().and_then(Sending::made) {
            secrets.push(masked(&delta.to_bytes()));
            secrets.push(masked(&b[5].to_bytes()));
            if !ends {
                return secrets;
            }
        }
        if let Some(a) = receiver.phase().and_then(Receiving::a) {
            secrets.push(masked(&a[5].to_bytes()));
        }
        let Some(part) = receiver.outgoing() else {
            break;
        };
        sender.incoming(&part).unwrap();
    }
    assert!(receiver.is_finished() && sender.is_finished());
    secrets
}

/// In memory that its process does not give back to the system, and where an allocator writes
/// over next to nothing.
fn look_through() {
    let mut search = Search::new();
    for ends in [true, false] {
        let work = move || {
            let secrets = secrets_of_a_run(ends);
            overwrite_stack();
            secrets
        };
        let secrets = std::thread::spawn(work).join().unwrap();
        assert!(secrets.len() >= 4);
        assert_eq!(search.found(&secrets), vec![0; secrets.len()], "{ends}");
    }
    // The control: what nobody wipes before it is given back is found.
    for length in [1, 50, 16_400] {
        let secret = 0x0123_4567_89ab_cdef_u64 + length;
        drop(black_box(vec![[secret; 2]; length as usize]));
        assert!(search.found(&[[secret ^ MASK; 2]])[0] > 0, "{length}");
    }
}

/// After a run, ended or not, its secrets stand nowhere: not in memory that was given back, nor
/// in what states left when they were handed on. The stack is overwritten first, as it is by
/// whatever runs next: copies of single elements there are not followed.
#[test]
fn no_secret_outlives_its_run() {
    if std::env::var_os(CHILD).is_some() {
        return look_through();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "oprf::tests::memory::no_secret_outlives_its_run"])
        .env(CHILD, "1")
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_MMAP_THRESHOLD_", "33554432")
        .env("MALLOC_TRIM_THRESHOLD_", "4294967296")
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
}
