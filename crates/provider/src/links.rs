//! Links: stored for their sources, found for whoever has the label.

use std::sync::Arc;

use futures::stream;
use incamera_keys::PublicKey;
use incamera_matching::links::{MAX_EDGES, PADDED_TO, VALUE_BYTES};
use incamera_net::server::blocking;
use incamera_net::services::link_frame::Frame;
use incamera_net::services::{LinkEntries, LinkFrame, LinkHello, LinkLabels};
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::{Date, Digest as _, LinkLabel, MatchingEpoch, PartyName, PurposeSet};
use incamera_wire::Format;
use incamera_wire::v1::LinkEntry;
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

use crate::admit::{Admitted, malformed};
use crate::limits::Taken;
use crate::service::{Answers, Asker, State, busy, today};
use crate::store::{StoredLink, TooMany};

/// Labels or entries of one frame.
const MAX_LABELS: usize = 4_096;
const LABEL_BYTES: usize = 32;
/// Weeks in which a link's last day may lie: a key is valid for ten years at most.
const WEEKS: u64 = 525;

/// A transfer that was admitted.
struct Transfer {
    admitted: Admitted,
    /// What the agreement has: a link for anything else is neither taken nor served.
    purposes: PurposeSet,
    asker: Asker,
    _place: Taken<Asker>,
}

impl Transfer {
    /// Waits until so many more may be done for the party: what concerns links is served at the
    /// agreed rate, together with what is evaluated. A transfer ends with its agreement, as a
    /// session does: by then a newer version may give the party less, or nothing.
    async fn turn(&self, state: &State, count: usize) -> Result<(), Status> {
        let (asker, rate) = (self.asker.clone(), self.admitted.providers.rate);
        sleep_until(state.rates.take(asker, count, rate, Instant::now())).await;
        let digest = self.admitted.agreement.agreement().digest;
        state.agreements.active_aside(digest).await?;
        Ok(())
    }
}

async fn open(
    state: &State,
    key: Option<PublicKey>,
    frames: &mut Streaming<LinkFrame>,
) -> Result<Transfer, Status> {
    let Some(Frame::Hello(hello)) = next(frames).await? else {
        return Err(malformed("hello").into());
    };
    let LinkHello {
        format,
        agreement_digest,
        party,
        epoch,
    } = hello;
    Format::Links.expect(&format).map_err(|error| {
        Problem::new(ProblemKind::Invalid, "malformed-message", error.to_string())
    })?;
    let party: PartyName = party.parse().map_err(|_| malformed("party"))?;
    let admitted = state.admit(&agreement_digest, key).await?;
    let admitted = admitted
        .into_owner(&party)?
        .at_epoch(MatchingEpoch(epoch))?;
    if admitted.providers.links.is_empty() {
        let what = "the agreement has no links between kinds of id";
        return Err(Problem::new(ProblemKind::Refused, "no-links", what)
            .hint("`links` under [matching] says which kinds are linked")
            .into());
    }
    let asker = (admitted.agreed.agreement_id, party);
    let place = state.sessions.take(&asker).ok_or_else(busy)?;
    let (store, matter) = (state.store.clone(), admitted.matter());
    blocking(move || Ok(store.lock().drop_earlier(&matter)?)).await?;
    Ok(Transfer {
        asker,
        purposes: admitted.agreement.agreement().leaf_purposes(),
        admitted,
        _place: place,
    })
}

async fn next(frames: &mut Streaming<LinkFrame>) -> Result<Option<Frame>, Status> {
    Ok(frames.message().await?.and_then(|frame| frame.frame))
}

/// Stores entries of the caller; gives how many.
pub(crate) async fn put(
    state: &Arc<State>,
    key: Option<PublicKey>,
    mut frames: Streaming<LinkFrame>,
) -> Result<u64, Status> {
    let transfer = Arc::new(open(state, key, &mut frames).await?);
    let mut stored = 0;
    while let Some(frame) = next(&mut frames).await? {
        let Frame::Entries(entries) = frame else {
            return Err(malformed("entries").into());
        };
        if entries.entries.len() > MAX_LABELS {
            return Err(malformed("entries").into());
        }
        transfer.turn(state, entries.entries.len()).await?;
        let (state, transfer) = (state.clone(), transfer.clone());
        stored += blocking(move || transfer.store(&state, &entries)).await?;
    }
    tracing::info!(source = %transfer.admitted.party, stored, "links were stored");
    Ok(stored)
}

/// Finds what is stored under labels.
pub(crate) async fn get(
    state: Arc<State>,
    key: Option<PublicKey>,
    mut frames: Streaming<LinkFrame>,
) -> Result<Answers<LinkFrame>, Status> {
    let transfer = Arc::new(open(&state, key, &mut frames).await?);
    let answers = stream::try_unfold(frames, move |mut frames| {
        let (state, transfer) = (state.clone(), transfer.clone());
        async move {
            let Some(frame) = next(&mut frames).await? else {
                return Ok(None);
            };
            let Frame::Labels(labels) = frame else {
                return Err(malformed("labels").into());
            };
            let labels = read_labels(&labels)?;
            transfer.turn(&state, labels.len()).await?;
            let entries = blocking(move || transfer.find(&state, &labels)).await?;
            let frame = Frame::Entries(LinkEntries { entries });
            Ok(Some((LinkFrame { frame: Some(frame) }, frames)))
        }
    });
    Ok(Box::pin(answers))
}

