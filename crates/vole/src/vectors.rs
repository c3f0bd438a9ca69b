//! Reads vectors: lines of `name: value` in a fixed order.

/// What is left of a file.
pub(crate) struct Vectors(std::iter::Peekable<std::str::Lines<'static>>);

impl Vectors {
    pub(crate) fn new(file: &'static str) -> Self {
        Self(file.lines().peekable())
    }

    fn value(&mut self, name: &str) -> &'static str {
        let lines = &mut self.0;
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        let (found, value) = line.unwrap().split_once(": ").unwrap();
        assert_eq!(found, name);
        value
    }

    pub(crate) fn number(&mut self, name: &str) -> usize {
        self.value(name).parse().unwrap()
    }

    pub(crate) fn bytes(&mut self, name: &str) -> Vec<u8> {
        hex::decode(self.value(name)).unwrap()
    }

    pub(crate) fn array<const LENGTH: usize>(&mut self, name: &str) -> [u8; LENGTH] {
        self.bytes(name).try_into().unwrap()
    }

    /// All values were read.
    pub(crate) fn end(mut self) {
        assert_eq!(self.0.next(), None);
    }
}
