//! Steps that are not instructions: fetching, exporting, pushing. Says when they begin, how far they are and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use archipel_oci::Platform;

use crate::event::Stream;
use crate::steps::Steps;
use crate::{Error, Event, How, Sink, StepId, StepInfo, StepOutcome};

/// A step at work. Clones count together.
#[derive(Clone)]
pub(crate) struct Work {
    sink: Sink,
    step: StepId,
    begun: Instant,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    done: AtomicU64,
    total: AtomicU64,
}

impl Work {
    /// Declares a step and starts it.
    pub(crate) fn start(sink: &Sink, steps: &Steps, name: impl Into<String>, platforms: Vec<Platform>) -> Self {
        let step = steps.next();
        sink(Event::Declared(StepInfo { id: step, name: name.into(), label: None, platforms, how: How::Assembled }));
        sink(Event::Started(step));
        Self { sink: sink.clone(), step, begun: Instant::now(), count: Arc::default() }
    }

    /// A process of this step has written something.
    pub(crate) fn output(&self, stream: Stream, bytes: &[u8]) {
        (self.sink)(Event::Output { step: self.step, stream, bytes: bytes.to_vec() });
    }

    /// So many more bytes will have to be moved.
    pub(crate) fn expect(&self, bytes: u64) {
        self.count.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many more bytes have been moved.
    pub(crate) fn add(&self, bytes: u64) {
        let done = self.count.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.tell(done);
    }

    /// An upload went back: what it had sent has to be sent again.
    fn take_back(&self, bytes: u64) {
        let done = self.count.done.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.tell(done);
    }

    fn tell(&self, done: u64) {
        let total = self.count.total.load(Ordering::Relaxed);
        (self.sink)(Event::Progress { step: self.step, done, total: (total > 0).then_some(total) });
    }

    /// Ends the step as the result says, and hands the result on.
    pub(crate) fn finish<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        let outcome = match &result {
            Ok(_) => StepOutcome::Done,
            Err(Error::Interrupted) => StepOutcome::Cancelled,
            Err(e) => StepOutcome::Failed(e.to_string()),
        };
        self.end(outcome);
        result
    }

    fn end(self, outcome: StepOutcome) {
        (self.sink)(Event::Finished { step: self.step, outcome, elapsed: self.begun.elapsed() });
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Work({:?} {:?})", self.step, self.count)
    }
}

/// The part of one blob in a step's count, where the count of the blob may go back.
#[derive(Debug)]
pub(crate) struct Share {
    work: Work,
    counted: AtomicU64,
}

impl Share {
    pub(crate) fn of(work: &Work) -> Self {
        Self { work: work.clone(), counted: AtomicU64::new(0) }
    }

    /// The blob is this far.
    pub(crate) fn at(&self, bytes: u64) {
        let before = self.counted.swap(bytes, Ordering::Relaxed);
        if bytes >= before {
            self.work.add(bytes - before);
        } else {
            self.work.take_back(before - bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_blob_that_goes_back_is_counted_once() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let sink: Sink = Arc::new(move |event| {
            if let Event::Progress { done, total, .. } = event {
                log.lock().unwrap().push((done, total));
            }
        });
        let work = Work::start(&sink, &Steps::default(), "pushing", Vec::new());
        work.expect(10);
        let (a, b) = (Share::of(&work), Share::of(&work));
        a.at(4);
        b.at(5);
        a.at(0);
        a.at(5);
        work.finish(Ok(())).unwrap();
        assert_eq!(*seen.lock().unwrap(), [(4, Some(10)), (9, Some(10)), (5, Some(10)), (10, Some(10))]);
    }
}
