//! The counting: requests, impressions, clicks, visits, orders, per mbox and per activity.
//!
//! One lock holds all counts, so that a report is of one moment. Memory is bounded: beyond the bounds totals go
//! on counting and the report says that its details are incomplete.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::decide::{Decided, Impression};
use super::faults::Route;
use super::report::{ActivityCounts, MAX_NAMES, Report};
use super::scenario::{PAGE_LOAD, Place, Scenario};
use super::server::{DAY, lock};
use super::subject::{Candidates, LastShown, Subject};
use super::validate::{Delivery, Notification};

const MAX_IDS: usize = 1_000_000;
const MAX_SESSIONS: usize = 1_000_000;

/// The ids of impressions that were counted. Holds the last half million for certain, then forgets the oldest.
#[derive(Default)]
struct Seen {
    current: HashSet<Box<str>>,
    previous: HashSet<Box<str>>,
}

impl Seen {
    /// Whether the id is new, remembering it. What has no id is always new.
    fn is_new(&mut self, id: Option<&str>) -> bool {
        let Some(id) = id.filter(|id| !id.is_empty()) else { return true };
        if self.current.contains(id) || self.previous.contains(id) {
            return false;
        }
        if self.current.len() == MAX_IDS / 2 {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(id.into())
    }
}

/// How often a notification came.
#[derive(Clone, Copy, Default)]
struct Times {
    processed: u64,
    /// Without those whose impression had been counted.
    counted: u64,
}

#[derive(Default)]
struct Counts {
    /// The counts that need no look-up, in the form in which they are reported.
    report: Report,
    ids: HashMap<Box<str>, Times>,
    seen: Seen,
    shown: LastShown,
    sessions: HashSet<Box<str>>,
    activity_of: HashMap<String, usize>,
}

/// Requests that are being answered. Survives a reset of the counts, unlike them.
#[derive(Default)]
struct Running {
    all: u64,
    by_session: HashMap<String, u64>,
}

#[derive(Default)]
struct State {
    counts: Counts,
    running: Running,
}

/// The book in which all connections count.
pub(super) struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
}

/// A delivery request that is being answered, until it is dropped.
pub(super) struct InFlight<'a> {
    ledger: &'a Ledger,
    session: Option<String>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.ledger.state);
        state.running.all -= 1;
        if let Some(session) = self.session.take()
            && let Some(count) = state.running.by_session.get_mut(&session)
        {
            *count -= 1;
            if *count == 0 {
                state.running.by_session.remove(&session);
            }
        }
        drop(state);
        self.ledger.changed.notify_all();
    }
}

