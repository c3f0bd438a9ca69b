//! The agreement: parse, check, sign, verify, diff and explain.
