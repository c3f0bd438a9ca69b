//! The pages on the language, and on the 22 queries of TPC-H.

use super::fit::{Base, holds, verdict};
use super::*;

#[test]
fn the_page_on_sql_says_what_is_so() {
    let page = include_str!("../../../../docs/sql.md");
    let count = holds("docs/sql.md", page, |sql| {
        let base = Base {
            text: DATASETS,
            registers: &["customers"],
            public: &["regions"],
            most: |_| 30,
            first: "purchases.person",
        };
        verdict(&base, sql)
    });
    assert!(count >= 27, "{count}");
}

/// Every function that SQL may call is on the page.
#[test]
fn the_page_on_sql_names_every_function() {
    let page = include_str!("../../../../docs/sql.md");
    for name in crate::functions::names() {
        assert!(page.contains(&format!("`{name}(")), "{name}");
    }
}

#[test]
fn the_queries_of_tpch_are_classified() {
    let (head, _) = DATASETS.split_once("[datasets.customers]").unwrap();
    let base = format!("{head}{}", include_str!("tpch.toml"));
    let page = include_str!("../../../../docs/tpch.md");
    let base = Base {
        text: &base,
        registers: &[],
        public: &["part", "supplier", "partsupp", "nation", "region"],
        most: |_| 30,
        first: "lineitem.person",
    };
    let count = holds("docs/tpch.md", page, |sql| verdict(&base, sql));
    assert!(count >= 22, "{count}");
    for number in 1..=22 {
        assert!(page.contains(&format!("\n## Q{number} ")), "Q{number}");
    }
}
