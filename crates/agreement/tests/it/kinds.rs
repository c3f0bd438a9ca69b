//! What is told of kinds of id.

use incamera_agreement::{concerns, explain};

use crate::words::flat;
use crate::{LIFT, parse};

/// Two companies that name a kind `e-mail` would match almost nobody: they hear of it first.
#[test]
fn a_kind_that_looks_as_if_it_had_rules_is_a_concern() {
    let with = |ids: &str| parse(&LIFT.replacen("ids = [\"email\"]", ids, 1));
    assert_eq!(
        concerns(&with("ids = [\"email\", \"phone\", \"customer\"]"), None),
        [""; 0]
    );
    let agreement = with("ids = [\"e-mail\", \"phone_number\", \"phone\"]");
    let concerns = concerns(&agreement, None);
    let [mail, phone] = &concerns[..] else {
        panic!("two kinds are concerned: {concerns:?}");
    };
    assert!(
        mail.contains("`e-mail`") && mail.ends_with("name the kind `email`"),
        "{mail}"
    );
    assert!(
        phone.contains("`phone_number`") && phone.ends_with("name the kind `phone`"),
        "{phone}"
    );
    let page = flat(&explain(&agreement));
    for text in [
        "e-mail as it stands, upper and lower case apart: no rules hold",
        "phone_number as it stands",
        "phone with the country's code, without signs between digits",
        "NO RULES HOLD for ids of kind `e-mail`",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}
