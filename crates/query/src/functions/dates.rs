//! Days and moments, in the calendar that Gregory's was before and after him.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};

use super::Args;
use super::Function::{self, *};
use super::numbers::Numbers;
use crate::clamp::{DAY_US, FIRST_DAY, LAST_DAY};

/// What a moment is cut to, or what is read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    WeekDay,
    IsoWeekDay,
    YearDay,
    Hour,
    Minute,
}

impl Unit {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => Self::Year,
            "quarter" => Self::Quarter,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "dow" => Self::WeekDay,
            "isodow" => Self::IsoWeekDay,
            "doy" => Self::YearDay,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            _ => return None,
        })
    }

    /// Whether days have it too.
    pub(super) fn of_days(self) -> bool {
        !matches!(self, Self::Hour | Self::Minute)
    }

    /// Whether there is a first day or moment of it.
    pub(super) fn starts(self) -> bool {
        !matches!(self, Self::WeekDay | Self::IsoWeekDay | Self::YearDay)
    }
}

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

/// Days and moments as an array has them.
enum Times {
    Days(Date32Array),
    Moments(TimestampMicrosecondArray),
}

/// Days since 1970-01-01, and microseconds since the day began.
type Time = (i64, i64);

impl Times {
    fn of(array: &ArrayRef) -> Option<Self> {
        match array.data_type() {
            DataType::Date32 => Some(Self::Days(array.as_primitive_opt::<Date32Type>()?.clone())),
            ty if super::is_moment(ty) => Some(Self::Moments(
                array
                    .as_primitive_opt::<TimestampMicrosecondType>()?
                    .clone(),
            )),
            _ => None,
        }
    }

    fn get(&self, row: usize) -> Option<Time> {
        match self {
            Self::Days(days) => days.is_valid(row).then(|| (days.value(row).into(), 0)),
            Self::Moments(moments) => moments.is_valid(row).then(|| {
                let moment = moments.value(row);
                (moment.div_euclid(DAY_US), moment.rem_euclid(DAY_US))
            }),
        }
    }

    /// Times of the same kind, each within the years 1 to 9999.
    fn made(&self, times: impl Iterator<Item = Option<Time>>, ty: &DataType) -> ArrayRef {
        let sound = times.map(|time| time.map(within));
        match self {
            Self::Days(_) => {
                let days = sound.map(|time| i32::try_from(time?.0).ok());
                Arc::new(days.collect::<Date32Array>())
            }
            Self::Moments(_) => {
                let moments = sound.map(|time| time.map(|(day, rest)| day * DAY_US + rest));
                let moments: TimestampMicrosecondArray = moments.collect();
                Arc::new(moments.with_data_type(ty.clone()))
            }
        }
    }
}

fn within((day, rest): Time) -> Time {
    match day {
        day if day < FIRST_DAY.into() => (FIRST_DAY.into(), 0),
        day if day > LAST_DAY.into() => (LAST_DAY.into(), DAY_US - 1),
        day => (day, rest),
    }
}

pub(super) fn run(function: Function, args: &Args<'_>) -> Option<ArrayRef> {
    let rows = 0..args.rows;
    match function {
        DateTrunc => {
            let unit = Unit::named(args.text(0)?)?;
            let times = Times::of(&args.array(1)?)?;
            let start = |row| times.get(row).map(|time| start(time, unit));
            Some(times.made(rows.map(start), args.gives))
        }
        DatePart => {
            let unit = Unit::named(args.text(0)?)?;
            let times = Times::of(&args.array(1)?)?;
            let part = rows.map(|row| times.get(row).map(|time| part(time, unit)));
            Some(Arc::new(part.collect::<Int64Array>()))
        }
        Later => {
            let times = Times::of(&args.array(0)?)?;
            let by = (args.int(1)?, args.int(2)?, args.int(3)?);
            let later = |row| times.get(row).map(|time| later(time, by));
            Some(times.made(rows.map(later), args.gives))
        }
        DaysLater => {
            let times = Times::of(&args.array(0)?)?;
            let (more, sign) = (Numbers::of(&args.array(1)?)?, args.int(2)?);
            let later = |row| {
                let (day, rest) = times.get(row)?;
                let more = i64::try_from(more.get(row)?).ok()?;
                Some((day.saturating_add(more.saturating_mul(sign)), rest))
            };
            Some(times.made(rows.map(later), args.gives))
        }
        DaysBetween => {
            let (a, b) = (Times::of(&args.array(0)?)?, Times::of(&args.array(1)?)?);
            let between = |row| Some(a.get(row)?.0 - b.get(row)?.0);
            Some(Arc::new(rows.map(between).collect::<Int64Array>()))
        }
        _ => None,
    }
}

