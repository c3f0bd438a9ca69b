//! Rows of TPC-H, made: row counts and distributions of the specification's section 4.2.3, as
//! far as the answered queries look at them. Texts that no query looks at are short, and of
//! comments there is only whether they speak of special requests (one in a hundred orders).

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;

use super::super::*;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// From `low` to `high`, both possible.
    fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.next() as usize % of.len()]
    }
}

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

const NATIONS: [(&str, i64); 25] = [
    ("ALGERIA", 0),
    ("ARGENTINA", 1),
    ("BRAZIL", 1),
    ("CANADA", 1),
    ("EGYPT", 4),
    ("ETHIOPIA", 0),
    ("FRANCE", 3),
    ("GERMANY", 3),
    ("INDIA", 2),
    ("INDONESIA", 2),
    ("IRAN", 4),
    ("IRAQ", 4),
    ("JAPAN", 2),
    ("JORDAN", 4),
    ("KENYA", 0),
    ("MOROCCO", 0),
    ("MOZAMBIQUE", 0),
    ("PERU", 1),
    ("CHINA", 2),
    ("ROMANIA", 3),
    ("SAUDI ARABIA", 4),
    ("VIETNAM", 2),
    ("RUSSIA", 3),
    ("UNITED KINGDOM", 3),
    ("UNITED STATES", 1),
];
const REGIONS: [&str; 5] = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"];
const SEGMENTS: [&str; 5] = [
    "AUTOMOBILE",
    "BUILDING",
    "FURNITURE",
    "HOUSEHOLD",
    "MACHINERY",
];
const PRIORITIES: [&str; 5] = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"];
const INSTRUCTIONS: [&str; 4] = [
    "DELIVER IN PERSON",
    "COLLECT COD",
    "NONE",
    "TAKE BACK RETURN",
];
const MODES: [&str; 7] = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"];
const TYPES: [&[&str]; 3] = [
    &["STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"],
    &["ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"],
    &["TIN", "NICKEL", "BRASS", "STEEL", "COPPER"],
];
const CONTAINERS: [&[&str]; 2] = [
    &["SM", "LG", "MED", "JUMBO", "WRAP"],
    &["CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM"],
];

/// 1992-01-01, the last day of an order (151 days before 1998-12-31), and 1995-06-17.
const FIRST_ORDER: i64 = 8035;
const LAST_ORDER: i64 = 10_440;
const TODAY: i64 = 9298;

fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn cents(values: impl Iterator<Item = i64>) -> ArrayRef {
    let values: Decimal128Array = values.map(i128::from).map(Some).collect();
    Arc::new(values.with_precision_and_scale(15, 2).unwrap())
}

fn texts<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values.collect::<Vec<_>>()))
}

fn days(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(
        values
            .map(|day| Some(i32::try_from(day).unwrap()))
            .collect::<Date32Array>(),
    )
}

fn retail_price(part: i64) -> i64 {
    90_000 + (part / 10) % 20_001 + 100 * (part % 1000)
}

/// One of the four suppliers of a part.
fn supplier_of(part: i64, which: i64, suppliers: i64) -> i64 {
    (part + which * (suppliers / 4 + (part - 1) / suppliers)) % suppliers + 1
}

fn someone(customer: i64) -> Person {
    let number = u128::from(mixed(customer as u64)) << 64 | u128::from(customer as u64);
    number.to_be_bytes()
}

struct Order {
    key: i64,
    person: Person,
    day: i64,
    priority: &'static str,
    special: bool,
    lines: Vec<Line>,
}

struct Line {
    part: i64,
    supplier: i64,
    quantity: i64,
    discount: i64,
    tax: i64,
    shipped: i64,
    committed: i64,
    received: i64,
    returned: &'static str,
    instruction: &'static str,
    mode: &'static str,
}

impl Line {
    fn of(random: &mut Random, ordered: i64, parts: i64, suppliers: i64) -> Self {
        let part = random.within(1, parts);
        let shipped = ordered + random.within(1, 121);
        let received = shipped + random.within(1, 30);
        Self {
            part,
            supplier: supplier_of(part, random.within(0, 3), suppliers),
            quantity: random.within(1, 50),
            discount: random.within(0, 10),
            tax: random.within(0, 8),
            shipped,
            committed: ordered + random.within(30, 90),
            received,
            returned: match received <= TODAY {
                true => random.one(&["R", "A"]),
                false => "N",
            },
            instruction: random.one(&INSTRUCTIONS),
            mode: random.one(&MODES),
        }
    }

