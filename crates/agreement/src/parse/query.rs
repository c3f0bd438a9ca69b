//! The section `[queries]`.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{
    AnalystRef, Budget, ColumnRef, ColumnType, DatasetName, DatasetSpec, PartyName, PrivacyLoss,
    PurposeName, QueryName,
};

use super::measures::{self, Measures};
use super::params::params;
use super::purposes::leaf;
use super::terms::budget;
use super::{Known, link, listed};
use crate::cost::loss_of;
use crate::model::{Analysts, Query};
use crate::reader::{Item, Named, Table};

/// The most rows a person of one data set, and in all of a public one.
const MAX_ROWS: u64 = 1_000_000_000;

/// All queries by name; `None` for one that could not be read.
pub(super) fn queries(root: &Table<'_>, known: &Known<'_>) -> BTreeMap<QueryName, Option<Query>> {
    let queries = root.members::<QueryName>("queries").into_iter();
    let read = |named: Named<'_, QueryName>| {
        let query = query(&named, known);
        (named.name, query)
    };
    queries.map(read).collect()
}

fn query(named: &Named<'_, QueryName>, known: &Known<'_>) -> Option<Query> {
    let table = named.item.table()?;
    table.later(&["template", "ask", "not_for", "keep_until"]);
    let purpose = table.need("purpose", "name the leaf purpose that the query serves");
    let purpose = purpose.and_then(|item| leaf(&item, known));
    let analysts = table.need("analysts", "name who may ask, such as [\"mailer/ana\"]");
    let analysts = analysts.and_then(|item| analysts_of(&item, known));
    let receivers = table.need("receivers", "name the parties that receive the answer");
    let receivers = receivers.and_then(|item| receivers_of(&item, known));
    let reads = table.need(
        "reads",
        "name every column that the SQL reads, such as \"purchases.amount\"",
    );
    let reads = reads.and_then(|item| reads_of(&item, purpose.as_ref()?, known));
    let sql = sql(&table, known);
    let params = match table.get("params") {
        Some(item) => params(&item),
        None => Some(BTreeMap::new()),
    };
    let rows = rows(&table, reads.as_ref(), known);
    let measures = measures::measures(&table, sql.as_ref().map(|(_, sql)| *sql));
    let budget = budget(&table, 0);
    let discovers = |measures: &Measures| measures.groups.iter().any(|g| g.declared().is_none());
    let discovers = measures.as_ref().is_some_and(discovers);
    let loss = budget.and_then(|budget| cost(&table, budget, discovers));
    let min_people = table.need(
        "min_people",
        "write the least noisy count that is shown, such as min_people = 50",
    );
    let min_people = min_people.and_then(|item| item.whole(1, u64::from(u32::MAX)));
    table.close();
    let (sql_at, sql) = sql?;
    let (
        Measures {
            per_person,
            groups,
            weights,
            ratios,
            compare,
            sampling,
        },
        budget,
    ) = (measures?, budget?);
    Some(Query {
        name: named.name.clone(),
        purpose: purpose?,
        analysts: analysts?,
        receivers: receivers?,
        reads: reads?,
        sql: sql.to_owned(),
        sql_at,
        params: params?,
        rows: rows?,
        per_person,
        groups,
        weights,
        epsilon: budget.epsilon,
        delta: budget.delta,
        min_people: min_people?,
        ratios,
        compare,
        sampling,
        loss: loss?,
    })
}

/// What a run is charged.
fn cost(table: &Table<'_>, budget: Budget, discovers: bool) -> Option<PrivacyLoss> {
    match loss_of(budget, discovers) {
        Ok(loss) => Some(loss),
        Err(error) => {
            table.problem(error, "choose another epsilon or delta");
            None
        }
    }
}

pub(super) fn analysts_of(item: &Item<'_>, known: &Known<'_>) -> Option<Vec<AnalystRef>> {
    let (mut analysts, mut seen) = (Vec::new(), BTreeSet::new());
    for item in item.list_of_some("analyst, such as \"mailer/ana\"")? {
        let analyst: AnalystRef = item.parsed("write `party/analyst`, such as \"mailer/ana\"")?;
        let Some(party) = known.parties.get(&analyst.party) else {
            item.problem(
                format_args!("there is no party `{}`", analyst.party),
                format_args!("parties are {}", listed(known.parties.keys())),
            );
            return None;
        };
        if let Some(Analysts::Named(people)) = party.as_ref().map(|party| &party.analysts)
            && !people.contains_key(&analyst.analyst)
        {
            item.problem(
                format_args!(
                    "party `{}` has no analyst `{}`",
                    analyst.party, analyst.analyst
                ),
                "give the analyst a key in the party's `analysts`",
            );
        }
        once(&item, &mut seen, analyst.clone());
        analysts.push(analyst);
    }
    Some(analysts)
}

fn receivers_of(item: &Item<'_>, known: &Known<'_>) -> Option<Vec<PartyName>> {
    let (mut receivers, mut seen) = (Vec::new(), BTreeSet::new());
    for item in item.list_of_some("party")? {
        let receiver = known.party(&item)?;
        once(&item, &mut seen, receiver.clone());
        receivers.push(receiver);
    }
    Some(receivers)
}

/// Notes a problem with what was seen before.
fn once<T: Ord>(item: &Item<'_>, seen: &mut BTreeSet<T>, new: T) {
    if !seen.insert(new) {
        item.problem(
            format_args!("`{}` stands there twice", item.path),
            "name each once",
        );
    }
}

