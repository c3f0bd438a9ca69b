//! Purpose-bound encrypted Parquet, its manifest and the key ring.
