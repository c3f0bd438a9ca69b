//! Links over the wire: whose they are, what is served, what is not.

use std::time::{Duration, Instant};

use incamera_net::agreements::now;
use incamera_net::services::link_frame::Frame;
use incamera_net::services::{LinkEntries, LinkFrame, LinkHello, LinkLabels};
use incamera_net::status::Problem;
use incamera_provider::Store;
use incamera_wire::v1::LinkEntry;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

use crate::world::{Terms, World};

fn today() -> i32 {
    i32::try_from(now().0 / 86_400).unwrap()
}

fn entry(label: u8, purpose: &str, expires: i32) -> LinkEntry {
    LinkEntry {
        label: vec![label; 32],
        purpose: purpose.into(),
        source: String::new(),
        expires,
        value: vec![label; 96],
    }
}

fn measured(label: u8) -> LinkEntry {
    entry(label, "measurement", today() + 7)
}

fn framed(frame: Frame) -> LinkFrame {
    LinkFrame { frame: Some(frame) }
}

fn frames(world: &World, party: &str, frames: Vec<Frame>) -> Vec<LinkFrame> {
    let hello = Frame::Hello(LinkHello {
        format: "incamera-links/1".into(),
        agreement_digest: world.digest(),
        party: party.into(),
        epoch: world.agreed().epoch.0,
    });
    let all = [hello].into_iter().chain(frames);
    all.map(framed).collect()
}

fn said(status: Status) -> String {
    Problem::from_status(&status).code().to_owned()
}

async fn put(world: &World, party: &str, entries: Vec<LinkEntry>) -> Result<u64, String> {
    let all = frames(world, party, vec![Frame::Entries(LinkEntries { entries })]);
    let mut client = world.client("alpha", party).await;
    let reply = client.put_links(tokio_stream::iter(all)).await;
    Ok(reply.map_err(said)?.into_inner().entries)
}

fn labels(labels: &[u8]) -> Frame {
    let labels = labels.iter().flat_map(|label| [*label; 32]).collect();
    Frame::Labels(LinkLabels { labels })
}

async fn get(world: &World, party: &str, wanted: &[u8]) -> Result<Vec<LinkEntry>, String> {
    let all = frames(world, party, vec![labels(wanted)]);
    let mut client = world.client("alpha", party).await;
    let answers = client.get_links(tokio_stream::iter(all)).await;
    let mut answers = answers.map_err(said)?.into_inner();
    let mut found = Vec::new();
    while let Some(frame) = answers.message().await.map_err(said)? {
        match frame.frame.unwrap() {
            Frame::Entries(LinkEntries { entries }) => found.extend(entries),
            other => panic!("{other:?}"),
        }
    }
    Ok(found)
}

async fn forget(world: &World, party: &str, wanted: &[u8]) -> Result<u64, String> {
    let all = frames(world, party, vec![labels(wanted)]);
    let mut client = world.client("alpha", party).await;
    let reply = client.drop_links(tokio_stream::iter(all)).await;
    Ok(reply.map_err(said)?.into_inner().entries)
}

#[tokio::test]
async fn links_are_stored_found_replaced_and_dropped() {
    let mut world = World::with_key(Terms::default()).await;
    let all = vec![measured(1), measured(2), entry(3, "ads", today() + 90)];
    assert_eq!(put(&world, "shop", all).await, Ok(3));
    // Whoever owns data asks; in the order asked, and only what is there.
    let from_shop = |entry: LinkEntry| LinkEntry {
        source: "shop".into(),
        ..entry
    };
    let found = get(&world, "mailer", &[3, 9, 1]).await.unwrap();
    let expected = [entry(3, "ads", today() + 90), measured(1)].map(from_shop);
    assert_eq!(found, expected);
    // Again, with another value and day.
    let mut newer = entry(1, "measurement", today() + 14);
    newer.value = vec![8; 96];
    assert_eq!(put(&world, "shop", vec![newer.clone()]).await, Ok(1));
    world.restart("alpha").await;
    assert_eq!(get(&world, "shop", &[1]).await.unwrap(), [from_shop(newer)]);
    // Its own alone are dropped.
    assert_eq!(forget(&world, "mailer", &[1, 2]).await, Ok(0));
    assert_eq!(forget(&world, "shop", &[1, 2, 9]).await, Ok(2));
    let left = get(&world, "mailer", &[1, 2, 3]).await.unwrap();
    assert_eq!(left.len(), 1);
    let store = Store::look_at(&world.store("alpha")).unwrap();
    assert_eq!(store.stored_links().unwrap()[0].entries, 1);
}

