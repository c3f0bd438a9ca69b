//! CPU seconds, which a busy machine changes less than the clock on the wall.

use std::io;

/// CPU seconds of this process so far, all threads, user and system. Linux only.
///
/// # Errors
/// What reading the kernel's figures gives; [`io::ErrorKind::InvalidData`] where they are none.
pub fn cpu_seconds() -> io::Result<f64> {
    of("self")
}

/// CPU seconds of another process so far.
///
/// # Errors
/// As [`cpu_seconds`]; also if there is no such process.
pub fn cpu_seconds_of_process(process: u32) -> io::Result<f64> {
    of(&process.to_string())
}

fn of(process: &str) -> io::Result<f64> {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    // The program's name may hold spaces; utime and stime are 12 and 13 fields after it.
    let (_, rest) = stat.rsplit_once(')').ok_or_else(bad)?;
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|ticks| ticks.parse::<f64>().map_err(|_| bad()));
    Ok(ticks.sum::<io::Result<f64>>()? / TICKS_A_SECOND)
}

/// CPU seconds that `run` takes, and what it gives.
///
/// # Errors
/// As [`cpu_seconds`].
pub fn cpu_seconds_of<T>(run: impl FnOnce() -> T) -> io::Result<(f64, T)> {
    let start = cpu_seconds()?;
    let out = run();
    Ok((cpu_seconds()? - start, out))
}
