//! How groups compare.

use std::fmt;

use incamera_agreement::{Compare, CompareKind, Compared, Ratio};
use incamera_dp::effect::{Effect, Estimate, TwoByTwo, Verdict, difference, lift, odds_ratio};
use incamera_dp::interval::{Interval, digits, shown};
use incamera_wire::v1 as wire;
use serde::Serialize;

use super::read::{Reader, in_unit};
use super::{Ends, TableError, spaced};
use crate::measure::Function;

/// How one group compares with another.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// `lift`, `difference` or `odds-ratio`.
    pub kind: &'static str,
    /// The ratio or average that is compared.
    pub of: String,
    /// The group that is compared.
    pub group: String,
    /// The group that it is compared with.
    pub against: String,
    /// The group key over whose values an odds ratio is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strata: Option<String>,
    /// A lift in percent of the other group's, a difference, an odds ratio; nothing where noise
    /// leaves it open.
    pub value: Option<f64>,
    /// The lower end of its range, of the noise alone.
    pub low: Option<f64>,
    /// The upper end of its range, of the noise alone.
    pub high: Option<f64>,
    /// Where people are taken as a sample: the range of that error alone, if it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Ends>,
    /// The range of noise and sampling together, from which the verdict then is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub both: Option<Ends>,
    /// The unit: `%`, `points` (of percent), `EUR`, ...
    pub unit: String,
    /// `clearly above zero`, `clearly below zero` (`one` of an odds ratio), `no clear
    /// difference`, `not computable` or `withheld`.
    pub verdict: &'static str,
    /// All that as it is shown.
    pub text: String,
}

/// The verdict where there is none.
const NOT_COMPUTABLE: &str = "not computable";

impl Comparison {
    fn new(compare: &Compare) -> Self {
        Self {
            kind: compare.kind.as_str(),
            of: compare.of.name().to_owned(),
            group: compare.group.clone(),
            against: compare.against.clone(),
            strata: compare.strata.clone(),
            value: None,
            low: None,
            high: None,
            sampling: None,
            both: None,
            unit: String::new(),
            verdict: "withheld",
            text: "withheld".into(),
        }
    }

    /// What it is, the word between the groups, and what it is over.
    pub(crate) fn words(&self) -> (&'static str, &'static str, String) {
        let strata = self.strata.as_ref();
        let over = strata.map_or_else(String::new, |key| format!(", over {}", spaced(key)));
        match self.kind {
            "difference" => ("difference of", "less", over),
            "odds-ratio" => ("odds ratio of", "against", over),
            _ => ("lift of", "over", over),
        }
    }

    /// Fills in what was found; `sampling` is whether people are taken as a sample.
    fn fill(&mut self, found: &Effect, kind: CompareKind, sampling: bool) {
        let range = match sampling {
            true => found.both,
            false => Some(found.noise),
        };
        (self.value, self.low, self.high) = (
            Some(found.value),
            Some(found.noise.low),
            Some(found.noise.high),
        );
        if sampling {
            (self.sampling, self.both) =
                (found.sampling.map(Ends::from), found.both.map(Ends::from));
        }
        self.verdict = range.map_or(NOT_COMPUTABLE, |range| verdict(kind, found.verdict(range)));
        self.text = self.told(kind, found, range);
    }

    /// Says why there is no number; `hidden` is whether noise may be all that there is.
    fn open(&mut self, kind: CompareKind, hidden: bool) {
        let noise = "hidden by the noise: the range is open";
        let (verdict, why) = match (kind, hidden) {
            (CompareKind::Lift, true) => ("no clear difference", noise),
            (CompareKind::Lift, false) => (
                NOT_COMPUTABLE,
                "a lift needs numbers well above zero and their noise: compare the difference",
            ),
            (CompareKind::OddsRatio, _) => {
                (NOT_COMPUTABLE, "a count is not above zero beyond its noise")
            }
            _ => (NOT_COMPUTABLE, noise),
        };
        self.verdict = verdict;
        self.text = format!("{verdict} ({why})");
    }

