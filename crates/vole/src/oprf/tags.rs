//! Tags of the other side looked up among our own.

use std::hint::black_box;

use zeroize::Zeroizing;

use super::{Misbehaviour, Value};

/// Tags whose slots are read before they are searched.
const AHEAD: usize = 64;

/// Our values by their tags: open addressing, a third empty at least.
///
/// Own tags are uniformly random, whatever the other side asks for, so that they need no hash
/// against crafted collisions.
struct Tags<'a> {
    values: &'a [Value],
    tag_bytes: usize,
    /// A value's place and one more in the lower half, a part of its tag in the upper; or zero.
    slots: Zeroizing<Vec<u64>>,
}

/// Which of our ids are among the tags, and a bit for each tag that is one of ours.
pub(super) fn compare(
    values: &[Value],
    tags: &[u8],
    tag_bytes: usize,
) -> Result<(Vec<bool>, Vec<u8>), Misbehaviour> {
    let own = Tags::new(values, tag_bytes);
    let count = tags.len() / tag_bytes;
    let mut bits = vec![0_u8; count.div_ceil(8)];
    let mut matched = vec![false; values.len()];
    for (first, tags) in (0..).step_by(AHEAD).zip(tags.chunks(AHEAD * tag_bytes)) {
        let tags = || tags.chunks_exact(tag_bytes);
        own.touch(tags());
        let mut likely = [None; AHEAD];
        let each = likely.iter_mut().zip(tags());
        each.for_each(|(likely, tag)| *likely = own.likely(tag));
        own.touch_values(&likely);
        for ((place, tag), likely) in (first..).zip(tags()).zip(likely) {
            let found = likely.and_then(|likely| own.find(tag, likely));
            let found = found.and_then(|own| matched.get_mut(own));
            if let Some((seen, bits)) = found.zip(bits.get_mut(place / 8)) {
                if std::mem::replace(seen, true) {
                    return Err(Misbehaviour::RepeatedTag);
                }
                *bits |= 1 << (place % 8);
            }
        }
    }
    Ok((matched, bits))
}

impl<'a> Tags<'a> {
    fn new(values: &'a [Value], tag_bytes: usize) -> Self {
        let slots = (values.len() + values.len() / 2 + 1).next_power_of_two();
        let slots = Zeroizing::new(vec![0; slots]);
        let mut own = Self {
            values,
            tag_bytes,
            slots,
        };
        for (next, values) in (1..).step_by(AHEAD).zip(values.chunks(AHEAD)) {
            own.touch(values.iter().map(|value| value.tag(tag_bytes)));
            for (place, value) in (next..).zip(values) {
                own.insert(value.tag(tag_bytes), place);
            }
        }
        own
    }

    fn insert(&mut self, tag: &[u8], place: u64) {
        let (first, part) = self.key(tag);
        let free = self.probe(first).find(|at| self.slots.get(*at) == Some(&0));
        if let Some(slot) = free.and_then(|at| self.slots.get_mut(at)) {
            *slot = part | place;
        }
    }

    /// Reads the slots of the next tags. These reads do not wait for one another, as those of
    /// a search do, which goes on by what it finds.
    fn touch<'t>(&self, next: impl Iterator<Item = &'t [u8]>) {
        black_box(next.fold(0, |seen, tag| {
            let slot = self.slots.get(self.key(tag).0);
            seen ^ slot.copied().unwrap_or_default()
        }));
    }

    /// The place of the first value whose slot looks like this tag's.
    fn likely(&self, tag: &[u8]) -> Option<usize> {
        let (first, part) = self.key(tag);
        self.alike(first, part).next()
    }

    /// Reads the values that tags are about to be compared with, as [`touch`](Self::touch) does
    /// slots.
    fn touch_values(&self, places: &[Option<usize>]) {
        let values = places.iter().flatten();
        let values = values.filter_map(|place| self.values.get(*place)?.tag(1).first());
        black_box(values.fold(0, |seen, byte| seen ^ byte));
    }

    /// The place of the value with this tag; `likely` is looked at first.
    fn find(&self, tag: &[u8], likely: usize) -> Option<usize> {
        let has = |place: &usize| {
            let value = self.values.get(*place);
            value.is_some_and(|value| value.tag(self.tag_bytes) == tag)
        };
        let (first, part) = self.key(tag);
        let mut all = std::iter::once(likely).chain(self.alike(first, part));
        all.find(has)
    }

    /// The places in slots that look like a tag's, up to the first empty slot.
    fn alike(&self, first: usize, part: u64) -> impl Iterator<Item = usize> {
        let slots = self.probe(first).map_while(|at| self.slots.get(at));
        let slots = slots.take_while(|slot| **slot != 0);
        let alike = slots.filter(move |slot| **slot & !u64::from(u32::MAX) == part);
        alike.map(|slot| (slot & u64::from(u32::MAX)) as usize - 1)
    }

    /// Where the search for a tag begins, and what stands in its slot beside the place.
    fn key(&self, tag: &[u8]) -> (usize, u64) {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(tag).for_each(|(to, from)| *to = *from);
        let number = u64::from_le_bytes(bytes);
        // Tags may have but five bytes: all of them go into the highest bits.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = (u128::from(spread) * self.slots.len() as u128) >> u64::BITS;
        (first as usize, number << 32)
    }

    /// All slots, from the first one on.
    fn probe(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        (first..=first + mask).map(move |at| at & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values whose tags differ in one byte alone, which is `at` of sixteen.
    fn values(at: usize, count: u8) -> Vec<Value> {
        let value = |last| {
            let mut bytes = [9; 32];
            bytes[16 + at] = last;
            Value::of_bytes(bytes)
        };
        (0..count).map(value).collect()
    }

    fn found(own: &[Value], asked: &[Value]) -> Vec<bool> {
        let tags: Vec<_> = asked
            .iter()
            .flat_map(|value| value.tag(16))
            .copied()
            .collect();
        let (matched, bits) = compare(own, &tags, 16).unwrap();
        let bit = |place: usize| bits[place / 8] >> (place % 8) & 1 == 1;
        let told = (0..asked.len()).filter(|place| bit(*place)).count();
        assert_eq!(told, matched.iter().filter(|matched| **matched).count());
        matched
    }

    /// Places and parts in slots are of the first eight bytes: where those are all the same,
    /// the rest decides.
    #[test]
    fn tags_that_begin_alike_are_told_apart() {
        for at in [0, 3, 4, 7, 8, 15] {
            let all = values(at, 200);
            let (asked, own) = (&all[..120], &all[50..]);
            let expected: Vec<_> = (0..150).map(|place| place < 70).collect();
            assert_eq!(found(own, asked), expected, "{at}");
            assert!(found(&all[..0], asked).is_empty());
            assert_eq!(found(own, &all[..0]), vec![false; 150]);
        }
    }
}
