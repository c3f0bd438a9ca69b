//! Turns, as requests take them. Data are never here, so a run that gets its turn ends there.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::poll;
use incamera_query::Limits;
use tempfile::TempDir;

use super::*;
use crate::identity::Identity;
use crate::store::Store;
use crate::turns::Turns;

#[allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared with the tests of `incamera-release`, which use all of it"
)]
#[path = "../../../release/tests/it/world.rs"]
pub(crate) mod world;

use world::{TEMPLATE, World};

/// An analyst and a room without data.
pub(crate) struct Asking {
    pub(crate) world: World,
    pub(crate) state: Arc<State>,
    _storage: TempDir,
}

type Asked = Pin<Box<dyn Future<Output = Result<(), Problem>>>>;
type Answer = mpsc::Receiver<Result<RunEvent, Status>>;

impl Asking {
    pub(crate) fn new() -> Self {
        Self::under(TEMPLATE)
    }

    pub(crate) fn under(template: &str) -> Self {
        let lasting = template.replace("expires = 2027-03-31", "expires = 2999-12-31");
        assert_ne!(lasting, template);
        let mut world = World::agreed(&lasting);
        world.seal("customers", world::CUSTOMERS);
        world.seal("purchases", world::PURCHASES);
        world.seal("mailing", world::MAILING);
        world.expires = now().plus(3600);
        let storage = tempfile::tempdir().unwrap();
        let digest = world.agreement.agreement().digest;
        let state = State {
            agreement: world.agreement.clone(),
            identity: Identity::new(digest, true).unwrap(),
            store: Store::open(storage.path()).unwrap(),
            limits: Limits::default(),
            turns: Turns::new(),
            simulated: true,
            tls: Default::default(),
        };
        Self {
            world,
            state: Arc::new(state),
            _storage: storage,
        }
    }

    /// A run that nobody polls yet, and what its caller holds.
    fn ask(&mut self) -> (Asked, Answer) {
        let request = self.world.request();
        let message = RunRequest {
            request: Some(self.world.sign(&request)),
        };
        let key = self.world.analysts[&self.world.analyst].public();
        let (events, answer) = mpsc::channel(8);
        let state = self.state.clone();
        let asked = async move { run(&state, message, Some(key), &events).await };
        (Box::pin(asked), answer)
    }
}

/// Sixteen wait while one runs; the next is told so and no owner hears of it: the owners of
/// this agreement are nowhere, and whoever dialled them would say that.
#[tokio::test]
async fn a_run_takes_the_turn_and_the_17th_that_waits_is_refused() {
    let mut asking = Asking::new();
    let state = asking.state.clone();
    let turn = state.turns.take(std::future::pending()).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let (mut asked, answer) = asking.ask();
        assert!(poll!(&mut asked).is_pending(), "it did not wait");
        waiting.push((asked, answer));
    }
    let (asked, _answer) = asking.ask();
    let refused = tokio::time::timeout(Duration::from_secs(10), asked).await;
    let refused = refused.expect("it waits").unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ProblemKind::Unavailable, "room-busy")
    );
    // Who has hung up leaves.
    let (asked, answer) = waiting.pop().unwrap();
    drop(answer);
    assert_eq!(asked.await.unwrap_err().code(), "caller-gone");
    drop(turn);
    for (asked, _answer) in waiting {
        let without_data = asked.await.unwrap_err();
        assert_eq!(without_data.kind(), ProblemKind::NotFound);
    }
    assert!(!state.turns.taken());
}

/// The turn is held while the run works, not only until it starts.
#[tokio::test]
async fn a_run_holds_the_turn_until_it_ends() {
    let mut asking = Asking::new();
    let (mut asked, _answer) = asking.ask();
    assert!(poll!(&mut asked).is_pending(), "it reads the store");
    assert!(asking.state.turns.taken());
    assert!(asked.await.is_err());
    assert!(!asking.state.turns.taken());
}

#[tokio::test]
async fn what_costs_nothing_ends_with_the_caller() {
    let (events, answer) = mpsc::channel(1);
    let done = unless_gone(&events, async { Ok(1) }).await;
    assert_eq!(done, Ok(1));
    let mut waits = Box::pin(unless_gone(
        &events,
        std::future::pending::<Result<(), _>>(),
    ));
    assert!(poll!(&mut waits).is_pending());
    drop(answer);
    assert_eq!(waits.await.unwrap_err().code(), "caller-gone");
    // Not begun either: the commits come next.
    let begun = AtomicBool::new(false);
    let work = async {
        begun.store(true, Ordering::Relaxed);
        Ok(())
    };
    assert!(unless_gone(&events, work).await.is_err());
    assert!(!begun.load(Ordering::Relaxed));
}

/// Owners whose services take a connection and say nothing: the run ends with its caller, not
/// when the owners' time is up.
#[tokio::test]
async fn asking_the_owners_ends_with_the_caller() {
    let mut template = TEMPLATE.to_owned();
    let mut silent = Vec::new();
    for party in ["shop", "mailer"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        template = template.replace(&format!("{party}.example:7443"), &address);
        silent.push(listener);
    }
    let mut asking = Asking::under(&template);
    let request = asking.world.request();
    let signed = asking.world.sign(&request);
    let active = asking.state.active().unwrap();
    let request = verify_request(&signed, &active, now()).unwrap();
    let (events, answer) = mpsc::channel(8);
    let manifests = &asking.world.manifests;
    let mut asked = Box::pin(grants(&asking.state, &request, manifests, &events));
    let little = Duration::from_millis(200);
    let waits = tokio::time::timeout(little, &mut asked).await;
    assert!(waits.is_err(), "the owners are silent");
    drop(answer);
    let soon = client::CONNECT_LIMIT / 2;
    let ended = tokio::time::timeout(soon, asked).await;
    let problem = ended.expect("it waits for the owners").err().unwrap();
    assert_eq!(problem.code(), "caller-gone");
}

/// Answers and errors, ready soon or later, leave at the same moment; what never gets ready
/// ends like everything that fails.
#[tokio::test]
async fn i7_answers_and_errors_leave_at_one_deadline() {
    let ms = Duration::from_millis;
    let deadline = Deadline::between(ms(1_000), ms(5_000));
    let after = async |ready: Duration, done: Result<u8, Problem>| {
        let begun = Instant::now();
        let work = async {
            tokio::time::sleep(ready).await;
            done.clone()
        };
        assert_eq!(at(&deadline, work).await, done);
        begun.elapsed()
    };
    let error = || failed(&QueryError::Engine);
    for (ready, done) in [
        (0, Ok(1)),
        (100, Ok(2)),
        (0, Err(error())),
        (100, Err(error())),
    ] {
        let left = after(ms(ready), done).await;
        // From above only by the next moment: a machine may be busy.
        assert!((ms(1_000)..ms(2_000)).contains(&left), "{ready}: {left:?}");
    }
    // A room that was not ready: the next moment.
    let left = after(ms(1_200), Ok(3)).await;
    assert!((ms(2_000)..ms(5_000)).contains(&left), "{left:?}");
    let begun = Instant::now();
    let never = at(&deadline, std::future::pending::<Result<u8, Problem>>()).await;
    assert_eq!(never, Err(error()));
    assert!(begun.elapsed() >= ms(5_000));
}
