use super::*;

fn million() -> Situation {
    Situation {
        own: 1 << 20,
        peer: 1 << 20,
        link_bits_per_s: 1_000_000_000,
        rtt_ms: 20,
        cores: 16,
        machines: 1,
        instructions: Instructions::Ifma,
        reveals: Reveals::Nothing,
        parties: 2,
        appends: false,
        providers: 2,
    }
}

fn of(method: PlannedMethod, situation: &Situation) -> Line {
    let lines = plan(situation).lines;
    let mut lines = lines.into_iter().filter(|line| line.method == method);
    lines.next().unwrap()
}

fn commutative_of(situation: &Situation) -> Line {
    of(PlannedMethod::Commutative, situation)
}

#[track_caller]
fn close(found: f64, worked: f64) {
    assert!(
        (found / worked - 1.0).abs() < 0.005,
        "{found}, by hand {worked}"
    );
}

/// By hand: 0.94 + 2.5 + 0.17 = 3.61 to blind, 0.34 + 2.5 + 0.17 = 3.01 to raise; an own id
/// 3.61 + 3.01 + 1.3 = 7.92 and one of the other 3.01, 10.93 together; 2,097,152 ids of both
/// are 22.92 s, 11.46 s a side, 0.716 s on 16 cores; 64 windows of 20 ms are 1.28 s, and 0.577 s
/// of reading come before.
#[test]
fn a_million_ids_a_side_by_hand() {
    let line = commutative_of(&million());
    close(line.own_cpu_s + line.peer_cpu_s, 22.92);
    close(line.own_cpu_s, 11.461);
    close(line.seconds, 1.28 + 0.577);
    assert_eq!(line.bound, Bound::RoundTrips);
    // 64 bytes an id of each set, and a quarter of a percent.
    close(line.sent + line.received, 2_097_152.0 * 64.16);
    close(line.sent, line.received);

    let own = Situation {
        reveals: Reveals::OwnMatches,
        ..million()
    };
    let line = commutative_of(&own);
    // 3.61 + 3.01 + 1.6 = 8.22.
    close(line.own_cpu_s + line.peer_cpu_s, 17.24);
    close(line.sent + line.received, 2_097_152.0 * 48.12);
}

/// By hand: 10^9 a side are 21,860 s, in 256 parts of
/// 3.906 million (+- 1,973) and 85.4 s; on 8 machines of 16 cores a side 85.4 s of work; 64.16
/// GB each way at 10 Gbit/s are 51.3 s; 7,630 windows a machine of 20 ms are 152.6 s; 68.75 s of
/// reading on each of 8 machines before.
#[test]
fn a_billion_ids_by_hand() {
    let billion = Situation {
        own: 1_000_000_000,
        peer: 1_000_000_000,
        link_bits_per_s: 10_000_000_000,
        machines: 8,
        ..million()
    };
    let line = commutative_of(&billion);
    close(line.own_cpu_s + line.peer_cpu_s, 21_860.0);
    close(line.sent, 64.16e9);
    close(line.seconds, 152.6 + 68.75);
    assert_eq!(line.bound, Bound::RoundTrips);
    let split = plan(&billion).split.unwrap();
    assert_eq!(split.parts, 256);
    close(split.ids, 3_906_250.0);
    close(split.deviation, 1_972.6);
    close(split.part_cpu_s, 85.39);
    // Each part looks at two billion rows: far more than its matching takes, all parts together.
    close(split.part_reading_cpu_s, 2e9 * 0.28e-6);
    close(split.all_reading_cpu_s, 256.0 * 2e9 * 0.28e-6);
    close(split.splitting_cpu_s, 2e9 * 0.33e-6);
    // 2.2 x 49 bytes an id: 0.42 GB a part.
    close(line.disk, 107.8e9);

    let slower = Situation {
        link_bits_per_s: 1_000_000_000,
        ..billion
    };
    let line = commutative_of(&slower);
    close(line.seconds, 513.3 + 68.75);
    assert_eq!(line.bound, Bound::Link);
}

#[test]
fn one_id_against_a_million_is_the_others_work() {
    let uneven = Situation {
        own: 1,
        ..million()
    };
    let line = commutative_of(&uneven);
    // The other: 1,048,576 x 7.92; here 1,048,576 x 3.01.
    close(line.peer_cpu_s, 8.305);
    close(line.own_cpu_s, 3.156);
    // 64 windows of 20 ms.
    close(line.seconds, 1.28);
    assert_eq!(line.bound, Bound::RoundTrips);
    close(line.sent, 1_048_577.0 * 32.08);
}

#[test]
fn more_ids_take_more_of_everything() {
    for reveals in [Reveals::Nothing, Reveals::OwnMatches] {
        let mut last: Option<Plan> = None;
        for bits in [0, 1, 4, 10, 16, 20, 24, 30] {
            let situation = Situation {
                own: 1 << bits,
                peer: 3 << bits,
                reveals,
                ..million()
            };
            let now = plan(&situation);
            for line in &now.lines {
                let before = last.iter().flat_map(|plan| &plan.lines);
                for smaller in before.filter(|other| other.method == line.method) {
                    assert!(line.seconds >= smaller.seconds, "{line:?}");
                    assert!(line.own_cpu_s > smaller.own_cpu_s, "{line:?}");
                    assert!(line.sent > smaller.sent && line.disk > smaller.disk);
                }
            }
            last = Some(now);
        }
    }
}

