//! A breaker: it spares requests the wait for a server that has not answered lately.
//!
//! While it is *closed*, every call is permitted. After some failures in a row it *opens*: calls are refused at once, for a
//! pause. After the pause it is *half open*: one call is permitted as a trial, and its outcome decides. Each failed trial makes
//! the next pause twice as long, up to a limit.
//!
//! [`Machine`] is that as a value, to which the time is told; [`Breaker`] is the handle that calls go through.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Outage;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// It opens after so many failures in a row; at least 1.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It permits them.
    Closed,
    /// It refuses them.
    Open,
    /// It permits one, as a trial.
    HalfOpen,
}

/// How a permitted call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Answered,
    /// It did not.
    Failed,
    /// Nobody knows: the call was given up.
    Unknown,
}

/// The breaker as a value.
#[derive(Debug, Clone)]
pub struct Machine {
    rules: Rules,
    inner: Inner,
    /// Raised with each change of state: what a call of an earlier state tells is not heard.
    era: u64,
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
enum Inner {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    HalfOpen { tried: bool, pause: Duration },
}

impl Machine {
    /// A closed breaker.
    pub fn new(rules: Rules) -> Self {
        let inner = Inner::Closed { failures: 0 };
        Machine {
            rules,
            inner,
            era: 0,
            opened: 0,
        }
    }

    /// Asks whether a call is permitted. The number has to be given to [`Machine::tell`]; the error is how long to wait before
    /// the next question.
    pub fn ask(&mut self, now: Instant) -> Result<u64, Duration> {
        match self.inner {
            Inner::Closed { .. } => Ok(self.era),
            Inner::Open { until, .. } if now < until => Err(until - now),
            Inner::Open { pause, .. } => {
                self.become_(Inner::HalfOpen { tried: true, pause });
                Ok(self.era)
            }
            Inner::HalfOpen { tried: true, pause } => Err(pause),
            Inner::HalfOpen { pause, .. } => {
                self.inner = Inner::HalfOpen { tried: true, pause };
                Ok(self.era)
            }
        }
    }

    /// Permits a call whatever the state is, for one that nobody waits for. An answer closes the breaker.
    pub fn probe(&self) -> u64 {
        self.era
    }

    /// Tells how a call ended.
    pub fn tell(&mut self, era: u64, outcome: Outcome, now: Instant) {
        if era != self.era {
            return;
        }
        match (outcome, self.inner) {
            (Outcome::Answered, Inner::Closed { .. }) => {
                self.inner = Inner::Closed { failures: 0 };
            }
            (Outcome::Answered, _) => self.become_(Inner::Closed { failures: 0 }),
            (Outcome::Failed, Inner::Closed { failures }) => {
                let failures = failures + 1;
                if failures < self.rules.failures.max(1) {
                    self.inner = Inner::Closed { failures };
                } else {
                    self.open(now, self.rules.pause);
                }
            }
            (Outcome::Failed, Inner::HalfOpen { pause, .. }) => self.open(now, pause * 2),
            (Outcome::Unknown, Inner::HalfOpen { pause, .. }) => {
                let tried = false;
                self.inner = Inner::HalfOpen { tried, pause };
            }
            (Outcome::Failed, Inner::Open { .. }) | (Outcome::Unknown, _) => {}
        }
    }

    /// What it does with calls.
    pub fn state(&self) -> State {
        match self.inner {
            Inner::Closed { .. } => State::Closed,
            Inner::Open { .. } => State::Open,
            Inner::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// How often it has opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        let pause = pause.min(self.rules.longest);
        let until = now + pause;
        self.opened += 1;
        self.become_(Inner::Open { until, pause });
    }

    fn become_(&mut self, next: Inner) {
        self.inner = next;
        self.era += 1;
    }
}

/// A breaker that calls go through; clones are the same breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    name: &'static str,
    machine: Arc<Mutex<Machine>>,
}

/// The breaker is open: the server has not answered lately, and is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {name} has not answered lately; it is asked again in {} ms", retry_in.as_millis())]
pub struct Open {
    /// Whose breaker it is.
    pub name: &'static str,
    /// How long until the next call may be permitted.
    pub retry_in: Duration,
}

/// A permitted call. If it is dropped, the call was given up, which tells nothing of the server.
#[derive(Debug)]
pub struct Permit {
    machine: Arc<Mutex<Machine>>,
    era: u64,
    outcome: Outcome,
}

impl Breaker {
    /// A closed breaker for the server with this name.
    pub fn new(name: &'static str, rules: Rules) -> Self {
        Breaker {
            name,
            machine: Arc::new(Mutex::new(Machine::new(rules))),
        }
    }

    /// The name of the server.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Asks whether a call is permitted.
    pub fn permit(&self) -> Result<Permit, Open> {
        let asked = lock(&self.machine).ask(Instant::now());
        let era = asked.map_err(|retry_in| Open {
            name: self.name,
            retry_in,
        })?;
        Ok(self.permitted(era))
    }

    /// Permits a call that nobody waits for, whatever the state is. If it is answered, the breaker closes.
    pub fn probe(&self) -> Permit {
        let era = lock(&self.machine).probe();
        self.permitted(era)
    }

    fn permitted(&self, era: u64) -> Permit {
        Permit {
            machine: self.machine.clone(),
            era,
            outcome: Outcome::Unknown,
        }
    }