    fn told(&self, kind: CompareKind, found: &Effect, range: Option<Interval>) -> String {
        let joint = range.unwrap_or(found.noise);
        // The widest range has its two digits, and the noise is seen beside it.
        let most = digits(joint.half_width()) + 1;
        let places = match found.noise.half_width() {
            width if width > 0.0 => digits(width).min(most),
            _ => most,
        };
        let number = |value: f64| match kind {
            CompareKind::OddsRatio => shown(value, places),
            _ => signed(value, places),
        };
        let ends = |range: Interval| format!("{} .. {}", number(range.low), number(range.high));
        let value = in_unit(&number(found.value), &self.unit);
        let (noise, verdict) = (ends(found.noise), self.verdict);
        match (self.both.is_some(), found.sampling, range) {
            (true, Some(sampling), Some(both)) => format!(
                "{value} (noise {noise}; sampling {}; both {}): {verdict}",
                ends(sampling),
                ends(both)
            ),
            (_, _, None) => format!(
                "{value} (noise {noise}): {verdict} with sampling error, which cannot be told of this"
            ),
            _ => format!("{value} ({noise}): {verdict}"),
        }
    }
}

fn verdict(kind: CompareKind, found: Verdict) -> &'static str {
    let odds = kind == CompareKind::OddsRatio;
    match found {
        Verdict::ClearlyAbove if odds => "clearly above one",
        Verdict::ClearlyBelow if odds => "clearly below one",
        Verdict::ClearlyAbove => "clearly above zero",
        Verdict::ClearlyBelow => "clearly below zero",
        Verdict::NoClearDifference => "no clear difference",
    }
}

fn signed(value: f64, places: i32) -> String {
    let text = shown(value, places);
    if text.starts_with('-') {
        text
    } else {
        format!("+{text}")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, between, over) = self.words();
        let (of, text) = (spaced(&self.of), &self.text);
        let (group, against) = (&self.group, &self.against);
        write!(f, "{what} {of} ({group} {between} {against}{over}): {text}")
    }
}

/// In percent, or in points of percent.
fn times_100(effect: Effect) -> Effect {
    let times = |range: Interval| Interval {
        low: range.low * 100.0,
        high: range.high * 100.0,
    };
    Effect {
        value: effect.value * 100.0,
        none: effect.none * 100.0,
        noise: times(effect.noise),
        sampling: effect.sampling.map(times),
        both: effect.both.map(times),
    }
}

