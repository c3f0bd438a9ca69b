//! Texts, counted in characters.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, LargeStringArray};
use incamera_types::limits::MAX_TEXT_BYTES;

use super::Args;
use super::Function::{self, *};

pub(super) fn run(function: Function, args: &Args<'_>) -> Option<ArrayRef> {
    let first = texts(args, 0)?;
    Some(match function {
        Lower => each(&first, |text| text.to_lowercase().into()),
        Upper => each(&first, |text| text.to_uppercase().into()),
        Trim | TrimStart | TrimEnd => {
            let drop = match args.values.len() {
                1 => " ",
                _ => args.text(1)?,
            };
            let drops = |one: char| drop.contains(one);
            each(&first, |text| {
                Cow::Borrowed(match function {
                    TrimStart => text.trim_start_matches(drops),
                    TrimEnd => text.trim_end_matches(drops),
                    _ => text.trim_matches(drops),
                })
            })
        }
        Substr => {
            let from = args.int(1)?;
            let length = match args.values.len() {
                2 => i64::MAX,
                _ => args.int(2)?,
            };
            let end = from.saturating_add(length.max(0));
            each(&first, |text| {
                piece(text, from.saturating_sub(1), end.saturating_sub(1)).into()
            })
        }
        Left => {
            let length = args.int(1)?;
            each(&first, |text| piece(text, 0, length).into())
        }
        Right => {
            let length = args.int(1)?;
            each(&first, |text| {
                let all = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                piece(text, all.saturating_sub(length), i64::MAX).into()
            })
        }
        StartsWith | EndsWith | Contains => {
            let other = args.text(1)?;
            let has = |text: &str| match function {
                StartsWith => text.starts_with(other),
                EndsWith => text.ends_with(other),
                _ => text.contains(other),
            };
            let all = first.iter().map(|text| text.map(has));
            Arc::new(all.collect::<BooleanArray>())
        }
        Length => {
            let count = |text: &str| i64::try_from(text.chars().count()).ok();
            let all = first.iter().map(|text| text.and_then(count));
            Arc::new(all.collect::<Int64Array>())
        }
        Join | Concat => {
            let others = (1..args.values.len()).map(|at| texts(args, at));
            let others: Vec<_> = others.collect::<Option<_>>()?;
            let whole = |row| joined(function == Concat, [&first].into_iter().chain(&others), row);
            let all = (0..first.len()).map(whole);
            Arc::new(all.collect::<LargeStringArray>())
        }
        _ => return None,
    })
}

fn texts(args: &Args<'_>, at: usize) -> Option<LargeStringArray> {
    Some(args.array(at)?.as_string_opt::<i64>()?.clone())
}

/// What a function gives of each text; null where it is longer than texts may be.
fn each(texts: &LargeStringArray, of: impl Fn(&str) -> Cow<'_, str>) -> ArrayRef {
    let short = |text: &Cow<'_, str>| text.len() <= MAX_TEXT_BYTES;
    let all = texts.iter().map(|text| text.map(&of).filter(short));
    Arc::new(all.collect::<LargeStringArray>())
}

/// The characters from one place, from 0, to before another.
fn piece(text: &str, from: i64, to: i64) -> &str {
    let place = |at: i64| {
        let at = usize::try_from(at.max(0)).unwrap_or(usize::MAX);
        let mut places = text.char_indices().map(|(place, _)| place);
        places.nth(at).unwrap_or(text.len())
    };
    let (start, end) = (place(from), place(to));
    text.get(start..end.max(start)).unwrap_or_default()
}

/// Texts of a row one after the other; null if one of them is, unless null is empty.
fn joined<'a>(
    null_is_empty: bool,
    texts: impl Iterator<Item = &'a LargeStringArray>,
    row: usize,
) -> Option<String> {
    let mut whole = String::new();
    for texts in texts {
        match texts.is_valid(row) {
            true => whole.push_str(texts.value(row)),
            false if null_is_empty => {}
            false => return None,
        }
        if whole.len() > MAX_TEXT_BYTES {
            return None;
        }
    }
    Some(whole)
}
