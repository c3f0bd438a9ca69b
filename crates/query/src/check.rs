//! From the agreement's SQL to a checked query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ParamValues;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext};
use datafusion::sql::planner::SqlToRel;
use incamera_agreement::{Agreement, GroupKey, Param, Query};
use incamera_dp::Threshold;
use incamera_release::VerifiedRequest;
use incamera_types::{
    ColumnRef, DatasetName, DatasetSpec, Params, PrivacyLoss, QueryName, RequestDigest,
};
use incamera_wire::v1 as wire;

use crate::after::{Above, Datum, Output, Step, Term, above};
use crate::frame;
use crate::functions::{Filling, filled};
use crate::keys::{groups, key_shape, possible};
use crate::lineage::{Lineage, PublicKeys, Rows, Unit, bare};
use crate::link::{self, Link};
use crate::measure::{self, Draft, Made, Measure};
use crate::nested;
use crate::params::{parameters, used, worst_value};
use crate::refusal::{Refusal, RefusalKind};
use crate::refused::unit_lost;
use crate::run::runs;
use crate::said::syntax;
use crate::shape::Scope;
use crate::sql::one_select;
use crate::stack::with_stack;
use crate::tables::Tables;
use crate::ties;
use crate::window;
use crate::words::Spoken;

/// The bounded plan's name of the person of a row.
pub(crate) const UNIT: &str = "__person";

/// The bounded plan's name of the group key `at`.
pub(crate) fn key_name(at: usize) -> String {
    format!("__key{at}")
}

/// The bounded plan's name of what measure `at` adds up.
pub(crate) fn value_name(at: usize) -> String {
    format!("__value{at}")
}

/// A query whose SQL keeps to the agreement: every row that it adds up belongs to one known
/// person, no expression can fail, and it reads exactly the columns declared.
#[derive(Clone, Debug)]
pub struct CheckedQuery {
    pub(crate) query: Query,
    pub(crate) loss: PrivacyLoss,
    pub(crate) measures: Vec<Measure>,
    /// How aggregates are put together from measures.
    pub(crate) made: Vec<Made>,
    /// The measure that counts all people of a group.
    pub(crate) people: Option<usize>,
    /// From how many people, by the noisy count, a group is listed; where keys are discovered.
    pub(crate) threshold: Option<Threshold>,
    /// The columns of the answer that are no group keys, in order of the SELECT.
    pub(crate) outputs: Vec<Output>,
    /// What becomes of the answer's rows.
    pub(crate) steps: Vec<Step>,
    /// The group keys as expressions over the answer see them.
    pub(crate) keys: Vec<KeyColumn>,
    pub(crate) datasets: BTreeMap<DatasetName, DatasetSpec>,
    pub(crate) population: u64,
    /// The people of the largest owner read.
    pub(crate) most_people: u64,
    /// The people of each private data set's owner.
    pub(crate) declared: BTreeMap<DatasetName, u64>,
    /// Of public data sets, the columns that each join sets equal to what a person's row has:
    /// no two rows may be the same in them.
    pub(crate) public_keys: PublicKeys,
    /// How people of two owners are linked, where a rule is needed.
    pub(crate) link: Option<Link>,
    /// The request that it was checked for, in a room.
    pub(crate) request: Option<RequestDigest>,
    /// One row for each row of the joined data: its person, group keys and values.
    pub(crate) plan: LogicalPlan,
    /// The same as the optimizer made it, over tables without rows: what is run.
    pub(crate) optimized: LogicalPlan,
    /// What is told in words: with parameters by their names where nobody gave values.
    pub(crate) spoken: Option<Spoken>,
}

/// A group key of the aggregate.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumn {
    /// Which of the agreement's group keys it is.
    pub(crate) group: usize,
    pub(crate) ty: DataType,
}

impl KeyColumn {
    /// Its value in a group of the answer.
    pub(crate) fn datum(&self, group: &wire::Group) -> Datum {
        let Some(text) = group.key.get(self.group) else {
            return Datum::Null;
        };
        match self.ty {
            DataType::Boolean => Datum::Bool(text == "true"),
            DataType::Int64 | DataType::Decimal128(..) => Datum::of_number(text),
            _ => Datum::Text(text.clone()),
        }
    }
}