/// M6: whoever can compute a label may store under it, first even; it keeps nobody out.
#[tokio::test]
async fn entries_of_several_owners_under_one_label_stand_side_by_side() {
    let world = World::with_key(Terms::default()).await;
    let of = |source: &str, value: u8| LinkEntry {
        source: source.into(),
        value: vec![value; 96],
        ..measured(1)
    };
    assert_eq!(put(&world, "mailer", vec![of("", 6)]).await, Ok(1));
    // Whose it is says the key of the caller, not the entry.
    assert_eq!(put(&world, "shop", vec![of("mailer", 7)]).await, Ok(1));
    let found = get(&world, "shop", &[1]).await.unwrap();
    assert_eq!(found, [of("mailer", 6), of("shop", 7)]);
    assert_eq!(put(&world, "mailer", vec![of("", 8)]).await, Ok(1));
    assert_eq!(forget(&world, "shop", &[1]).await, Ok(1));
    let found = get(&world, "shop", &[1]).await.unwrap();
    assert_eq!(found, [of("mailer", 8)]);
}

/// A party stores as many as its ids can have, and the others are not concerned.
#[tokio::test]
async fn a_party_stores_no_more_than_its_ids_can_have() {
    let terms = Terms {
        max_ids: 1,
        ..Terms::default()
    };
    let world = World::with_key(terms).await;
    let store = rusqlite::Connection::open(world.store("alpha")).unwrap();
    put(&world, "shop", vec![measured(1)]).await.unwrap();
    // Eight edges of the one id and what weeks are filled up with, for each of the purposes.
    let purposes = world.agreement().agreement().leaf_purposes().len();
    let most = i64::try_from((8 + 32 * 525) * purposes).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO links SELECT agreement_id, epoch, randomblob(32), purpose, source, expires, value
        FROM links, n WHERE source = 'shop'";
    store.execute(fill, [most - 1]).unwrap();
    let again = put(&world, "shop", vec![measured(1)]).await;
    assert_eq!(again, Ok(1), "what takes the place of its own is no more");
    let more = put(&world, "shop", vec![measured(2)]).await;
    assert_eq!(more, Err("links-limit".into()));
    assert!(get(&world, "mailer", &[2]).await.unwrap().is_empty());
    assert_eq!(put(&world, "mailer", vec![measured(2)]).await, Ok(1));
}

/// A store as version 1 made it, in which a label had one entry.
#[tokio::test]
async fn a_store_of_version_1_is_brought_up_to_date() {
    let mut world = World::with_key(Terms::default()).await;
    put(&world, "shop", vec![measured(1)]).await.unwrap();
    world.stop("alpha").await;
    let store = rusqlite::Connection::open(world.store("alpha")).unwrap();
    store
        .execute_batch(
            "CREATE TABLE one (agreement_id BLOB NOT NULL, epoch INTEGER NOT NULL,
                 label BLOB NOT NULL, purpose TEXT NOT NULL, source TEXT NOT NULL,
                 expires INTEGER NOT NULL, value BLOB NOT NULL,
                 PRIMARY KEY (agreement_id, epoch, label)) STRICT, WITHOUT ROWID;
             INSERT INTO one SELECT * FROM links;
             DROP TABLE links;
             DROP TABLE link_counts;
             DROP TABLE refreshes;
             ALTER TABLE one RENAME TO links;
             CREATE INDEX links_of ON links (agreement_id, epoch, source);
             CREATE INDEX links_until ON links (expires);
             PRAGMA user_version = 1;",
        )
        .unwrap();
    let before = Store::look_at(&world.store("alpha")).unwrap();
    assert_eq!(before.stored_links().unwrap()[0].entries, 1);
    world.start("alpha").await;
    assert_eq!(put(&world, "mailer", vec![measured(1)]).await, Ok(1));
    let found = get(&world, "shop", &[1]).await.unwrap();
    let sources: Vec<_> = found.iter().map(|entry| entry.source.as_str()).collect();
    assert_eq!(sources, ["mailer", "shop"]);
    let schema = |name: &str| -> String {
        let sql = "SELECT sql FROM sqlite_schema WHERE name = ?1";
        let of = |path: &std::path::Path| -> String {
            let store = rusqlite::Connection::open(path).unwrap();
            store.query_row(sql, [name], |row| row.get(0)).unwrap()
        };
        let (old, new) = (of(&world.store("alpha")), of(&world.store("beta")));
        assert_eq!(old.replace('"', ""), new, "{name}");
        new
    };
    assert!(schema("links").contains("label, source"));
    schema("links_until");
}

