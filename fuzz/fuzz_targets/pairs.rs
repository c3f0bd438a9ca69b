#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    incamera_fuzzing::let_guarded_panics_pass();
    incamera_fuzzing::pairs(data);
});
