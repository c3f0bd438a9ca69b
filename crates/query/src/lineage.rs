//! Whose rows they are: the allow-list of plan nodes, with the privacy unit tracked through
//! each.
//!
//! # Claim
//! Every row of a plan that passes belongs to one person, the one whose pseudonym stands in
//! each of its fields marked [`Unit::Certain`], and was made from that person's rows and from
//! public rows alone. So changing one person's rows changes that person's rows of the plan
//! and no others.
//!
//! Every row's person has consented to the query's purpose at every owner read that keeps
//! consents: an INNER JOIN drops who did not, and a LEFT JOIN follows one with the owner's
//! register. Otherwise people who refused would look like people without rows.
//!
//! # Rules
//! | node | rule |
//! |---|---|
//! | table | its (first) pseudonym column is the unit; each reading of a data set is cut to the same rows a person |
//! | join of two private sides | INNER or LEFT, or a semi or anti join (EXISTS, IN), with an equality between unit columns of both |
//! | join with a public side | the private side stands left, or the join is INNER |
//! | LEFT JOIN, NOT EXISTS, NOT IN | an owner's data set stands right only if a person's consents at that owner were asked for on the left |
//! | projection | a unit column passes through as it is |
//! | filter | any condition on the row |
//! | aggregate, DISTINCT, OVER ([`person`](crate::person)) | a certain unit column is among the keys, so that a group is of one person's rows |
//! | UNION ALL | both sides are private, with a certain unit column at the same place; or both are public |
//! | anything else | refused |
//!
//! Rows of public data sets alone are nobody's: among them any of these nodes passes.
//!
//! Where a function's result hangs on the order of rows, rows that its ORDER BY leaves equal are
//! put in order by all their columns ([`ties`](crate::ties)): the engine's order among them
//! hangs on other people's rows.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, Join, LogicalPlan, Operator, Projection, TableScan, Union,
};
use incamera_agreement::{Agreement, ConsentSource, Query};
use incamera_types::{ColumnName, DatasetName, DatasetSpec};

use crate::person;
use crate::refusal::{Refusal, RefusalKind};
use crate::refused::{
    join_type, not_allowed, not_asked, not_everywhere, not_in, not_linked, public_left, unit_lost,
};
use crate::said::syntax;
use crate::shape::{Scope, Shape};
use crate::unit::Known;

/// Whether a field is the pseudonym of the person whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// It is not.
    No,
    /// It is, in every row.
    Certain,
    /// It is, or it is null (the other side of a LEFT JOIN).
    Maybe,
}

/// What is known of one field of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) shape: Shape,
    pub(crate) unit: Unit,
    /// The stored column, if the field is one as it is.
    pub(crate) origin: Option<(DatasetName, ColumnName)>,
    /// What its numbers count, such as `EUR`.
    pub(crate) counted_in: Known,
}

impl Field {
    /// A value that is no column as it is.
    pub(crate) fn made(shape: Shape) -> Self {
        Self {
            shape,
            unit: Unit::No,
            origin: None,
            counted_in: Known::Plain,
        }
    }

    /// The same in a unit.
    pub(crate) fn counted(self, counted_in: Known) -> Self {
        Self { counted_in, ..self }
    }
}

/// What is known of a plan's rows.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) fields: Vec<Field>,
    /// Whether the rows belong to people.
    pub(crate) private: bool,
    /// How many there are at most of one person, or in all if they are nobody's.
    pub(crate) most: u64,
    /// The private data sets that have part in the rows, ...
    some: BTreeSet<DatasetName>,
    /// ... and those of them that have part in every row.
    every: BTreeSet<DatasetName>,
    /// The registers whose owners every row's person has given consent.
    asked: BTreeSet<DatasetName>,
    /// The public data sets that have part in the rows, ...
    public: BTreeSet<DatasetName>,
    /// ... and the one that they are, if they are one's.
    one_public: Option<DatasetName>,
}

/// Of each public data set that is joined to people's rows, the columns that each such join sets
/// equal to theirs: none where nothing holds it to one row.
pub(crate) type PublicKeys = BTreeMap<DatasetName, BTreeSet<BTreeSet<ColumnName>>>;

/// Walks plans over the data sets of an agreement.
pub(crate) struct Lineage<'a> {
    agreement: &'a Agreement,
    /// How many rows of each data set there are, a person's or in all.
    rows: &'a BTreeMap<DatasetName, u64>,
    public_keys: PublicKeys,
}

pub(crate) type Walked = Result<Rows, Refusal>;

