//! Runs that are cut off, and go on.

use incamera_matching::{MatchError, Misuse, Reveals};
use incamera_wire::v1::match_message::Message;

use crate::side::{Journal, Plan, exchange_altered, mailer, matched, numbered, run, shop};
use crate::sim::World;

const BOTH: [Reveals; 2] = [Reveals::Nothing, Reveals::OwnMatches];
const LEFT: usize = 150;
const RIGHT: usize = 90;
/// As in `side::plan`.
const WINDOW: u64 = 16;

fn plans(reveals: Reveals) -> (Plan, Plan) {
    let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
    a.ids = numbered(0..LEFT);
    b.ids = numbered(60..60 + RIGHT);
    (a, b)
}

/// In whatever order results, writes and messages come, the crosswalks are the same.
#[test]
fn any_order_of_events() {
    for reveals in BOTH {
        let (a, b) = plans(reveals);
        let (first, second) = matched(&a, &b);
        for seed in 0..20 {
            let mut world = World::new(&a, &b, seed);
            assert!(!world.go(100_000).unwrap(), "seed {seed}");
            assert_eq!(world.sides[0].crosswalk(), first.crosswalk());
            assert_eq!(world.sides[1].crosswalk(), second.crosswalk());
            assert_eq!(world.multiplied(0).blinded, LEFT as u64);
        }
    }
}

/// Killed at any moment, either side or both: the crosswalk is that of an undisturbed run, the
/// run is counted once, and no kind of work is repeated beyond a window.
#[test]
fn killed_at_any_moment() {
    for reveals in BOTH {
        let (a, b) = plans(reveals);
        let (first, second) = matched(&a, &b);
        let mut killed = 0;
        for seed in 0..60 {
            let mut world = World::new(&a, &b, seed);
            let steps = 20 + world.below(1500);
            if !world.go(steps).unwrap() {
                continue;
            }
            killed += 1;
            world.unplug();
            let who = world.below(3);
            for at in 0..2 {
                match who == 2 || who == at {
                    true => world.kill(at, 0),
                    false => world.rejoin(at),
                }
            }
            assert!(!world.go(100_000).unwrap(), "seed {seed}");
            assert_eq!(world.sides[0].crosswalk(), first.crosswalk(), "seed {seed}");
            assert_eq!(
                world.sides[1].crosswalk(),
                second.crosswalk(),
                "seed {seed}"
            );
            assert_eq!(
                [world.sides[0].counted, world.sides[1].counted],
                [1, 1],
                "seed {seed}"
            );
            for (at, own, peer) in [
                (0, LEFT as u64, RIGHT as u64),
                (1, RIGHT as u64, LEFT as u64),
            ] {
                let done = world.multiplied(at);
                let completed = if reveals == Reveals::Nothing { own } else { 0 };
                assert!(done.blinded - own <= WINDOW, "seed {seed}: {done:?}");
                assert!(done.raised - peer <= WINDOW, "seed {seed}: {done:?}");
                assert!(
                    done.completed - completed <= WINDOW,
                    "seed {seed}: {done:?}"
                );
            }
        }
        assert!(killed > 40, "only {killed} runs were cut off");
    }
}

/// Many links are lost, also in the middle of greetings, and own values that never reached the disk.
#[test]
fn lost_again_and_again() {
    for reveals in BOTH {
        let (a, b) = plans(reveals);
        let (first, second) = matched(&a, &b);
        for seed in 0..25 {
            let mut world = World::new(&a, &b, seed);
            for _ in 0..12 {
                let steps = 1 + world.below(300);
                if !world.go(steps).unwrap() {
                    break;
                }
                world.unplug();
                let who = world.below(4);
                let lost = world.below(40);
                for at in 0..2 {
                    match who == at {
                        true => world.kill(at, lost),
                        false => world.rejoin(at),
                    }
                }
            }
            assert!(!world.go(200_000).unwrap(), "seed {seed}");
            assert_eq!(world.sides[0].crosswalk(), first.crosswalk(), "seed {seed}");
            assert_eq!(
                world.sides[1].crosswalk(),
                second.crosswalk(),
                "seed {seed}"
            );
        }
    }
}

