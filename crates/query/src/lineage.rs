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
//! | table | its (first) pseudonym column is the unit |
//! | join of two private sides | INNER or LEFT, with an equality between unit columns of both |
//! | join with a public side | the private side stands left, or the join is INNER |
//! | LEFT JOIN | an owner's data set stands right only if a person's consents at that owner were asked for on the left |
//! | projection | a unit column passes through as it is |
//! | filter | any condition on the row |
//! | anything else | refused |

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::{Column, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Join, LogicalPlan, Operator, Projection, TableScan,
};
use incamera_agreement::{Agreement, ConsentSource};
use incamera_types::{ColumnName, DatasetName, DatasetSpec};

use crate::refusal::{Refusal, RefusalKind};
use crate::shape::{Scope, Shape};

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
}

/// What is known of a plan's rows.
pub(crate) struct Rows {
    pub(crate) fields: Vec<Field>,
    /// Whether the rows belong to people.
    pub(crate) private: bool,
    /// The private data sets that have part in the rows, ...
    some: BTreeSet<DatasetName>,
    /// ... and those of them that have part in every row.
    every: BTreeSet<DatasetName>,
    /// The public data set that the rows are, if they are one's.
    one_public: Option<DatasetName>,
}

/// Walks plans over the data sets of an agreement.
pub(crate) struct Lineage<'a> {
    agreement: &'a Agreement,
    scanned: BTreeSet<DatasetName>,
    public_keys: BTreeMap<DatasetName, BTreeSet<ColumnName>>,
}

type Walked = Result<Rows, Refusal>;

impl<'a> Lineage<'a> {
    pub(crate) fn new(agreement: &'a Agreement) -> Self {
        Self {
            agreement,
            scanned: BTreeSet::new(),
            public_keys: BTreeMap::new(),
        }
    }

    /// Of each public data set that a join gives to people's rows, the columns that it sets
    /// equal to theirs, if any. Where no two rows of the data set are the same in them, each
    /// row of a person meets one at most.
    pub(crate) fn public_keys(self) -> BTreeMap<DatasetName, BTreeSet<ColumnName>> {
        self.public_keys
    }

