//! How much memory there is, so that no query is let in that the machine cannot hold.
//!
//! What a query may need is counted from public sizes before anything is spent; that is worth
//! nothing if the machine has less than the number it is compared with: the room would then
//! end, or not, by people's rows (I7).

use std::fs::read_to_string;
use std::path::Path;

/// The most for one query, unless the configuration says otherwise.
const MOST_BYTES: u64 = 4 << 30;

/// The program, the system and what comes in beside a query need some as well: of the memory
/// that there is, a query may use no more than so many parts of [`PARTS`].
const MOST_PARTS: u64 = 7;
const PARTS: u64 = 8;

/// There is less memory than a query may use, with some to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`memory_bytes` is {asked}, and this machine (or its cgroup) has {has} bytes of memory, of which an eighth stays for all else: a query that needs what it may use would end the room, and whether it does would follow people's rows; write {half} or less, or leave it out, or give the machine more"
)]
pub struct TooLittleMemory {
    asked: u64,
    has: u64,
    half: u64,
}

/// For one query, unless the configuration says otherwise: 4 GiB, of a small machine half.
pub(crate) fn default_bytes() -> u64 {
    let half = bytes(Path::new("/")).map_or(MOST_BYTES, |bytes| bytes / 2);
    half.min(MOST_BYTES)
}

/// Checks that the machine has what a query may use.
pub(crate) fn has(asked: u64) -> Result<(), TooLittleMemory> {
    enough(asked, bytes(Path::new("/")))
}

fn enough(asked: u64, has: Option<u64>) -> Result<(), TooLittleMemory> {
    match has {
        Some(has) if asked > has / PARTS * MOST_PARTS => Err(TooLittleMemory {
            asked,
            has,
            half: has / 2,
        }),
        _ => Ok(()),
    }
}

/// The machine's memory, or what the cgroups (version 2) of this process leave of it; none
/// where the system does not say.
fn bytes(root: &Path) -> Option<u64> {
    let memory = read_to_string(root.join("proc/meminfo")).ok();
    let memory = memory.and_then(|text| total(&text));
    memory.into_iter().chain(of_cgroups(root)).min()
}

/// `MemTotal` of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes: u64 = line?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

/// The least limit of this process's cgroup and of those that it lies in.
fn of_cgroups(root: &Path) -> Option<u64> {
    let own = read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let top = root.join("sys/fs/cgroup");
    let folder = top.join(own);
    let limit = |folder: &Path| {
        // Without a limit it says `max`.
        let text = read_to_string(folder.join("memory.max")).ok()?;
        text.trim().parse().ok()
    };
    let inside = folder.ancestors().take_while(|path| path.starts_with(&top));
    inside.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_of_machine_and_cgroups_counts() {
        let memory = (
            "proc/meminfo",
            "MemTotal:       2000 kB\nMemFree:  1000 kB\n",
        );
        let own = ("proc/self/cgroup", "0::/a/b\n");
        let free = ("sys/fs/cgroup/a/b/memory.max", "max\n");
        let above = ("sys/fs/cgroup/a/memory.max", "1024000\n");
        let outside = ("sys/fs/cgroup/c/memory.max", "1\n");
        let has = |files: &[(&str, &str)]| bytes(machine(files).path());
        assert_eq!(has(&[]), None);
        assert_eq!(has(&[memory]), Some(2000 << 10));
        assert_eq!(has(&[memory, own, free, outside]), Some(2000 << 10));
        assert_eq!(has(&[memory, own, free, above]), Some(1_024_000));
        assert_eq!(has(&[own, free, above]), Some(1_024_000));
        let (old, all) = (
            ("proc/self/cgroup", "5:memory:/a\n0::/\n"),
            ("sys/fs/cgroup/memory.max", "77"),
        );
        assert_eq!(has(&[memory, old, all]), Some(77));
    }

    #[test]
    fn a_room_asks_for_no_more_than_there_is() {
        assert_eq!(enough(5, None), Ok(()));
        assert_eq!(enough(70, Some(80)), Ok(()));
        let text = enough(71, Some(80)).unwrap_err().to_string();
        assert!(
            text.contains("`memory_bytes` is 71") && text.contains("write 40 or less"),
            "{text}"
        );
        assert!(has(u64::MAX).is_err(), "this machine says what it has");
        assert_eq!(has(default_bytes()), Ok(()));
        assert_eq!(enough(0, Some(1)), Ok(()));
    }
}
