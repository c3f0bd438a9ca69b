//! The providers that are still to be told of links, for `status`.

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

/// Those of an agreement, by the party's book; none where it has none, or it does not read: the
/// verbs of `match links` say why.
pub fn links_due(folder: &Folder, agreement: &Agreement) -> Vec<LinksDue> {
    let matter = Matter {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
    };
    let path = folder.links();
    let book = path.exists().then(|| LinkBook::open(&path).ok()).flatten();
    let found = book.and_then(|book| {
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
