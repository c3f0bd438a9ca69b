//! What only demos and tests need: generated data, a wiretap and reference twins.
