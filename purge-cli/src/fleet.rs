//! All nodes at once: tries, pauses, the deadline, and when enough have confirmed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::client::{Call, Client, Failure};
use crate::flags::Wait;
use crate::wire::Answer;

/// First pause between two tries; doubles up to [`PAUSE_MAX`], and is halved again towards the deadline.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// With no more time than this left, there is no further try.
const LAST_TRY: Duration = Duration::from_millis(50);
/// A try is given at least this, and a third of the timeout: a lost answer leaves time to ask again.
const TRY_MIN: Duration = Duration::from_secs(1);
/// With a quorum confirmed, the others are given this before we leave.
const GRACE: Duration = Duration::from_secs(1);
/// With `--wait none`, the time for the one try.
const ONE_TRY: Duration = Duration::from_secs(2);

/// How long to wait, and for how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Time for everything.
    pub(crate) timeout: Duration,
    /// How many must confirm.
    pub(crate) wait: Wait,
    /// Whether a try that takes long may be given up and repeated: an order with an id, or a question that is cheap.
    pub(crate) repeat_slow: bool,
}

/// What became of one node.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    /// Its answer, or why there is none.
    pub(crate) answer: Result<T, Failure>,
    /// 1, and one more for each request that had to be sent again.
    pub(crate) tries: u32,
    /// Time from the start of the command.
    pub(crate) time: Duration,
}

/// What is known of a node while it is still being called.
#[derive(Debug, Clone, Default)]
struct Known {
    tries: u32,
    last: Option<Failure>,
}

/// Sends `calls` in order to every node, all nodes at once; `heard` is told of each node that is done.
/// The outcomes come back in the order of `clients`.
pub(crate) async fn ask<T: Answer>(
    clients: Vec<Client>,
    calls: Vec<Call>,
    patience: Patience,
    mut heard: impl FnMut(usize),
) -> Vec<Outcome<T>> {
    let start = Instant::now();
    let count = clients.len();
    let deadline = start + patience.timeout;
    let calls: Arc<[Call]> = calls.into();
    let known: Vec<Arc<Mutex<Known>>> = clients.iter().map(|_| Arc::default()).collect();
    let mut outcomes: Vec<Option<Outcome<T>>> = clients.iter().map(|_| None).collect();
    let mut set = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        let (calls, known) = (Arc::clone(&calls), Arc::clone(&known[index]));
        set.spawn(async move { (index, attend::<T>(&client, &calls, patience, deadline, &known).await) });
    }
    let mut leave_at = deadline + PAUSE_MIN;
    let mut confirmed = 0;
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            joined = set.join_next() => match joined {
                None => break,
                // A task that panicked is told as unconfirmed below.
                Some(Err(_)) => {}
                Some(Ok((index, answer))) => {
                    heard(index);
                    confirmed += usize::from(answer.is_ok());
                    let tries = lock(&known[index]).tries;
                    outcomes[index] = Some(Outcome { answer, tries, time: start.elapsed() });
                    if patience.wait == Wait::Quorum && confirmed >= patience.wait.needs(count) {
                        leave_at = leave_at.min(Instant::now() + GRACE);
                    }
                }
            },
            () = sleep_until(leave_at) => break,
            _ = &mut interrupt => break,
        }
    }
    let left = |(outcome, known): (Option<Outcome<T>>, Arc<Mutex<Known>>)| {
        let Known { tries, last } = lock(&known).clone();
        outcome.unwrap_or_else(|| Outcome {
            answer: Err(last.unwrap_or(Failure::Left)),
            tries,
            time: start.elapsed(),
        })
    };
    outcomes.into_iter().zip(known).map(left).collect()
}

/// One node until it has answered every call, or cannot, or the time is over.
async fn attend<T: Answer>(
    client: &Client,
    calls: &[Call],
    patience: Patience,
    deadline: Instant,
    known: &Mutex<Known>,
) -> Result<T, Failure> {
    let mut whole: Option<T> = None;
    let mut pause = PAUSE_MIN;
    lock(known).tries = 1;
    for call in calls {
        let answer = loop {
            let begun = Instant::now();
            let until = try_until(begun, deadline, patience);
            let failure = match timeout_at(until, client.send::<T>(call)).await {
                Ok(Ok(answer)) => break answer,
                Ok(Err(failure)) => failure,
                Err(_) => silent(begun.elapsed(), lock(known).last.take()),
            };
            lock(known).last = Some(failure.clone());
            let left = deadline.saturating_duration_since(Instant::now());
            let again = failure.passes() && patience.wait != Wait::None;
            let Some(now) = pause_before(pause, left).filter(|_| again) else { return Err(failure) };
            sleep(now).await;
            lock(known).tries += 1;
            pause = longer(pause);
        };
        pause = PAUSE_MIN;
        lock(known).last = None;
        whole = Some(match whole.take() {
            Some(earlier) => earlier.and(answer),
            None => answer,
        });
    }
    whole.ok_or(Failure::Left)
}

/// The pause before the next try with so much time left: never the rest of it, so that a node that comes back late is
/// still asked. `None` when another try would come too late.
fn pause_before(pause: Duration, left: Duration) -> Option<Duration> {
    (left > LAST_TRY).then(|| pause.min(left / 2))
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

/// What a try that was given up says. One that had next to no time says less than the one before it.
fn silent(time: Duration, before: Option<Failure>) -> Failure {
    before.filter(|_| time < TRY_MIN).unwrap_or(Failure::Silent(time))
}

/// When to give up one try.
fn try_until(begun: Instant, deadline: Instant, patience: Patience) -> Instant {
    let limit = if patience.wait == Wait::None {
        ONE_TRY
    } else if patience.repeat_slow {
        (patience.timeout / 3).max(TRY_MIN)
    } else {
        patience.timeout
    };
    (begun + limit).min(deadline)
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_refuses_is_asked_until_just_before_the_deadline() {
        for timeout in [100, 300, 700, 2_000, 2_500, 10_000, 60_000].map(Duration::from_millis) {
            let (mut at, mut tries, mut pause) = (Duration::ZERO, 1, PAUSE_MIN);
            while let Some(now) = pause_before(pause, timeout - at) {
                (at, tries, pause) = (at + now, tries + 1, longer(pause));
            }
            assert!(at < timeout && timeout - at <= PAUSE_MIN, "{timeout:?}: the last try began at {at:?}");
            assert!(tries < 45, "{timeout:?}: {tries} tries");
        }
        for left in [Duration::ZERO, Duration::from_millis(1), LAST_TRY] {
            assert_eq!(pause_before(PAUSE_MIN, left), None, "{left:?}");
        }
    }

    #[test]
    fn one_try_never_takes_all_the_time_when_it_may_be_repeated() {
        let begun = Instant::now();
        let seconds = Duration::from_secs;
        let until = |timeout, wait, repeat_slow| {
            let patience = Patience { timeout, wait, repeat_slow };
            try_until(begun, begun + timeout, patience) - begun
        };
        assert_eq!(until(seconds(12), Wait::All, true), seconds(4));
        assert_eq!(until(seconds(12), Wait::All, false), seconds(12));
        assert_eq!(until(seconds(2), Wait::All, true), seconds(1));
        assert_eq!(until(Duration::from_millis(300), Wait::All, true), Duration::from_millis(300));
        assert_eq!(until(seconds(60), Wait::None, true), seconds(2));
    }
}
