#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| incamera_fuzzing::match_part(data));
