//! The release of keys: the chain of checks from a signed request to an opened grant, and the
//! receipt. Both the owner's broker and the room; sans-IO.
//!
//! # Parties and messages
//! | step | from → to        | message                  | who checks, and makes what               |
//! |------|------------------|--------------------------|------------------------------------------|
//! | 0    | broker → room    | challenge                | [`Challenges`]                           |
//! | 1    | analyst → room → broker | signed request    | [`verify_request`] → [`VerifiedRequest`]; by a [`Token`]'s key, its token too; for a proposed query, the approval of every owner read |
//! | 2    | (at the broker)  |                          | [`CurrentData`]: own manifests are newest |
//! | 3    | room → broker    | evidence for this request | [`Attested`]: code, keys, challenge     |
//! | 4    | (at the broker)  |                          | [`Permitted`]: the owner's own rules     |
//! | 5    | (at the broker)  |                          | [`Openable`]: the keys exist             |
//! | 6    | broker → room    | signed reservation       | [`Reserved`]: budget held, seed promised |
//! | 7    | room → brokers   | all reservations         | [`AllReserved`], then [`Committed`]: charged and logged |
//! | 8    | broker → room    | signed, sealed grant     | [`open_grants`] → [`OpenedGrants`]       |
//! | 9    | room → receivers | answer and receipt       | [`issue`], [`verify_release`]            |
//! | 9a   | room → receivers | the same, sealed to each | [`seal_answer`], [`open_answer`]         |
//!
//! Each state holds, as a private field, what only the check before it can make: a skipped
//! check does not compile (I4). Steps 0 to 6 run at every owner read before step 7 runs at any.
//!
//! # Claim
//! Against a malicious room operator, network, analyst or other owner: no key of an owner
//! leaves its broker but sealed to a key that accepted evidence binds to this request, after a
//! durable charge and log entry (I4, I5). The room computes only with seeds that open the
//! commitments that every owner signed before any owner charged: no owner can choose its seed
//! by the others', nor change it on a repeat unnoticed (I8). A replayed grant opens nothing:
//! the key that it is sealed to is wiped. Not defended: an owner who seals false data, or who
//! colludes with the code that was measured.
//! # What each party learns
//! Each owner: who asks what, why, when, and that every other owner read has reserved. The
//! room: the keys of the columns read, for the length of the query. The analyst: the answer;
//! on failure one of the refusals here, none of which depends on a row (I7).
//! # Reference
//! HPKE: RFC 9180. Two rounds: two-phase commit with the participants' votes signed. Log:
//! RFC 6962.
//!
//! # Features
//! * `test-util` (not default): `OpenedGrants::for_tests`, a way around the checks. For tests.

mod broker;
mod challenge;
mod commit;
mod grant;
mod proposed;
mod receipt;
mod refusal;
mod request;
mod reservations;
mod room;
mod sealed_answer;
mod token;
mod verified;

pub use broker::{Attested, Broker, CurrentData, Openable, OwnRules, Permitted, Reserved};
pub use challenge::{CHALLENGE_LIFETIME_S, Challenges, FreshChallenge, MAX_OPEN_CHALLENGES};
pub use commit::Committed;
pub use grant::{GRANT_S, GrantFault};
pub use receipt::{
    GrantReport, IssueError, ReceiptError, ReceiptReport, Record, issue, verify_release,
};
pub use refusal::{Refusal, RefusalKind};
pub use request::{MAX_LIFETIME_S, MAX_REASON_BYTES, Request, RequestError};
pub use reservations::{AllReserved, MIN_LEFT_S, RESERVATION_S, ReservationsError};
pub use room::{GrantsError, OpenFault, OpenedGrants, Opening, open_grants, room_keys};
pub use sealed_answer::{
    Address, MAX_SEALED_BYTES, Receiver, SealedAnswerError, open_answer, seal_answer,
};
pub use token::{MAX_TOKEN_S, Token, TokenError, TokenTerms};
pub use verified::{DatasetRead, RequestRefusal, VerifiedRequest, verify_request};
