//! What only demos and tests need.
//!
//! | module       | holds                                                                   |
//! |--------------|-------------------------------------------------------------------------|
//! | [`campaign`] | two companies' made-up data with a known lift, and the exact truth      |
//! | [`cpu`]      | CPU seconds of this process                                             |
//! | [`journey`]  | real data, where they are, and the exact truth                          |
//! | [`objects`]  | an object store on the loopback, with faults                            |
//! | [`relay`]    | a line that stalls, breaks and comes back                                |
//! | [`stage`]    | processes of the built program                                          |
//! | [`wiretap`]  | a recording proxy, a decryptor for what it recorded, a search for marks |
//!
//! Nothing a party, a room or a broker does depends on this crate.

pub mod campaign;
pub mod cpu;
pub mod journey;
pub mod objects;
pub mod relay;
pub mod stage;
pub mod wiretap;