fn reads_of(
    item: &Item<'_>,
    purpose: &PurposeName,
    known: &Known<'_>,
) -> Option<BTreeSet<ColumnRef>> {
    let mut reads = BTreeSet::new();
    for item in item.list_of_some("column")? {
        let column: ColumnRef =
            item.parsed("write `dataset.column`, such as \"purchases.amount\"")?;
        readable(&item, &column, purpose, known);
        once(&item, &mut reads, column);
    }
    for spec in specs_read(&reads, known) {
        if spec.public {
            continue;
        }
        let Some(person) = spec.person_column() else {
            continue;
        };
        if !reads
            .iter()
            .any(|read| read.dataset == spec.name && read.column == person.name)
        {
            item.problem(
                format_args!(
                    "`{}` reads data set `{}` without the column that says whose row it is, so nothing would bound what one person adds",
                    item.path, spec.name
                ),
                format_args!("add \"{}.{}\"", spec.name, person.name),
            );
        }
    }
    link::reads(item, &reads, known);
    Some(reads)
}

/// The data sets that a query reads.
fn specs_read<'k>(reads: &BTreeSet<ColumnRef>, known: &'k Known<'_>) -> Vec<&'k DatasetSpec> {
    let names: BTreeSet<&DatasetName> = reads.iter().map(|read| &read.dataset).collect();
    let specs = names
        .into_iter()
        .filter_map(|name| known.datasets.get(name)?.as_ref());
    specs.collect()
}

/// A column can be read if it is stored and has a key under the query's purpose.
fn readable(item: &Item<'_>, column: &ColumnRef, purpose: &PurposeName, known: &Known<'_>) {
    let spec = match known.datasets.get(&column.dataset) {
        Some(Some(spec)) => spec,
        Some(None) => return,
        None => {
            return item.problem(
                format_args!("there is no data set `{}`", column.dataset),
                format_args!("data sets are {}", listed(known.datasets.keys())),
            );
        }
    };
    let Some(found) = spec.column(&column.column) else {
        let columns = spec.stored_columns().map(|column| &column.name);
        return item.problem(
            format_args!(
                "data set `{}` has no column `{}`",
                column.dataset, column.column
            ),
            format_args!("its columns are {}", listed(columns)),
        );
    };
    if found.ty == ColumnType::Purposes {
        return item.problem(
            format_args!("`{column}` decides the consent class and is not stored"),
            "take it out: rows without the purpose's consent are never opened",
        );
    }
    let everything = known.leaf_purposes();
    if !spec.public && !spec.openable(found, &everything).contains(purpose) {
        item.problem(
            format_args!(
                "`{column}` is not for the purpose `{purpose}`, so it has no key to release"
            ),
            format_args!(
                "its purposes are {}: take it out, or let its owner add the purpose",
                listed(found.purposes.iter())
            ),
        );
    }
}

/// The SQL and where it starts. It must stand in the file as it is, so that what people sign
/// is what runs, and errors can point into it.
fn sql<'d>(table: &Table<'d>, known: &Known<'d>) -> Option<(usize, &'d str)> {
    let item = table.need("sql", "write the SQL between ''' and '''")?;
    let sql = item.text()?;
    if sql.trim().is_empty() {
        item.problem("the SQL is empty", "write the SQL between ''' and '''");
        return None;
    }
    let file = known.problems.text();
    let raw = file.get(item.span.clone()).unwrap_or_default();
    let at = [
        "'''\r\n",
        "'''\n",
        "'''",
        "\"\"\"\r\n",
        "\"\"\"\n",
        "\"\"\"",
        "'",
        "\"",
    ]
    .iter()
    .find_map(|quote| {
        raw.strip_prefix(quote)
            .map(|_| item.span.start + quote.len())
    })?;
    if !file.get(at..).is_some_and(|rest| rest.starts_with(sql)) {
        item.problem(
            "the SQL is written with escapes, so people would not read what runs",
            "write it between ''' and ''', where nothing is escaped",
        );
        return None;
    }
    Some((at, sql))
}

/// The most rows a person of each private data set read: said, or 1 where the data set has
/// one row a person because it holds the consents. Of each public data set read the most rows
/// in all, said always: its owner could otherwise make a query as long and as large as it
/// liked, by how many of its rows one person's row meets.
fn rows(
    table: &Table<'_>,
    reads: Option<&BTreeSet<ColumnRef>>,
    known: &Known<'_>,
) -> Option<BTreeMap<DatasetName, u64>> {
    let said = table.members::<DatasetName>("rows");
    let reads = reads?;
    let specs = specs_read(reads, known);
    let mut rows = BTreeMap::new();
    for named in said {
        let most = named.item.whole(1, MAX_ROWS)?;
        let unread = matches!(known.datasets.get(&named.name), Some(None));
        if !unread && !specs.iter().any(|spec| spec.name == named.name) {
            known.problems.add(
                &named.at,
                format_args!("`{}` is no data set that the query reads", named.name),
                format_args!(
                    "write rows for {}",
                    listed(specs.iter().map(|spec| &spec.name))
                ),
            );
        }
        rows.insert(named.name, most);
    }
    for spec in specs {
        if rows.contains_key(&spec.name) {
            continue;
        }
        if spec.public || spec.purposes_column().is_none() {
            unsaid(table, spec);
            return None;
        }
        rows.insert(spec.name.clone(), 1);
    }
    Some(rows)
}

fn unsaid(table: &Table<'_>, spec: &DatasetSpec) {
    let (path, name) = (&table.path, &spec.name);
    if spec.public {
        return table.problem(
            format_args!("`{path}.rows` does not say how many rows the public `{name}` may have"),
            format_args!(
                "write rows = {{ {name} = ... }}: the rows in all; the room refuses a `{name}` that has more"
            ),
        );
    }
    table.problem(
        format_args!("`{path}.rows` does not say how many rows of `{name}` one person may have"),
        format_args!("write rows = {{ {name} = ... }}: each person is cut to that many"),
    );
}
