//! `match plan`: what matching two sets takes, before anybody runs it.

use incamera_dp::interval::thousands;
use incamera_matching::plan::{Constant, Line, MEASURED_ON, Plan, Situation, Split, plan};
use serde_json::{Value, json};

use crate::args::MatchPlan;
use crate::failure::{Done, Failure};
use crate::printer::Printer;
use crate::words;

/// More ids than that, and the arithmetic is shown.
const MANY_IDS: u64 = 100_000_000;
/// More ids than anybody has.
const MOST_IDS: u64 = 10_000_000_000;

/// Foretells.
pub fn run(arguments: &MatchPlan, printer: &Printer) -> Done {
    let largest = arguments.own.max(arguments.peer);
    if largest > MOST_IDS {
        return Err(Failure::usage("that many ids are not planned for")
            .hint("an agreement allows at most 10,000,000,000 ids of a party"));
    }
    let situation = situation(arguments);
    let plan = plan(&situation);
    let arithmetic = arguments.show_arithmetic || largest > MANY_IDS;
    let text = text(&situation, &plan, arithmetic);
    printer.result(text, "incamera-match-plan/1", &document(&situation, &plan));
    Ok(())
}

fn situation(arguments: &MatchPlan) -> Situation {
    Situation {
        own: arguments.own,
        peer: arguments.peer,
        link_bits_per_s: arguments.link * 1_000_000,
        rtt_ms: arguments.rtt,
        cores: arguments.cores,
        machines: arguments.machines,
        instructions: arguments.instructions,
        reveals: arguments.reveals,
        parties: arguments.parties,
        appends: arguments.appends,
        providers: arguments.providers,
    }
}

fn text(situation: &Situation, plan: &Plan, arithmetic: bool) -> String {
    let machines = match situation.machines {
        1 => String::new(),
        some => format!("{some} machines of "),
    };
    let mut text = format!(
        "{} of your ids and {} of the other's, {} Mbit/s, {} ms, {machines}{} cores ({}) a side, reveals {}\n\n",
        thousands(situation.own),
        thousands(situation.peer),
        thousands(situation.link_bits_per_s / 1_000_000),
        situation.rtt_ms,
        situation.cores,
        situation.instructions,
        situation.reveals,
    );
    text += &format!(
        "{:<12} {:>10} {:>12} {:>12} {:>9} {:>9} {:>8} {:>8}  held up by\n",
        "method", "time", "CPU here", "CPU there", "sent", "received", "memory", "disk"
    );
    text.extend(plan.lines.iter().map(row));
    let left_out = plan.left_out.iter();
    text.extend(left_out.map(|(method, why)| format!("{:<12} left out: {why}\n", method.as_str())));
    text += &format!(
        "{}; all without what else the machines do; measured: {MEASURED_ON}\n",
        origins(&plan.lines)
    );
    if let Some(split) = &plan.split {
        text += &format!(
            "\nsplit by a hash of the ids: {} parts of {} ids (+- {}) each, {:.1} CPU s of both sides a part; the other party sees the parts' sizes\n",
            split.parts,
            thousands(format!("{:.0}", split.ids)),
            thousands(format!("{:.0}", split.deviation)),
            split.part_cpu_s
        );
        text += &format!(
            "  in the agreement: match_partitions = {}\n  on each side, once: {SPLIT_COMMAND}\n  on both sides, once for each N from 0 to {}: {}\n",
            split.parts,
            split.parts - 1,
            command(split.parts)
        );
        text += &reading(split);
    }
    if arithmetic {
        for line in &plan.lines {
            text += &format!("\n{}\n", line.method);
            let steps = line.arithmetic.iter();
            text.extend(steps.map(|step| format!("  {}\n", grouped(step))));
        }
        text += "\nconstants\n";
        text.extend(plan.constants.iter().map(constant));
    }
    text += "\n";
    text + &plan.advice.join("\n")
}

/// Where the CPU of these methods comes from.
fn origins(lines: &[Line]) -> String {
    let of = |measured: bool, steps: &str| {
        let methods = lines.iter().filter(|line| line.measured == measured);
        let methods: Vec<_> = methods.map(|line| line.method.as_str()).collect();
        (!methods.is_empty()).then(|| format!("{} {steps}", methods.join(" and ")))
    };
    let all = [
        of(true, "comes of measured steps"),
        of(false, "partly of computed steps"),
    ];
    let all: Vec<_> = all.into_iter().flatten().collect();
    match all.is_empty() {
        true => "no method fits".to_owned(),
        false => format!("CPU of {}", all.join(", of ")),
    }
}

