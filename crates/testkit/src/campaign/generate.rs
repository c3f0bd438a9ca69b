//! People and purchases, in memory.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Campaign, DAYS, WINDOW, is_untidy};

/// Categories; the last is none that an agreement is likely to list.
pub(super) const CATEGORIES: [&str; 4] = ["food", "home", "toys", "garden"];
/// The most purchases of one person.
const MAX_PURCHASES: usize = 200;

/// One person.
pub(super) struct Person {
    pub(super) number: u32,
    pub(super) on_list: bool,
    pub(super) mailed: bool,
    pub(super) customer: bool,
    measurement: bool,
    ads: bool,
}

impl Person {
    /// The purposes agreed to, as the register has them.
    pub(super) fn consent(&self) -> &'static str {
        match (self.ads, self.measurement) {
            (true, true) => "ads;measurement",
            (true, false) => "ads",
            (false, true) => "measurement",
            (false, false) => "",
        }
    }
}

/// One purchase.
pub(super) struct Purchase {
    pub(super) person: u32,
    pub(super) day: u16,
    pub(super) cents: u32,
    pub(super) category: u8,
}

/// Everybody and everything.
pub(super) struct Data {
    pub(super) people: Vec<Person>,
    /// In order of day.
    pub(super) purchases: Vec<Purchase>,
}

impl Data {
    pub(super) fn generate(campaign: &Campaign) -> Self {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(campaign.seed));
        let mut people = Vec::with_capacity(campaign.people as usize);
        let mut purchases = Vec::new();
        for number in 0..campaign.people {
            let person = dice.person(campaign, number);
            if person.customer {
                dice.purchases(&person, campaign.lift_percent, &mut purchases);
            }
            people.push(person);
        }
        purchases.sort_by_key(|purchase| purchase.day);
        Self { people, purchases }
    }

    /// Some people of the wanted sort, evenly spread, to stand twice.
    pub(super) fn repeated(
        &self,
        count: u32,
        wanted: impl Fn(&Person) -> bool,
    ) -> impl Iterator<Item = &Person> {
        let step = (self.people.len() / (count as usize).max(1)).max(1);
        let some = self.people.iter().skip(step / 2).step_by(step);
        some.take(count as usize)
            .filter(move |person| wanted(person))
    }

    /// A person for [`Campaign::known_email`].
    pub(super) fn marked(&self, duplicates: u32) -> Option<u32> {
        let twice = |person: &Person| {
            let mut repeated = self.repeated(duplicates, |_| true);
            repeated.any(|other| other.number == person.number)
        };
        let fits = |person: &&Person| {
            person.mailed && person.customer && person.consent() == "ads;measurement"
        };
        let tidy = |person: &&Person| self.is_tidy(person.number) && !twice(person);
        let buys = |person: &&Person| self.purchases.iter().any(|p| p.person == person.number);
        let mut from_middle = self.people.iter().skip(self.people.len() / 3);
        let found = from_middle.find(|person| fits(person) && tidy(person) && !buys(person));
        found.map(|person| person.number)
    }

    /// Whether the person's row is written tidily in the mailing list and in the register.
    fn is_tidy(&self, number: u32) -> bool {
        let place = |wanted: fn(&Person) -> bool| {
            let before = self
                .people
                .iter()
                .take(number as usize)
                .filter(|p| wanted(p));
            u32::try_from(before.count()).unwrap_or(u32::MAX)
        };
        !is_untidy(place(|person| person.on_list)) && !is_untidy(place(|person| person.customer))
    }
}

fn in_window(day: u16) -> bool {
    (WINDOW.0..=WINDOW.1).contains(&day)
}

/// The source of all chance. Integers alone, so that every machine makes the same files.
struct Dice(ChaCha8Rng);

impl Dice {
    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u32, high: u32) -> u32 {
        let width = u64::from(high - low) + 1;
        let offset = (u64::from(self.0.next_u32()) * width) >> 32;
        low + u32::try_from(offset).unwrap_or_default()
    }

    fn percent(&mut self, of_hundred: u32) -> bool {
        self.between(0, 99) < of_hundred
    }

    fn person(&mut self, campaign: &Campaign, number: u32) -> Person {
        let on_list = self.percent(campaign.on_list_percent);
        Person {
            number,
            on_list,
            mailed: self.percent(50) && on_list,
            customer: self.percent(campaign.customers_percent),
            measurement: !self.percent(campaign.refuse_percent),
            ads: self.percent(80),
        }
    }

    /// How many purchases a year: 10 on average, with many small buyers and a few large ones.
    fn how_many(&mut self) -> u32 {
        match self.between(1, 100) {
            1..=10 => 0,
            11..=50 => self.between(1, 5),
            51..=80 => self.between(4, 12),
            81..=95 => self.between(10, 30),
            96..=99 => self.between(25, 80),
            _ => self.between(60, 200),
        }
    }

    fn purchases(&mut self, person: &Person, lift_percent: u32, all: &mut Vec<Purchase>) {
        let (first, wanted) = (all.len(), self.how_many());
        for _ in 0..wanted {
            let purchase = self.purchase(person.number, (0, DAYS - 1));
            let lifted = person.mailed && in_window(purchase.day) && self.percent(lift_percent);
            all.push(purchase);
            if lifted {
                all.push(self.purchase(person.number, WINDOW));
            }
        }
        let own = all.get(first..).unwrap_or_default();
        let bought = own.iter().any(|purchase| in_window(purchase.day));
        if person.mailed && wanted > 0 && !bought && self.percent(lift_percent / 2) {
            all.push(self.purchase(person.number, WINDOW));
        }
        all.truncate(first + MAX_PURCHASES);
    }

    fn purchase(&mut self, person: u32, days: (u16, u16)) -> Purchase {
        let day = self.between(u32::from(days.0), u32::from(days.1));
        let (category, low, high) = match self.between(1, 1000) {
            1..=600 => (0, 150, 8_000),
            601..=800 => (1, 500, 30_000),
            801..=994 => (2, 300, 9_000),
            995..=999 => (3, 500, 20_000),
            _ => (1, 50_000, 90_000),
        };
        // The lesser of two: cheap things are bought more often.
        let cents = self.between(low, high).min(self.between(low, high));
        let day = u16::try_from(day).unwrap_or_default();
        Purchase {
            person,
            day,
            cents,
            category,
        }
    }
}
