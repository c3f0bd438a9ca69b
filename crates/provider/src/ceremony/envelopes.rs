//! Packages on their way: signed by their sender, and sealed where they are secret.

use incamera_keys::hpke::Sealed;
use incamera_keys::{open_signed, peek_signed, sign_message};
use incamera_net::status::{Problem, chain};
use incamera_oprf::keygen::Package;
use incamera_oprf::lagrange::Place;
use incamera_types::PartyName;
use incamera_wire::v1::{CeremonyPackage, Signed};
use incamera_wire::{Format, encode};
use zeroize::Zeroizing;

use super::{Asked, MAX_PACKAGE_BYTES, Running, refused};
use crate::admit::malformed;

/// HPKE's info for packages of round 2.
const SEALED_LABEL: &[u8] = b"incamera-ceremony/1";
/// Bytes of an encapsulated key.
const ENCAPPED_BYTES: usize = 1120;

impl Asked<'_> {
    /// A package of another holder, of this ceremony and round, signed by its sender.
    pub(super) fn opened(
        &self,
        running: &Running,
        round: u32,
        signed: &Signed,
    ) -> Result<(Place, CeremonyPackage), Problem> {
        let peeked = peek_signed::<CeremonyPackage>(signed, Format::Ceremony, MAX_PACKAGE_BYTES);
        let peeked = peeked.map_err(|_| malformed("packages"))?;
        let sender: PartyName = peeked
            .unverified()
            .sender
            .parse()
            .map_err(|_| malformed("sender"))?;
        let mut holders = running.holders.iter();
        let place = holders.find(|(_, name)| **name == sender);
        let key = self.admitted.agreed.providers.get(&sender);
        let ((place, _), key) = place.zip(key).ok_or_else(|| malformed("sender"))?;
        let opened = open_signed(signed, Format::Ceremony, key, MAX_PACKAGE_BYTES);
        let package: CeremonyPackage = opened.map_err(|error| {
            refused(
                "package-signature",
                format!("a package in the name of `{sender}` is not signed by it"),
            )
            .detail(chain(&error))
        })?;
        let receiver = if round == 1 {
            ""
        } else {
            self.state.name.as_str()
        };
        let here = package.ceremony == running.id
            && package.round == round
            && package.receiver == receiver;
        if !here {
            return Err(refused(
                "other-ceremony",
                format!(
                    "a package of `{sender}` is of another ceremony or step, or for another provider: it, or the command that relays, mixes them up"
                ),
            ));
        }
        Ok((*place, package))
    }

    pub(super) fn signed(
        &self,
        running: &Running,
        round: u32,
        receiver: Option<&PartyName>,
        content: Vec<u8>,
    ) -> Result<Signed, Problem> {
        let package = CeremonyPackage {
            content,
            ..frame(running, round, &self.state.name, receiver)
        };
        sign_message(&self.state.service, Format::Ceremony, &package).map_err(Problem::internal)
    }

    /// A value, sealed to the one it is for.
    pub(super) fn sealed(&self, running: &Running, value: &Package) -> Result<Signed, Problem> {
        let receiver = value
            .receiver()
            .and_then(|place| running.holders.get(&place));
        let receiver = receiver.ok_or_else(|| Problem::internal("a value is for nobody"))?;
        let agreement = self.admitted.agreement.agreement();
        let key = agreement.receive_key(receiver).ok_or_else(|| {
            refused(
                "no-receive-key",
                format!("`{receiver}` has no `receives` in the agreement, which its share would be sealed to"),
            )
        })?;
        let bound = encode(&frame(running, 2, &self.state.name, Some(receiver)));
        let sealed = key.seal(SEALED_LABEL, &bound, value.as_bytes(), &mut rand::rng());
        let sealed = sealed.map_err(Problem::internal)?;
        let content = [sealed.encapped_key, sealed.ciphertext].concat();
        self.signed(running, 2, Some(receiver), content)
    }

    pub(super) fn unsealed(
        &self,
        running: &Running,
        place: Place,
        package: &CeremonyPackage,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let sender = running
            .holders
            .get(&place)
            .ok_or_else(|| malformed("sender"))?;
        let key = self.state.receive.as_ref().ok_or_else(|| {
            refused(
                "no-receive-key",
                "this provider's folder has no key to receive with",
            )
            .hint("say under `[keys]` in `party.toml` where `receive` is")
        })?;
        let bound = encode(&frame(running, 2, sender, Some(&self.state.name)));
        let split = package.content.split_at_checked(ENCAPPED_BYTES);
        let opened = split.and_then(|(encapped_key, ciphertext)| {
            let sealed = Sealed {
                encapped_key: encapped_key.to_vec(),
                ciphertext: ciphertext.to_vec(),
            };
            key.open(SEALED_LABEL, &bound, &sealed).ok()
        });
        opened.ok_or_else(|| {
            refused(
                "provider-at-fault",
                format!("what `{sender}` sent to this provider does not open: it was sealed to another key, or changed before it was signed"),
            )
        })
    }
}

/// A package without its content.
fn frame(
    running: &Running,
    round: u32,
    sender: &PartyName,
    receiver: Option<&PartyName>,
) -> CeremonyPackage {
    CeremonyPackage {
        ceremony: running.id.to_vec(),
        round,
        sender: sender.to_string(),
        receiver: receiver.map(ToString::to_string).unwrap_or_default(),
        content: Vec::new(),
    }
}
