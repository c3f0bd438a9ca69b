//! A party's service: broker, rendezvous and manifests.
