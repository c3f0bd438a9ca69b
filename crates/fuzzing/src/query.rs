//! SQL of an agreement that others wrote, and parameters that drivers send.

use std::sync::LazyLock;

use arrow_flight::FlightData;
use incamera_agreement::Query;
use incamera_query::prove;
use incamera_types::ParamType;
use prost::Message as _;

use crate::parts::take;
use crate::reach::reached;
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
            reached(name);
        }
    }
}

/// The lift with one parameter of each type.
static ALL_TYPES: LazyLock<Query> = LazyLock::new(|| {
    let mut query = world::agreement().queries["lift"].clone();
    let of_lift = std::mem::take(&mut query.params);
    let types = [
        ("bool", ParamType::Bool),
        ("int", ParamType::Int),
        ("decimal", ParamType::Decimal { scale: 2 }),
        ("text", ParamType::Text),
        ("date", ParamType::Date),
        ("timestamp", ParamType::Timestamp),
    ];
    for (name, ty) in types {
        let mut param = of_lift["from"].clone();
        param.ty = ty;
        query.params.insert(name.parse().unwrap(), param);
    }
    query
});

/// Messages of Arrow Flight, each after its length in two bytes.
fn messages(mut rest: &[u8]) -> Vec<FlightData> {
    let mut messages = Vec::new();
    while let Some(message) = take(&mut rest) {
        messages.extend(FlightData::decode(message));
    }
    messages
}

/// What a driver binds: just the parameters of the query, each of its type, or none.
pub fn parameters(data: &[u8]) {
    let sent = messages(data);
    for query in [&world::agreement().queries["lift"], &ALL_TYPES] {
        if let Ok(params) = incamera_room::parameters(query, &sent) {
            assert!(params.keys().eq(query.params.keys()));
            reached(["lift", "all types"][usize::from(query.params.len() > 2)]);
            for (name, value) in &params {
                assert_eq!(value.ty(), query.params[name].ty);
            }
        }
    }
}
