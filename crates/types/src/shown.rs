//! Texts of others, shown to people, and lists in words.

use std::fmt::Display;

/// Whether a character shows a reader another text than the one that is there: controls other
/// than line breaks and tabs, what turns text around, what is not seen.
///
/// # Source
/// Unicode's bidirectional controls (UAX 9), default-ignorable code points (UAX 44), and the
/// letters that are drawn as nothing (the Hangul fillers).
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    let control = c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    let invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    control || direction || invisible || breaks
}

/// Whether a character is none of a text of one line: deceptive ones, line breaks and tabs.
#[must_use]
pub fn is_foul(c: char) -> bool {
    is_deceptive(c) || c.is_control()
}

/// A text of one line as it may stand on a terminal or a page: `\u{fffd}` for every character
/// that is none of such a text.
#[must_use]
pub fn printable(text: &str) -> String {
    let shown = |c| if is_foul(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A text of several lines, as [`printable`] otherwise.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c| if is_deceptive(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// `a`, `a and b`, `a, b and c`; of none `nobody`.
pub fn and<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists() {
        assert_eq!(and(["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn what_deceives_is_replaced() {
        let fffd = "\u{fffd}";
        for bad in [
            "\u{1b}", "\n", "\r", "\t", "\u{202e}", "\u{2069}", "\u{2028}", "\u{200b}", "\u{3164}",
            "\u{9b}", "\u{7f}",
        ] {
            assert_eq!(
                printable(&format!("a{bad}b")),
                format!("a{fffd}b"),
                "{bad:?}"
            );
        }
        for good in ["Zürich, été", "東京 1", "🙂", "a b"] {
            assert_eq!(printable(good), good);
        }
        assert_eq!(visible("a\tb\n\u{1b}[8mc"), "a\tb\n\u{fffd}[8mc");
    }
}