    fn price(&self) -> i64 {
        self.quantity * retail_price(self.part)
    }

    fn status(&self) -> &'static str {
        if self.shipped > TODAY { "O" } else { "F" }
    }
}

impl Order {
    fn status(&self) -> &'static str {
        let open = self
            .lines
            .iter()
            .filter(|line| line.status() == "O")
            .count();
        match open {
            0 => "F",
            all if all == self.lines.len() => "O",
            _ => "P",
        }
    }
}

/// All tables at a scale factor.
pub(super) fn tables(scale: f64) -> Memory {
    let count = |rows: f64| (rows * scale).round() as i64;
    let (customers, parts) = (count(150_000.0), count(200_000.0));
    let suppliers = count(10_000.0);
    let mut random = Random(1);
    let orders = orders(&mut random, customers, parts, suppliers);
    let batches = [
        ("customer", customer(&mut random, customers)),
        ("orders", order_rows(&orders)),
        ("lineitem", line_rows(&orders)),
        ("part", part(&mut random, parts)),
        ("supplier", supplier(&mut random, suppliers)),
        ("partsupp", partsupp(&mut random, parts, suppliers)),
        ("nation", nation()),
        ("region", region()),
    ];
    let parts = batches.map(|(name, rows)| ((dataset(name), 0), vec![vec![rows]]));
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

/// Ten orders a customer, of two customers in three.
fn orders(random: &mut Random, customers: i64, parts: i64, suppliers: i64) -> Vec<Order> {
    let one = |key: i64| {
        let buyer = loop {
            let buyer = random.within(1, customers);
            if buyer % 3 != 0 {
                break buyer;
            }
        };
        let day = random.within(FIRST_ORDER, LAST_ORDER);
        let count = random.within(1, 7);
        let lines = (0..count).map(|_| Line::of(random, day, parts, suppliers));
        let lines = lines.collect();
        Order {
            key,
            person: someone(buyer),
            day,
            priority: random.one(&PRIORITIES),
            special: random.within(1, 100) == 1,
            lines,
        }
    };
    let mut orders: Vec<Order> = (1..=customers * 10).map(one).collect();
    orders.sort_by_key(|order| order.person);
    orders
}

fn customer(random: &mut Random, customers: i64) -> RecordBatch {
    let mut keys: Vec<i64> = (1..=customers).collect();
    keys.sort_by_key(|key| someone(*key));
    let nations: Vec<i64> = keys.iter().map(|_| random.within(0, 24)).collect();
    let phone = |nation: &i64| format!("{}-555-555-5555", nation + 10);
    batch(vec![
        ("person", people(keys.iter().map(|key| someone(*key)))),
        ("c_custkey", ints(keys.iter().copied())),
        ("c_name", texts(keys.iter().map(|key| format!("C{key}")))),
        ("c_phone", texts(nations.iter().map(phone))),
        ("c_nationkey", ints(nations.iter().copied())),
        (
            "c_acctbal",
            cents(keys.iter().map(|_| random.within(-99_999, 999_999))),
        ),
        (
            "c_mktsegment",
            texts(keys.iter().map(|_| random.one(&SEGMENTS))),
        ),
    ])
}

fn order_rows(orders: &[Order]) -> RecordBatch {
    let all = || orders.iter();
    let total = |order: &Order| order.lines.iter().map(Line::price).sum();
    let comment = |order: &Order| match order.special {
        true => "special packages requests",
        false => "",
    };
    batch(vec![
        ("person", people(all().map(|order| order.person))),
        ("o_orderkey", ints(all().map(|order| order.key))),
        ("o_totalprice", cents(all().map(total))),
        ("o_orderdate", days(all().map(|order| order.day))),
        ("o_orderpriority", texts(all().map(|order| order.priority))),
        ("o_orderstatus", texts(all().map(Order::status))),
        ("o_shippriority", ints(all().map(|_| 0))),
        ("o_comment", texts(all().map(comment))),
    ])
}

fn line_rows(orders: &[Order]) -> RecordBatch {
    let each = || {
        let lines = |order: &'_ Order| {
            order
                .lines
                .iter()
                .map(|_| (order.key, order.person))
                .collect::<Vec<_>>()
        };
        orders.iter().flat_map(lines)
    };
    let all = || orders.iter().flat_map(|order| &order.lines);
    batch(vec![
        ("person", people(each().map(|(_, person)| person))),
        ("l_orderkey", ints(each().map(|(key, _)| key))),
        ("l_partkey", ints(all().map(|line| line.part))),
        ("l_suppkey", ints(all().map(|line| line.supplier))),
        ("l_quantity", cents(all().map(|line| 100 * line.quantity))),
        ("l_extendedprice", cents(all().map(Line::price))),
        ("l_discount", cents(all().map(|line| line.discount))),
        ("l_tax", cents(all().map(|line| line.tax))),
        ("l_returnflag", texts(all().map(|line| line.returned))),
        ("l_linestatus", texts(all().map(Line::status))),
        ("l_shipdate", days(all().map(|line| line.shipped))),
        ("l_commitdate", days(all().map(|line| line.committed))),
        ("l_receiptdate", days(all().map(|line| line.received))),
        ("l_shipinstruct", texts(all().map(|line| line.instruction))),
        ("l_shipmode", texts(all().map(|line| line.mode))),
    ])
}

