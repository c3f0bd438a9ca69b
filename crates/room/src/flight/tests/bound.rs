//! What drivers send as parameters, and what they must not.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeListArray,
    Float64Array, Int8Array, Int64Array, LargeStringArray, NullArray, StringArray, StringViewArray,
    StructArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int8Type, Schema};
use arrow::error::ArrowError;
use arrow_flight::utils::batches_to_flight_data;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_ipc::{CompressionType, MetadataVersion};
use flatbuffers::FlatBufferBuilder;
use incamera_types::ParamType;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field =
        |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn sent(batch: &RecordBatch) -> Vec<FlightData> {
    batches_to_flight_data(&batch.schema(), vec![batch.clone()]).unwrap()
}

fn day() -> ArrayRef {
    Arc::new(Date32Array::from(vec![20_000]))
}

/// A query with one parameter of each type, named by it.
fn all_types(mut lift: Query) -> Query {
    let types = [
        ("bool", ParamType::Bool),
        ("int", ParamType::Int),
        ("decimal", ParamType::Decimal { scale: 2 }),
        ("text", ParamType::Text),
        ("date", ParamType::Date),
        ("timestamp", ParamType::Timestamp),
    ];
    let of_lift = std::mem::take(&mut lift.params);
    for (of, ty) in types {
        let mut param = of_lift["from"].clone();
        param.ty = ty;
        lift.params.insert(name(of), param);
    }
    lift
}

/// Types of Arrow that say what a parameter's type says, and texts that do.
#[tokio::test]
async fn values_of_every_type_are_bound() {
    let lift = Served::new().await.query("lift");
    let query = all_types(lift);
    let moment = 1_767_225_600_123;
    let typed: Vec<(&str, ArrayRef)> = vec![
        (
            "timestamp",
            Arc::new(TimestampMillisecondArray::from(vec![moment]).with_timezone("Europe/Berlin")),
        ),
        ("bool", Arc::new(BooleanArray::from(vec![true]))),
        ("int", Arc::new(Int8Array::from(vec![-5]))),
        (
            "decimal",
            Arc::new(
                Decimal128Array::from(vec![1050])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("text", Arc::new(StringViewArray::from(vec!["a text"]))),
        ("date", day()),
    ];
    let texts: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(StringArray::from(vec!["true"]))),
        ("int", Arc::new(LargeStringArray::from(vec!["-5"]))),
        ("decimal", Arc::new(StringArray::from(vec!["10.50"]))),
        ("text", Arc::new(StringArray::from(vec!["a text"]))),
        ("date", Arc::new(StringArray::from(vec!["2024-10-04"]))),
        (
            "timestamp",
            Arc::new(StringArray::from(vec!["2026-01-01T00:00:00.123Z"])),
        ),
    ];
    let typed = parameters(&query, &sent(&batch(typed))).unwrap();
    let texts = parameters(&query, &sent(&batch(texts))).unwrap();
    assert_eq!(typed, texts);
    let said: Vec<String> = typed.values().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "true",
            "2024-10-04",
            "10.50",
            "-5",
            "a text",
            "2026-01-01T00:00:00.123Z"
        ]
    );
}