#[tokio::test]
async fn nothing_that_is_over_or_for_another_purpose_is_taken_or_served() {
    let mut world = World::with_key(Terms::default()).await;
    for (entry, code) in [
        (entry(1, "measurement", today() - 1), "link-over"),
        (entry(1, "measurement", today() + 98), "link-too-long"),
        (entry(1, "measurement", i32::MAX), "link-too-long"),
        (entry(1, "resale", today() + 7), "other-purpose"),
        (
            LinkEntry {
                value: vec![0; 95],
                ..measured(1)
            },
            "malformed-message",
        ),
        (
            LinkEntry {
                label: vec![0; 31],
                ..measured(1)
            },
            "malformed-message",
        ),
    ] {
        // One bad entry, and nothing of the frame is stored.
        let refused = put(&world, "shop", vec![measured(2), entry]).await;
        assert_eq!(refused, Err(code.into()));
        assert!(get(&world, "shop", &[2]).await.unwrap().is_empty());
    }
    let last = entry(4, "measurement", today() + 90);
    let all = vec![measured(1), measured(2), measured(3), last];
    put(&world, "shop", all).await.unwrap();
    // Time passes, and the agreement loses a purpose: the store says so.
    let store = rusqlite::Connection::open(world.store("alpha")).unwrap();
    let set = |what: &str, label: u8| {
        let sql = format!("UPDATE links SET {what} WHERE label = ?1");
        assert_eq!(store.execute(&sql, [vec![label; 32]]).unwrap(), 1);
    };
    set(&format!("expires = {}", today() - 1), 1);
    set("purpose = 'resale'", 2);
    let found = get(&world, "mailer", &[1, 2, 3]).await.unwrap();
    assert_eq!(
        found.iter().map(|entry| entry.label[0]).collect::<Vec<_>>(),
        [3]
    );
    // What is over is gone with the next start.
    world.restart("alpha").await;
    let left: i64 = store
        .query_row("SELECT count(*) FROM links", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 3);
}

/// L9: a party that has more stored and looked up than the agreed rate waits, and loses nothing.
#[tokio::test]
async fn links_are_served_at_the_agreed_rate() {
    let terms = Terms {
        rate: 1_000,
        ..Terms::default()
    };
    let world = World::with_key(terms).await;
    let numbered = |n: u16| LinkEntry {
        label: n.to_be_bytes().repeat(16),
        ..measured(1)
    };
    // Four seconds' worth, of which one second may be drawn beforehand, and the last is not
    // waited for.
    let all: Vec<_> = (0..4_000).map(numbered).collect();
    let all = all.chunks(1_000).map(|some| {
        let entries = some.to_vec();
        Frame::Entries(LinkEntries { entries })
    });
    let all = frames(&world, "shop", all.collect());
    let mut client = world.client("alpha", "shop").await;
    let start = Instant::now();
    let reply = client.put_links(tokio_stream::iter(all)).await.unwrap();
    assert_eq!(reply.into_inner().entries, 4_000);
    assert!(start.elapsed() >= Duration::from_millis(1_900));
    let store = Store::look_at(&world.store("alpha")).unwrap();
    assert_eq!(store.stored_links().unwrap()[0].entries, 4_000);
    // Drops go by the same, and look-ups behind them.
    let start = Instant::now();
    let again = (0..4_000_u16).flat_map(|n| n.to_be_bytes().repeat(16));
    let labels = again.collect();
    let all = frames(&world, "shop", vec![Frame::Labels(LinkLabels { labels })]);
    let reply = client.drop_links(tokio_stream::iter(all)).await.unwrap();
    assert_eq!(reply.into_inner().entries, 4_000);
    get(&world, "shop", &[1]).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(2_900));
    // What is counted is what is there.
    let counted = rusqlite::Connection::open(world.store("alpha")).unwrap();
    let sql = "SELECT sum(entries) FROM link_counts";
    let entries: i64 = counted.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(entries, 0);
}

