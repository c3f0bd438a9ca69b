//! A proposal as the commented section of an agreement.

use std::collections::BTreeSet;

use incamera_types::{ColumnName, ColumnType, IdKind};

use super::{Proposal, ProposedColumn};

/// How a starting file marks what a person must fill in.
const BLANK: &str = "FILL IN";

/// The name of the pseudonym column.
const PERSON: &str = "person";

impl Proposal {
    /// The section `[datasets.NAME]` of an agreement, in which each column says why it is
    /// proposed so and purposes are left to fill in. `owner` is a party, or a blank;
    /// `first_kind` the kind of id that is matched by where a column says nothing else.
    #[must_use]
    pub fn section(&self, owner: &str, first_kind: Option<&IdKind>) -> String {
        let name = &self.dataset;
        let mut text = format!(
            "# Proposed from a file; each line is to be read and changed. It shows no value of the file.\n[datasets.{name}]\nowner = \"{owner}\"\n[datasets.{name}.columns]\n"
        );
        let mut names = BTreeSet::from([PERSON.to_owned()]);
        let alone = !self.columns.iter().any(|column| stored(column).is_some());
        if self.id_kind().is_none() {
            text.push_str(&format!(
                "# No column looks like an identifier of people: name the one that is (`data seal --column`);\n# or, if the data are about no person, take this line out and write public = true above.\n{PERSON} = {{ type = \"{BLANK}: pseudonym, if a column says who a row is about\" }}\n"
            ));
        }
        for column in &self.columns {
            text.push_str(&column.line(&mut names, alone, first_kind));
        }
        text.push('\n');
        text
    }
}

/// The type of a column of values.
fn stored(column: &ProposedColumn) -> Option<ColumnType> {
    let of_values = |ty: &ColumnType| !matches!(ty, ColumnType::Pseudonym | ColumnType::Purposes);
    column.ty.filter(of_values)
}

impl ProposedColumn {
    fn line(
        &self,
        names: &mut BTreeSet<String>,
        alone: bool,
        first_kind: Option<&IdKind>,
    ) -> String {
        let (said, why) = (said(&self.name), self.why.join("; "));
        let comment = format!("# {said}: {why}\n");
        let Some(ty) = self.ty else {
            return format!("# {said} is left out: {why}\n");
        };
        if ty == ColumnType::Pseudonym {
            return comment + &self.person(alone, first_kind);
        }
        if self.name.parse::<ColumnName>().is_err() || !names.insert(self.name.clone()) {
            return format!(
                "# {said} is left out: a column's name has lower-case letters, digits, `-` and `_`, a letter first, and is no other's ({PERSON} is who a row is about); rename it in the file and propose again\n"
            );
        }
        let mut fields = vec![format!("type = \"{ty}\"")];
        if ty == ColumnType::Purposes {
            return format!("{comment}{} = {{ {} }}\n", self.name, fields.join(", "));
        }
        if let Some((min, max)) = &self.bounds {
            fields.push(format!("min = {}, max = {}", plain(min), plain(max)));
        }
        if self.without_offset {
            fields.push(format!(
                "time_zone = \"{BLANK}: by which clocks, such as Europe/Berlin\""
            ));
        }
        if self.nullable {
            fields.push("nullable = true".to_owned());
        }
        fields.push(format!("purposes = [\"{BLANK}: what it may be used for\"]"));
        format!("{comment}{} = {{ {} }}\n", self.name, fields.join(", "))
    }

    fn person(&self, alone: bool, first_kind: Option<&IdKind>) -> String {
        let kind = self.id_kind.as_ref();
        let mut fields = vec!["type = \"pseudonym\"".to_owned()];
        if let Some(kind) = kind.filter(|kind| Some(*kind) != first_kind) {
            fields.push(format!("id = \"{kind}\""));
        }
        if alone {
            fields.push(format!(
                "purposes = [\"{BLANK}: what the list of people may be used for\"]"
            ));
        }
        let option = match kind.is_some_and(|kind| kind.as_str() == self.name) {
            true => String::new(),
            false => format!(
                "# Matched and sealed with `--column {0}`.\n",
                argument(&self.name)
            ),
        };
        format!("{option}{PERSON} = {{ {} }}\n", fields.join(", "))
    }
}

/// A figure without zeros that say nothing.
fn plain(figure: &incamera_types::Decimal) -> String {
    let text = figure.to_string();
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A name from a file, fit for a line of a comment.
fn said(name: &str) -> String {
    format!("`{}`", shown(name))
}

/// A name from a file, as it is typed into a shell.
fn argument(name: &str) -> String {
    let name = shown(name);
    match name.contains(' ') {
        true => format!("'{name}'"),
        false => name,
    }
}

fn shown(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || " -_.".contains(c) {
            c
        } else {
            '?'
        }
    };
    name.chars().take(60).map(plain).collect()
}
