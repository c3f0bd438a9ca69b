//! Pinned TLS, gRPC, configuration and tracing.