/// What is null, of another type, or says another thing than it seems to is not asked with: a
/// question that nobody meant would be charged.
#[tokio::test]
async fn other_values_are_refused() {
    let query = all_types(Served::new().await.query("lift"));
    let nanos = |nanos: i64| TimestampNanosecondArray::from(vec![nanos]);
    let cases: Vec<(&str, &str, ArrayRef)> = vec![
        (
            "text",
            "must be a text",
            Arc::new(StringArray::from(vec![None::<&str>])),
        ),
        (
            "int",
            "must be a int",
            Arc::new(Int64Array::from(vec![None])),
        ),
        ("text", "flat columns", Arc::new(NullArray::new(1))),
        (
            "int",
            "flat columns",
            Arc::new(Float64Array::from(vec![1.0])),
        ),
        (
            "int",
            "must be a int",
            Arc::new(BooleanArray::from(vec![true])),
        ),
        (
            "text",
            "must be a text",
            Arc::new(Int64Array::from(vec![1])),
        ),
        (
            "date",
            "must be a date",
            Arc::new(Int64Array::from(vec![20_000])),
        ),
        (
            "int",
            "must be a int",
            Arc::new(StringArray::from(vec!["5.0"])),
        ),
        ("timestamp", "must be a timestamp", Arc::new(nanos(1000))),
        (
            "timestamp",
            "must be a timestamp",
            Arc::new(nanos(1001).with_timezone("UTC")),
        ),
        (
            "date",
            "must be a date",
            Arc::new(Date32Array::from(vec![i32::MAX])),
        ),
    ];
    for (of, words, value) in cases {
        let kind = value.data_type().clone();
        let refused = parameters(&query, &sent(&batch(vec![(of, value)])));
        let problem = refused.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Invalid);
        assert!(problem.message().contains(words), "{kind}: {problem}");
    }
}

/// A list of two thousand million nulls, twice: a hundred bytes that would be written out.
fn nested() -> ArrayRef {
    let null = Arc::new(Field::new("item", DataType::Null, true));
    let inner = FixedSizeListArray::new(
        null,
        i32::MAX,
        Arc::new(NullArray::new(i32::MAX as usize)),
        None,
    );
    Arc::new(inner)
}

#[tokio::test]
async fn nested_columns_are_refused_before_they_are_read() {
    let lift = Served::new().await.query("lift");
    let dictionary: DictionaryArray<Int8Type> = vec!["2026-03-01"].into_iter().collect();
    let inside = Arc::new(Field::new("item", DataType::Date32, true));
    for column in [
        nested(),
        Arc::new(dictionary) as ArrayRef,
        Arc::new(StructArray::from(vec![(inside, day())])),
    ] {
        let all = batch(vec![("from", column), ("until", day())]);
        let schema = SchemaAsIpc::new(&all.schema(), &IpcWriteOptions::default()).into();
        let problem = parameters(&lift, &[schema]).unwrap_err();
        assert!(problem.message().contains("flat columns"), "{problem}");
    }
}

#[tokio::test]
async fn names_count_where_there_are_any() {
    let lift = Served::new().await.query("lift");
    let asked = |names: &[&str]| {
        let columns = names.iter().map(|name| (*name, day())).collect();
        parameters(&lift, &sent(&batch(columns)))
    };
    assert!(asked(&["until", "from"]).is_ok());
    assert!(asked(&["0", "1"]).is_ok() && asked(&["", ""]).is_ok());
    for (names, code) in [
        (&["from", "from"][..], "twice"),
        (&["From", "Until"], "unknown-parameter"),
        (&["from", "1"], "unknown-parameter"),
        (&["from"], "missing-parameter"),
        (&["0"], "other-parameters"),
        (&["0", "1", "2"], "other-parameters"),
        (&["from", "until", "from"], "other-parameters"),
    ] {
        assert_eq!(asked(names).unwrap_err().code(), code, "{names:?}");
    }
    let two: ArrayRef = Arc::new(Date32Array::from(vec![1, 2]));
    let rows = sent(&batch(vec![("from", two.clone()), ("until", two)]));
    assert_eq!(parameters(&lift, &rows).unwrap_err().code(), "several-rows");
}

/// Messages of Arrow that are small and would become large in memory, and others that are none.
#[tokio::test]
async fn crafted_messages_are_refused() {
    let lift = Served::new().await.query("lift");
    let good = sent(&batch(vec![("from", day()), ("until", day())]));
    assert!(parameters(&lift, &good).is_ok());
    let unread = |sent: &[FlightData]| {
        let problem = parameters(&lift, sent).unwrap_err();
        assert_eq!(problem.code(), "malformed-parameters", "{problem}");
    };
    unread(&compressed(1).unwrap());
    // The length before what was packed says how much room to make.
    unread(&compressed(1 << 46).unwrap());
    unread(&good[1..]);
    unread(&[good[0].clone(), good[0].clone()]);
    for at in 0..good[1].data_header.len() {
        let mut cut = good.clone();
        cut[1].data_header.truncate(at);
        unread(&cut);
    }
    let mut without = good;
    without[1].data_body = Bytes::new();
    unread(&without);
    // A text that many fields share would be copied for each.
    let long = "x".repeat(64 << 10);
    let fields: Vec<Field> = (0..2)
        .map(|_| Field::new(&long, DataType::Date32, true))
        .collect();
    let honest = SchemaAsIpc::new(&Schema::new(fields), &IpcWriteOptions::default()).into();
    let problem = parameters(&lift, &[honest]).unwrap_err();
    assert_eq!(problem.code(), "missing-parameter");
    unread(&[shared(&long)]);
}

