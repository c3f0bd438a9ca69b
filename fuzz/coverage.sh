#!/bin/sh
# Stands before rustc: coverage for libFuzzer in our own crates. The flags are those of `cargo fuzz`
# without its sanitizer, and stable. Build scripts and macros run without libFuzzer; the kernels
# of `group` are a hundred times slower with counters in them, and take no foreign layouts.
case " $* " in
  *sancov-module*) exec "$@" ;; # `cargo fuzz`
  *" --crate-name build_script_"* | *" --crate-type proc-macro "*) exec "$@" ;;
  *" --crate-name incamera_group "*) exec "$@" ;;
  *" --crate-name incamera_"*) ;;
  *) exec "$@" ;;
esac
exec "$@" --cfg fuzzing -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
