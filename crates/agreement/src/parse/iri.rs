//! Internationalised resource identifiers, as far as a reader of an agreement needs them: a
//! name of a thing in a vocabulary, whole in itself (RFC 3987, with a scheme).

use super::purposes::one_line;
use crate::reader::Item;

/// Whether a text is an IRI with a scheme; with `http` and `https`, with a host.
fn is_absolute(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut letters = scheme.bytes();
    let first = letters
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let plain = letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let web = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
    let host = |rest: &str| {
        let host = rest.strip_prefix("//").unwrap_or_default();
        !host.is_empty() && !host.starts_with(['/', '?', '#', ':', '@'])
    };
    first && plain && !rest.is_empty() && (!web || host(rest)) && characters(rest)
}

/// Only characters that an IRI may hold, whole escapes, and one fragment at most.
fn characters(rest: &str) -> bool {
    const NOT: &str = "<>\"{}|\\^`[]";
    let good = |c: char| !c.is_whitespace() && !c.is_control() && !NOT.contains(c);
    let escapes = rest.split('%').skip(1).all(|after| {
        let digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.count() == 2
    });
    rest.chars().all(good) && escapes && rest.matches('#').count() <= 1
}

/// The IRI of a term; a problem if it is none.
pub(super) fn iri(item: &Item<'_>) -> Option<String> {
    let text = one_line(item)?;
    if !is_absolute(&text) {
        item.problem(
            format_args!("`{}` is not an absolute IRI", item.path),
            "write the whole address of the term, such as \"https://w3id.org/dpv#Marketing\"",
        );
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::is_absolute;

    #[test]
    fn an_iri_is_whole_in_itself() {
        for good in [
            "https://w3id.org/dpv#Marketing",
            "http://example.org",
            "urn:example:purpose:1",
            "https://bücher.example/zweck?id=%C3%A4",
            "tag:example.org,2026:x",
        ] {
            assert!(is_absolute(good), "{good}");
        }
        for bad in [
            "Marketing",
            "dpv Marketing",
            "#Marketing",
            "//w3id.org/dpv",
            "https:w3id.org",
            "https://",
            "https:///dpv",
            "1a:b",
            ":b",
            "a:",
            "https://w3id.org/d pv",
            "https://w3id.org/<dpv>",
            "https://w3id.org/dpv%4",
            "https://w3id.org/dpv#a#b",
        ] {
            assert!(!is_absolute(bad), "{bad}");
        }
    }
}
