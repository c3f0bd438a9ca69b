//! Ids that say nothing about how they are written: loyalty numbers, cookies, ids that a
//! provider made of others.

use super::IdFault;

/// The id as it is.
pub(super) fn plain(text: &str, into: &mut String) -> Result<(), IdFault> {
    if text.contains(char::is_control) {
        return Err(IdFault::Invalid);
    }
    into.push_str(text);
    Ok(())
}