    /// Checks a plan below the aggregate.
    pub(crate) fn rows(&mut self, plan: &LogicalPlan) -> Walked {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let rows = self.rows(&filter.input)?;
                let scope = Scope {
                    schema: filter.input.schema(),
                    fields: &rows.fields,
                };
                scope.condition(&filter.predicate)?;
                Ok(rows)
            }
            LogicalPlan::Join(join) => self.join(join),
            other => Err(not_allowed(other)),
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
        if !self.scanned.insert(spec.name.clone()) {
            return Err(Refusal::new(
                RefusalKind::Join,
                format!("data set `{}` read twice", spec.name),
                "its rows a person would multiply with themselves",
                "read each data set once",
            )
            .or_at_text(spec.name.as_str()));
        }
        let unit = spec
            .pseudonym_column()
            .map(|column| &column.name)
            .filter(|_| !spec.public);
        if unit.is_none() && !spec.public {
            return Err(unit_lost(format!(
                "data set `{}` has no pseudonym column",
                spec.name
            )));
        }
        let private: BTreeSet<_> = (!spec.public)
            .then(|| spec.name.clone())
            .into_iter()
            .collect();
        let field = |column: &incamera_types::ColumnSpec| Field {
            shape: Shape::of(column),
            unit: if Some(&column.name) == unit {
                Unit::Certain
            } else {
                Unit::No
            },
            origin: Some((spec.name.clone(), column.name.clone())),
        };
        Ok(Rows {
            fields: spec.stored_columns().map(field).collect(),
            private: !spec.public,
            some: private.clone(),
            every: private,
            one_public: spec.public.then(|| spec.name.clone()),
        })
    }

    fn projection(&mut self, projection: &Projection) -> Walked {
        let input = self.rows(&projection.input)?;
        let scope = Scope {
            schema: projection.input.schema(),
            fields: &input.fields,
        };
        let field = |expr: &Expr| match bare(expr) {
            Expr::Column(column) => scope.field(column).cloned(),
            other => Ok(Field {
                shape: scope.shape(other)?,
                unit: Unit::No,
                origin: None,
            }),
        };
        let fields = projection
            .expr
            .iter()
            .map(field)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Rows { fields, ..input })
    }

    fn join(&mut self, join: &Join) -> Walked {
        let left_outer = match join.join_type {
            JoinType::Inner => false,
            JoinType::Left => true,
            other => return Err(join_type(other)),
        };
        let left = self.rows(&join.left)?;
        let right = self.rows(&join.right)?;
        let split = left.fields.len();
        let private = (left.private, right.private);
        let public = match private {
            (true, false) => right.one_public,
            (false, true) => left.one_public,
            _ => None,
        };
        let mut fields = left.fields;
        fields.extend(right.fields);
        let scope = Scope {
            schema: &join.schema,
            fields: &fields,
        };
        let linked = self.conditions(join, &scope, split)?;
        if let Some(public) = public {
            let keys = equalities(join);
            let keys = keys.filter_map(|(a, b)| key_of(&public, a, b, &scope, split));
            self.public_keys.insert(public.clone(), keys.collect());
        }
        match private {
            (true, true) if !linked => return Err(not_linked()),
            (false, true) if left_outer => return Err(public_left()),
            _ => {}
        }
        let mut every = left.every;
        if left_outer {
            self.consents_asked(&every, &right.some)?;
            for field in fields.iter_mut().skip(split) {
                if field.unit == Unit::Certain {
                    field.unit = Unit::Maybe;
                }
            }
        } else {
            every.extend(right.every);
        }
        Ok(Rows {
            fields,
            private: private.0 || private.1,
            some: left.some.into_iter().chain(right.some).collect(),
            every,
            one_public: None,
        })
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
        if join.null_equality != NullEquality::NullEqualsNothing || join.null_aware {
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

/// What a join's conditions set equal.
fn equalities(join: &Join) -> impl Iterator<Item = (&Expr, &Expr)> {
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

/// The refusal of rows that no longer belong to a known person.
pub(crate) fn unit_lost(what: String) -> Refusal {
    Refusal::new(
        RefusalKind::UnitLost,
        what,
        "what one person adds could not be bounded",
        "keep the pseudonym column of a private data set all the way up",
    )
}

fn not_linked() -> Refusal {
    Refusal::new(
        RefusalKind::Join,
        "private data sets joined on something else than the person",
        "one person's row would meet other people's",
        "JOIN ... ON a.person = b.person, with further conditions after AND",
    )
    .or_at_text("join")
}

fn not_asked(spec: &DatasetSpec, register: &DatasetSpec) -> Refusal {
    let (name, owner) = (&spec.name, &spec.owner);
    let instead = if name == &register.name {
        format!(
            "start from `{register}` or JOIN it, without LEFT",
            register = register.name
        )
    } else {
        format!(
            "JOIN `{register}` before the LEFT JOIN: then those who refused are not counted at all",
            register = register.name
        )
    };
    Refusal::new(
        RefusalKind::Join,
        format!("a LEFT JOIN to `{name}` without the consents that `{owner}` keeps"),
        "people who refused the purpose there would be counted as people without rows",
        instead,
    )
    .or_at_text(name.as_str())
}

fn public_left() -> Refusal {
    Refusal::new(
        RefusalKind::UnitLost,
        "a public data set with a LEFT JOIN to a private one",
        "its unmatched rows would belong to nobody",
        "start from the private data set",
    )
    .or_at_text("left")
}

fn join_type(found: JoinType) -> Refusal {
    let instead = match found {
        JoinType::Right => "exchange the sides and write LEFT JOIN",
        _ => "write JOIN or LEFT JOIN",
    };
    Refusal::new(
        RefusalKind::Join,
        format!("a {} join", found.to_string().to_uppercase()),
        "it is not on the list of joins",
        instead,
    )
    .or_at_text(&found.to_string())
}

/// The refusal of a plan node, in words of SQL.
pub(crate) fn not_allowed(plan: &LogicalPlan) -> Refusal {
    let (what, why, instead) = match plan {
        LogicalPlan::Aggregate(_) => (
            "an aggregate inside another",
            "bounds are set per person and group, once",
            "aggregate once, at the top",
        ),
        LogicalPlan::Window(_) => (
            "a window function",
            "it mixes rows of several people",
            "group by a declared key instead",
        ),
        LogicalPlan::Sort(_) => (
            "ORDER BY",
            "the answer's rows stand in the agreement's order",
            "leave it out",
        ),
        LogicalPlan::Limit(_) => ("LIMIT", "every declared group has its row", "leave it out"),
        LogicalPlan::Distinct(_) => (
            "DISTINCT",
            "it mixes rows of several people",
            "COUNT(DISTINCT person) counts people",
        ),
        LogicalPlan::Union(_) => (
            "UNION",
            "it is not on the list of clauses",
            "join the data sets on the pseudonym",
        ),
        LogicalPlan::Subquery(_) => (
            "a sub-query in an expression",
            "it could carry one person's rows into another's",
            "join the data set on the pseudonym instead",
        ),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => (
            "a SELECT without a data set",
            "there is nothing to ask",
            "SELECT ... FROM a data set of the agreement",
        ),
        _ => (
            "a clause",
            "it is not on the list of clauses",
            "write SELECT, FROM, JOIN, WHERE and GROUP BY",
        ),
    };
    let word = if what.starts_with(|c: char| c.is_ascii_uppercase()) {
        what
    } else {
        ""
    };
    Refusal::new(RefusalKind::Clause, what, why, instead).or_at_text(word)
}
