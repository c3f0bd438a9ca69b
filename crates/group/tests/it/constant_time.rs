//! Time and memory accesses depend on neither the scalar nor the texts.
//!
//! Two ways to look, both long: memcheck follows the bytes of the scalar, and of texts, as if
//! they were never written, and complains of every jump and every address that depends on one;
//! and a statistic
//! compares the times of two classes of scalars. Valgrind knows no AVX-512: it sees AVX2 and
//! the portable backend, whose library then takes AVX2 too. One jump of that library is
//! expected (`tests/dalek.supp`).
#![expect(unsafe_code, reason = "asks valgrind, by instructions of its own")]

use std::process::Command;
use std::time::Instant;

use incamera_group::{Backend, HashDomain, Point, Scalar, hash_to_group};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// What memcheck is told to exit with when it has something to say.
const COMPLAINT: i32 = 99;
/// Environment of the process under valgrind: what it does.
const WORK: &str = "INCAMERA_GROUP_TAINTED";

/// Tells memcheck that a value was never written; does nothing outside valgrind.
fn taint<T>(value: &mut T) {
    /// `VALGRIND_MAKE_MEM_UNDEFINED`: the tool's letters in the high half.
    const MAKE_UNDEFINED: u64 = (b'M' as u64) << 24 | (b'C' as u64) << 16 | 1;
    let address = std::ptr::from_mut(value) as u64;
    let request = [MAKE_UNDEFINED, address, size_of::<T>() as u64, 0, 0, 0];
    // SAFETY: four rotations by 128 bits in all leave `rdi` as it was and the exchange of
    // `rbx` with itself does nothing: only valgrind sees a request in them, which reads the
    // six words and notes that the value, which is ours, is undefined.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") request.as_ptr(),
            inout("rdx") 0_u64 => _,
            inout("rdi") 0_u64 => _,
        );
    }
}

/// Runs under valgrind, started by the test below.
#[test]
#[ignore = "half of a test: the other starts it"]
fn tainted_work() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let domain = HashDomain::new(b"taint").unwrap();
    let points: Vec<_> = (0..9_u8)
        .map(|text| hash_to_group(b"taint", &[text]).unwrap().encode())
        .collect();
    let mut scalar = Scalar::from_secret(b"taint", &[7; 32]);
    taint(&mut scalar);
    if work == "jump" {
        // The control: a jump on what comes of the scalar.
        let multiple = hash_to_group(b"taint", b"x").unwrap().multiply(&scalar);
        assert!(multiple.encode().as_bytes()[0] != 1 || work.is_empty());
        return;
    }
    let backend = Backend::all().find(|backend| backend.to_string() == work);
    let backend = backend.unwrap();
    let number = |number| Scalar::from_secret(b"taint", &[number; 32]);
    // Of every size class: a vector not full, a pair of vectors.
    for count in [3, 9] {
        std::hint::black_box(backend.multiply(&points[..count], &scalar).unwrap().len());
        // Texts are people's ids; encodings have crossed the network, whole or refused.
        let mut texts = vec![[5_u8; 40]; count];
        texts.iter_mut().for_each(taint);
        std::hint::black_box(backend.hash_and_multiply(&domain, &texts, &scalar).len());
        std::hint::black_box(backend.hash(&domain, &texts).len());
        let mut scalars: Vec<_> = (0..count as u8).map(number).collect();
        scalars.iter_mut().for_each(taint);
        std::hint::black_box(backend.multiply_one(&Point::base(), &scalars).len());
        let pairs: Vec<_> = scalars.iter().zip(&texts).collect();
        let less = backend.multiply_one_less_hash(&Point::base(), &domain, &pairs);
        std::hint::black_box(less.len());
    }
}

#[test]
#[ignore = "needs valgrind and --release"]
fn no_jump_and_no_address_depends_on_scalars_or_texts() {
    if cfg!(debug_assertions) {
        panic!("checks of overflow are jumps: build with --release");
    }
    for (work, complains) in [("jump", true), ("avx2", false), ("portable", false)] {
        let output = Command::new("valgrind")
            .arg(format!("--error-exitcode={COMPLAINT}"))
            .arg(concat!(
                "--suppressions=",
                env!("CARGO_MANIFEST_DIR"),
                "/tests/dalek.supp"
            ))
            .arg("--quiet")
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "constant_time::tainted_work"])
            .args(["--test-threads", "1"])
            .env(WORK, work)
            .output()
            .expect("valgrind is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert_eq!(
            code,
            Some(if complains { COMPLAINT } else { 0 }),
            "{work}: {said}"
        );
    }
}

/// Times in nanoseconds of one class of scalars, the faster half alone: the others were disturbed.
struct Times(Vec<f64>);

