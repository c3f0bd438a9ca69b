//! What `method = "vole"` asks of `[matching]`.

use incamera_types::limits::{MAX_VOLE_IDS, MIN_VOLE_IDS};

use crate::model::{MatchingMethod, Security};
use crate::reader::Table;

/// Against whom what shows matches is long enough.
pub(super) fn security(table: &Table<'_>, method: Option<MatchingMethod>) -> Option<Security> {
    let Some(item) = table.get("security") else {
        return Some(Security::Malicious);
    };
    if method.is_some_and(|method| method != MatchingMethod::Vole) {
        item.problem(
            "`security` is a choice of method vole alone",
            "leave the line out: other methods have one way of matching",
        );
        return None;
    }
    match item.text()? {
        "malicious" => Some(Security::Malicious),
        "semi-honest" => Some(Security::SemiHonest),
        _ => {
            item.problem(
                "`security` is malicious or semi-honest",
                "leave the line out for malicious, or write security = \"semi-honest\" to save up to 6 bytes an id where the other party is trusted to keep to the protocol",
            );
            None
        }
    }
}

/// `max_ids` bounds what a party can have evaluated, which is more than the ids it declares.
pub(super) fn limits(table: &Table<'_>, method: Option<MatchingMethod>, max_ids: Option<u64>) {
    let (Some(MatchingMethod::Vole), Some(max_ids), Some(item)) =
        (method, max_ids, table.get("max_ids"))
    else {
        return;
    };
    if max_ids < MIN_VOLE_IDS {
        item.problem(
            format_args!(
                "by method vole a party of even the smallest set could have {MIN_VOLE_IDS} ids evaluated, so it cannot be held to `max_ids`"
            ),
            format_args!(
                "write method = \"commutative\" for small sets, or `max_ids` of at least {MIN_VOLE_IDS}: about 4 times the ids of a small set, 2.77 times those of a large one"
            ),
        );
    }
    if max_ids > MAX_VOLE_IDS {
        item.problem(
            "method vole takes at most 4194304 ids of a party in a run, and this allows for more",
            format_args!(
                "write method = \"commutative\" for larger sets, or `max_ids` of at most {MAX_VOLE_IDS}: 2.77 times the ids of a party"
            ),
        );
    }
}
