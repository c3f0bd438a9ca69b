//! Starting files: commented agreements whose blanks people fill in.

use incamera_attest::TeeKind;
use incamera_keys::{PublicKey, ReceivePublicKey};
use incamera_types::{AnalystName, DatasetName, Date, IdKind, Measurement, PartyName};

use crate::ServiceUrl;
use crate::reader::PLACEHOLDER;

/// What is known of a party; the rest is left to fill in.
#[derive(Clone, Debug, Default)]
pub struct PartyInputs {
    /// Its name.
    pub name: Option<PartyName>,
    /// Its signing key.
    pub signs: Option<PublicKey>,
    /// Its service key.
    pub service: Option<PublicKey>,
    /// What answers for it are sealed to.
    pub receives: Option<ReceivePublicKey>,
    /// Where its service listens.
    pub url: Option<ServiceUrl>,
    /// How many people its data are about.
    pub people: Option<u64>,
}

/// What is known of a campaign that a mailer and a shop measure together; the rest is left to
/// fill in, marked `FILL IN`, and [`crate::Agreement::parse`] refuses it until it is.
#[derive(Clone, Debug, Default)]
pub struct AdMeasurement {
    /// The agreement's name; `campaign` if there is none.
    pub name: Option<String>,
    /// The last day.
    pub expires: Option<Date>,
    /// The party with purchases; named `shop` if there is no name.
    pub shop: PartyInputs,
    /// The party with the mailing list; named `mailer` if there is no name.
    pub mailer: PartyInputs,
    /// Those that evaluate ids; none where the two match with each other.
    pub providers: Vec<PartyInputs>,
    /// The mailer's analyst; named `ana` if there is no name.
    pub analyst: Option<AnalystName>,
    /// The analyst's key.
    pub analyst_key: Option<PublicKey>,
    /// Where the room listens.
    pub room_url: Option<ServiceUrl>,
    /// The kind of TEE that is accepted.
    pub tee: Option<TeeKind>,
    /// The code that may open the data.
    pub measurement: Option<Measurement>,
    /// The kind of id that people are matched by; `email` if there is none.
    pub ids: Option<IdKind>,
    /// Data sets proposed from files, by name: sections that take the place of the example's.
    pub data: Vec<(DatasetName, String)>,
}

impl AdMeasurement {
    fn room(&self) -> RoomInputs {
        RoomInputs {
            url: self.room_url.clone(),
            tee: self.tee,
            measurement: self.measurement,
        }
    }
}

/// What is known of the room; the rest is left to fill in.
#[derive(Clone, Debug, Default)]
pub struct RoomInputs {
    /// Where it listens.
    pub url: Option<ServiceUrl>,
    /// The kind of TEE that is accepted.
    pub tee: Option<TeeKind>,
    /// The code that may open the data.
    pub measurement: Option<Measurement>,
}

/// What is known of data that nobody has a question about yet.
#[derive(Clone, Debug, Default)]
pub struct OwnData {
    /// The agreement's name.
    pub name: String,
    /// The last day.
    pub expires: Option<Date>,
    /// The parties that are known; one is left to fill in where none is.
    pub parties: Vec<PartyInputs>,
    /// Those that evaluate ids; none where they are matched otherwise.
    pub providers: Vec<PartyInputs>,
    /// The room.
    pub room: RoomInputs,
    /// The kind of id that people are known by.
    pub ids: Option<IdKind>,
    /// Data sets proposed from files: sections.
    pub data: Vec<String>,
}

/// The owner of a data set in [`template_own_data`]: the only party, or a blank.
#[must_use]
pub fn owner_own_data(parties: &[PartyInputs]) -> String {
    match parties {
        [] => OWNER.to_owned(),
        [only] => or(only.name.as_ref(), OWNER),
        _ => format!("{PLACEHOLDER}: the party that it belongs to"),
    }
}

/// What a party is called that nobody named.
const OWNER: &str = "owner";

/// A commented agreement about data sets, to start from: purposes, queries and budgets are for
/// the parties to write.
#[must_use]
pub fn template_own_data(inputs: &OwnData) -> String {
    let unnamed = [PartyInputs::default()];
    let parties = match inputs.parties.as_slice() {
        [] => &unnamed[..],
        some => some,
    };
    let about = "# An agreement about data, proposed from files. Read each line, and change what does not fit.\n";
    let mut text = head(about, &inputs.name, inputs.expires.as_ref());
    for known in parties {
        let name = or(known.name.as_ref(), OWNER);
        text.push_str(&party(&name, known, "Who owns data, or asks."));
        text.push_str(&format!(
            "analysts = \"{PLACEHOLDER}: vouched, or a table of names and keys: who may ask\"\n\n"
        ));
    }
    let providers = inputs.providers.iter();
    providers.for_each(|known| text.push_str(&provider(known)));
    text.push_str(&room(&inputs.room));
    let method = match (parties, inputs.providers.as_slice()) {
        ([_], []) => MATCHING_ALONE.to_owned(),
        (_, some) => matching(some),
    };
    text.push_str(&method.replace("@IDS", &or(inputs.ids.as_ref(), "plain")));
    text.push_str(PURPOSES);
    text.push_str(NO_PURPOSES);
    inputs
        .data
        .iter()
        .for_each(|section| text.push_str(section));
    text.push_str(NO_QUERIES);
    for known in parties {
        let name = or(known.name.as_ref(), OWNER);
        text.push_str(&BUDGET.replace("@PARTY", &name));
    }
    text.push_str(&proposals("PARTY/ANALYST"));
    text
}

