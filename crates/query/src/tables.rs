//! The data sets of an agreement as tables without rows, for planning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::functions::{self, Filling, Operators, Types};
use crate::refusal::{Refusal, RefusalKind};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DataFusionError, ParamValues, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_aggregate::{
    approx_percentile_cont, average, count, median, min_max, percentile_cont, stddev, sum, variance,
};
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion::functions_window::{lead_lag, nth_value, rank, row_number};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableProviderFilterPushDown, TableSource,
    WindowUDF,
};
use incamera_types::{ColumnRef, ColumnSpec, ColumnType, DatasetName, DatasetSpec, Pseudonym};

/// Bytes of a pseudonym, as Arrow counts them.
pub(crate) const PSEUDONYM_BYTES: i32 = Pseudonym::BYTES as i32;

/// The Arrow type of a column in the engine. Texts have wide offsets: how much text a join
/// gathers must not decide whether it fails.
pub(crate) fn arrow_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int64,
        ColumnType::Decimal { precision, scale } => {
            DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Pseudonym | ColumnType::Person => DataType::FixedSizeBinary(PSEUDONYM_BYTES),
        _ => DataType::LargeUtf8,
    }
}

/// A stored column's field. All but keys of people count as nullable, whatever the owner promised:
/// no plan may rest on a promise that the room has not checked.
pub(crate) fn field(column: &ColumnSpec) -> Field {
    let nullable = column.nullable || !column.ty.is_key();
    Field::new(column.name.as_str(), arrow_type(column.ty), nullable)
}

/// The schema of a data set's stored columns.
pub(crate) fn schema_of(spec: &DatasetSpec) -> SchemaRef {
    Arc::new(Schema::new(
        spec.stored_columns().map(field).collect::<Vec<_>>(),
    ))
}

/// The schema of those of a data set's columns that are read.
pub(crate) fn schema_read(spec: &DatasetSpec, reads: &BTreeSet<ColumnRef>) -> SchemaRef {
    let read = |column: &&ColumnSpec| {
        let mut reads = reads.iter().filter(|read| read.dataset == spec.name);
        reads.any(|read| read.column == column.name)
    };
    let columns = spec.stored_columns().filter(read);
    Arc::new(Schema::new(columns.map(field).collect::<Vec<_>>()))
}

/// A table without rows.
struct Shell {
    schema: SchemaRef,
    public: bool,
}

impl TableSource for Shell {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What a plan asks of one private data set's columns alone, the scan answers
    /// ([`filter`](crate::filter)). All rows of public ones are counted, so all are read.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let support = match self.public {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Exact,
        };
        Ok(vec![support; filters.len()])
    }
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shell")
    }
}

/// Functions by their names.
type Named<T> = &'static [(&'static str, fn() -> Arc<T>)];

/// The aggregates.
const AGGREGATES: Named<AggregateUDF> = &[
    ("count", count::count_udaf),
    ("sum", sum::sum_udaf),
    ("min", min_max::min_udaf),
    ("max", min_max::max_udaf),
    ("median", median::median_udaf),
    ("percentile_cont", percentile_cont::percentile_cont_udaf),
    (
        "approx_percentile_cont",
        approx_percentile_cont::approx_percentile_cont_udaf,
    ),
    ("avg", average::avg_udaf),
    ("var", variance::var_samp_udaf),
    ("variance", variance::var_samp_udaf),
    ("var_samp", variance::var_samp_udaf),
    ("var_pop", variance::var_pop_udaf),
    ("stddev", stddev::stddev_udaf),
    ("stddev_samp", stddev::stddev_udaf),
    ("stddev_pop", stddev::stddev_pop_udaf),
];

/// What else may stand before OVER.
const WINDOWS: Named<WindowUDF> = &[
    ("row_number", row_number::row_number_udwf),
    ("rank", rank::rank_udwf),
    ("dense_rank", rank::dense_rank_udwf),
    ("lag", lead_lag::lag_udwf),
    ("lead", lead_lag::lead_udwf),
    ("first_value", nth_value::first_value_udwf),
];

/// What the planner may look up: the agreement's data sets, and the functions on the lists.
/// There is no other function to find, so no other can be called.
pub(crate) struct Tables<'a> {
    datasets: &'a BTreeMap<DatasetName, DatasetSpec>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<dyn TypePlanner>,
    options: ConfigOptions,
}

impl<'a> Tables<'a> {
    /// The tables, and the parameters by which operators on them are told apart.
    pub(crate) fn new(
        datasets: &'a BTreeMap<DatasetName, DatasetSpec>,
        params: ParamValues,
        filling: Filling,
    ) -> Self {
        let mut options = ConfigOptions::new();
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        Self {
            datasets,
            planners: vec![
                Arc::new(AggregateFunctionPlanner),
                Arc::new(WindowFunctionPlanner),
                Arc::new(Operators::new(params, filling)),
            ],
            types: Arc::new(Types),
            options,
        }
    }
}

impl Tables<'_> {
    fn unknown(&self, name: &TableReference) -> Refusal {
        let known: Vec<&str> = self.datasets.keys().map(DatasetName::as_str).collect();
        Refusal::new(
            RefusalKind::Syntax,
            format!("data set `{name}`"),
            "the agreement has none of this name",
            format!("name one of its data sets: {}", known.join(", ")),
        )
        .or_at_text(name.table())
    }
}

impl ContextProvider for Tables<'_> {
    fn get_table_source(
        &self,
        name: TableReference,
    ) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let spec = match &name {
            TableReference::Bare { table } => self.datasets.get(table.as_ref()),
            _ => None,
        };
        match spec {
            Some(spec) => Ok(Arc::new(Shell {
                schema: schema_of(spec),
                public: spec.public,
            })),
            None => Err(DataFusionError::External(Box::new(self.unknown(&name)))),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        functions::named(name).or_else(|| crate::after::function(name))
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let (_, function) = AGGREGATES.iter().find(|(known, _)| *known == name)?;
        Some(function())
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        let (_, function) = WINDOWS.iter().find(|(known, _)| *known == name)?;
        Some(function())
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        functions::names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        AGGREGATES.iter().map(|(name, _)| (*name).into()).collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        WINDOWS.iter().map(|(name, _)| (*name).into()).collect()
    }
}