/// Drops entries of the caller; gives how many were there.
pub(crate) async fn drop_some(
    state: &Arc<State>,
    key: Option<PublicKey>,
    mut frames: Streaming<LinkFrame>,
) -> Result<u64, Status> {
    let transfer = Arc::new(open(state, key, &mut frames).await?);
    let mut dropped = 0;
    while let Some(frame) = next(&mut frames).await? {
        let Frame::Labels(message) = frame else {
            return Err(malformed("labels").into());
        };
        let labels = read_labels(&message)?;
        transfer.turn(state, labels.len()).await?;
        let (state, transfer) = (state.clone(), transfer.clone());
        dropped += blocking(move || {
            let (matter, source) = (transfer.admitted.matter(), &transfer.admitted.party);
            Ok(state.store.lock().drop_links(&matter, source, &labels)?)
        })
        .await?;
    }
    tracing::info!(source = %transfer.admitted.party, dropped, "links were dropped");
    Ok(dropped)
}

impl Transfer {
    fn store(&self, state: &State, message: &LinkEntries) -> Result<u64, Problem> {
        let today = today();
        let entries = message.entries.iter();
        let links = entries.map(|entry| self.read(entry, today));
        let links: Vec<_> = links.collect::<Result<_, _>>()?;
        let mut store = state.store.lock();
        store.drop_stale_links(today)?;
        let stored = store.put_links(&self.admitted.matter(), &links, self.most())?;
        stored.map_err(|TooMany| {
            refused(
                "links-limit",
                "this party stores as many links as its ids can have",
            )
            .hint("drop those that are not wanted any more")
        })?;
        Ok(links.len() as u64)
    }

    /// Of every id, every edge that is ever looked for, for every purpose; and what each
    /// purpose and week is padded with.
    fn most(&self) -> u64 {
        let matching = &self.admitted.agreement.agreement().matching;
        let kinds = self.admitted.providers.links.len() as u64;
        let purposes = self.purposes.len() as u64;
        let edges = matching.max_ids.saturating_mul(MAX_EDGES as u64);
        let padding = PADDED_TO as u64 * WEEKS;
        let one = edges.saturating_mul(kinds).saturating_add(padding);
        one.saturating_mul(purposes)
    }

    fn read(&self, entry: &LinkEntry, today: Date) -> Result<StoredLink, Problem> {
        let label = LinkLabel::from_slice(&entry.label).map_err(|_| malformed("label"))?;
        let purpose = entry.purpose.parse().map_err(|_| malformed("purpose"))?;
        let expires = Date::from_days(entry.expires);
        if !self.purposes.contains(&purpose) {
            let what = format!("the agreement has no purpose `{purpose}` that a link could be for");
            return Err(refused("other-purpose", what));
        }
        // No key is valid for longer from now on, and a last day is the last of its week.
        let most = u64::from(self.admitted.providers.key_days).saturating_add(7);
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        if expires.days() > today.days().saturating_add(most) {
            let what = "a link's last day is beyond the week in which a key of today ends";
            return Err(refused("link-too-long", what));
        }
        if expires < today {
            return Err(refused("link-over", "a link's last day is over"));
        }
        if entry.value.len() != VALUE_BYTES {
            return Err(malformed("value"));
        }
        Ok(StoredLink {
            label,
            purpose,
            expires,
            source: self.admitted.party.clone(),
            value: entry.value.clone(),
        })
    }

    fn find(&self, state: &State, labels: &[LinkLabel]) -> Result<Vec<LinkEntry>, Problem> {
        let (matter, today) = (self.admitted.matter(), today());
        let mut found = Vec::new();
        for label in labels {
            // Whoever evaluates meanwhile needs the store too: nobody holds it for long.
            let links = state.store.lock().links(&matter, label, today)?.into_iter();
            let served = links.filter(|link| self.purposes.contains(&link.purpose));
            found.extend(served.map(|link| LinkEntry {
                label: link.label.as_bytes().to_vec(),
                purpose: link.purpose.to_string(),
                source: link.source.to_string(),
                expires: link.expires.days(),
                value: link.value,
            }));
        }
        Ok(found)
    }
}

fn read_labels(message: &LinkLabels) -> Result<Vec<LinkLabel>, Problem> {
    let (labels, rest) = message.labels.as_chunks::<LABEL_BYTES>();
    if !rest.is_empty() || labels.len() > MAX_LABELS {
        return Err(malformed("labels"));
    }
    Ok(labels
        .iter()
        .map(|label| LinkLabel::from_bytes(*label))
        .collect())
}

fn refused(code: &str, what: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Refused, code, what)
}