/// When the unit began in which a moment lies.
fn start((day, rest): Time, unit: Unit) -> Time {
    let (year, month, _) = civil(day);
    let first = match unit {
        Unit::Year => days(year, 1, 1),
        Unit::Quarter => days(year, (month - 1) / 3 * 3 + 1, 1),
        Unit::Month => days(year, month, 1),
        Unit::Week => day - (iso_week_day(day) - 1),
        Unit::Hour => return (day, rest - rest % HOUR_US),
        Unit::Minute => return (day, rest - rest % MINUTE_US),
        _ => day,
    };
    (first, 0)
}

fn part((day, rest): Time, unit: Unit) -> i64 {
    let (year, month, in_month) = civil(day);
    match unit {
        Unit::Year => year,
        Unit::Quarter => (month - 1) / 3 + 1,
        Unit::Month => month,
        Unit::Week => iso_week(day),
        Unit::Day => in_month,
        Unit::WeekDay => iso_week_day(day) % 7,
        Unit::IsoWeekDay => iso_week_day(day),
        Unit::YearDay => day - days(year, 1, 1) + 1,
        Unit::Hour => rest / HOUR_US,
        Unit::Minute => rest % HOUR_US / MINUTE_US,
    }
}

/// So many months, days and microseconds later.
fn later((day, rest): Time, (months, more, micros): (i64, i64, i64)) -> Time {
    let (year, month, in_month) = civil(day);
    // 10,000 years and the bounds of an interval's months fit many times over.
    let count = (year * 12 + month - 1).saturating_add(months);
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
    let last = days(year, month, month_days(year, month));
    let day = (days(year, month, 1) + in_month - 1).min(last);
    let rest = rest.saturating_add(micros);
    let carried = rest.div_euclid(DAY_US);
    (
        day.saturating_add(more).saturating_add(carried),
        rest.rem_euclid(DAY_US),
    )
}

fn month_days(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    days(next_year, next, 1) - days(year, month, 1)
}

/// Monday is 1.
fn iso_week_day(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (day + 3).rem_euclid(7) + 1
}

/// The week, from Monday, of the year in which its Thursday lies.
fn iso_week(day: i64) -> i64 {
    let thursday = day - iso_week_day(day) + 4;
    let (year, ..) = civil(thursday);
    (thursday - days(year, 1, 1)) / 7 + 1
}

/// Days of 400 years.
const ERA: i64 = 146_097;

/// Year, month and day of a number of days since 1970-01-01, counted from a 1 March.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let (era, in_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let march = (5 * in_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, in_year - (153 * march + 2) / 5 + 1)
}

/// The days from 1970-01-01 to a day.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, in_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march = if month > 2 { month - 3 } else { month + 9 };
    let in_year = (153 * march + 2) / 5 + day - 1;
    era * ERA + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use incamera_types::Date;

    /// Every day of the years 1 to 9999, against the calendar that parses texts.
    #[test]
    fn the_calendar_is_the_one_of_texts() {
        let mut before = civil(i64::from(FIRST_DAY) - 1);
        for day in i64::from(FIRST_DAY)..=i64::from(LAST_DAY) {
            let (year, month, in_month) = civil(day);
            assert_eq!(days(year, month, in_month), day);
            assert!((year, month, in_month) > before);
            before = (year, month, in_month);
            if day % 97 == 0 {
                let text = format!("{year:04}-{month:02}-{in_month:02}");
                assert_eq!(
                    text.parse::<Date>().unwrap().days(),
                    i32::try_from(day).unwrap()
                );
            }
        }
        assert_eq!(before, (9999, 12, 31));
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        let day = |text: &str| i64::from(text.parse::<Date>().unwrap().days());
        for (text, week, week_day) in [
            ("2020-12-31", 53, 4),
            ("2021-01-03", 53, 7),
            ("2021-01-04", 1, 1),
            ("2024-12-30", 1, 1),
            ("0001-01-01", 1, 1),
            ("1969-12-29", 1, 1),
        ] {
            assert_eq!(
                (iso_week(day(text)), iso_week_day(day(text))),
                (week, week_day),
                "{text}"
            );
        }
    }
}