/// A commented agreement between a shop and a mailer, to start from.
#[must_use]
pub fn template_ad_measurement(inputs: &AdMeasurement) -> String {
    let shop = or(inputs.shop.name.as_ref(), "shop");
    let mailer = or(inputs.mailer.name.as_ref(), "mailer");
    let analyst = or(inputs.analyst.as_ref(), "ana");
    let key = quoted(
        inputs.analyst_key.as_ref(),
        "the analyst's key, \\\"ssh-ed25519 AAAA...\\\"",
    );
    let mut text = String::new();
    for block in [
        head(
            "# An agreement to measure a campaign: did the people who got a mailing buy more?\n",
            &or(inputs.name.as_ref(), "campaign"),
            inputs.expires.as_ref(),
        ),
        party(
            &shop,
            &inputs.shop,
            "The shop: has the customer register and the purchases.",
        ),
        "\n".to_owned(),
        party(
            &mailer,
            &inputs.mailer,
            "The mailer: knows who could have got the mailing, and who got it.",
        ),
        format!(
            "# Who may ask. Or \"vouched\": the party vouches for its people, request by request.\nanalysts = {{ {analyst} = {key} }}\n\n"
        ),
        inputs.providers.iter().map(provider).collect(),
        room(&inputs.room()),
        matching(&inputs.providers).replace("@IDS", &or(inputs.ids.as_ref(), "email")),
        format!("{PURPOSES}{CAMPAIGN_PURPOSES}"),
        data(inputs)
            .replace("@SHOP", &shop)
            .replace("@MAILER", &mailer),
        QUERY
            .replace("@SHOP", &shop)
            .replace("@MAILER", &mailer)
            .replace("@ANALYST", &analyst),
        BUDGETS.replace("@SHOP", &shop).replace("@MAILER", &mailer),
        proposals(&format!("{mailer}/{analyst}")),
    ] {
        text.push_str(&block);
    }
    text
}

/// The data sets: the example's, or those proposed from files; the owner of one that the example
/// does not have is left to fill in.
fn data(inputs: &AdMeasurement) -> String {
    let example = [
        ("customers", CUSTOMERS),
        ("purchases", PURCHASES),
        ("mailing", MAILING),
    ];
    let mut text = String::new();
    for (name, section) in example {
        let proposed = inputs.data.iter().find(|(own, _)| own.as_str() == name);
        text.push_str(proposed.map_or(section, |(_, proposed)| proposed));
    }
    let known = |name: &DatasetName| example.iter().any(|(known, _)| name.as_str() == *known);
    let others = inputs.data.iter().filter(|(name, _)| !known(name));
    others.for_each(|(_, proposed)| text.push_str(proposed));
    text
}

/// The owner of a data set in [`template_ad_measurement`]: a party's name, or a blank.
#[must_use]
pub fn owner_ad_measurement(dataset: &DatasetName) -> String {
    match dataset.as_str() {
        "customers" | "purchases" => "@SHOP".to_owned(),
        "mailing" => "@MAILER".to_owned(),
        _ => format!("{PLACEHOLDER}: the party that it belongs to"),
    }
}

/// What this analyst may propose, commented out: nobody lets others ask by leaving a line as it is.
fn proposals(analyst: &str) -> String {
    PROPOSALS.replace("@ASKS", analyst)
}

fn or<T: ToString>(value: Option<&T>, default: &str) -> String {
    value.map_or_else(|| default.to_owned(), T::to_string)
}

/// A text in quotes, or a blank. Names, keys and addresses hold nothing to escape.
fn quoted<T: ToString>(value: Option<&T>, blank: &str) -> String {
    match value {
        Some(value) => format!("\"{}\"", value.to_string()),
        None => format!("\"{PLACEHOLDER}: {blank}\""),
    }
}

/// A number or a day, or a blank.
fn plain<T: ToString>(value: Option<&T>, blank: &str) -> String {
    match value {
        Some(value) => value.to_string(),
        None => format!("\"{PLACEHOLDER}: {blank}\""),
    }
}