/// L8: nobody can look up what an earlier key was for, so it goes with the next transfer or start.
#[tokio::test]
async fn links_of_an_earlier_epoch_go() {
    let mut world = World::with_key(Terms::default()).await;
    let all = vec![measured(1), measured(2), measured(3)];
    put(&world, "shop", all).await.unwrap();
    let store = rusqlite::Connection::open(world.store("alpha")).unwrap();
    let left = || -> Vec<u8> {
        let mut rows = store
            .prepare("SELECT label FROM links ORDER BY label")
            .unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(|label: rusqlite::Result<Vec<u8>>| label.unwrap()[0])
            .collect()
    };
    let age = |label: u8, what: &str| {
        let sql = format!("UPDATE links SET epoch = epoch - 1 {what} WHERE label = ?1");
        assert_eq!(store.execute(&sql, [vec![label; 32]]).unwrap(), 1);
    };
    age(1, "");
    // Another agreement is at an epoch of its own.
    age(2, ", agreement_id = randomblob(16)");
    assert_eq!(left(), [1, 2, 3]);
    put(&world, "mailer", vec![measured(4)]).await.unwrap();
    assert_eq!(left(), [2, 3, 4]);
    age(3, "");
    world.restart("alpha").await;
    assert_eq!(left(), [2, 4]);
}

/// As sessions do: a newer version may leave out a purpose, or the party itself.
#[tokio::test]
async fn transfers_end_with_the_version_that_they_were_opened_under() {
    let world = World::with_key(Terms::default()).await;
    put(&world, "shop", vec![measured(1), measured(2)])
        .await
        .unwrap();
    let (wants, asked) = mpsc::unbounded_channel();
    for frame in frames(&world, "mailer", vec![labels(&[1])]) {
        wants.send(frame).unwrap();
    }
    let mut mailer = world.client("alpha", "mailer").await;
    let answers = mailer.get_links(UnboundedReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    let [mut shop, mut again] = [
        world.client("alpha", "shop").await,
        world.client("alpha", "shop").await,
    ];
    let opened = [
        vec![Frame::Entries(LinkEntries {
            entries: vec![measured(3)],
        })],
        vec![labels(&[1])],
    ];
    let [(tells, told), (drops, dropped)] = opened.map(|first| {
        let (sender, receiver) = mpsc::unbounded_channel();
        for frame in frames(&world, "shop", first) {
            sender.send(frame).unwrap();
        }
        (sender, UnboundedReceiverStream::new(receiver))
    });
    let telling = tokio::spawn(async move { shop.put_links(told).await });
    let dropping = tokio::spawn(async move { again.drop_links(dropped).await });
    let store = rusqlite::Connection::open(world.store("alpha")).unwrap();
    let there = || -> Vec<u8> {
        let mut rows = store
            .prepare("SELECT label FROM links ORDER BY label")
            .unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(|label: rusqlite::Result<Vec<u8>>| label.unwrap()[0])
            .collect()
    };
    // Both are under way.
    while there() != [2, 3] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.next_version("");
    let more = Frame::Entries(LinkEntries {
        entries: vec![measured(4)],
    });
    let _ = (
        wants.send(framed(labels(&[2]))),
        tells.send(framed(more)),
        drops.send(framed(labels(&[2]))),
    );
    drop((tells, drops));
    let superseded = "agreement-superseded";
    assert_eq!(said(answers.message().await.unwrap_err()), superseded);
    assert_eq!(said(telling.await.unwrap().unwrap_err()), superseded);
    assert_eq!(said(dropping.await.unwrap().unwrap_err()), superseded);
    assert_eq!(there(), [2, 3]);
}

#[tokio::test]
async fn only_owners_store_find_and_drop() {
    let world = World::with_key(Terms::default()).await;
    for party in ["agency", "beta"] {
        let refused = Err("not-the-party".to_owned());
        assert_eq!(put(&world, party, vec![measured(1)]).await, refused);
        assert_eq!(get(&world, party, &[1]).await, Err("not-the-party".into()));
        assert_eq!(
            forget(&world, party, &[1]).await,
            Err("not-the-party".into())
        );
    }
    // Under its own name, and of labels that are whole.
    let shop = frames(&world, "mailer", vec![labels(&[1])]);
    let mut client = world.client("alpha", "shop").await;
    let refused = client
        .drop_links(tokio_stream::iter(shop))
        .await
        .unwrap_err();
    assert_eq!(said(refused), "not-the-party");
    let cut = Frame::Labels(LinkLabels {
        labels: vec![1; 33],
    });
    let cut = frames(&world, "shop", vec![cut]);
    let refused = client
        .drop_links(tokio_stream::iter(cut))
        .await
        .unwrap_err();
    assert_eq!(said(refused), "malformed-message");
}
