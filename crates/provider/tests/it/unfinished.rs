//! Ceremonies whose end reaches some of the providers: whoever asked, or relayed, stays away. The
//! others keep the key.

use incamera_matching::statement::{ChoiceError, Chosen, KeyStatement, StatementError};
use incamera_net::services::CeremonyFinish;
use incamera_net::services::ceremony_frame::Step;
use incamera_net::status::Problem;
use incamera_oprf::session::Hello;
use incamera_provider::CeremonyError;
use rusqlite::Connection;

use crate::asking::{Session, evaluate, hello, points};
use crate::ceremonies::{ByHand, refusal};
use crate::dump::{dump, holds};
use crate::world::{Terms, World};

const IDS: [&str; 2] = ["pia@example.net", "zoe@example.net"];
const THREE: [&str; 3] = ["alpha", "beta", "gamma"];
const FOUR: &[&str] = &["alpha", "beta", "delta", "gamma"];

/// A refresh that all have signed, and that nobody has the end of.
async fn signed(world: &mut World) -> Vec<u8> {
    signed_in(world, true).await
}

/// The same of a refresh, or of a first key.
pub async fn signed_in(world: &mut World, refresh: bool) -> Vec<u8> {
    let providers = world.terms.providers;
    let mut by_hand = ByHand::new(world, refresh);
    for step in 0..4 {
        for of in providers {
            by_hand.step(step, of).await.unwrap();
        }
    }
    by_hand.file()
}

/// Alpha hands the end of a ceremony to one provider.
pub async fn hand(world: &World, to: &str, file: &[u8]) -> Result<(), Problem> {
    let statement = file.to_vec();
    let finish = Step::Finish(CeremonyFinish { statement });
    world.step("alpha", to, true, finish).await.map(drop)
}

/// The sealed shares that wait at a provider.
fn waiting(world: &World, of: &str) -> Vec<Vec<u8>> {
    let store = Connection::open(world.store(of)).unwrap();
    let mut select = store
        .prepare("SELECT sealed FROM shares WHERE waits = 1 ORDER BY number, statement")
        .unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Alpha asks for a refresh, gives its end to beta alone, and is lost for good. Beta's old share
/// is gone; gamma's new one waits.
#[tokio::test]
async fn a_provider_that_is_lost_in_the_middle_of_a_refresh_takes_no_key_along() {
    for heals in ["refresh at beta", "finish at beta", "finish at gamma"] {
        let mut world = World::with_key(Terms::default()).await;
        let before = evaluate(&world, &["beta", "gamma"], &IDS).await.unwrap();
        let file = signed(&mut world).await;
        hand(&world, "beta", &file).await.unwrap();
        world.stop("alpha").await;
        let refused = evaluate(&world, &["beta", "gamma"], &IDS).await;
        assert_eq!(refused.unwrap_err().code(), "other-key-statement");
        if heals == "refresh at beta" {
            // There is no new ceremony without alpha; what was left is finished.
            let missing = world.refresh_by("beta").await.unwrap_err();
            assert!(matches!(missing, CeremonyError::Unreachable { .. }));
        } else {
            let by = heals.rsplit(' ').next().unwrap();
            let finished = world.finish_by(by).await.unwrap();
            assert_eq!(finished.statement.number(), 2);
            assert_eq!(finished.given, ["gamma".parse().unwrap()]);
            let [CeremonyError::Unreachable { provider, .. }] = finished.left.as_slice() else {
                panic!("{:?}", finished.left);
            };
            assert_eq!(provider.as_str(), "alpha");
            // Again there is nothing to give.
            assert!(world.finish_by(by).await.unwrap().given.is_empty());
        }
        let after = evaluate(&world, &["beta", "gamma"], &IDS).await;
        assert_eq!(after.unwrap(), before, "{heals}");
    }
}

/// The same where alpha is there, and shows what is no statement.
#[tokio::test]
async fn who_shows_no_statement_keeps_the_end_from_nobody_else() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &["beta", "gamma"], &IDS).await.unwrap();
    let file = signed(&mut world).await;
    hand(&world, "beta", &file).await.unwrap();
    let store = Connection::open(world.store("alpha")).unwrap();
    store
        .execute("UPDATE shares SET statement = x'00'", [])
        .unwrap();
    let finished = world.finish_by("gamma").await.unwrap();
    assert_eq!(finished.given, ["gamma".parse().unwrap()]);
    assert!(matches!(
        finished.left.as_slice(),
        [CeremonyError::Shown { provider, .. }, ..] if provider.as_str() == "alpha"
    ));
    let after = evaluate(&world, &["beta", "gamma"], &IDS).await;
    assert_eq!(after.unwrap(), before);
}

