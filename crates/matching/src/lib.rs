//! Private matching of identities: bytes in, bytes out.