impl<'a> Lineage<'a> {
    pub(crate) fn new(agreement: &'a Agreement, query: &'a Query) -> Self {
        Self {
            agreement,
            rows: &query.rows,
            public_keys: BTreeMap::new(),
        }
    }

    /// Of each public data set that a join gives to people's rows, the columns that it sets
    /// equal to theirs, if any. Where no two rows of the data set are the same in them, each
    /// row of a person meets one at most.
    pub(crate) fn public_keys(self) -> PublicKeys {
        self.public_keys
    }

    /// Checks all that stands below the top aggregate.
    pub(crate) fn all(&mut self, plan: &LogicalPlan) -> Walked {
        let rows = self.rows(plan)?;
        let specs = rows.some.iter();
        let specs = specs.filter_map(|name| self.agreement.datasets.get(name));
        let mut registers = specs.filter_map(|spec| Some((spec, self.register(spec)?)));
        match registers.find(|(_, register)| !rows.asked.contains(&register.name)) {
            Some((spec, register)) => Err(not_everywhere(spec, register)),
            None => Ok(rows),
        }
    }

    /// Checks a plan below the aggregate.
    pub(crate) fn rows(&mut self, plan: &LogicalPlan) -> Walked {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let rows = self.rows(&filter.input)?;
                let scope = rows.scope(filter.input.schema());
                scope.condition(&filter.predicate)?;
                Ok(rows)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => {
                let rows = self.rows(&aggregate.input)?;
                person::aggregate(aggregate, rows)
            }
            LogicalPlan::Window(window) => {
                let rows = self.rows(&window.input)?;
                person::window(window, rows)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => person::distinct(self.rows(input)?),
            LogicalPlan::Union(union) => self.union(union),
            other => Err(not_allowed(other)),
        }
    }