/// What finding the rows of parts costs.
fn reading(split: &Split) -> String {
    format!(
        "  beside it, {} CPU s of both sides to split all rows once; without that, {} a part to look through all rows for the part's own, if each `match run` is given files of all rows ({} for all parts together)\n",
        thousands(format!("{:.0}", split.splitting_cpu_s)),
        thousands(format!("{:.0}", split.part_reading_cpu_s)),
        seconds(split.all_reading_cpu_s)
    )
}

/// How all rows are split.
const SPLIT_COMMAND: &str = "incamera match split --data FILE --out DIR";

/// How one part is matched.
fn command(parts: u64) -> String {
    format!("incamera match run --split DIR --partition N/{parts}")
}

fn constant(constant: &Constant) -> String {
    let Constant {
        name,
        value,
        unit,
        measured,
    } = constant;
    let from = if *measured { "measured" } else { "computed" };
    grouped(&format!("  {name}: {value} {unit}, {from}\n"))
}

/// The same with the digits of large numbers in groups, as everywhere; none behind a point.
fn grouped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(from.len());
        let (digits, behind) = from.split_at(end);
        out += before;
        match before.ends_with('.') {
            true => out += digits,
            false => out += &thousands(digits),
        }
        rest = behind;
    }
    out + rest
}

fn row(line: &Line) -> String {
    format!(
        "{:<12} {:>10} {:>12} {:>12} {:>9} {:>9} {:>8} {:>8}  {}\n",
        line.method.as_str(),
        seconds(line.seconds),
        seconds(line.own_cpu_s),
        seconds(line.peer_cpu_s),
        bytes(line.sent),
        bytes(line.received),
        format!("{:.0} MiB", line.memory_mib),
        bytes(line.disk),
        line.bound
    )
}

fn seconds(seconds: f64) -> String {
    match seconds {
        few if few < 120.0 => format!("{few:.1} s"),
        some if some < 7200.0 => format!("{:.1} min", some / 60.0),
        many => format!("{:.1} h", many / 3600.0),
    }
}

fn bytes(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what people read, never negative"
    )]
    let whole = bytes.round() as u64;
    words::bytes(whole)
}

fn document(situation: &Situation, plan: &Plan) -> Value {
    let line = |line: &Line| {
        json!({
            "method": line.method.as_str(), "reveals": line.reveals.as_str(),
            "in_this_version": line.method.is_available(line.reveals),
            "measured": line.measured, "seconds": line.seconds,
            "bound": line.bound.to_string(),
            "own_cpu_seconds": line.own_cpu_s, "peer_cpu_seconds": line.peer_cpu_s,
            "bytes_sent": line.sent, "bytes_received": line.received,
            "peak_mib": line.memory_mib, "disk_bytes": line.disk,
            "arithmetic": line.arithmetic,
        })
    };
    let left_out = plan.left_out.iter();
    let left_out =
        left_out.map(|(method, why)| json!({ "method": method.as_str(), "why": why.to_string() }));
    let split = plan.split.map(|split| {
        json!({
            "parts": split.parts, "ids": split.ids, "deviation": split.deviation,
            "part_cpu_seconds": split.part_cpu_s,
            "part_reading_cpu_seconds": split.part_reading_cpu_s,
            "all_reading_cpu_seconds": split.all_reading_cpu_s,
            "splitting_cpu_seconds": split.splitting_cpu_s, "split_command": SPLIT_COMMAND,
            "command": command(split.parts),
        })
    });
    let constants = plan.constants.iter().map(|one| {
        json!({
            "name": one.name, "value": one.value, "unit": one.unit, "measured": one.measured,
        })
    });
    json!({
        "measured_on": MEASURED_ON, "constants": constants.collect::<Vec<_>>(),
        "own": situation.own, "peer": situation.peer,
        "link_bits_per_s": situation.link_bits_per_s, "rtt_ms": situation.rtt_ms,
        "cores": situation.cores, "machines": situation.machines,
        "instructions": situation.instructions.to_string(),
        "methods": plan.lines.iter().map(line).collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
        "split": split, "advice": plan.advice,
    })
}