impl Times {
    fn moments(mut self) -> (f64, f64, f64) {
        self.0.sort_by(f64::total_cmp);
        self.0.truncate(self.0.len() / 2);
        let count = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / count;
        let variance = self.0.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance, count)
    }
}

/// Welch's t for the times of `work` on the two classes, which take turns by chance.
fn welch<T>(rounds: usize, classes: [&T; 2], work: impl Fn(&T)) -> f64 {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut times = [Times(Vec::new()), Times(Vec::new())];
    for _ in 0..rounds {
        let class = (rng.next_u32() & 1) as usize;
        let start = Instant::now();
        work(classes[class]);
        times[class].0.push(start.elapsed().as_nanos() as f64);
    }
    let [(a, s, n), (b, t, m)] = times.map(Times::moments);
    ((a - b) / (s / n + t / m).sqrt()).abs()
}

/// So many steps of work that no compiler takes away.
fn steps(count: u128) {
    for number in 0..count {
        std::hint::black_box(number);
    }
}

/// The least time of some, in nanoseconds.
fn least(work: impl Fn()) -> u128 {
    let timed = (0..100).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos()
    });
    timed.min().unwrap()
}

/// No difference between two classes, and one where the first has a hundredth more to do; 4.5
/// is the usual bound of such tests (Reparaz, Balasch and Verbauwhede, *dude, is my code
/// constant time?*, 2017).
#[expect(clippy::print_stdout, reason = "the figures are the test's report")]
fn alike<T>(name: &str, classes: [&T; 2], work: impl Fn(&T)) {
    let t = welch(20_000, classes, &work);
    println!("{name}: t = {t:.2}");
    assert!(t < 4.5, "{name}: t = {t:.2}");
    let hundredth = 3_000 * least(|| work(classes[0])) / (100 * least(|| steps(3_000)));
    let t = welch(20_000, classes, |class| {
        work(class);
        if std::ptr::eq(class, classes[0]) {
            steps(hundredth);
        }
    });
    println!("{name}, with more work for one class: t = {t:.2}");
    assert!(t > 4.5, "{name}: more work for one class is not seen");
}

/// Digits that are all zero but the lowest, against digits without a pattern.
#[test]
#[ignore = "minutes, with --release, on a quiet machine"]
fn sparse_and_dense_scalars_take_the_same_time() {
    let points: Vec<_> = (0..16_u8)
        .map(|text| hash_to_group(b"time", &[text]).unwrap().encode())
        .collect();
    let mut two = [0; 32];
    two[0] = 2;
    let sparse = Scalar::from_canonical_bytes(two).unwrap();
    let dense = Scalar::from_secret(b"time", &[9; 32]);
    for backend in Backend::all() {
        alike(
            &format!("{backend}, scalars"),
            [&sparse, &dense],
            |scalar| {
                std::hint::black_box(backend.multiply(&points, scalar)).unwrap();
            },
        );
    }
}

/// One id sixteen times, against sixteen ids of one length.
#[test]
#[ignore = "minutes, with --release, on a quiet machine"]
fn equal_and_different_texts_take_the_same_time() {
    let domain = HashDomain::new(b"time").unwrap();
    let scalar = Scalar::from_secret(b"time", &[9; 32]);
    let same = [[0_u8; 24]; 16];
    let mut different = same;
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    different.iter_mut().for_each(|text| rng.fill_bytes(text));
    for backend in Backend::all() {
        alike(&format!("{backend}, texts"), [&same, &different], |texts| {
            std::hint::black_box(backend.hash_and_multiply(&domain, texts, &scalar));
        });
    }
}

/// Of one point by many scalars: sixteen that are all zero but the lowest digit, against sixteen
/// without a pattern.
#[test]
#[ignore = "minutes, with --release, on a quiet machine"]
fn sparse_and_dense_scalars_of_one_point_take_the_same_time() {
    let domain = HashDomain::new(b"time").unwrap();
    let mut two = [0; 32];
    two[0] = 2;
    let sparse = [(); 16].map(|()| Scalar::from_canonical_bytes(two).unwrap());
    let mut number = 0;
    let dense = [(); 16].map(|()| {
        number += 1;
        Scalar::from_secret(b"time", &[number; 32])
    });
    for backend in Backend::all() {
        let name = format!("{backend}, scalars of one point");
        alike(&name, [&sparse, &dense], |scalars| {
            std::hint::black_box(backend.multiply_one(&Point::base(), scalars));
        });
        let texts = [[5_u8; 24]; 16];
        let name = format!("{name}, less a hash");
        alike(&name, [&sparse, &dense], |scalars| {
            let pairs: Vec<_> = scalars.iter().zip(&texts).collect();
            let less = backend.multiply_one_less_hash(&Point::base(), &domain, &pairs);
            std::hint::black_box(less);
        });
    }
}
