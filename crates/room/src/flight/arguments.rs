//! Parameters of a statement: from columns of Arrow to texts that the agreement's types read,
//! as `NAME=VALUE` on the command line.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Schema, TimeUnit, TimestampMicrosecondType as Micros,
    TimestampMillisecondType as Millis, TimestampNanosecondType as Nanos,
    TimestampSecondType as Seconds,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::FlightData;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::utils::flight_data_to_arrow_batch;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{Message, root_as_message_with_opts};
use flatbuffers::VerifierOptions;
use futures::StreamExt as _;
use incamera_agreement::{Param, Query};
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::limits::MAX_REQUEST_BYTES;
use incamera_types::{Moment, ParamName, ParamType, Params};
use incamera_wire::v1::{Argument, Statement};
use incamera_wire::{Format, encode};

/// A statement whose parameters are not bound yet.
pub(crate) fn statement(query: &Query) -> Vec<u8> {
    encode(&with(query, Vec::new()))
}

fn with(query: &Query, arguments: Vec<Argument>) -> Statement {
    Statement {
        format: Format::Statement.as_str().to_owned(),
        query: query.name.to_string(),
        arguments,
    }
}

/// The parameters, in order of name.
pub(crate) fn schema(query: &Query) -> Schema {
    let field =
        |(name, param): (&ParamName, &Param)| Field::new(name.as_str(), arrow(param.ty), false);
    Schema::new(query.params.iter().map(field).collect::<Vec<_>>())
}

fn arrow(ty: ParamType) -> DataType {
    match ty {
        ParamType::Bool => DataType::Boolean,
        ParamType::Int => DataType::Int64,
        ParamType::Decimal { scale, .. } => {
            DataType::Decimal128(38, i8::try_from(scale).unwrap_or(0))
        }
        ParamType::Date => DataType::Date32,
        ParamType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    }
}

/// The statement with the parameters that a client sends: one row.
pub(crate) async fn bound(
    query: &Query,
    data: PeekableFlightDataStream,
) -> Result<Statement, Problem> {
    let sent = tokio::time::timeout(MOST_TIME, collected(data)).await;
    read(query, &sent.map_err(|_| too_much())??)
}

/// The parameters that the messages of a driver hold, typed by the agreement: a schema and one
/// row, as Arrow Flight sends them. Takes any bytes.
///
/// # Errors
/// A [`Problem`] of the kind `Invalid`, which says what to send; it holds no value.
pub fn parameters(query: &Query, sent: &[FlightData]) -> Result<Params, Problem> {
    params(query, &read(query, sent)?)
}

fn read(query: &Query, sent: &[FlightData]) -> Result<Statement, Problem> {
    // The library asserts things of what it reads that a client need not keep to.
    let read = catch_unwind(AssertUnwindSafe(|| batches(query, sent)));
    let batches = read.unwrap_or_else(|_| Err(unread()))?;
    let mut rows = batches.iter().filter(|batch| batch.num_rows() > 0);
    match (rows.next(), rows.next()) {
        (None, _) => Ok(with(query, Vec::new())),
        (Some(row), None) if row.num_rows() == 1 => Ok(with(query, arguments(query, row)?)),
        _ => Err(invalid(
            "several-rows",
            "a statement is asked with one row of parameters at a time",
        )),
    }
}

/// What a client may take to send its parameters.
const MOST_TIME: Duration = Duration::from_secs(10);
/// The messages that it may send: a schema, a row, and what drivers add.
const MOST_MESSAGES: usize = 16;

/// All that a client sends, within limits.
async fn collected(data: PeekableFlightDataStream) -> Result<Vec<FlightData>, Problem> {
    let mut data = std::pin::pin!(data);
    let (mut sent, mut bytes) = (Vec::new(), 0);
    while let Some(message) = data.next().await {
        let message = message.map_err(|_| unread())?;
        bytes += message.data_header.len() + message.data_body.len();
        if sent.len() == MOST_MESSAGES || bytes > MAX_REQUEST_BYTES {
            return Err(too_much());
        }
        if !message.data_header.is_empty() {
            sent.push(message);
        }
    }
    Ok(sent)
}

/// The rows, once their columns are known to be few and flat ones.
fn batches(query: &Query, sent: &[FlightData]) -> Result<Vec<RecordBatch>, Problem> {
    let Some((first, rest)) = sent.split_first() else {
        return Ok(Vec::new());
    };
    let schema = head(first)?.header_as_schema().ok_or_else(unread)?;
    let schema = fb_to_schema(schema);
    // Columns may lie over one another in what was sent, and then in memory one after the other.
    if schema.fields().len() > query.params.len() {
        return Err(not_as_many(query));
    }
    if !schema.fields().iter().all(|field| flat(field.data_type())) {
        return Err(invalid(
            "malformed-parameters",
            "parameters are flat columns: true or false, whole numbers, decimals, texts, dates and moments",
        ));
    }
    let schema = Arc::new(schema);
    let batch = |message: &FlightData| {
        let batch = head(message)?.header_as_record_batch();
        // Whatever was packed may be of any size, and is made room for before it is looked at.
        if batch.is_none_or(|batch| batch.compression().is_some()) {
            return Err(unread());
        }
        let read = flight_data_to_arrow_batch(message, schema.clone(), &HashMap::new());
        read.map_err(|_| unread())
    };
    rest.iter().map(batch).collect()
}

/// The head of a message, if it is a plain tree of about its own size: parts of one may be
/// referred to again and again, and would each time be copied.
fn head(message: &FlightData) -> Result<Message<'_>, Problem> {
    let head = &message.data_header[..];
    let limits = VerifierOptions {
        max_depth: 16,
        max_tables: 4096,
        max_apparent_size: 4096 + 16 * head.len(),
        ignore_missing_null_terminator: false,
    };
    root_as_message_with_opts(&limits, head).map_err(|_| unread())
}