/// All have signed the first of two ceremonies, and gamma the second as well, when the end of
/// the first comes: it finds its share.
#[tokio::test]
async fn another_ceremony_takes_no_share_away_that_was_signed_for() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &["beta", "gamma"], &IDS).await.unwrap();
    let file = signed(&mut world).await;
    let mut second = ByHand::new(&mut world, true);
    for step in 0..3 {
        for of in THREE {
            second.step(step, of).await.unwrap();
        }
    }
    second.step(3, "gamma").await.unwrap();
    assert_eq!(waiting(&world, "gamma").len(), 2);
    hand(&world, "beta", &file).await.unwrap();
    world.stop("alpha").await;
    assert_eq!(world.finish_by("beta").await.unwrap().statement.number(), 2);
    let after = evaluate(&world, &["beta", "gamma"], &IDS).await;
    assert_eq!(after.unwrap(), before);
}

/// Two ceremonies are signed by all, and alpha gives the end of one to beta, of the other to
/// gamma. One is the later one for all: beta has kept its share, and what is earlier is erased.
#[tokio::test]
async fn of_two_ceremonies_that_all_signed_one_counts() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &["beta", "gamma"], &IDS).await.unwrap();
    let mut both = [signed(&mut world).await, signed(&mut world).await];
    let agreed = world.agreed();
    both.sort_by_key(|file| KeyStatement::open(file, &agreed).unwrap().order());
    let sealed = waiting(&world, "gamma");
    let [earlier, later] = &both;
    hand(&world, "gamma", later).await.unwrap();
    hand(&world, "beta", earlier).await.unwrap();
    // A session of the earlier one ends with its share, though the number stays.
    let mut client = world.client("beta", "shop").await;
    let hello = hello(&world, &["beta", "gamma"], 2);
    // Who goes by the later one is told here, and not that beta evaluates wrongly.
    let by_the_other = Hello {
        ceremony: self::hello(&world, &["gamma"], 2).ceremony,
        ..hello.clone()
    };
    let refused = Session::open(&mut client, &by_the_other).await.err();
    assert_eq!(refused.unwrap().code(), "other-key-statement");
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    assert_eq!(waiting(&world, "beta").len(), 1);
    assert_eq!(waiting(&world, "gamma").len(), 0);
    world.stop("alpha").await;
    let finished = world.finish_by("beta").await.unwrap();
    assert_eq!(finished.given, ["beta".parse().unwrap()]);
    assert_eq!(world.statement("beta").await, *later);
    let ended = session.ask(0, &points(&IDS)).await.unwrap_err();
    assert_eq!(ended.code(), "other-key-statement");
    let after = evaluate(&world, &["beta", "gamma"], &IDS).await;
    assert_eq!(after.unwrap(), before);
    assert!(waiting(&world, "beta").is_empty());
    let left = dump(&world.store("gamma"));
    assert!(holds(&left, &sealed[1]), "the share that counts");
    assert!(!holds(&left, &sealed[0]), "a share that waited is erased");
    // Nobody goes back.
    world.start("alpha").await;
    let refused = hand(&world, "gamma", earlier).await.unwrap_err();
    assert_eq!(refused.code(), "key-statement");
}

/// Shares that wait are bounded: whoever begins ceremonies and finishes none fills no disk.
#[tokio::test]
async fn so_many_shares_wait_and_no_more() {
    let world = World::with_key(Terms::default()).await;
    let store = Connection::open(world.store("beta")).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= ?1)
        INSERT INTO shares SELECT agreement_id, epoch, 1, 2, place, sealed, zeroblob(i)
        FROM shares, n WHERE waits = 0";
    store.execute(fill, [1_024]).unwrap();
    let refused = world.refresh().await.unwrap_err();
    assert_eq!(refusal(refused).code(), "too-many-waiting");
    store
        .execute("DELETE FROM shares WHERE length(statement) = 2", [])
        .unwrap();
    world.refresh().await.unwrap();
    assert!(waiting(&world, "beta").is_empty());
}

