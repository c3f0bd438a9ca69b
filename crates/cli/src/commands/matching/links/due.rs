//! What is still to be done about links, for `status`: providers to be told, pairs to be put anew.

use incamera_agreement::Agreement;
use incamera_provider::{LinkBook, Matter};
use incamera_types::PartyName;
use serde_json::{Value, json};

use crate::folder::Folder;

/// A provider that is still to be told.
pub struct LinksDue {
    provider: PartyName,
    /// Whether it may still have what must not count any more.
    behind: bool,
}

impl LinksDue {
    /// For people.
    pub fn line(&self) -> String {
        let name = &self.provider;
        let what = match self.behind {
            true => "MAY STILL HAVE LINKS THAT WERE TAKEN BACK OR CHANGED",
            false => "was not told of all links yet",
        };
        format!("  provider {name} {what}: `incamera match links send` tells it")
    }

    /// For programs.
    pub fn document(&self) -> Value {
        json!({ "provider": self.provider, "behind": self.behind })
    }
}

/// The party's book, and what an agreement has in it; none where there is none, or it does not
/// read: the verbs of `match links` say why.
fn book(folder: &Folder, agreement: &Agreement) -> Option<(LinkBook, Matter)> {
    let matter = Matter {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
    };
    let path = folder.links();
    let book = path.exists().then(|| LinkBook::open(&path).ok()).flatten();
    book.map(|book| (book, matter))
}

/// How many pairs do not count as they stand, since they were put under other purposes than the
/// agreement has now.
pub fn links_to_put(folder: &Folder, agreement: &Agreement) -> u64 {
    let anew = book(folder, agreement).and_then(|(book, matter)| {
        let purposes = agreement.leaf_purposes();
        book.to_put_anew(&matter, &purposes).ok()
    });
    anew.unwrap_or_default()
}

/// Providers of an agreement that are still to be told.
pub fn links_due(folder: &Folder, agreement: &Agreement) -> Vec<LinksDue> {
    let found = book(folder, agreement).and_then(|(book, matter)| {
        let behind = book.behind(&matter).ok()?;
        let due = book.still_due(&matter).ok()?.into_keys();
        Some(
            due.map(|provider| LinksDue {
                behind: behind.contains(&provider),
                provider,
            })
            .collect(),
        )
    });
    found.unwrap_or_default()
}
