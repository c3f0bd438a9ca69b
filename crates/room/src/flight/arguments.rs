//! Parameters of a statement: from columns of Arrow to texts that the agreement's types read,
//! as `NAME=VALUE` on the command line.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use incamera_agreement::{Param, Query};
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::{ParamName, ParamType, Params};
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
        _ => DataType::Utf8,
    }
}

/// The statement with the parameters that a client sends: one row.
pub(crate) async fn bound(
    query: &Query,
    data: PeekableFlightDataStream,
) -> Result<Statement, Problem> {
    let unread = |_: FlightError| {
        invalid(
            "malformed-parameters",
            "the parameters cannot be read as a table of Arrow",
        )
    };
    let data: Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(data.map_err(|status| FlightError::Tonic(Box::new(status))));
    let mut batches = FlightRecordBatchStream::new_from_flight_data(data);
    let mut row = None;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(unread)?;
        match (batch.num_rows(), &row) {
            (0, _) => {}
            (1, None) => row = Some(batch),
            _ => {
                return Err(invalid(
                    "several-rows",
                    "a statement is asked with one row of parameters at a time",
                ));
            }
        }
    }
    match row {
        Some(row) => Ok(with(query, arguments(query, &row)?)),
        None => Ok(with(query, Vec::new())),
    }
}

/// By name where any column has a parameter's name, else in order of name.
fn arguments(query: &Query, row: &RecordBatch) -> Result<Vec<Argument>, Problem> {
    let schema = row.schema();
    let fields = schema.fields();
    let named = fields
        .iter()
        .any(|field| query.params.contains_key(field.name().as_str()));
    if !named && fields.len() != query.params.len() {
        return Err(invalid(
            "other-parameters",
            "as many parameters are needed as the query has, or columns of their names",
        )
        .hint(needs(query)));
    }
    let names = query.params.keys().map(ToString::to_string);
    let names: Vec<String> = match named {
        true => fields.iter().map(|field| field.name().clone()).collect(),
        false => names.collect(),
    };
    let columns = names.into_iter().zip(row.columns());
    let argument = |(name, column): (String, &arrow::array::ArrayRef)| {
        let options = FormatOptions::default().with_display_error(false);
        let text = ArrayFormatter::try_new(column, &options)
            .ok()
            .filter(|_| column.is_valid(0))
            .and_then(|column| column.value(0).try_to_string().ok());
        let text = text.ok_or_else(|| {
            let why = format!("the parameter `{name}` has no value, or one of a strange type");
            invalid("malformed-parameters", &why)
        })?;
        Ok(Argument { name, text })
    };
    let mut arguments = columns
        .map(argument)
        .collect::<Result<Vec<Argument>, Problem>>()?;
    arguments.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(arguments)
}

/// The parameters of a statement, typed by the agreement.
pub(crate) fn params(query: &Query, statement: &Statement) -> Result<Params, Problem> {
    let mut params = Params::new();
    for argument in &statement.arguments {
        let known = query.params.get_key_value(argument.name.as_str());
        let (name, Param { ty, .. }) = known.ok_or_else(|| {
            invalid("unknown-parameter", "the query has no such parameter").hint(needs(query))
        })?;
        let value = ty.parse(&argument.text).map_err(|_| {
            let why = format!("the parameter `{name}` must be a {ty}");
            invalid("malformed-parameters", &why)
        })?;
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