impl CheckedQuery {
    /// The query's name.
    #[must_use]
    pub fn name(&self) -> &QueryName {
        &self.query.name
    }

    /// The columns that are read, and no others.
    #[must_use]
    pub fn reads(&self) -> &BTreeSet<ColumnRef> {
        &self.query.reads
    }

    /// What a run costs each owner read.
    #[must_use]
    pub fn loss(&self) -> PrivacyLoss {
        self.loss
    }

    /// The same query as this request's: [`compute`](crate::compute) takes the grants of no
    /// other. For tests and measurements: a room uses [`check_request`].
    #[must_use]
    pub fn asked_by(self, request: RequestDigest) -> Self {
        Self {
            request: Some(request),
            ..self
        }
    }

    /// How many rows of a person of a private data set are kept, and how many a public one
    /// may have in all.
    pub(crate) fn most_rows(&self, dataset: &DatasetName) -> u64 {
        self.query.rows.get(dataset).copied().unwrap_or(1)
    }

    /// How many rows of a public data set a person's row can meet.
    pub(crate) fn public_matches(&self, spec: &DatasetSpec) -> u64 {
        let mut joins = self.public_keys.get(&spec.name).into_iter().flatten();
        let any = joins.clone().next().is_some();
        if any && joins.all(|keys| !keys.is_empty()) {
            return 1;
        }
        self.most_rows(&spec.name)
    }

    /// The measures, in order of the SELECT.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }
}

/// Checks a query of the agreement with the parameters of a request.
///
/// # Errors
/// [`Refusal`]: what, why, and what to write instead.
pub fn check(
    agreement: &Agreement,
    query: &Query,
    params: &Params,
) -> Result<CheckedQuery, Refusal> {
    checked(agreement, query, params, true)
}

/// Checks, with parameters that somebody asked with or with such as nobody means.
fn checked(
    agreement: &Agreement,
    query: &Query,
    params: &Params,
    asked: bool,
) -> Result<CheckedQuery, Refusal> {
    let check = || {
        let values = parameters(query, params)?;
        Check {
            agreement,
            query,
            asked,
        }
        .run(values)
    };
    with_stack(check).map_err(|refusal| refusal.in_sql(&query.sql))
}

/// Checks what a signed request asks, for that request alone.
///
/// # Errors
/// [`Refusal`]: what, why, and what to write instead.
pub fn check_request(request: &VerifiedRequest) -> Result<CheckedQuery, Refusal> {
    let agreement = request.agreement().agreement();
    let checked = check(agreement, request.query(), request.request().params())?;
    Ok(checked.asked_by(request.digest()))
}

/// Proves, before anybody signs, that a query's SQL keeps to the agreement whatever the
/// parameters: it is checked with the worst value of each.
///
/// # Errors
/// [`Refusal`]: what, why, and what to write instead.
pub fn prove(agreement: &Agreement, query: &Query) -> Result<CheckedQuery, Refusal> {
    let worst =
        |(name, param): (&incamera_types::ParamName, &Param)| (name.clone(), worst_value(param));
    let params: Params = query.params.iter().map(worst).collect();
    checked(agreement, query, &params, false)
}

struct Check<'a> {
    agreement: &'a Agreement,
    query: &'a Query,
    /// Whether the parameters are somebody's: only then can they be a mistake.
    asked: bool,
}