fn flat(ty: &DataType) -> bool {
    use DataType::{Boolean, Date32, Decimal128, LargeUtf8, Timestamp, Utf8, Utf8View};
    matches!(
        ty,
        Boolean | Utf8 | LargeUtf8 | Utf8View | Date32 | Decimal128(..) | Timestamp(..)
    ) || ty.is_integer()
}

/// By name; in order of name where no column has one, as drivers send bare lists of values.
fn arguments(query: &Query, row: &RecordBatch) -> Result<Vec<Argument>, Problem> {
    let schema = row.schema();
    let fields = schema.fields();
    let bare = |name: &str| name.chars().all(|c| c.is_ascii_digit());
    let named = !fields.iter().all(|field| bare(field.name()));
    if !named && fields.len() != query.params.len() {
        return Err(not_as_many(query));
    }
    let of_query = query.params.keys().map(ToString::to_string);
    let names: Vec<String> = match named {
        true => fields.iter().map(|field| field.name().clone()).collect(),
        false => of_query.collect(),
    };
    let mut arguments: Vec<Argument> = Vec::new();
    for (name, column) in names.into_iter().zip(row.columns()) {
        let known = query.params.get(name.as_str());
        let param = known.ok_or_else(|| unknown(query))?;
        if arguments.iter().any(|other| other.name == name) {
            return Err(invalid("twice", "a parameter is given twice").hint(needs(query)));
        }
        let text = text(param.ty, column).ok_or_else(|| not_of_type(&name, param.ty))?;
        arguments.push(Argument { name, text });
    }
    arguments.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(arguments)
}

/// The one value of a column as the agreement's types read it: of the parameter's own type, or a
/// text that says it. Nothing for a null.
fn text(ty: ParamType, column: &ArrayRef) -> Option<String> {
    if column.is_null(0) {
        return None;
    }
    let kind = column.data_type();
    let same = match ty {
        ParamType::Bool => *kind == DataType::Boolean,
        ParamType::Int => kind.is_integer(),
        ParamType::Decimal { .. } => kind.is_integer() || matches!(kind, DataType::Decimal128(..)),
        ParamType::Date => *kind == DataType::Date32,
        // Without a zone it is no moment.
        ParamType::Timestamp => matches!(kind, DataType::Timestamp(_, Some(_))),
        _ => false,
    };
    let text = matches!(
        kind,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    if !same && !text {
        return None;
    }
    if matches!(kind, DataType::Timestamp(..)) {
        return moment(column).map(|moment| moment.to_string());
    }
    let options = FormatOptions::default().with_display_error(false);
    let shown = ArrayFormatter::try_new(column, &options).ok()?;
    shown.value(0).try_to_string().ok()
}

/// The one moment of a column, unless it lies between two microseconds.
fn moment(column: &ArrayRef) -> Option<Moment> {
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return None;
    };
    let micros = match unit {
        TimeUnit::Second => {
            let seconds = column.as_primitive_opt::<Seconds>()?.value(0);
            seconds.checked_mul(1_000_000)?
        }
        TimeUnit::Millisecond => {
            let millis = column.as_primitive_opt::<Millis>()?.value(0);
            millis.checked_mul(1000)?
        }
        TimeUnit::Microsecond => column.as_primitive_opt::<Micros>()?.value(0),
        TimeUnit::Nanosecond => {
            let nanos = column.as_primitive_opt::<Nanos>()?.value(0);
            (nanos % 1000 == 0).then_some(nanos / 1000)?
        }
    };
    Moment::from_micros(micros)
}

fn not_as_many(query: &Query) -> Problem {
    invalid(
        "other-parameters",
        "as many parameters are needed as the query has, or columns of their names",
    )
    .hint(needs(query))
}

fn unread() -> Problem {
    invalid(
        "malformed-parameters",
        "the parameters cannot be read as a table of Arrow",
    )
}

fn too_much() -> Problem {
    invalid(
        "too-many-parameters",
        "the parameters are more than a query has, or came too slowly",
    )
}

fn unknown(query: &Query) -> Problem {
    invalid("unknown-parameter", "the query has no such parameter").hint(needs(query))
}

fn not_of_type(name: &str, ty: ParamType) -> Problem {
    let why = format!("the parameter `{name}` must be a {ty}");
    invalid("malformed-parameters", &why)
}

/// The parameters of a statement, typed by the agreement.
pub(crate) fn params(query: &Query, statement: &Statement) -> Result<Params, Problem> {
    let mut params = Params::new();
    for argument in &statement.arguments {
        let known = query.params.get_key_value(argument.name.as_str());
        let (name, Param { ty, .. }) = known.ok_or_else(|| unknown(query))?;
        let value = ty.parse(&argument.text);
        let value = value.map_err(|_| not_of_type(name.as_str(), *ty))?;
        params.insert(name.clone(), value);
    }
    match query.params.keys().find(|name| !params.contains_key(*name)) {
        None => Ok(params),
        Some(name) => {
            let why = format!("the parameter `{name}` is missing");
            Err(invalid("missing-parameter", &why).hint(needs(query)))
        }
    }
}

/// What to bind.
fn needs(query: &Query) -> String {
    let one = |(name, param): (&ParamName, &Param)| format!("{name} ({})", param.ty);
    let all: Vec<String> = query.params.iter().map(one).collect();
    match all.is_empty() {
        true => format!("`{}` has no parameters", query.name),
        false => format!("`{}` has the parameters {}", query.name, all.join(", ")),
    }
}

fn invalid(code: &str, message: &str) -> Problem {
    Problem::new(ProblemKind::Invalid, code, message)
}