fn part(random: &mut Random, parts: i64) -> RecordBatch {
    let keys = || 1..=parts;
    // Five of 92 colours, one of which a query looks for.
    let name = |random: &mut Random| match random.within(1, 92) <= 5 {
        true => "green",
        false => "other",
    };
    let words = |random: &mut Random, of: &[&[&'static str]]| {
        let words: Vec<&str> = of.iter().map(|words| random.one(words)).collect();
        words.join(" ")
    };
    let brand = |random: &mut Random| {
        let (one, other) = (random.within(1, 5), random.within(1, 5));
        format!("Brand#{one}{other}")
    };
    batch(vec![
        ("p_partkey", ints(keys())),
        ("p_name", texts(keys().map(|_| name(random)))),
        ("p_mfgr", texts(keys().map(|_| "M"))),
        ("p_brand", texts(keys().map(|_| brand(random)))),
        ("p_type", texts(keys().map(|_| words(random, &TYPES)))),
        ("p_size", ints(keys().map(|_| random.within(1, 50)))),
        (
            "p_container",
            texts(keys().map(|_| words(random, &CONTAINERS))),
        ),
    ])
}

fn supplier(random: &mut Random, suppliers: i64) -> RecordBatch {
    let keys = || 1..=suppliers;
    batch(vec![
        ("s_suppkey", ints(keys())),
        ("s_name", texts(keys().map(|key| format!("S{key}")))),
        ("s_nationkey", ints(keys().map(|_| random.within(0, 24)))),
        ("s_acctbal", cents(keys().map(|_| 0))),
        ("s_comment", texts(keys().map(|_| ""))),
    ])
}

fn partsupp(random: &mut Random, parts: i64, suppliers: i64) -> RecordBatch {
    let keys = || (1..=parts).flat_map(|part| (0..4).map(move |which| (part, which)));
    batch(vec![
        ("ps_partkey", ints(keys().map(|(part, _)| part))),
        (
            "ps_suppkey",
            ints(keys().map(|(part, which)| supplier_of(part, which, suppliers))),
        ),
        ("ps_availqty", ints(keys().map(|_| 1))),
        (
            "ps_supplycost",
            cents(keys().map(|_| random.within(100, 100_000))),
        ),
    ])
}

fn nation() -> RecordBatch {
    batch(vec![
        ("n_nationkey", ints(0..25)),
        ("n_name", texts(NATIONS.iter().map(|(name, _)| name))),
        (
            "n_regionkey",
            ints(NATIONS.iter().map(|(_, region)| *region)),
        ),
    ])
}

fn region() -> RecordBatch {
    batch(vec![
        ("r_regionkey", ints(0..5)),
        ("r_name", texts(REGIONS.iter())),
    ])
}
