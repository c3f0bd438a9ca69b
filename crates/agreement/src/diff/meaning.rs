//! What each field of an agreement is about, for people who read what changes.

/// What a field is about, by its place; nothing for a place that is not known, which is told
/// without.
pub(super) fn meaning(path: &[String]) -> Option<&'static str> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["agreement", field] => of_agreement(field),
        ["parties", _, rest @ ..] => of_party(rest),
        ["room", rest @ ..] => of_room(rest),
        ["matching", field] | ["matching", field @ "links", ..] => of_matching(field),
        ["purposes", _, field] => of_purpose(field),
        ["datasets", _, "columns", _, field] => of_column(field),
        ["datasets", _, field] => of_dataset(field),
        ["queries", _, rest @ ..] => of_query(rest),
        ["budgets", _, field] => of_budget(field),
        ["proposals", field] => of_proposals(field),
        _ => None,
    }
}

fn of_agreement(field: &str) -> Option<&'static str> {
    Some(match field {
        "name" => "what people call it",
        "expires" => "the last day on which a key is released",
        _ => return None,
    })
}

fn of_party(rest: &[&str]) -> Option<&'static str> {
    Some(match rest {
        ["signs"] => "the key that signs agreements for it",
        ["service"] => "the key of its service: manifests, grants and log are signed with it",
        ["receives"] => "the key that answers for it are sealed to",
        ["url"] => "where its service listens",
        ["people"] => "how many people its data are about, declared and public",
        ["analysts", ..] => "who may ask in its name",
        _ => return None,
    })
}

fn of_room(rest: &[&str]) -> Option<&'static str> {
    Some(match rest {
        ["url"] => "where queries run",
        ["accept", _, "measurements"] => "the code that keys are released to",
        ["accept", _, "min_tcb", ..] => "the oldest firmware that keys are released to",
        _ => return None,
    })
}

fn of_matching(field: &str) -> Option<&'static str> {
    Some(match field {
        "method" => "how ids become pseudonyms",
        "ids" => "the kinds of id that people are matched by",
        "rules" => "how ids are written before they are matched: other rules, other pseudonyms",
        "hashed" => "the kinds of id that are matched by the SHA-256 of an id",
        "reveals" => {
            "what a party learns about its own rows: nothing, or which of its ids the other has too"
        }
        "security" => {
            "against whom what shows matches is long enough, by method vole: any party, or one that keeps to the protocol"
        }
        "max_ids" => "the most ids of a party in one run",
        "max_runs" => "the most runs of a party",
        "match_partitions" => {
            "into how many parts, by a hash, ids are split that are matched part by part"
        }
        "partitions" => "slices that sealed data are cut into",
        "link" => "the rule by which people of two owners are linked who have several kinds of id",
        "providers" => {
            "the parties that hold the matching key in shares: each evaluates ids that it does not see"
        }
        "threshold" => "how many providers evaluate together; as many together know the key",
        "key_days" => {
            "for how many days a key of the providers is valid, and the pseudonyms made with it"
        }
        "rate" => "how many ids a second a provider evaluates for a party",
        "links" => "between which kinds of id parties may leave encrypted edges with the providers",
        "epoch" => "raised, it starts matching and sealing anew",
        _ => return None,
    })
}

fn of_purpose(field: &str) -> Option<&'static str> {
    Some(match field {
        "label" => "what it means in words: what people agreed to was the old text",
        "parent" => "the branch that it belongs to",
        "iri" => "the term of a vocabulary that it points to",
        "replaces" => "purposes of earlier versions that it stands for",
        _ => return None,
    })
}

fn of_dataset(field: &str) -> Option<&'static str> {
    Some(match field {
        "owner" => "the party that it belongs to",
        "public" => "a public data set is about no person, not encrypted, and joins on anything",
        "keep_until" => "the last day on which a key of it is released",
        _ => return None,
    })
}

fn of_column(field: &str) -> Option<&'static str> {
    Some(match field {
        "type" => "what its values are",
        "nullable" => "whether a value may be missing",
        "purposes" => "what it is sealed for",
        "not_for" => "what it is not sealed for, of its purposes",
        "unit" => "what its figures count",
        "min" | "max" => "values outside are clamped before they are sealed",
        "values" => "the texts that it may hold",
        "other" => "what becomes of any other text",
        "id" => "the kind of id that its pseudonyms are made from",
        "time_zone" => "by whose clocks a time without offset is read",
        _ => return None,
    })
}

fn of_query(rest: &[&str]) -> Option<&'static str> {
    Some(match rest {
        ["purpose"] => "what its answer may be used for",
        ["analysts"] => "who may ask it",
        ["receivers"] => "who gets the answer",
        ["reads"] => "the columns whose keys are released for it",
        ["sql"] => "what is asked",
        ["params", ..] => "what the analyst chooses freely",
        ["rows", ..] => "the most rows of one person that count; of a public data set, of all",
        ["per_person", "groups"] => "in how many groups one person counts",
        ["per_person", ..] => "what one person can add to the measure of a group",
        ["groups", ..] => {
            "the rows that the answer has, always; discovered: those that enough people have, by the noisy count"
        }
        ["weights", ..] => "the measure's share of the precision that epsilon buys",
        ["ratios", ..] => "a quotient that the answer shows",
        ["compare", ..] => "the two groups that the answer compares",
        ["sampling"] => {
            "whether people are taken as a sample, whose error the answer then says apart"
        }
        ["epsilon"] => "what a run costs each owner read; more is less private",
        ["delta"] => "the probability with which nothing is promised, in each run",
        ["min_people"] => "the least noisy count of people that is shown",
        _ => return None,
    })
}

fn of_proposals(field: &str) -> Option<&'static str> {
    Some(match field {
        "analysts" => "who may propose a query that runs once the owners read approve it",
        "purposes" => "what a proposed query may be for",
        "datasets" => "what a proposed query may read",
        "epsilon" => "the most that a run of a proposed query may cost each owner read",
        "delta" => "the greatest probability with which a run of a proposed query promises nothing",
        "min_people" => "no proposed query shows groups of fewer people",
        "until" => "the last day on which a proposed query runs",
        _ => return None,
    })
}

fn of_budget(field: &str) -> Option<&'static str> {
    Some(match field {
        "epsilon" => "what all runs together may cost its people",
        "delta" => "the probability with which nothing is promised, in all runs together",
        "renews" => "whether what is spent comes back",
        _ => return None,
    })
}