/// A row of two days, packed; the packed length says `says` bytes, where it is not 1.
fn compressed(says: u64) -> Result<Vec<FlightData>, ArrowError> {
    let days: ArrayRef = Arc::new(StringArray::from(vec!["2026-03-01".repeat(50)]));
    let row = batch(vec![("from", days), ("until", day())]);
    let packed = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?
        .try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut context = IpcWriteContext::default();
    let (_, data) = IpcDataGenerator::default().encode(
        &row,
        &mut DictionaryTracker::new(false),
        &packed,
        &mut context,
    )?;
    let mut data: FlightData = data.into();
    if says > 1 {
        let mut body = data.data_body.to_vec();
        body[..8].copy_from_slice(&says.to_le_bytes());
        data.data_body = body.into();
    }
    let schema = SchemaAsIpc::new(&row.schema(), &IpcWriteOptions::default()).into();
    Ok(vec![schema, data])
}

/// A schema of a thousand fields whose one name it holds once.
fn shared(text: &str) -> FlightData {
    let mut to = FlatBufferBuilder::new();
    let name = to.create_string(text);
    let mut date = arrow_ipc::DateBuilder::new(&mut to);
    date.add_unit(arrow_ipc::DateUnit::DAY);
    let date = date.finish();
    let none = to.create_vector::<flatbuffers::ForwardsUOffset<arrow_ipc::Field<'_>>>(&[]);
    let mut field = || {
        let mut field = arrow_ipc::FieldBuilder::new(&mut to);
        field.add_name(name);
        field.add_type_type(arrow_ipc::Type::Date);
        field.add_type_(date.as_union_value());
        field.add_children(none);
        field.finish()
    };
    let fields: Vec<_> = (0..1000).map(|_| field()).collect();
    let fields = to.create_vector(&fields);
    let mut schema = arrow_ipc::SchemaBuilder::new(&mut to);
    schema.add_fields(fields);
    let schema = schema.finish();
    let mut message = arrow_ipc::MessageBuilder::new(&mut to);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(arrow_ipc::MessageHeader::Schema);
    message.add_header(schema.as_union_value());
    let message = message.finish();
    to.finish(message, None);
    FlightData {
        data_header: to.finished_data().to_vec().into(),
        ..FlightData::default()
    }
}

/// The same through a driver: bound, asked, and refused where the row is none.
#[tokio::test]
async fn a_driver_binds_a_row() {
    let served = Served::new().await;
    let mut client = served.client(&served.token(&["lift"]));
    let mut ask = async |row: RecordBatch| {
        let mut prepared = client.prepare("lift".into(), None).await.unwrap();
        prepared.set_parameters(row).unwrap();
        let info = prepared.execute().await?;
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        client.do_get(ticket).await.map(drop)
    };
    let null: ArrayRef = Arc::new(Date32Array::from(vec![None]));
    for (from, code) in [
        (day(), "data-missing"),
        (null, "malformed-parameters"),
        (Arc::new(NullArray::new(1)), "malformed-parameters"),
        (nested(), "malformed-parameters"),
    ] {
        let asked = ask(batch(vec![("from", from), ("until", day())])).await;
        assert_eq!(told_to(asked).code(), code);
    }
    let twice = ask(batch(vec![("from", day()), ("from", day())])).await;
    assert_eq!(told_to(twice).code(), "twice");
}