/// A side that has lost its journal makes both begin anew: the run counts again, and its points
/// are others.
#[test]
fn without_a_journal_both_begin_anew() {
    for reveals in BOTH {
        let (a, b) = plans(reveals);
        let (first, second) = matched(&a, &b);
        for (seed, lost) in (0..12).zip([0, 1].into_iter().cycle()) {
            let mut world = World::new(&a, &b, seed);
            assert!(world.go(1200).unwrap());
            world.unplug();
            let mut plan = world.sides[lost].plan.clone();
            (plan.seed, plan.nonce) = (77, 777);
            world.sides[lost].journal = Journal::default();
            world.sides[lost].plan = plan;
            world.kill(lost, 0);
            world.rejoin(1 - lost);
            assert!(!world.go(100_000).unwrap(), "seed {seed}");
            assert_eq!(world.sides[0].crosswalk(), first.crosswalk());
            assert_eq!(world.sides[1].crosswalk(), second.crosswalk());
            assert_eq!([world.sides[0].counted, world.sides[1].counted], [2, 2]);
        }
    }
}

/// Both have a journal, each of another run: both begin anew.
#[test]
fn journals_of_two_runs() {
    let (a, b) = plans(Reveals::Nothing);
    let (other, _) = matched(
        &a,
        &Plan {
            nonce: 5,
            ..b.clone()
        },
    );
    let (_, another) = matched(
        &Plan {
            nonce: 6,
            ..a.clone()
        },
        &b,
    );
    let mut world = World::new(&a, &b, 1);
    world.sides[0] = a.try_start(other.journal).unwrap();
    world.sides[1] = b.try_start(another.journal).unwrap();
    assert!(!world.go(100_000).unwrap());
    assert_eq!([world.sides[0].counted, world.sides[1].counted], [1, 1]);
    let (first, _) = matched(&a, &b);
    assert_eq!(world.sides[0].crosswalk(), first.crosswalk());
}

/// Killed with all its answers kept, before the peer said that it has all: the next time it
/// serves, and needs no ids for that.
#[test]
fn killed_before_the_peers_last_word() {
    for reveals in BOTH {
        let (a, mut b) = plans(reveals);
        b.ids = numbered(60..64);
        let (mut first, mut second) = (b.start(), a.start());
        // The shop has its four answers long before the mailer has its 150.
        let mut left = 30;
        while left > 0 {
            left -= 1;
            if let Some(message) = first.exchange.outgoing() {
                second.incoming(message).unwrap();
            }
            if let Some(message) = second.exchange.outgoing() {
                first.incoming(message).unwrap();
            }
        }
        assert!(first.exchange.has_all() && !first.exchange.is_finished());
        assert!(!second.exchange.has_all());
        let mut again = b.try_start(first.journal.clone()).unwrap();
        second.exchange.rejoin().unwrap();
        assert!(again.exchange.has_all());
        exchange_altered(&mut again, &mut second, &mut |_| ()).unwrap();
        assert!(second.exchange.is_finished() && again.exchange.is_finished());
        assert_eq!(again.exchange.progress().multiplied.blinded, 0);
        assert_eq!(again.counted + second.counted, 1);
    }
}

/// Answers leave only once what was seen of their points is kept.
#[test]
fn answers_wait_for_the_journal() {
    for reveals in BOTH {
        let (mut a, mut b) = (mailer(reveals, &["x"]).start(), shop(reveals, &[]).start());
        let mut answered = false;
        for _ in 0..6 {
            while let Some(message) = a.exchange.outgoing() {
                b.exchange.incoming(message).unwrap();
            }
            b.begin();
            while let Some(job) = b.exchange.job() {
                b.exchange.done(job.work()).unwrap();
            }
            while let Some(message) = b.exchange.outgoing() {
                answered |= matches!(message.message, Some(Message::Raised(_) | Message::Tags(_)));
                a.incoming(message).unwrap();
            }
        }
        assert!(!answered);
        b.keep();
        let message = b.exchange.outgoing().unwrap().message.unwrap();
        assert!(matches!(message, Message::Raised(_) | Message::Tags(_)));
    }
}