#[test]
fn slower_processors_and_links_take_longer() {
    let seconds = |change: &dyn Fn(&mut Situation)| {
        let mut situation = Situation {
            own: 1 << 24,
            peer: 1 << 24,
            ..million()
        };
        change(&mut situation);
        commutative_of(&situation).seconds
    };
    let fastest = seconds(&|_| ());
    assert!(seconds(&|s| s.instructions = Instructions::Avx2) > 2.0 * fastest);
    let portable = seconds(&|s| s.instructions = Instructions::Portable);
    assert!(portable > seconds(&|s| s.instructions = Instructions::Avx2));
    assert!(seconds(&|s| s.link_bits_per_s = 10_000_000) > fastest);
    assert!(seconds(&|s| s.rtt_ms = 500) > fastest);
    assert!(seconds(&|s| s.cores = 2) > fastest);
    assert!(seconds(&|s| s.machines = 8) < fastest);
}

#[test]
fn providers_are_bound_by_their_rate() {
    let line = of(PlannedMethod::Provider, &million());
    // 1,048,576 / 20,000, and reading before.
    close(line.seconds, 52.43 + 0.577);
    assert_eq!(line.bound, Bound::Rate);
    // 3.61 + 2 x 1.8 + 2.7 = 9.91 us.
    close(line.own_cpu_s, 10.39);
}

#[test]
fn only_what_fits_is_planned_and_advised() {
    let methods = |situation: &Situation| {
        let lines = plan(situation).lines;
        let mut methods: Vec<_> = lines.iter().map(|line| line.method.as_str()).collect();
        methods.sort_unstable();
        methods
    };
    let first = |situation: &Situation| plan(situation).advice.swap_remove(0);
    assert_eq!(methods(&million()), ["commutative", "provider", "vole"]);
    assert!(first(&million()).starts_with("take `commutative`"));
    assert!(plan(&million()).advice.concat().contains("or take `vole`"));
    let large = Situation {
        own: (1 << 22) + 1,
        ..million()
    };
    assert_eq!(methods(&large), ["commutative", "provider"]);
    let left_out = |situation: &Situation| plan(situation).left_out;
    let vole = PlannedMethod::Vole;
    assert!(left_out(&million()).is_empty());
    assert_eq!(left_out(&large), [(vole, Unfit::TooMany)]);
    let one_core = Situation {
        cores: 1,
        ..million()
    };
    assert!(first(&one_core).starts_with("take `vole`"));
    let appends = Situation {
        appends: true,
        ..million()
    };
    assert_eq!(methods(&appends), ["commutative", "provider"]);
    assert_eq!(left_out(&appends), [(vole, Unfit::Appends)]);
    assert_eq!(plan(&appends).advice.len(), 1);
    assert!(first(&appends).contains("added later"));
    let own = Situation {
        reveals: Reveals::OwnMatches,
        ..million()
    };
    assert_eq!(methods(&own), ["commutative", "vole"]);
    let provider = PlannedMethod::Provider;
    assert_eq!(left_out(&own), [(provider, Unfit::RevealsNothing)]);
    assert!(first(&own).starts_with("take `commutative`"));
    let three = Situation {
        parties: 3,
        ..million()
    };
    assert_eq!(methods(&three), ["provider"]);
    let two = [PlannedMethod::Commutative, vole];
    assert_eq!(
        left_out(&three),
        two.map(|method| (method, Unfit::TwoParties))
    );
    assert!(
        first(&three).starts_with("take `provider`"),
        "{}",
        first(&three)
    );
    let few = Situation {
        own: 1000,
        peer: 1000,
        ..million()
    };
    assert_eq!(
        plan(&few).advice.len(),
        1,
        "commutative, and nothing better"
    );
}

/// Where agreements know no parts, no plan counts on them: one run on one machine has to do.
#[test]
fn what_has_no_parts_is_planned_without_them() {
    let whole = Situation {
        machines: 8,
        ..million()
    };
    let own = Situation {
        reveals: Reveals::OwnMatches,
        ..whole.clone()
    };
    let three = Situation {
        parties: 3,
        ..whole.clone()
    };
    assert!(plan(&whole).split.is_some());
    let says = |plan: &Plan| plan.advice.iter().any(|line| line.contains("part by part"));
    assert!(!says(&plan(&whole)));
    for situation in [own, three] {
        let one = Situation {
            machines: 1,
            ..situation.clone()
        };
        let (many, one) = (plan(&situation), plan(&one));
        assert!(many.split.is_none() && says(&many) && !says(&one));
        assert_eq!(many.lines, one.lines);
    }
}

