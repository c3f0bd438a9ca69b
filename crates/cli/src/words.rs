//! Numbers of things.

/// `1 log entry`, `2 log entries`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        some => format!("{some} {many}"),
    }
}

/// `1 person`, `2 people`.
pub fn people(number: u64) -> String {
    counted(number, "person", "people")
}

/// `3 kB`, `42 MB`, `1.5 GB`: bytes, in thousands.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        few @ ..1_000_000 => format!("{} kB", few.div_ceil(1000)),
        some @ ..1_000_000_000 => format!("{} MB", (some + 500_000) / 1_000_000),
        many => {
            let tenths = (many + 50_000_000) / 100_000_000;
            format!("{}.{} GB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [people(0), people(1), people(2)],
            ["0 people", "1 person", "2 people"]
        );
    }

    #[test]
    fn bytes_are_rounded() {
        assert_eq!(
            [0, 1, 999_999, 1_500_000, 999_999_999, 64_260_000_000].map(bytes),
            ["0 kB", "1 kB", "1000 kB", "2 MB", "1000 MB", "64.3 GB"]
        );
    }
}