impl Ledger {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let ledger = Self { state: Mutex::default(), changed: Condvar::new() };
        ledger.reset(scenario);
        ledger
    }

    /// Begins anew. Activities of the scenario are listed from the start.
    pub(super) fn reset(&self, scenario: &Scenario) {
        let mut counts = Counts::default();
        for subject in scenario.shown() {
            counts.activity(subject, true);
        }
        lock(&self.state).counts = counts;
        self.changed.notify_all();
    }

    /// Counts a delivery request that came. The number is how many of its session are being answered.
    pub(super) fn begin(&self, session: Option<&str>) -> (InFlight<'_>, u64) {
        let mut state = lock(&self.state);
        let State { counts, running } = &mut *state;
        counts.report.requests += 1;
        running.all += 1;
        counts.report.concurrent_max = counts.report.concurrent_max.max(running.all);
        let mut of_session = 0;
        if let Some(session) = session {
            if !counts.sessions.contains(session) {
                if counts.sessions.len() < MAX_SESSIONS {
                    counts.sessions.insert(session.into());
                } else {
                    counts.report.truncated = true;
                }
            }
            let count = running.by_session.entry(session.to_owned()).or_default();
            *count += 1;
            of_session = *count;
            counts.report.session_concurrent_max = counts.report.session_concurrent_max.max(of_session);
        }
        (InFlight { ledger: self, session: session.map(str::to_owned) }, of_session)
    }

    pub(super) fn count_error(&self, status: u16) {
        *lock(&self.state).counts.report.errors.entry(status).or_default() += 1;
        self.changed.notify_all();
    }

    /// Counts a request of a route that is no delivery call.
    pub(super) fn count_request(&self, route: Route) {
        if let Some(counts) = lock(&self.state).counts.report.route(route) {
            counts.requests += 1;
        }
        self.changed.notify_all();
    }

    /// Counts the answer to one. Those of delivery calls count where they are refused.
    pub(super) fn count_answer(&self, route: Route, status: u16) {
        if route == Route::Delivery {
            return;
        }
        if let Some(counts) = lock(&self.state).counts.report.route(route) {
            *counts.by_status.entry(status).or_default() += 1;
        }
        self.changed.notify_all();
    }

    /// Counts a request that was found to be valid, all but its last `missed` notifications, with what was decided
    /// from the artifact.
    pub(super) fn count(
        &self,
        scenario: &Scenario,
        delivery: &Delivery<'_>,
        decided: Option<&Decided>,
        session: &str,
        missed: usize,
    ) {
        let tnt_id = delivery.tnt_id.map(|id| id.split_once('.').map_or(id, |(id, _)| id));
        let visitor: Vec<&str> =
            [session].into_iter().chain(tnt_id).chain(delivery.visitor_ids.iter().copied()).collect();
        let mut state = lock(&self.state);
        let counts = &mut state.counts;
        if let Some(execute) = &delivery.execute {
            counts.report.orders += execute.orders;
            let mboxes = execute.mboxes.iter().flatten().map(|mbox| (Place::Mbox, mbox.name));
            let page_load = execute.page_load.then_some((Place::PageLoad, PAGE_LOAD));
            let of_scenario = page_load
                .into_iter()
                .chain(mboxes)
                .filter(|(place, name)| decided.is_none_or(|decided| !decided.names(*place, name)))
                .filter_map(|(place, name)| scenario.offer(place, name).filter(|offer| offer.has_options))
                .map(|offer| Impression { mbox: offer.name.clone(), tokens: vec![vec![Arc::clone(&offer.subject)]] });
            let of_artifact = decided.into_iter().flat_map(|decided| &decided.impressions);
            let shown: Vec<Impression> = of_scenario.chain(of_artifact.cloned()).collect();
            if !shown.is_empty() && !counts.seen.is_new(delivery.impression_id) {
                counts.report.duplicate_impressions += shown.len() as u64;
            } else {
                for impression in shown {
                    counts.count_subjects(&visitor, &impression.mbox, &impression.tokens, false);
                }
            }
        }
        let notifications = delivery.notifications.as_deref().unwrap_or_default();
        for notification in notifications.get(..notifications.len().saturating_sub(missed)).unwrap_or_default() {
            counts.count_notification(&visitor, notification);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The counts of this moment, the ids of notifications only when asked for.
    pub(super) fn report(&self, connections: usize, with_ids: bool) -> Report {
        let state = lock(&self.state);
        let counts = &state.counts;
        let mut report = counts.report.clone();
        report.connections = connections as u64;
        report.sessions = counts.sessions.len() as u64;
        report.notifications.distinct = counts.ids.len() as u64;
        if with_ids {
            let of_each = |of: fn(&Times) -> u64| counts.ids.iter().map(move |(id, times)| (id.to_string(), of(times)));
            report.notifications.ids = of_each(|times| times.processed).collect();
            report.notifications.counted = of_each(|times| times.counted).collect();
        }
        report
    }

    /// Waits until `enough` says so of a report; whether it did in time.
    pub(super) fn wait(&self, time: Duration, report: impl Fn() -> Report, enough: impl Fn(&Report) -> bool) -> bool {
        let until = Instant::now() + time.min(DAY);
        loop {
            if enough(&report()) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // A change between the look and the wait is seen after this short time at the latest.
            let step = left.min(Duration::from_millis(20));
            drop(self.changed.wait_timeout(lock(&self.state), step).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Counts {
    fn count_notification(&mut self, visitor: &[&str], notification: &Notification<'_>) {
        let Self { report, ids, seen, .. } = self;
        report.notifications.processed += 1;
        report.orders += u64::from(notification.order);
        let counts = notification.click || seen.is_new(notification.impression_id);
        let once = Times { processed: 1, counted: u64::from(counts) };
        if let Some(times) = ids.get_mut(notification.id) {
            times.processed += once.processed;
            times.counted += once.counted;
        } else if ids.len() < MAX_IDS {
            ids.insert(notification.id.into(), once);
        } else {
            report.truncated = true;
        }
        if !counts {
            report.duplicate_impressions += 1;
            return;
        }
        let name = place_of(notification);
        if notification.tokens.is_empty() {
            let tally = if notification.click { &mut self.report.clicks } else { &mut self.report.visits };
            tally.add(name, &mut self.report.truncated);
            return;
        }
        self.count_subjects(visitor, name, &notification.tokens, notification.click);
    }

    /// Counts what tokens stand for. Options of one experience have a token each, but showing them is one impression.
    fn count_subjects(&mut self, visitor: &[&str], place: &str, tokens: &[Candidates], click: bool) {
        let mut counted: Vec<Option<Arc<Subject>>> = Vec::with_capacity(tokens.len());
        for candidates in tokens {
            let subject = self.shown.choose(visitor, place, candidates);
            if counted.contains(&subject) {
                continue;
            }
            let name = subject.as_ref().map_or(place, |subject| subject.name.as_str());
            let tally = if click { &mut self.report.clicks } else { &mut self.report.impressions };
            tally.add(name, &mut self.report.truncated);
            // A foreign token that was let through belongs to no activity.
            if let Some(subject) = &subject {
                if !click {
                    self.shown.remember(visitor, subject);
                }
                if let Some(row) = self.activity(subject, false) {
                    let count = if click { &mut row.clicks } else { &mut row.impressions };
                    *count += 1;
                }
            }
            counted.push(subject);
        }
    }

    fn activity(&mut self, subject: &Subject, of_scenario: bool) -> Option<&mut ActivityCounts> {
        let Subject { place, name, activity, experience_id, experience, .. } = subject;
        let key = format!("{}\u{1f}{name}\u{1f}{activity}\u{1f}{experience_id}\u{1f}{experience}", place.letter());
        let activities = &mut self.report.activities;
        if activities.len() >= MAX_NAMES && !self.activity_of.contains_key(&key) {
            self.report.truncated = true;
            return None;
        }
        let position = *self.activity_of.entry(key).or_insert_with(|| {
            activities.push(ActivityCounts::of(subject, of_scenario));
            activities.len() - 1
        });
        activities.get_mut(position)
    }
}

/// Where a notification says that it happened.
fn place_of<'v>(notification: &Notification<'v>) -> &'v str {
    match (notification.mbox, notification.view, notification.page_load) {
        (Some(mbox), _, _) => mbox,
        (None, Some(view), _) => view,
        (None, None, true) => PAGE_LOAD,
        (None, None, false) => "(unknown)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_impressions_are_remembered() {
        let mut seen = Seen::default();
        assert!(seen.is_new(Some("first")));
        assert!(!seen.is_new(Some("first")));
        for number in 0..MAX_IDS / 2 {
            assert!(seen.is_new(Some(&number.to_string())));
        }
        assert!(!seen.is_new(Some("first")), "the older half is kept while the newer one fills");
        assert!(!seen.is_new(Some("0")));
        assert!(seen.current.len() + seen.previous.len() <= MAX_IDS);
    }

    #[test]
    fn what_has_no_id_is_new_each_time() {
        let mut seen = Seen::default();
        assert!(seen.is_new(None) && seen.is_new(None) && seen.is_new(Some("")) && seen.is_new(Some("")));
    }

    #[test]
    fn a_request_is_in_flight_until_it_is_dropped() {
        let ledger = Ledger::new(&Scenario::default());
        let (first, of_session) = ledger.begin(Some("s"));
        assert_eq!(of_session, 1);
        let (second, of_session) = ledger.begin(Some("s"));
        assert_eq!(of_session, 2);
        ledger.reset(&Scenario::default());
        drop((first, second));
        let (_third, of_session) = ledger.begin(Some("s"));
        assert_eq!(of_session, 1);
        assert!(ledger.begin(None).1 == 0);
    }
}