#[test]
fn sets_are_split_for_machines_and_for_size() {
    let parts = |ids, machines| {
        let situation = Situation {
            own: ids,
            peer: 1,
            machines,
            ..million()
        };
        plan(&situation).split.map(|split| split.parts)
    };
    assert_eq!(parts(1 << 24, 1), None);
    assert_eq!(parts((1 << 24) + 1, 1), Some(8));
    assert_eq!(parts(1 << 20, 3), Some(4));
    assert_eq!(parts(1 << 30, 1), Some(256));
}

/// What stands in a plan stands among its constants, and each says where it comes from.
#[test]
fn constants_say_where_they_come_from() {
    let constants = plan(&million()).constants;
    let of = |name: &str| constants.iter().find(|one| one.name == name).unwrap();
    assert_eq!(
        (
            of("multiply a point").value,
            of("multiply a point").measured
        ),
        (2.5, true)
    );
    assert!(!of("all else for an own id").measured);
    let names: std::collections::BTreeSet<_> = constants.iter().map(|one| one.name).collect();
    assert_eq!(names.len(), constants.len());
    assert!(MEASURED_ON.contains("2026") && MEASURED_ON.contains("x86-64"));
}

/// The row of `docs/benchmarks.md` that begins with `name`: what was got.
fn got(page: &str, name: &str) -> String {
    let row = page.lines().find(|line| line.starts_with(name)).unwrap();
    row.split('|').nth(4).unwrap().trim().to_owned()
}

/// The number that a text begins with.
fn number(text: &str) -> f64 {
    let end = |c: char| !c.is_ascii_digit() && !".,".contains(c);
    let text = text.split(end).next().unwrap();
    text.trim_end_matches(',').replace(',', "").parse().unwrap()
}

#[track_caller]
fn near(found: f64, constant: f64, by: f64) {
    assert!(
        (found / constant - 1.0).abs() < by,
        "{found} on the page, {constant} here"
    );
}

fn page() -> String {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
    std::fs::read_to_string(page).unwrap()
}

/// The table of measured figures names what the constants say.
#[test]
fn costs_of_points_are_the_benchmarks() {
    let page = page();
    let backends = [
        Instructions::Ifma,
        Instructions::Avx2,
        Instructions::Portable,
    ]
    .map(PointCosts::of);
    let multiply = got(&page, "| scalar_mul_us ");
    let three = got(&page, "| hash_to_group_us, encode_us, decode_us ");
    for row in [&multiply, &three] {
        assert_eq!(row.split("; ").count(), 3);
    }
    let words = ["", "AVX2 ", "portable "];
    let parts = multiply.split("; ").zip(three.split("; "));
    for ((multiply, three), (word, costs)) in parts.zip(words.iter().zip(&backends)) {
        let of = |part: &str| part.strip_prefix(word).unwrap().to_owned();
        near(number(&of(multiply)), costs.multiply, 0.1);
        let three = of(three);
        let figures: Vec<f64> = three.split(", ").take(3).map(number).collect();
        near(figures[0], costs.hash, 0.1);
        near(figures[1], costs.encode, 0.1);
        near(figures[2], costs.decode, 0.1);
    }
}

/// What whole runs took is what the plan foretells of them.
#[test]
fn runs_are_foretold_as_they_were_measured() {
    let page = page();
    let own = Situation {
        reveals: Reveals::OwnMatches,
        ..million()
    };
    let cpu = |line: &Line| line.own_cpu_s + line.peer_cpu_s;
    let runs = [
        (
            "| commutative_nothing_2e20_cpu_s ",
            commutative_of(&million()),
        ),
        ("| commutative_own_2e20_cpu_s ", commutative_of(&own)),
        (
            "| vole_own_2e20_malicious_cpu_s ",
            of(PlannedMethod::Vole, &own),
        ),
        (
            "| vole_nothing_2e20_cpu_s ",
            of(PlannedMethod::Vole, &million()),
        ),
    ];
    for (name, line) in &runs {
        near(number(&got(&page, name)), cpu(line), 0.1);
    }
    let evaluations = number(&got(&page, "| provider_evaluations_per_s "));
    near(1e6 / evaluations, PROVIDER_US, 0.1);
    // What else the page says of them.
    let says = |name: &str, words: &str| {
        let row = page.lines().find(|line| line.starts_with(name)).unwrap();
        let (before, _) = row.split_once(words).unwrap();
        number(
            before
                .rsplit([' ', ';'])
                .find(|word| !word.is_empty())
                .unwrap(),
        )
    };
    for (name, line) in &runs[2..] {
        let bytes = line.sent + line.received;
        near(
            says(name, " bytes an id of each set"),
            bytes / 2_097_152.0,
            0.02,
        );
    }
    let peak = |name: &str| {
        let row = page.lines().find(|line| line.starts_with(name)).unwrap();
        let (_, behind) = row.split_once("peak ").unwrap();
        number(behind)
    };
    for (name, line) in [
        ("| vole_own_2e20_cpu_s", &runs[2].1),
        (runs[3].0, &runs[3].1),
    ] {
        near(peak(name), line.memory_mib, 0.05);
    }
}
