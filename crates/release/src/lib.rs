//! The chain of checks from request to grant to receipt.