fn head(comment: &str, name: &str, expires: Option<&Date>) -> String {
    let expires = plain(expires, "the last day, such as 2027-03-31, without quotes");
    format!(
        "{comment}{HEAD}[agreement]\nname = \"{name}\"\nversion = 1\nexpires = {expires}   # to the end of that day, UTC\n\n"
    )
}

fn party(name: &str, party: &PartyInputs, comment: &str) -> String {
    let people = plain(
        party.people.as_ref(),
        "about how many people, such as 100_000, without quotes",
    );
    let section = section(name, party, comment);
    format!(
        "{section}people = {people}    # declared and public: foretells errors; data about over twice as many do not run\n"
    )
}

/// What every party has.
fn section(name: &str, party: &PartyInputs, comment: &str) -> String {
    let key = "\\\"ssh-ed25519 AAAA...\\\"; `incamera init` makes one";
    let signs = quoted(party.signs.as_ref(), &format!("the signing key, {key}"));
    let service = quoted(party.service.as_ref(), &format!("the service key, {key}"));
    let url = quoted(
        party.url.as_ref(),
        "the service's address, such as \\\"https://shop.example:7443\\\"",
    );
    let receives = party.receives.as_ref().map_or_else(String::new, |key| {
        format!("receives = \"{key}\"  # answers for it are sealed to this key\n")
    });
    format!(
        "# {comment}\n\
         [parties.{name}]\n\
         signs = {signs}      # signs this file; may stay offline\n\
         service = {service}  # of the running service\n\
         {receives}\
         url = {url}\n"
    )
}

/// A party that brings no data and asks nothing.
fn provider(known: &PartyInputs) -> String {
    let name = or(known.name.as_ref(), "provider");
    let comment = "A provider: evaluates ids that it does not see.";
    section(&name, known, comment) + "\n"
}

/// How ids are matched: through these providers, or between the two parties where there are none.
fn matching(providers: &[PartyInputs]) -> String {
    if providers.is_empty() {
        return MATCHING.to_owned();
    }
    let names = providers
        .iter()
        .map(|known| or(known.name.as_ref(), "provider"));
    let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
    // Of one provider that one, of two both, of more the smallest majority.
    let threshold = names.len() / 2 + 1;
    MATCHING_PROVIDERS
        .replace("@PROVIDERS", &names.join(", "))
        .replace("@THRESHOLD", &threshold.to_string())
}

fn room(room: &RoomInputs) -> String {
    let url = quoted(
        room.url.as_ref(),
        "the room's address, such as \\\"https://room.example:7443\\\"",
    );
    let tee = quoted(
        room.tee.as_ref(),
        "the kind of TEE: sev-snp, tdx, ... (simulated protects nothing)",
    );
    let measurement = quoted(
        room.measurement.as_ref(),
        "the 64 hexadecimal digits that the room prints",
    );
    format!(
        "{ROOM}[room]\nurl = {url}\n[[room.accept]]\ntee = {tee}\nmeasurements = [{measurement}]\n\n"
    )
}

const HEAD: &str = r#"#
# Fill in what says FILL IN, change what does not fit, then:
#   incamera agreement check FILE    is it complete, and does the SQL keep to it?
#   incamera agreement show FILE     what it means, in words
#   incamera agreement sign FILE     each party; nothing opens until all have signed
# Each byte counts once it is signed: a change is a new version.
format = "incamera-agreement/1"

"#;

const ROOM: &str = r#"# Where queries run, and which code may open the data: one complete block for each kind of
# TEE. A simulated TEE is for trying things out: it protects nothing, and says so everywhere.
"#;

const MATCHING: &str = r#"# How ids become pseudonyms: neither party learns who else is in the other's list.
[matching]
method = "commutative"
ids = ["@IDS"]              # email and phone have rules; any other name: plain, as it stands
rules = 2                   # how ids are written before they are matched: the trade's published rules
reveals = "nothing"
max_ids = 500_000           # in one run
max_runs = 12
partitions = 4              # slices that sealed data are cut into

"#;

const MATCHING_PROVIDERS: &str = r#"# How ids become pseudonyms: each owner asks providers, who hold the key in shares and see no id.
[matching]
method = "provider"
providers = [@PROVIDERS]    # bring no data and ask nothing
threshold = @THRESHOLD               # so many evaluate together; so many together know the key
key_days = 90               # how long the key is valid, and the pseudonyms made with it
rate = 20_000               # ids a second that a provider evaluates for a party
ids = ["@IDS"]              # email and phone have rules; any other name: plain, as it stands
rules = 2                   # how ids are written before they are matched: the trade's published rules
reveals = "nothing"
max_ids = 500_000           # of a party, in one run
max_runs = 12               # of a party, while the key is valid
partitions = 4              # slices that sealed data are cut into

