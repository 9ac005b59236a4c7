//! The threads that do what blocks. Reads go first, but every fourth turn is a write's, so that neither starves.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::limits::{READS_MAX, WRITES_MAX};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    work: Condvar,
    /// For each thread: when it took up what it is doing, in milliseconds since `start` plus one; 0 = nothing.
    busy: Vec<AtomicU64>,
    start: Instant,
}

#[derive(Default)]
struct Queue {
    reads: VecDeque<Job>,
    writes: VecDeque<Job>,
    turn: u32,
    threads: usize,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("reads", &self.reads.len()).field("writes", &self.writes.len()).finish()
    }
}

impl Queue {
    fn next(&mut self) -> Option<Job> {
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(4) {
            self.writes.pop_front().or_else(|| self.reads.pop_front())
        } else {
            self.reads.pop_front().or_else(|| self.writes.pop_front())
        }
    }
}

impl Pool {
    pub(crate) fn start(threads: usize) -> std::io::Result<Arc<Self>> {
        let pool = Arc::new(Self {
            queue: Mutex::new(Queue { threads, ..Queue::default() }),
            work: Condvar::new(),
            busy: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            start: Instant::now(),
        });
        for number in 0..threads {
            let mine = Arc::clone(&pool);
            let started =
                thread::Builder::new().name(format!("larder-io-{number}")).spawn(move || mine.run(number));
            if let Err(error) = started {
                pool.queue.lock().threads -= threads - number;
                pool.close();
                return Err(error);
            }
        }
        Ok(pool)
    }

    fn run(&self, number: usize) {
        let mut queue = self.queue.lock();
        loop {
            let Some(job) = queue.next() else {
                if queue.closed {
                    break;
                }
                self.work.wait(&mut queue);
                continue;
            };
            drop(queue);
            let now = self.start.elapsed().as_millis() as u64 + 1;
            self.busy[number].store(now, Ordering::Relaxed);
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a disk job panicked");
            }
            self.busy[number].store(0, Ordering::Relaxed);
            queue = self.queue.lock();
        }
        queue.threads -= 1;
    }

    /// A read that begins something: refused when too many wait.
    pub(crate) fn read(&self, job: Job) -> bool {
        self.push(|queue| {
            let room = queue.reads.len() < READS_MAX;
            if room {
                queue.reads.push_back(job);
            }
            room
        })
    }

    /// A read that goes on with something; there are never more than readers.
    pub(crate) fn read_on(&self, job: Job) -> bool {
        self.push(|queue| {
            queue.reads.push_back(job);
            true
        })
    }

    /// A write: refused when too many wait.
    pub(crate) fn write(&self, job: Job) -> bool {
        self.push(|queue| {
            let room = queue.writes.len() < WRITES_MAX;
            if room {
                queue.writes.push_back(job);
            }
            room
        })
    }

    fn push(&self, add: impl FnOnce(&mut Queue) -> bool) -> bool {
        let mut queue = self.queue.lock();
        let added = !queue.closed && add(&mut queue);
        drop(queue);
        if added {
            self.work.notify_one();
        }
        added
    }

    /// How long the slowest running job has been running.
    pub(crate) fn slowest(&self) -> Duration {
        let now = self.start.elapsed().as_millis() as u64 + 1;
        let begun = self.busy.iter().map(|at| at.load(Ordering::Relaxed)).filter(|at| *at > 0).min();
        Duration::from_millis(begun.map_or(0, |at| now.saturating_sub(at)))
    }

    /// Takes no more; what waits is still done.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.work.notify_all();
    }

    /// Whether it takes no more.
    pub(crate) fn closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Whether all threads have ended after [`Pool::close`].
    pub(crate) fn ended(&self) -> bool {
        self.queue.lock().threads == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn jobs_are_done_even_after_one_panicked_and_at_the_end() {
        let pool = Pool::start(2).unwrap();
        let (done, results) = sync_channel(100);
        for i in 0..20 {
            let done = done.clone();
            let job: Job = Box::new(move || {
                assert!(i != 3, "one of them panics on purpose");
                done.send(i).unwrap();
            });
            assert!(if i % 2 == 0 { pool.read(job) } else { pool.write(job) });
        }
        pool.close();
        while !pool.ended() {
            thread::yield_now();
        }
        assert!(!pool.read(Box::new(|| {})));
        let mut results: Vec<i32> = results.try_iter().collect();
        results.sort_unstable();
        assert_eq!(results, (0..20).filter(|i| *i != 3).collect::<Vec<_>>());
    }

    #[test]
    fn too_many_are_refused_and_a_slow_one_is_seen() {
        let pool = Pool::start(1).unwrap();
        let (go, wait) = sync_channel::<()>(0);
        let (begun, has_begun) = sync_channel::<()>(0);
        pool.read(Box::new(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        }));
        has_begun.recv().unwrap();
        for _ in 0..WRITES_MAX {
            assert!(pool.write(Box::new(|| {})));
        }
        assert!(!pool.write(Box::new(|| {})));
        while pool.slowest() == Duration::ZERO {
            thread::yield_now();
        }
        go.send(()).unwrap();
        pool.close();
        while !pool.ended() {
            thread::yield_now();
        }
    }
}
