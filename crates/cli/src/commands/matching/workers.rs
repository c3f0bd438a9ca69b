//! Threads that multiply points, a chunk each.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, available_parallelism};

use incamera_matching::exchange::Job;
use tokio::sync::mpsc::UnboundedSender;

use super::drive::Event;

/// More would wait for each other's memory.
const MAX_WORKERS: usize = 16;

/// Threads that work until this is dropped.
pub struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// As many as there are cores; what they made goes to `events`.
    pub fn start(events: &UnboundedSender<Event>) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let thread = |_| {
            let (queue, events) = (Arc::clone(&queue), events.clone());
            std::thread::spawn(move || work(&queue, &events))
        };
        Self {
            jobs: Some(jobs),
            threads: (0..cores.min(MAX_WORKERS)).map(thread).collect(),
        }
    }

    /// Jobs that may be given at once: one at work and one that waits, for each thread.
    pub fn room(&self) -> usize {
        2 * self.threads.len()
    }

    /// Gives a job to whoever is free first.
    pub fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, events: &UnboundedSender<Event>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if events.send(Event::Done(job.work())).is_err() {
            return;
        }
    }
}
