//! SQL of an agreement that others wrote.

use incamera_query::prove;

use crate::world;

/// Any text as the SQL of a query: proved to keep to the agreement, or refused.
pub fn query(data: &[u8]) {
    let Ok(sql) = std::str::from_utf8(data) else {
        return;
    };
    let agreement = world::agreement();
    for name in ["lift", "buyers"] {
        let mut query = agreement.queries[name].clone();
        sql.clone_into(&mut query.sql);
        if let Ok(checked) = prove(agreement, &query) {
            assert_eq!(checked.reads(), &query.reads);
        }
    }
}