/// Alpha and beta show the new statement, which is enough, and a party remembers it. Then alpha
/// is lost. Gamma and delta show the one before, which the party does not take any more, until
/// one of the three gives them the end.
#[tokio::test]
async fn a_statement_that_parties_remember_reaches_the_other_providers() {
    let mut world = World::with_key(Terms {
        providers: FOUR,
        ..Terms::default()
    })
    .await;
    let before = evaluate(&world, &["delta", "gamma"], &IDS).await.unwrap();
    let file = signed(&mut world).await;
    for to in ["alpha", "beta"] {
        hand(&world, to, &file).await.unwrap();
    }
    let known = KeyStatement::open(&file, &world.agreed()).unwrap();
    world.stop("alpha").await;
    let refused = chosen(&world, &known).await.unwrap_err();
    let ChoiceError::Known { providers, error } = refused else {
        panic!("{refused:?}");
    };
    let of: Vec<_> = providers.iter().map(|name| name.as_str()).collect();
    assert_eq!(of, ["delta", "gamma"]);
    assert!(matches!(error, StatementError::WentBack { .. }));
    let finished = world.finish_by("delta").await.unwrap();
    assert_eq!(finished.given.len(), 2);
    let chosen = chosen(&world, &known).await.unwrap();
    assert_eq!((chosen.statement, chosen.others), (known, Vec::new()));
    let after = evaluate(&world, &["delta", "gamma"], &IDS).await;
    assert_eq!(after.unwrap(), before);
}

/// What a party goes by that knows a statement, as the three that are left show it.
async fn chosen(world: &World, known: &KeyStatement) -> Result<Chosen, ChoiceError> {
    let mut shown = Vec::new();
    for name in ["beta", "delta", "gamma"] {
        let file = world.statement(name).await;
        let statement = KeyStatement::open(&file, &world.agreed()).unwrap();
        shown.push((name.parse().unwrap(), statement));
    }
    Chosen::of(shown, Some(known), world.terms.threshold)
}

#[tokio::test]
async fn where_nobody_has_a_key_there_is_nothing_to_finish() {
    let mut world = World::new(Terms::default()).await;
    let nothing = world.finish_by("beta").await.unwrap_err();
    assert!(matches!(nothing, CeremonyError::NothingToFinish));
    world.stop("alpha").await;
    let missing = world.finish_by("beta").await.unwrap_err();
    assert!(matches!(missing, CeremonyError::Unreachable { .. }));
}

/// A store as version 3 made it, in which one share waited at most.
#[tokio::test]
async fn shares_of_a_store_of_version_3_are_kept() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap();
    let file = signed(&mut world).await;
    let sealed = waiting(&world, "beta");
    world.stop("beta").await;
    let store = Connection::open(world.store("beta")).unwrap();
    store
        .execute_batch(
            "PRAGMA secure_delete = ON;
             CREATE TABLE one (agreement_id BLOB NOT NULL, epoch INTEGER NOT NULL,
                 waits INTEGER NOT NULL CHECK (waits IN (0, 1)), number INTEGER NOT NULL,
                 place INTEGER NOT NULL, sealed BLOB NOT NULL, statement BLOB NOT NULL,
                 PRIMARY KEY (agreement_id, epoch, waits)) STRICT;
             INSERT INTO one SELECT * FROM shares;
             DROP TABLE shares;
             DROP TABLE refreshes;
             ALTER TABLE one RENAME TO shares;
             PRAGMA user_version = 3;",
        )
        .unwrap();
    drop(store);
    world.start("beta").await;
    assert_eq!(waiting(&world, "beta"), sealed);
    let found = dump(&world.store("beta"));
    let copies = found.windows(sealed[0].len());
    let copies = copies.filter(|window| *window == sealed[0]);
    assert_eq!(copies.count(), 1, "what was moved is erased where it lay");
    for to in THREE {
        hand(&world, to, &file).await.unwrap();
    }
    let after = evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap();
    assert_eq!(after, before);
    let schema = |name: &str| {
        let store = Connection::open(world.store(name)).unwrap();
        let sql = "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE tbl_name = 'shares'";
        let sql: String = store.query_row(sql, [], |row| row.get(0)).unwrap();
        sql.replace('"', "")
    };
    assert_eq!(schema("beta"), schema("alpha"));
}