/// Neither the peer's points nor ours are taken beyond a window while the journal is behind.
#[test]
fn the_window_holds_while_nothing_is_kept() {
    let (mut a, b) = plans(Reveals::Nothing);
    a.ids = numbered(0..100);
    let (mut a, mut b) = (a.start(), b.start());
    for _ in 0..50 {
        while let Some(message) = a.exchange.outgoing() {
            b.incoming(message).unwrap();
        }
        a.begin();
        a.feed();
        while let Some(job) = a.exchange.job() {
            a.exchange.done(job.work()).unwrap();
        }
        while let Some(message) = b.exchange.outgoing() {
            a.exchange.incoming(message).unwrap();
        }
    }
    let done = a.exchange.progress().multiplied;
    assert_eq!((done.blinded, done.completed), (WINDOW, WINDOW));
    assert_eq!(a.exchange.wanted(), None);
}

/// The first points that a side sends.
fn first_points(plan: &Plan) -> Vec<[u8; 32]> {
    let mut points = Vec::new();
    let mut collect = |message: &mut incamera_wire::v1::MatchMessage| {
        if let Some(Message::Blinded(chunk)) = &message.message {
            points.extend(chunk.points.as_chunks::<32>().0);
        }
    };
    let (mut a, mut b) = (plan.start(), shop(plan.terms.reveals, &["x"]).start());
    b.plan.alike = plan.alike.clone();
    let mut other = b.plan.start();
    exchange_altered(&mut a, &mut other, &mut collect).unwrap();
    points
}

/// The blinding hangs on the input: a changed id, order, mode, rule or seed gives other points in
/// every place, and the same input the same.
#[test]
fn another_input_gives_other_points_everywhere() {
    let base = mailer(Reveals::Nothing, &["a", "b", "c", "d", "e"]);
    let points = first_points(&base);
    assert_eq!(points, first_points(&base));
    let ids = |ids: &[&str]| mailer(Reveals::Nothing, ids);
    let others = [
        ids(&["a", "b", "c", "d", "f"]),
        ids(&["a", "b", "c", "e", "d"]),
        ids(&["a", "b", "c", "d"]),
        Plan {
            seed: 9,
            ..base.clone()
        },
        Plan {
            mode: incamera_matching::Mode::Append,
            ..base.clone()
        },
        Plan {
            alike: incamera_matching::exchange::Alike {
                rules: 3,
                ..base.alike.clone()
            },
            ..base.clone()
        },
    ];
    for (at, other) in others.iter().enumerate() {
        let found = first_points(other);
        assert!(
            found.iter().all(|point| !points.contains(point)),
            "change {at}"
        );
    }
    // Under `own-matches` points last, which its documentation says.
    let lasting = first_points(&mailer(Reveals::OwnMatches, &["a", "b"]));
    let later = first_points(&Plan {
        seed: 9,
        ..mailer(Reveals::OwnMatches, &["b", "a"])
    });
    assert!(later.iter().all(|point| lasting.contains(point)));
}

/// A greeting that was lost on the way: one side has counted the run, the other not yet.
#[test]
fn one_side_has_begun_when_the_link_is_lost() {
    let (a, b) = (
        mailer(Reveals::Nothing, &["x"]),
        shop(Reveals::Nothing, &["x"]),
    );
    let (mut a, mut b) = (a.start(), b.start());
    let hello = a.exchange.outgoing().unwrap();
    b.incoming(hello).unwrap();
    assert_eq!((a.counted, b.counted), (0, 1));
    a.exchange.rejoin().unwrap();
    b.exchange.rejoin().unwrap();
    run(&mut a, &mut b);
    assert_eq!((a.counted, b.counted), (1, 1));
}

