//! E-mail addresses.

use super::{IdFault, invisible};

/// The one domain whose owner says that dots and tags in front of the `@` mean nothing, and
/// whose addresses the trade therefore writes without them.
const GMAIL: &str = "gmail.com";

/// An address in lower case: one `@`, something before it and a domain after it.
pub(super) fn lower(text: &str, into: &mut String) -> Result<(), IdFault> {
    let (local, domain) = text.split_once('@').ok_or(IdFault::Invalid)?;
    let dots = domain.starts_with('.') || domain.ends_with('.') || domain.contains("..");
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    if local.is_empty() || domain.is_empty() || dots || local.contains(bad) || domain.contains(bad)
    {
        return Err(IdFault::Invalid);
    }
    if text.is_ascii() {
        into.push_str(text);
        into.make_ascii_lowercase();
    } else {
        into.push_str(&text.to_lowercase());
    }
    Ok(())
}

/// The same, nothing in it that cannot be seen, and of an address at gmail.com what stands
/// before the `@` without dots and without a tag.
pub(super) fn published(text: &str, into: &mut String) -> Result<(), IdFault> {
    if !text.is_ascii() && text.contains(invisible) {
        return Err(IdFault::Invalid);
    }
    lower(text, into)?;
    let Some((local, GMAIL)) = into.split_once('@') else {
        return Ok(());
    };
    let person = local.split_once('+').map_or(local, |(person, _)| person);
    let mut address = person.replace('.', "");
    if address.is_empty() {
        return Err(IdFault::Invalid);
    }
    address.push('@');
    address.push_str(GMAIL);
    *into = address;
    Ok(())
}