impl Check<'_> {
    fn run(&self, values: ParamValues) -> Result<CheckedQuery, Refusal> {
        let whole = self.plan(values.clone(), Filling::Values)?;
        let Above {
            aggregate,
            outputs,
            steps,
            names,
        } = above(&whole)?;
        let mut lineage = Lineage::new(self.agreement, self.query);
        let rows = lineage.all(&aggregate.input)?;
        let scope = Scope {
            schema: aggregate.input.schema(),
            fields: &rows.fields,
        };
        let unit = self.unit(&rows, aggregate)?;
        let keys = self.keys(&outputs, aggregate, &scope)?;
        let names = self.names(&names, aggregate)?;
        let drafts = measure::drafts(&names, aggregate, &scope)?;
        let (measures, made) = measure::calibrate(&drafts, self.query, self.agreement)?;
        let people = drafts.iter().position(|draft| draft.people);
        let people = people.and_then(|at| made.get(at)).map(|made| made.first);
        measure::check_names(&made, &measures, self.query)?;
        frame::distinct(self.query, &outputs)?;
        measure::check_compared(&made, &measures, people, self.query)?;
        self.needs_people(people)?;
        let spoken = self.spoken(&whole, values, &outputs, &names);
        let plan = bounded(aggregate, unit, &keys, &drafts)?;
        let plan = ties::broken(plan).map_err(|e| syntax(&e))?;
        let optimized = runs(&plan).map_err(|_| not_run())?;
        crate::whose::kept(&optimized, &self.agreement.datasets)?;
        self.reads(&plan)?;
        let no_key = |output: &Output| !output.is_key();
        let most_ids = self.agreement.matching.max_ids;
        Ok(CheckedQuery {
            query: self.query.clone(),
            loss: self.agreement.cost(self.query),
            threshold: self.threshold(people.and_then(|at| measures.get(at)))?,
            measures,
            made,
            people,
            keys: self.key_columns(&outputs, aggregate),
            outputs: outputs.into_iter().filter(no_key).collect(),
            steps,
            datasets: self.datasets(),
            population: self.people().min().unwrap_or(0),
            most_people: self.people().max().unwrap_or(most_ids),
            declared: self.declared(),
            public_keys: lineage.public_keys(),
            link: Link::of(self.agreement, self.query),
            request: None,
            plan,
            optimized,
            spoken,
        })
    }

    /// What is told in words.
    fn spoken(
        &self,
        plan: &LogicalPlan,
        values: ParamValues,
        outputs: &[Output],
        names: &[String],
    ) -> Option<Spoken> {
        if self.asked || self.query.params.is_empty() {
            return Spoken::new(plan, outputs, names);
        }
        let named = self.plan(values, Filling::Names).ok()?;
        Spoken::new(&named, outputs, names)
    }

    /// Parses one SELECT and plans it, types coerced, over tables without rows.
    fn plan(&self, values: ParamValues, filling: Filling) -> Result<LogicalPlan, Refusal> {
        let tables = Tables::new(&self.agreement.datasets, values.clone(), filling);
        let options = datafusion::logical_expr::planner::ContextProvider::options(&tables).clone();
        let statement = one_select(&self.query.sql)?;
        used(self.query)?;
        let plan = SqlToRel::new(&tables)
            .statement_to_plan(statement)
            .map_err(|e| syntax(&e))?;
        let plan = filled(plan, values, filling).map_err(|e| syntax(&e))?;
        if self.asked {
            window::not_empty(&plan)?;
        }
        let plan = nested::exact(plan).map_err(|e| syntax(&e))?;
        let plan = Analyzer::new().execute_and_check(plan, &options, |_, _| {});
        plan.and_then(nested::joined).map_err(|e| syntax(&e))
    }

    /// The column that says whose row it is.
    fn unit(&self, rows: &Rows, aggregate: &Aggregate) -> Result<Expr, Refusal> {
        if !rows.private {
            return Err(unit_lost("a query of public data sets alone".into()));
        }
        let at = rows
            .fields
            .iter()
            .position(|field| field.unit == Unit::Certain);
        let column = at.map(|at| aggregate.input.schema().qualified_field(at));
        column
            .map(|(table, field)| Expr::Column((table, field).into()))
            .ok_or_else(|| unit_lost("rows without a certain pseudonym".into()))
    }

    /// The group keys, in the agreement's order.
    fn keys(
        &self,
        outputs: &[Output],
        aggregate: &Aggregate,
        scope: &Scope<'_>,
    ) -> Result<Vec<Expr>, Refusal> {
        if aggregate
            .group_expr
            .iter()
            .any(|key| matches!(key, Expr::GroupingSet(_)))
        {
            let what = "ROLLUP, CUBE or GROUPING SETS";
            return Err(Refusal::new(
                RefusalKind::Clause,
                what,
                "each row of the answer is one group",
                "group by declared keys",
            ));
        }
        let declared = |name: &str| self.query.groups.iter().any(|group| group.name == name);
        let keys = || {
            outputs.iter().filter_map(|output| match output.term {
                Term::Key(at) => Some((output.name.as_str(), at)),
                _ => None,
            })
        };
        if let Some((key, _)) = keys().find(|(key, _)| !declared(key)) {
            return Err(groups(
                format!("grouping by `{key}`"),
                "the agreement does not declare it, and which groups exist would be an answer",
                "declare groups = { name = [\"value\", ...] } with the values to show, or { name = \"discovered\" }",
            )
            .or_at_text(key));
        }
        if aggregate.group_expr.len() != keys().count() {
            return Err(groups(
                "a group key that is not in the SELECT".into(),
                "each row of the answer says which group it is",
                "SELECT every group key once, with its declared name",
            ));
        }
        let find = |name: &String| {
            let key = keys()
                .find(|(key, _)| key == name)
                .and_then(|(_, at)| aggregate.group_expr.get(at));
            let key = key.ok_or_else(|| {
                groups(
                    format!("the declared group `{name}`"),
                    "the SQL does not group by it",
                    "SELECT it with this name and GROUP BY it",
                )
            })?;
            key_shape(key, name, scope)?;
            Ok(bare(key).clone())
        };
        let shown = |group: &GroupKey| {
            let key = find(&group.name)?;
            possible(&key, group, scope, self.agreement)?;
            Ok(key)
        };
        self.query.groups.iter().map(shown).collect()
    }

    /// The group keys as expressions over the answer see them, in the plan's order.
    fn key_columns(&self, outputs: &[Output], aggregate: &Aggregate) -> Vec<KeyColumn> {
        let fields = aggregate.schema.fields().iter().enumerate();
        let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let named = |output: &&Output| output.term == Term::Key(at);
            let name = outputs.iter().find(named).map(|output| &output.name)?;
            let group = self
                .query
                .groups
                .iter()
                .position(|group| &group.name == name)?;
            let ty = field.data_type().clone();
            Some(KeyColumn { group, ty })
        };
        let keys = fields.take(aggregate.group_expr.len());
        keys.filter_map(column).collect()
    }

    /// What each aggregate is called: the name that the agreement speaks of, or else the
    /// outermost that the SQL gives it, or else one made from the function and its column.
    fn names(&self, given: &[Vec<String>], aggregate: &Aggregate) -> Result<Vec<String>, Refusal> {
        let query = self.query;
        let of_ratios = query.ratios.iter();
        let of_ratios = of_ratios.flat_map(|ratio| [&ratio.numerator, &ratio.denominator]);
        let per_person = query.per_person.measures.keys();
        let compared = query.compare.iter().map(|compare| compare.of.name());
        let spoken: BTreeSet<&str> = per_person
            .chain(query.weights.keys())
            .chain(of_ratios)
            .map(String::as_str)
            .chain(compared)
            .collect();
        let name = |(given, expr): (&Vec<String>, &Expr)| {
            let known = given.iter().find(|name| spoken.contains(name.as_str()));
            known
                .or(given.last())
                .cloned()
                .unwrap_or_else(|| measure::unnamed(expr))
        };
        let names: Vec<String> = given.iter().zip(&aggregate.aggr_expr).map(name).collect();
        measure::plainly_named(&names)?;
        let mut seen = BTreeSet::new();
        match names.iter().find(|name| !seen.insert(*name)) {
            None => Ok(names),
            Some(twice) => Err(Refusal::new(
                RefusalKind::Measures,
                format!("two aggregates called `{twice}`"),
                "each has its own bounds and its own noise",
                "give each its own name with AS",
            )
            .or_at_text(twice)),
        }
    }

    /// The threshold of discovered groups, where there are some.
    fn threshold(&self, people: Option<&Measure>) -> Result<Option<Threshold>, Refusal> {
        let people = people.filter(|_| self.query.discovers());
        let most = self.agreement.cost(self.query).delta0;
        let threshold =
            people.map(|people| measure::threshold(people, self.query, self.agreement, most));
        threshold.transpose()
    }

    fn needs_people(&self, people: Option<usize>) -> Result<(), Refusal> {
        let withholds = self.query.min_people > 0 || self.query.discovers();
        if people.is_some() || !withholds {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalKind::Measures,
            "no count of people",
            "`min_people` withholds by it, and discovered groups are shown by it",
            "add COUNT(DISTINCT person) AS people, of the data set that FROM starts with",
        ))
    }

    /// Proves that the columns read are exactly those declared.
    fn reads(&self, plan: &LogicalPlan) -> Result<(), Refusal> {
        let mut read = columns_read(plan, &self.agreement.datasets)?;
        link::none_read(&read, &self.agreement.datasets)?;
        let link = Link::of(self.agreement, self.query);
        read.extend(link.iter().flat_map(Link::reads));
        if let Some(extra) = read.difference(&self.query.reads).next() {
            return Err(Refusal::new(
                RefusalKind::Reads,
                format!("`{extra}` is read"),
                "the agreement does not declare it in the query's `reads`, so no key would be released",
                format!("add \"{extra}\" to `reads`, or take it out of the SQL"),
            )
            .or_at_text(extra.column.as_str()));
        }
        match self.query.reads.difference(&read).next() {
            None => Ok(()),
            Some(unused) => Err(Refusal::new(
                RefusalKind::Reads,
                format!("`{unused}` is not read"),
                "the query's `reads` declares it, and keys are released for all of them",
                format!("take \"{unused}\" out of `reads`"),
            )),
        }
    }

    /// The data sets read.
    fn datasets(&self) -> BTreeMap<DatasetName, DatasetSpec> {
        let names = self.query.datasets().into_iter();
        let specs = names.filter_map(|name| self.agreement.datasets.get_key_value(name));
        specs
            .map(|(name, spec)| (name.clone(), spec.clone()))
            .collect()
    }

    /// The people of each private data set's owner, or else the ids that may be matched.
    fn declared(&self) -> BTreeMap<DatasetName, u64> {
        let people = |spec: &DatasetSpec| {
            let party = self.agreement.parties.get(&spec.owner);
            let people = party.map(|party| party.people).filter(|people| *people > 0);
            people.unwrap_or(self.agreement.matching.max_ids)
        };
        let specs = self.datasets().into_iter().filter(|(_, spec)| !spec.public);
        specs.map(|(name, spec)| (name, people(&spec))).collect()
    }

    /// The people of each owner read, where declared. The answer can be about those of the
    /// smallest.
    fn people(&self) -> impl Iterator<Item = u64> {
        let owners = self.agreement.owners_read(self.query).into_iter();
        let people = owners.filter_map(|owner| self.agreement.parties.get(&owner));
        people
            .map(|party| party.people)
            .filter(|people| *people > 0)
    }
}