    /// Makes a call through the breaker: an error that is an [outage](Outage) counts as a failure, every other one as an answer.
    pub async fn call<T, E: Outage>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, Open> {
        let permit = self.permit()?;
        let result = call.await;
        match &result {
            Err(error) if error.is_outage() => permit.failed(),
            _ => permit.answered(),
        }
        Ok(result)
    }

    /// What it does with calls.
    pub fn state(&self) -> State {
        lock(&self.machine).state()
    }

    /// How often it has opened.
    pub fn opened(&self) -> u64 {
        lock(&self.machine).opened()
    }
}

impl Permit {
    /// The server answered.
    pub fn answered(mut self) {
        self.outcome = Outcome::Answered;
    }

    /// The server did not answer.
    pub fn failed(mut self) {
        self.outcome = Outcome::Failed;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.machine).tell(self.era, self.outcome, Instant::now());
    }
}

fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        failures: 3,
        pause: Duration::from_secs(1),
        longest: Duration::from_secs(5),
    };

    /// What happens, at so many milliseconds.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Failure,
        Answer,
        GivenUp,
        Refused,
        Probed,
    }
    use Step::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_good_trial() {
        for (story, expected) in [
            (&[(0, Failure), (1, Failure)][..], State::Closed),
            (&[(0, Failure), (1, Failure), (2, Failure)], State::Open),
            // An answer between them begins the count anew.
            (
                &[(0, Failure), (1, Failure), (2, Answer), (3, Failure)],
                State::Closed,
            ),
            (
                &[(0, Failure), (0, Failure), (0, Failure), (999, Refused)],
                State::Open,
            ),
            (
                &[(0, Failure), (0, Failure), (0, Failure), (1000, Answer)],
                State::Closed,
            ),
            // A trial that fails makes the pause two seconds.
            (
                &[
                    (0, Failure),
                    (0, Failure),
                    (0, Failure),
                    (1000, Failure),
                    (2999, Refused),
                    (3000, Answer),
                ],
                State::Closed,
            ),
            // A trial that is given up leaves room for another one.
            (
                &[
                    (0, Failure),
                    (0, Failure),
                    (0, Failure),
                    (1000, GivenUp),
                    (1000, Answer),
                ],
                State::Closed,
            ),
            (
                &[(0, Failure), (0, Failure), (0, Failure), (5, Probed)],
                State::Closed,
            ),
        ] {
            let (mut machine, start) = (Machine::new(RULES), Instant::now());
            for &(at, step) in story {
                let now = start + Duration::from_millis(at);
                let outcome = match step {
                    Failure => Outcome::Failed,
                    Answer | Probed => Outcome::Answered,
                    GivenUp => Outcome::Unknown,
                    Refused => {
                        machine.ask(now).expect_err("the call is refused");
                        continue;
                    }
                };
                let era = match step {
                    Probed => machine.probe(),
                    _ => machine.ask(now).expect("the call is permitted"),
                };
                machine.tell(era, outcome, now);
            }
            assert_eq!(machine.state(), expected, "{story:?}");
        }
    }

    #[test]
    fn what_a_call_of_an_earlier_time_tells_is_not_heard() {
        let (mut machine, now) = (Machine::new(RULES), Instant::now());
        let slow = machine.ask(now).unwrap();
        for _ in 0..3 {
            let era = machine.ask(now).unwrap();
            machine.tell(era, Outcome::Failed, now);
        }
        machine.tell(slow, Outcome::Answered, now);
        assert_eq!(machine.state(), State::Open);
        let trial = machine.ask(now + RULES.pause).unwrap();
        machine.tell(slow, Outcome::Failed, now + RULES.pause);
        assert_eq!(machine.state(), State::HalfOpen);
        machine.tell(trial, Outcome::Answered, now + RULES.pause);
        machine.tell(slow, Outcome::Failed, now + RULES.pause);
        assert_eq!((machine.state(), machine.opened()), (State::Closed, 1));
    }

    #[test]
    fn a_permit_that_is_dropped_tells_nothing() {
        let breaker = Breaker::new("cache", RULES);
        for _ in 0..10 {
            drop(breaker.permit().unwrap());
        }
        assert_eq!(breaker.state(), State::Closed);
        for _ in 0..3 {
            breaker.permit().unwrap().failed();
        }
        let open = breaker.permit().unwrap_err();
        assert!(open.retry_in <= RULES.pause, "{open}");
        breaker.probe().answered();
        assert_eq!((breaker.state(), breaker.opened()), (State::Closed, 1));
    }

    proptest! {
        /// Whatever happens: never more than one trial at once, no pause above the longest, and a server that answers again is
        /// used again at the latest after it.
        #[test]
        fn it_is_never_shut_for_longer_than_its_longest_pause(
            steps in proptest::collection::vec((0u64..2000, 0usize..3), 0..60)
        ) {
            let (mut machine, mut now) = (Machine::new(RULES), Instant::now());
            for (wait, outcome) in steps {
                now += Duration::from_millis(wait);
                match machine.ask(now) {
                    Err(wait) => prop_assert!(wait <= RULES.longest),
                    Ok(era) => {
                        if machine.state() == State::HalfOpen {
                            prop_assert!(machine.ask(now).is_err());
                        }
                        let outcome = [Outcome::Answered, Outcome::Failed, Outcome::Unknown][outcome];
                        machine.tell(era, outcome, now);
                    }
                }
            }
            now += RULES.longest;
            let era = machine.ask(now).expect("a trial is permitted");
            machine.tell(era, Outcome::Answered, now);
            prop_assert_eq!(machine.state(), State::Closed);
        }
    }
}