"#;

const CAMPAIGN_PURPOSES: &str = r#"measurement = { label = "Measuring campaigns" }
ads = { label = "Choosing audiences" }

"#;

const CUSTOMERS: &str = r#"# One row a customer: the population, and what each agreed to.
[datasets.customers]
owner = "@SHOP"
[datasets.customers.columns]
person = { type = "pseudonym", purposes = ["ads", "measurement"] }
consent = { type = "purposes" }     # decides who is counted; is not stored

"#;

const PURCHASES: &str = r#"# One row a purchase. Amounts outside the bounds are clamped, and counted for the owner.
[datasets.purchases]
owner = "@SHOP"
[datasets.purchases.columns]
person = { type = "pseudonym" }
day = { type = "date", purposes = ["measurement"] }
amount = { type = "decimal(10,2)", unit = "EUR", min = 0, max = 500, purposes = ["measurement"] }

"#;

const MAILING: &str = r#"# One row for everybody who could have been mailed, and whether they were.
[datasets.mailing]
owner = "@MAILER"
[datasets.mailing.columns]
person = { type = "pseudonym" }
mailed = { type = "bool", purposes = ["measurement"] }

"#;

const QUERY: &str = r#"# The one question that may be asked, with any days.
[queries.lift]
purpose = "measurement"
analysts = ["@MAILER/@ANALYST"]
receivers = ["@MAILER", "@SHOP"]
# Every column that the SQL reads, and no other: `incamera agreement check` proves it.
reads = [
  "customers.person",
  "purchases.person", "purchases.day", "purchases.amount",
  "mailing.person", "mailing.mailed",
]
sql = '''
SELECT CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
       COUNT(DISTINCT customers.person) AS people,
       COUNT(DISTINCT purchases.person) AS buyers,
       SUM(purchases.amount) AS spend
FROM customers
JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person
  AND purchases.day BETWEEN $from AND $until
GROUP BY 1
'''
params = { from = { type = "date" }, until = { type = "date" } }
rows = { purchases = 1_000, mailing = 1 }   # each person is cut to that many before any join
groups = { campaign_group = ["mailed", "not mailed"] }   # a row each, always
# What one person can add: to how many groups, and to each sum. Counts of people are 0 or 1.
per_person = { groups = 1, spend = [0, 400] }
weights = { people = 1, buyers = 1, spend = 8 }   # shares of the precision that epsilon buys
ratios = { rate = "buyers / people", spend_per_person = "spend / people" }
compare = { ratio = "spend_per_person", group = "mailed", against = "not mailed" }
epsilon = 1.0               # what a run costs each owner; less is more private and less exact
delta = 1e-8
min_people = 50             # a group below it, by the noisy count, is withheld

"#;

const BUDGETS: &str = r#"# Ceilings inside this agreement; an owner's own configuration may set lower ones.
[budgets.@SHOP]
epsilon = 8.0
delta = 1e-6
renews = "never"

[budgets.@MAILER]
epsilon = 8.0
delta = 1e-6
renews = "never"
"#;

const PROPOSALS: &str = r#"
# With this section analysts may propose questions that are not in this file. One runs once every
# owner whose data it reads has approved it (`incamera query propose`, `incamera query approve`).
# [proposals]
# analysts = ["@ASKS"]   # who may propose
# purposes = ["measurement"]   # for what
# epsilon = 1.0                # the most that one run may cost each owner; budgets hold over all
# delta = 1e-8
# min_people = 50              # no proposal may show smaller groups
"#;

const MATCHING_ALONE: &str = r#"# One owner of data: pseudonyms are made with its own key. Between two owners: method = "commutative".
[matching]
method = "none"
ids = ["@IDS"]              # email and phone have rules; any other name: plain, as it stands
rules = 2                   # how ids are written: the trade's published rules
partitions = 4              # slices that sealed data are cut into

"#;

const PURPOSES: &str = r#"# What data may be used for. Keys exist for these and for nothing else. A purpose may stand under
# another (parent = "marketing"), which then means all below it; and may point to a term that a
# vocabulary defines, such as one of the W3C's Data Privacy Vocabulary:
#   marketing = { label = "Marketing", iri = "https://w3id.org/dpv#Marketing" }
[purposes]
"#;

const NO_PURPOSES: &str = r#"measurement = { label = "FILL IN: what data may be used for, in words" }

"#;

const NO_QUERIES: &str = r#"# What may be asked comes next: a section [queries.NAME] for each question. Until there is one,
# nothing may be asked. `incamera agreement new --for ad-measurement` shows one.

"#;

const BUDGET: &str = r#"# The most that all answers together may tell about its people.
[budgets.@PARTY]
epsilon = 8.0
delta = 1e-6
renews = "never"

"#;
