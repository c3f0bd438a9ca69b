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
}