    /// The owner's data set that says what people consented to, if the owner has one.
    fn register(&self, spec: &DatasetSpec) -> Option<&'a DatasetSpec> {
        match self.agreement.consent_of(spec) {
            ConsentSource::Dataset(register) => self.agreement.datasets.get(&register.name),
            ConsentSource::Everything(_) => None,
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Walked {
        let spec = match &scan.table_name {
            TableReference::Bare { table } => self.agreement.datasets.get(table.as_ref()),
            _ => None,
        };
        let Some(spec) = spec else {
            return Err(Refusal::new(
                RefusalKind::Syntax,
                format!("table `{}`", scan.table_name),
                "the agreement has no such data set",
                "name one of its data sets",
            ));
        };
        let unit = spec
            .person_column()
            .map(|column| &column.name)
            .filter(|_| !spec.public);
        if unit.is_none() && !spec.public {
            return Err(unit_lost(format!(
                "no column of data set `{}` says whose row it is",
                spec.name
            )));
        }
        let one = || BTreeSet::from([spec.name.clone()]);
        let (private, public) = match spec.public {
            true => (BTreeSet::new(), one()),
            false => (one(), BTreeSet::new()),
        };
        let register = self.register(spec).filter(|_| !spec.public);
        let field = |column: &incamera_types::ColumnSpec| Field {
            shape: Shape::of(column),
            unit: if Some(&column.name) == unit {
                Unit::Certain
            } else {
                Unit::No
            },
            origin: Some((spec.name.clone(), column.name.clone())),
            counted_in: Known::declared(column.unit.as_ref()),
        };
        Ok(Rows {
            fields: spec.stored_columns().map(field).collect(),
            private: !spec.public,
            most: self.rows.get(&spec.name).copied().unwrap_or(1),
            some: private.clone(),
            every: private,
            asked: register
                .map(|register| register.name.clone())
                .into_iter()
                .collect(),
            public,
            one_public: spec.public.then(|| spec.name.clone()),
        })
    }

    fn projection(&mut self, projection: &Projection) -> Walked {
        let input = self.rows(&projection.input)?;
        let scope = input.scope(projection.input.schema());
        let fields = projection.expr.iter().map(|expr| scope.passed(expr));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        Ok(Rows { fields, ..input })
    }

    fn join(&mut self, join: &Join) -> Walked {
        let kind = Kind::of(join.join_type)?;
        let left = self.rows(&join.left)?;
        let right = self.rows(&join.right)?;
        let split = left.fields.len();
        let fields: Vec<_> = left.fields.iter().chain(&right.fields).cloned().collect();
        let schema = join.left.schema().join(join.right.schema());
        let schema = schema.map_err(|error| syntax(&error))?;
        let scope = Scope {
            schema: &schema,
            fields: &fields,
        };
        let linked = self.conditions(join, &scope, split)?;
        // One null among the persons of a NOT IN decides on everybody's rows. Nulls of public
        // rows are nobody's.
        let certain = |(a, b)| is_certain(a, &scope) && is_certain(b, &scope);
        if join.null_aware && right.private && !equalities(join).all(certain) {
            return Err(not_in());
        }
        match (left.private, right.private) {
            (true, true) if !linked => return Err(not_linked()),
            (false, true) if kind != Kind::Inner => return Err(public_left()),
            _ => {}
        }
        if matches!(kind, Kind::Left | Kind::Anti) {
            self.consents_asked(&left.every, &right.some)?;
        }
        let most = self.met(join, kind, (&left, &right), &scope);
        let inside = matches!(kind, Kind::Inner | Kind::Semi);
        let mut rows = Rows {
            most,
            private: left.private || right.private,
            one_public: left.one_public.clone().filter(|_| kind.keeps()),
            ..left
        };
        rows.some.extend(right.some);
        rows.public.extend(right.public);
        if inside {
            rows.every.extend(right.every);
            rows.asked.extend(right.asked);
        }
        if !kind.keeps() {
            rows.fields = fields;
        }
        if kind == Kind::Left {
            for field in rows.fields.iter_mut().skip(split) {
                if field.unit == Unit::Certain {
                    field.unit = Unit::Maybe;
                }
            }
        }
        Ok(rows)
    }

    /// How many rows a join gives at most. Notes by what a public data set is joined to people.
    fn met(&mut self, join: &Join, kind: Kind, sides: (&Rows, &Rows), scope: &Scope<'_>) -> u64 {
        let (left, right) = sides;
        if kind.keeps() {
            return left.most;
        }
        let (private, public) = match (left.private, right.private) {
            (true, false) => (left, right),
            (false, true) => (right, left),
            _ => return left.most.saturating_mul(right.most),
        };
        let split = left.fields.len();
        let keys: BTreeSet<ColumnName> = match &public.one_public {
            Some(name) => {
                let keys = equalities(join);
                keys.filter_map(|(a, b)| key_of(name, a, b, scope, split))
                    .collect()
            }
            None => BTreeSet::new(),
        };
        let one = !keys.is_empty();
        for name in &public.public {
            self.public_keys
                .entry(name.clone())
                .or_default()
                .insert(keys.clone());
        }
        match one {
            true => private.most,
            false => private.most.saturating_mul(public.most),
        }
    }

    /// Rows of one side after those of another.
    fn union(&mut self, union: &Union) -> Walked {
        let mut all: Option<Rows> = None;
        for input in &union.inputs {
            let next = self.rows(input)?;
            let scope = next.scope(input.schema());
            all = Some(match all.take() {
                None => next,
                Some(before) => person::union(before, next.clone(), &scope)?,
            });
        }
        all.ok_or_else(|| unit_lost("a UNION of nothing".into()))
    }

    /// Checks that of each data set on the right of a LEFT JOIN, the register of consents that
    /// its owner keeps has part in every row on the left.
    fn consents_asked(
        &self,
        left: &BTreeSet<DatasetName>,
        right: &BTreeSet<DatasetName>,
    ) -> Result<(), Refusal> {
        let specs = right
            .iter()
            .filter_map(|name| self.agreement.datasets.get(name));
        for spec in specs {
            if let ConsentSource::Dataset(register) = self.agreement.consent_of(spec)
                && !left.contains(&register.name)
            {
                return Err(not_asked(spec, register));
            }
        }
        Ok(())
    }

    /// Checks a join's conditions; says whether one sets unit columns of both sides equal.
    fn conditions(&self, join: &Join, scope: &Scope<'_>, split: usize) -> Result<bool, Refusal> {
        if join.null_equality != NullEquality::NullEqualsNothing {
            return Err(not_linked());
        }
        let mut linked = false;
        for (left, right) in &join.on {
            let equal = BinaryExpr::new(
                Box::new(left.clone()),
                Operator::Eq,
                Box::new(right.clone()),
            );
            scope.condition(&Expr::BinaryExpr(equal))?;
        }
        if let Some(filter) = &join.filter {
            scope.condition(filter)?;
        }
        for (left, right) in equalities(join) {
            linked |= links(left, right, scope, split);
        }
        Ok(linked)
    }
}

/// What a join does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Semi,
    Anti,
}