impl Reader<'_> {
    pub(super) fn comparisons(&self) -> Result<Vec<Comparison>, TableError> {
        let compare = self.query.compare.iter();
        compare.map(|compare| self.comparison(compare)).collect()
    }

    fn comparison(&self, compare: &Compare) -> Result<Comparison, TableError> {
        let mut comparison = Comparison::new(compare);
        let pairs = self.pairs(compare)?;
        if pairs.iter().flatten().any(|group| group.withheld) {
            return Ok(comparison);
        }
        let (found, hidden) = match compare.kind {
            CompareKind::OddsRatio => (self.odds(compare, &pairs)?, false),
            kind => {
                let Some([one, other]) = pairs.first() else {
                    return Err(TableError);
                };
                let estimates = self
                    .estimate(&compare.of, one)?
                    .zip(self.estimate(&compare.of, other)?);
                let hidden =
                    estimates.is_none_or(|(one, other)| one.reaches_zero() && other.reaches_zero());
                let found = estimates.and_then(|(one, other)| match kind {
                    CompareKind::Difference => difference(one, other),
                    _ => lift(one, other),
                });
                (found, hidden)
            }
        };
        // Somebody in both groups moves both: the variances of sampling do not add up.
        let found = found.map(|found| match self.query.per_person.groups {
            0..=1 => found,
            _ => found.without_sampling(),
        });
        let (unit, percent) = self.unit_compared(compare);
        comparison.unit = unit;
        let found = match percent {
            true => found.map(times_100),
            false => found,
        };
        match found {
            Some(found) => comparison.fill(&found, compare.kind, self.query.sampling),
            None => comparison.open(compare.kind, hidden),
        }
        Ok(comparison)
    }

    /// The two groups in each stratum; without strata, once.
    fn pairs(&self, compare: &Compare) -> Result<Vec<[&wire::Group; 2]>, TableError> {
        let keys = &self.query.groups;
        let strata = keys
            .iter()
            .position(|key| Some(&key.name) == compare.strata.as_ref());
        let values: Vec<Option<&String>> = match strata.and_then(|at| keys.get(at)?.declared()) {
            Some(values) => values.iter().map(Some).collect(),
            None => vec![None],
        };
        let find = |stratum: Option<&String>, compared: &String| {
            let fits = |(at, part): (usize, &String)| match (strata == Some(at), stratum) {
                (true, Some(stratum)) => part == stratum,
                _ => part == compared,
            };
            let mut groups = self.answer.groups.iter();
            let group = groups.find(|group| group.key.iter().enumerate().all(fits));
            group.ok_or(TableError)
        };
        let pair = |stratum: Option<&String>| {
            Ok([
                find(stratum, &compare.group)?,
                find(stratum, &compare.against)?,
            ])
        };
        values.into_iter().map(pair).collect()
    }

    fn odds(
        &self,
        compare: &Compare,
        pairs: &[[&wire::Group; 2]],
    ) -> Result<Option<Effect>, TableError> {
        let ratio = self.ratio_named(compare.of.name())?;
        let number =
            |group: &wire::Group, name: &str| self.noisy(group, name).map(|(noisy, _)| noisy);
        let table = |[one, other]: &[&wire::Group; 2]| {
            Ok(TwoByTwo {
                yes: number(one, &ratio.numerator)?,
                all: number(one, &ratio.denominator)?,
                other_yes: number(other, &ratio.numerator)?,
                other_all: number(other, &ratio.denominator)?,
            })
        };
        let tables: Result<Vec<TwoByTwo>, TableError> = pairs.iter().map(table).collect();
        Ok(odds_ratio(&tables?))
    }

    fn estimate(&self, of: &Compared, group: &wire::Group) -> Result<Option<Estimate>, TableError> {
        match of {
            Compared::Average(name) => {
                let mut made = self.checked.made.iter();
                let made = made.find(|made| &made.name == name).ok_or(TableError)?;
                self.mean_estimate(made, &self.group(group))
            }
            other => self.ratio_estimate(group, self.ratio_named(other.name())?),
        }
    }

    fn ratio_named(&self, name: &str) -> Result<&Ratio, TableError> {
        let mut ratios = self.query.ratios.iter();
        ratios.find(|ratio| ratio.name == name).ok_or(TableError)
    }

    /// The unit of a comparison, and whether it is told in hundredths.
    fn unit_compared(&self, compare: &Compare) -> (String, bool) {
        let of_aggregate = |name: &str| {
            let mut made = self.checked.made.iter();
            let made = made.find(|made| made.name == name);
            made.and_then(|made| made.unit.clone()).unwrap_or_default()
        };
        match (compare.kind, &compare.of) {
            (CompareKind::Lift, _) => ("%".into(), true),
            (CompareKind::Difference, Compared::Average(name)) => (of_aggregate(name), false),
            (CompareKind::Difference, of) => {
                let ratio = self.ratio_named(of.name());
                let people = |name: &str| {
                    let mut made = self.checked.made.iter();
                    made.any(|made| made.name == name && made.function == Function::People)
                };
                match ratio {
                    Ok(ratio) if people(&ratio.numerator) && people(&ratio.denominator) => {
                        ("points".into(), true)
                    }
                    Ok(ratio) => (of_aggregate(&ratio.numerator), false),
                    Err(TableError) => (String::new(), false),
                }
            }
            _ => (String::new(), false),
        }
    }
}