fn not_run() -> Refusal {
    Refusal::new(
        RefusalKind::Syntax,
        "the SQL",
        "the engine has no way to run it",
        "write it in another form: a join for a sub-query, one step in each sub-query of WITH",
    )
}

/// The plan whose rows the room adds up: person, group keys, values.
fn bounded(
    aggregate: &Aggregate,
    unit: Expr,
    keys: &[Expr],
    drafts: &[Draft],
) -> Result<LogicalPlan, Refusal> {
    let mut columns = vec![unit.alias(UNIT)];
    columns.extend(
        keys.iter()
            .enumerate()
            .map(|(at, key)| key.clone().alias(key_name(at))),
    );
    for (at, draft) in drafts.iter().enumerate() {
        if let Some(value) = &draft.value {
            columns.push(value.clone().alias(value_name(at)));
        }
    }
    LogicalPlanBuilder::from(Arc::clone(&aggregate.input))
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|e| syntax(&e))
}

/// The stored columns that a plan needs, found by pruning projections and nothing else, with
/// the pseudonym of every private data set: it bounds what a person adds.
fn columns_read(
    plan: &LogicalPlan,
    datasets: &BTreeMap<DatasetName, DatasetSpec>,
) -> Result<BTreeSet<ColumnRef>, Refusal> {
    let pruned = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())])
        .optimize(plan.clone(), &OptimizerContext::new(), |_, _| {})
        .map_err(|e| syntax(&e))?;
    let mut read = BTreeSet::new();
    let mut stack = vec![&pruned];
    while let Some(node) = stack.pop() {
        stack.extend(node.inputs());
        let LogicalPlan::TableScan(scan) = node else {
            continue;
        };
        let Some(spec) = datasets.get(scan.table_name.table()) else {
            continue;
        };
        let fields = scan.projected_schema.fields().iter();
        let stored = fields.filter_map(|field| {
            spec.columns
                .iter()
                .find(|column| column.name.as_str() == field.name())
        });
        let unit = spec.person_column().filter(|_| !spec.public);
        let columns = stored.chain(unit).map(|column| ColumnRef {
            dataset: spec.name.clone(),
            column: column.name.clone(),
        });
        read.extend(columns);
    }
    Ok(read)
}