impl Kind {
    fn of(join: JoinType) -> Result<Self, Refusal> {
        match join {
            JoinType::Inner => Ok(Self::Inner),
            JoinType::Left => Ok(Self::Left),
            JoinType::LeftSemi => Ok(Self::Semi),
            JoinType::LeftAnti => Ok(Self::Anti),
            other => Err(join_type(other)),
        }
    }

    /// Whether its rows are rows of the left side, each once at most.
    fn keeps(self) -> bool {
        matches!(self, Self::Semi | Self::Anti)
    }
}

impl Rows {
    /// What an expression on these rows may name.
    pub(crate) fn scope<'s>(&'s self, schema: &'s DFSchema) -> Scope<'s> {
        Scope {
            schema,
            fields: &self.fields,
        }
    }

    /// Whether one of these fields says whose rows they are.
    pub(crate) fn certain(&self) -> bool {
        self.fields.iter().any(|field| field.unit == Unit::Certain)
    }

    /// These rows and those of another side of a UNION ALL, with these fields.
    pub(crate) fn with(self, other: Self, fields: Vec<Field>) -> Self {
        let both = |a: &BTreeSet<DatasetName>, b: &BTreeSet<DatasetName>| {
            a.intersection(b).cloned().collect()
        };
        let either =
            |a: BTreeSet<DatasetName>, b: BTreeSet<DatasetName>| a.into_iter().chain(b).collect();
        Self {
            fields,
            private: self.private,
            most: self.most.saturating_add(other.most),
            every: both(&self.every, &other.every),
            asked: both(&self.asked, &other.asked),
            some: either(self.some, other.some),
            public: either(self.public, other.public),
            one_public: None,
        }
    }

    /// Rows made of these, with these fields, at most so many.
    pub(crate) fn made(self, fields: Vec<Field>, most: u64) -> Self {
        Self {
            fields,
            most,
            one_public: None,
            ..self
        }
    }
}

impl Scope<'_> {
    /// An expression that is kept: a column as it is, or a value made of the row.
    pub(crate) fn passed(&self, expr: &Expr) -> Result<Field, Refusal> {
        match bare(expr) {
            Expr::Column(column) => self.field(column).cloned(),
            other => Ok(Field::made(self.shape(other)?).counted(self.known(other))),
        }
    }
}

/// What a join's conditions set equal.
pub(crate) fn equalities(join: &Join) -> impl Iterator<Item = (&Expr, &Expr)> {
    let filter = join.filter.iter().flat_map(split_conjunction);
    let equal = |part| match part {
        &Expr::BinaryExpr(BinaryExpr {
            ref left,
            op: Operator::Eq,
            ref right,
        }) => Some((left.as_ref(), right.as_ref())),
        _ => None,
    };
    let on = join.on.iter().map(|(left, right)| (left, right));
    on.chain(filter.filter_map(equal))
}

/// The column of `public` that `a = b` sets equal to something of the other side.
fn key_of(
    public: &DatasetName,
    a: &Expr,
    b: &Expr,
    scope: &Scope<'_>,
    split: usize,
) -> Option<ColumnName> {
    let side = |column: &Column| Some(scope.schema.maybe_index_of_column(column)? < split);
    let key = |expr: &Expr| {
        let Expr::Column(column) = bare(expr) else {
            return None;
        };
        let (dataset, name) = scope.field(column).ok()?.origin.clone()?;
        (&dataset == public).then_some((name, side(column)?))
    };
    let one = |(expr, other): (&Expr, &Expr)| {
        let (name, here) = key(expr)?;
        let others = other.column_refs();
        let across = others.iter().all(|column| side(column) == Some(!here));
        across.then_some(name)
    };
    [(a, b), (b, a)].into_iter().find_map(one)
}

/// Whether an expression is the pseudonym of the row's person, and never null.
fn is_certain(expr: &Expr, scope: &Scope<'_>) -> bool {
    let Expr::Column(column) = bare(expr) else {
        return false;
    };
    let field = scope.field(column);
    field.is_ok_and(|field| field.unit == Unit::Certain)
}

/// Whether `left = right` sets a unit column of one side equal to one of the other.
fn links(left: &Expr, right: &Expr, scope: &Scope<'_>, split: usize) -> bool {
    let unit = |expr: &Expr| {
        let Expr::Column(column) = bare(expr) else {
            return None;
        };
        let at = scope.schema.maybe_index_of_column(column)?;
        let field = scope.fields.get(at)?;
        (field.unit != Unit::No).then_some(at < split)
    };
    matches!((unit(left), unit(right)), (Some(a), Some(b)) if a != b)
}

/// An expression without its aliases.
pub(crate) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}