/// The program of one side was changed while it was away, and reads phone numbers by other
/// tables: its greeting is another, so both begin anew and nobody is accused.
#[test]
fn a_changed_program_begins_anew() {
    for reveals in BOTH {
        let (a, b) = plans(reveals);
        for at in 0..2 {
            let mut world = World::new(&a, &b, 5);
            assert!(world.go(900).unwrap());
            world.unplug();
            world.sides[at].plan.numbering = "2027-01".to_owned();
            world.kill(at, 0);
            world.rejoin(1 - at);
            assert!(!world.go(100_000).unwrap());
            let (first, second) = matched(&a, &b);
            assert_eq!(world.sides[0].crosswalk(), first.crosswalk());
            assert_eq!(world.sides[1].crosswalk(), second.crosswalk());
            assert_eq!([world.sides[0].counted, world.sides[1].counted], [2, 2]);
        }
    }
}

/// What was read back for a link that is gone does not end the run, nor does a point that was
/// refused over it.
#[test]
fn results_of_a_link_that_is_gone() {
    let (a, b) = plans(Reveals::Nothing);
    let mut world = World::new(&a, &b, 2);
    assert!(world.go(900).unwrap());
    let [mailer, shop] = &world.sides;
    assert!(shop.journal.theirs.len() >= 8);
    // The mailer has lost its answers, and sends its points from the first on.
    let lost = Journal {
        own: Vec::new(),
        ..mailer.journal.clone()
    };
    let (mut mailer, mut shop) = (a.restart(lost), b.restart(shop.journal.clone()));
    for _ in 0..2 {
        let message = mailer.exchange.outgoing().unwrap();
        shop.exchange.incoming(message).unwrap();
        shop.begin();
        mailer.incoming(shop.exchange.outgoing().unwrap()).unwrap();
    }
    let mut points = mailer.exchange.outgoing().unwrap();
    if let Some(Message::Blinded(chunk)) = &mut points.message {
        // Other points than before: the job will find it.
        chunk.points[..64].rotate_left(32);
    }
    shop.exchange.incoming(points).unwrap();
    let asked = shop.exchange.recall().unwrap();
    let range = asked.places.start as usize..asked.places.end as usize;
    let values = shop.journal.theirs[range].to_vec();
    shop.exchange.recalled(&asked, values.clone()).unwrap();
    let twice = shop.exchange.recalled(&asked, values.clone());
    assert_eq!(twice, Err(MatchError::Misuse(Misuse::NotAsked)));
    let job = shop.exchange.job().unwrap();
    shop.exchange.rejoin().unwrap();
    shop.exchange.done(job.work()).unwrap();
    shop.exchange.recalled(&asked, values).unwrap();
    mailer.exchange.rejoin().unwrap();
    run(&mut mailer, &mut shop);
}

/// A peer that comes back again and again and gets nothing done, and one that wants all its
/// answers each time, are left in the end; nobody is accused, since a bad line does the same.
#[test]
fn a_run_that_gets_nowhere_ends() {
    let nowhere = |result| matches!(result, Err(MatchError::GetsNowhere { .. }));
    let (a, b) = plans(Reveals::Nothing);
    let (mut first, mut second) = (a.start(), b.start());
    let mut links = 0;
    loop {
        second.incoming(first.exchange.outgoing().unwrap()).unwrap();
        first.incoming(second.exchange.outgoing().unwrap()).unwrap();
        links += 1;
        first.exchange.rejoin().unwrap();
        match second.exchange.rejoin() {
            Ok(()) if links < 1000 => {}
            ended => break assert!(nowhere(ended)),
        }
        // A line that is as bad for both.
        first = a.restart(first.journal);
    }
    assert_eq!(links, 65);
    let ended = second.incoming(first.exchange.outgoing().unwrap());
    assert_eq!(ended, Err(MatchError::Misuse(Misuse::AfterFailure)));
}
