//! Seeds of parameters: what drivers bind, and what they must not.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeListArray,
    Int64Array, NullArray, RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int8Type, Schema};
use arrow_flight::{FlightData, SchemaAsIpc};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use prost::Message as _;

type Columns = Vec<(&'static str, ArrayRef)>;

fn day() -> ArrayRef {
    Arc::new(Date32Array::from(vec![20_000]))
}

fn list(item: DataType, length: i32, values: ArrayRef) -> ArrayRef {
    let item = Arc::new(Field::new("item", item, true));
    Arc::new(FixedSizeListArray::new(item, length, values, None))
}

/// One of each type, in the order of the types' names.
fn types() -> Columns {
    let decimal = Decimal128Array::from(vec![1050]);
    let moment = TimestampMillisecondArray::from(vec![1_767_225_600_123]);
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![true]))),
        ("date", day()),
        (
            "decimal",
            Arc::new(decimal.with_precision_and_scale(10, 2).unwrap()),
        ),
        ("int", Arc::new(Int64Array::from(vec![-5]))),
        (
            "text",
            Arc::new(StringViewArray::from(vec![
                "a text that is long enough for a view",
            ])),
        ),
        ("timestamp", Arc::new(moment.with_timezone("UTC"))),
    ]
}

pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let many = NullArray::new(i32::MAX as usize);
    let few: ArrayRef = list(DataType::Null, 2, Arc::new(NullArray::new(4)));
    let dictionary: DictionaryArray<Int8Type> = vec!["2026-03-01"].into_iter().collect();
    let plain: Vec<(&str, Columns)> = vec![
        ("days", vec![("from", day()), ("until", day())]),
        (
            "texts",
            vec![("from", text("2026-03-01")), ("until", text("2026-05-31"))],
        ),
        ("places", vec![("0", day()), ("1", day())]),
        ("twice", vec![("from", day()), ("from", day())]),
        (
            "null",
            vec![("from", Arc::new(NullArray::new(1))), ("until", day())],
        ),
        (
            "no-day",
            vec![
                ("from", Arc::new(Date32Array::from(vec![None]))),
                ("until", day()),
            ],
        ),
        (
            "nulls",
            vec![
                ("from", list(DataType::Null, i32::MAX, Arc::new(many))),
                ("until", day()),
            ],
        ),
        (
            "nested",
            vec![
                ("from", list(few.data_type().clone(), 2, few)),
                ("until", day()),
            ],
        ),
        ("types", types()),
    ];
    let none = IpcWriteOptions::default();
    let mut seeds: Vec<_> = plain
        .into_iter()
        .map(|(seed, row)| (seed, sent(row, &none)))
        .collect();
    let packed = none
        .clone()
        .try_with_compression(Some(CompressionType::LZ4_FRAME))
        .unwrap();
    let long = text(&"2026-03-01".repeat(50));
    seeds.push((
        "packed",
        sent(vec![("from", long), ("until", day())], &packed),
    ));
    // The writer numbers dictionaries for whole streams alone: the schema says enough.
    let field = Field::new("from", dictionary_type(&dictionary), true);
    let schema = SchemaAsIpc::new(&Schema::new(vec![field]), &none).into();
    seeds.push(("dictionary", framed(&[schema])));
    seeds
}

fn dictionary_type(dictionary: &DictionaryArray<Int8Type>) -> DataType {
    arrow::array::Array::data_type(dictionary).clone()
}

/// A schema and a row.
fn sent(columns: Columns, options: &IpcWriteOptions) -> Vec<u8> {
    let field =
        |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let row = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let (_, row) = IpcDataGenerator::default()
        .encode(
            &row,
            &mut DictionaryTracker::new(false),
            options,
            &mut IpcWriteContext::default(),
        )
        .unwrap();
    framed(&[SchemaAsIpc::new(&schema, options).into(), row.into()])
}

fn framed(messages: &[FlightData]) -> Vec<u8> {
    let one = |message: &FlightData| {
        let message = message.encode_to_vec();
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        [&length[..], &message].concat()
    };
    messages.iter().flat_map(one).collect()
}
