//! Plain text for people: wrapped paragraphs, headings and lists, fit for a printer.

use std::fmt::Display;

use incamera_types::printable;

/// The width of a line, in characters.
const WIDTH: usize = 78;

/// A page that grows downwards.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// A heading, underlined.
    pub(crate) fn heading(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let line = "-".repeat(title.chars().count());
        self.0.push_str(&format!("{title}\n{line}\n"));
    }

    /// A paragraph.
    pub(crate) fn text(&mut self, text: impl Display) {
        self.wrapped(&text.to_string(), "", "");
    }

    /// A point of a list.
    pub(crate) fn point(&mut self, text: impl Display) {
        self.wrapped(&text.to_string(), "* ", "  ");
    }

    /// A point below a point.
    pub(crate) fn sub_point(&mut self, text: impl Display) {
        self.wrapped(&text.to_string(), "  - ", "    ");
    }

    /// A line that is not wrapped (SQL), indented.
    pub(crate) fn verbatim(&mut self, line: &str) {
        self.0.push_str("      ");
        let line = line.trim_end().replace('\t', "    ");
        self.0.push_str(&printable(&line));
        self.0.push('\n');
    }

    fn wrapped(&mut self, text: &str, first: &str, rest: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            let width = line.chars().count() + usize::from(!empty) + word.chars().count();
            if !empty && width > WIDTH {
                self.0.push_str(line.trim_end());
                self.0.push('\n');
                line = rest.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(&printable(word));
            empty = false;
        }
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_wrap() {
        let mut page = Page::default();
        page.point("word ".repeat(40));
        let page = page.finish();
        assert!(page.lines().count() > 1);
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(page.lines().skip(1).all(|line| line.starts_with("  word")));
    }
}
