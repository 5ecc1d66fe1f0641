//! Runs a graph of tasks, each when what it needs is there, a bounded number at once.
//!
//! This is a function, not an engine: it knows nothing of builds. Tasks with a smaller rank start first, so that native
//! steps, which are quick, do not wait behind emulated ones. The first failure stops the start of others and throws the
//! switch; what runs is waited for, so that nothing of a build is alive when it returns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;

use tokio::task::JoinSet;

use crate::cancel::Cancel;

/// One task: which others it needs (their positions, all smaller than its own), and its rank.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) needs: Vec<usize>,
    pub(crate) rank: u32,
}

/// Runs all tasks. `start` makes a task's future; it is called when everything that the task needs has succeeded.
pub(crate) async fn run<E, F>(
    tasks: &[Task],
    jobs: usize,
    cancel: &Cancel,
    mut start: impl FnMut(usize) -> F,
) -> Result<(), E>
where
    E: Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let mut waiting: Vec<usize> = tasks.iter().map(|t| t.needs.len()).collect();
    let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut ready = BinaryHeap::new();
    for (position, task) in tasks.iter().enumerate() {
        for need in &task.needs {
            wanted_by[*need].push(position);
        }
        if task.needs.is_empty() {
            ready.push(Reverse((task.rank, position)));
        }
    }
    let mut running = JoinSet::new();
    let mut failure = None;
    loop {
        while running.len() < jobs.max(1) && !cancel.is_cancelled() {
            let Some(Reverse((_, position))) = ready.pop() else { break };
            let future = start(position);
            running.spawn(async move { (position, future.await) });
        }
        let Some(ended) = running.join_next().await else { break };
        let (position, result) = match ended {
            Ok(ended) => ended,
            // A task that panicked is a defect of ours: let it be seen, not swallowed.
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        };
        match result {
            Ok(()) => {
                for next in &wanted_by[position] {
                    waiting[*next] -= 1;
                    if waiting[*next] == 0 {
                        ready.push(Reverse((tasks[*next].rank, *next)));
                    }
                }
            }
            Err(e) => {
                // The first failure is the cause; those after it are often only its echo.
                failure.get_or_insert(e);
                cancel.cancel();
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn task(needs: &[usize], rank: u32) -> Task {
        Task { needs: needs.to_vec(), rank }
    }

    async fn order(tasks: &[Task], fail: Option<usize>) -> (Vec<usize>, Result<(), usize>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let result = run(tasks, 1, &Cancel::default(), move |position| {
            log.lock().unwrap().push(position);
            async move { if fail == Some(position) { Err(position) } else { Ok(()) } }
        })
        .await;
        let seen = seen.lock().unwrap().clone();
        (seen, result)
    }

    #[tokio::test]
    async fn needs_come_first_and_small_ranks_before_large_ones() {
        let tasks = [task(&[], 1), task(&[], 0), task(&[0, 1], 0), task(&[1], 1), task(&[2, 3], 0)];
        assert_eq!(order(&tasks, None).await, (vec![1, 0, 2, 3, 4], Ok(())));
    }

    #[tokio::test]
    async fn the_first_failure_stops_the_rest() {
        let tasks = [task(&[], 0), task(&[0], 0), task(&[1], 0)];
        assert_eq!(order(&tasks, Some(1)).await, (vec![0, 1], Err(1)));
    }

    #[tokio::test]
    async fn a_task_wanted_twice_by_one_runs_it_once() {
        let tasks = [task(&[], 0), task(&[0, 0], 0)];
        assert_eq!(order(&tasks, None).await, (vec![0, 1], Ok(())));
    }
}
