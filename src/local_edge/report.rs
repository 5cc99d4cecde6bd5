//! What the edge counted: requests, impressions, clicks, visits, orders, per mbox and per activity.
//!
//! One lock holds all counts, so that a report is of one moment. Memory is bounded: beyond the bounds totals go
//! on counting and the report says that its details are incomplete.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::scenario::{PAGE_LOAD, Place, Scenario};
use super::server::{DAY, lock};
use super::tokens::Token;
use super::validate::{Delivery, Notification};

const MAX_IDS: usize = 1_000_000;
const MAX_SESSIONS: usize = 1_000_000;
/// Names of mboxes and activities come from requests and could be without end.
const MAX_NAMES: usize = 10_000;

/// A total and its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// All of them.
    pub total: u64,
    /// By name of the mbox or view; page loads are counted under `target-global-mbox`.
    pub by_mbox: BTreeMap<String, u64>,
}

/// The notifications that were processed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessedNotifications {
    /// How many, each repetition included.
    pub processed: u64,
    /// How many different ids.
    pub distinct: u64,
    /// How often each id was processed. Empty in a report without ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ids: BTreeMap<String, u64>,
}

/// The counts of one experience of one activity in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ActivityCounts {
    /// The activity's id.
    pub id: String,
    /// The activity's name; empty for a token of an activity that the scenario does not have.
    pub name: String,
    /// The experience's name.
    pub experience: String,
    /// The mbox or view, `target-global-mbox` for page loads.
    pub mbox: String,
    /// Impressions counted.
    pub impressions: u64,
    /// Clicks counted.
    pub clicks: u64,
}

/// What an edge has counted since it started or was reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Delivery requests whose head and body were read, whatever they were answered.
    pub requests: u64,
    /// Connections accepted since the edge started.
    pub connections: u64,
    /// Delivery requests that were answered with a status from 400 on, by status.
    pub errors: BTreeMap<u16, u64>,
    /// Displayed content: of `execute`, and of `display` notifications with tokens. Once per `impressionId`.
    pub impressions: Tally,
    /// `click` notifications, each time they come.
    pub clicks: Tally,
    /// `display` notifications without tokens. Once per `impressionId`.
    pub visits: Tally,
    /// Orders of `execute` and of notifications, each time they come.
    pub orders: u64,
    /// Impressions and visits that were not counted because their `impressionId` had been seen.
    pub duplicate_impressions: u64,
    /// The notifications that were processed.
    pub notifications: ProcessedNotifications,
    /// By activity, experience and mbox; those of the scenario first.
    pub activities: Vec<ActivityCounts>,
    /// Different session ids.
    pub sessions: u64,
    /// The most delivery requests that were being answered at the same time.
    pub concurrent_max: u64,
    /// The most delivery requests of a single session that were being answered at the same time.
    pub session_concurrent_max: u64,
    /// A bound on memory was met: totals are right, names, ids and sessions are incomplete.
    pub truncated: bool,
}

impl Report {
    /// The report as JSON, as `/report.json` has it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

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

#[derive(Default)]
struct Counts {
    /// The counts that need no look-up, in the form in which they are reported.
    report: Report,
    ids: HashMap<Box<str>, u64>,
    seen: Seen,
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
        for (place, offer) in scenario.shown() {
            counts.activity(place, &offer.name, &offer.activity.id, &offer.activity.experience, &offer.activity.name);
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

    /// Counts a request that was found to be valid, all but its last `missed` notifications.
    pub(super) fn count(&self, scenario: &Scenario, delivery: &Delivery<'_>, missed: usize) {
        let mut state = lock(&self.state);
        let counts = &mut state.counts;
        if let Some(execute) = &delivery.execute {
            counts.report.orders += execute.orders;
            let mboxes = execute.mboxes.iter().flatten().map(|mbox| (Place::Mbox, mbox.name));
            let page_load = execute.page_load.then_some((Place::PageLoad, PAGE_LOAD));
            let mut new = None;
            for (place, name) in page_load.into_iter().chain(mboxes) {
                let Some(offer) = scenario.offer(place, name).filter(|offer| offer.has_options) else { continue };
                if *new.get_or_insert_with(|| counts.seen.is_new(delivery.impression_id)) {
                    let activity = &offer.activity;
                    counts.report.impressions.add(name, &mut counts.report.truncated);
                    counts.activity(place, name, &activity.id, &activity.experience, &activity.name).impressions += 1;
                } else {
                    counts.report.duplicate_impressions += 1;
                }
            }
        }
        let notifications = delivery.notifications.as_deref().unwrap_or_default();
        for notification in &notifications[..notifications.len().saturating_sub(missed)] {
            counts.count_notification(scenario, notification);
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
            report.notifications.ids = counts.ids.iter().map(|(id, times)| (id.to_string(), *times)).collect();
        }
        report
    }

    /// Waits until `enough` says so of a report without ids; whether it did in time.
    pub(super) fn wait(
        &self,
        time: Duration,
        connections: impl Fn() -> usize,
        enough: impl Fn(&Report) -> bool,
    ) -> bool {
        let until = Instant::now() + time.min(DAY);
        loop {
            if enough(&self.report(connections(), false)) {
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

impl Tally {
    fn add(&mut self, name: &str, truncated: &mut bool) {
        self.total += 1;
        if let Some(count) = self.by_mbox.get_mut(name) {
            *count += 1;
        } else if self.by_mbox.len() < MAX_NAMES {
            self.by_mbox.insert(name.to_owned(), 1);
        } else {
            *truncated = true;
        }
    }
}

impl Counts {
    fn count_notification(&mut self, scenario: &Scenario, notification: &Notification<'_>) {
        let Self { report, ids, .. } = self;
        report.notifications.processed += 1;
        if let Some(times) = ids.get_mut(notification.id) {
            *times += 1;
        } else if ids.len() < MAX_IDS {
            ids.insert(notification.id.into(), 1);
        } else {
            report.truncated = true;
        }
        report.orders += u64::from(notification.order);
        if !notification.click && !self.seen.is_new(notification.impression_id) {
            self.report.duplicate_impressions += 1;
            return;
        }
        if notification.tokens.is_empty() {
            let name = place_of(notification).1;
            let tally = if notification.click { &mut self.report.clicks } else { &mut self.report.visits };
            tally.add(name, &mut self.report.truncated);
            return;
        }
        // Options of one experience have a token each, but showing them is one impression.
        let mut counted = HashSet::new();
        for token in &notification.tokens {
            let shown = token.as_ref().map(|token| (token.place, &token.name, &token.activity, &token.experience));
            if counted.insert(shown) {
                self.count_token(scenario, notification, token.as_ref());
            }
        }
    }

    fn count_token(&mut self, scenario: &Scenario, notification: &Notification<'_>, token: Option<&Token>) {
        let name = token.map_or_else(|| place_of(notification).1, |token| token.name.as_str());
        let tally = if notification.click { &mut self.report.clicks } else { &mut self.report.impressions };
        tally.add(name, &mut self.report.truncated);
        // A foreign token that was let through belongs to no activity.
        let Some(token) = token else { return };
        let activity_name = scenario
            .offer(token.place, &token.name)
            .map(|offer| &offer.activity)
            .filter(|activity| activity.id == token.activity)
            .map_or("", |activity| activity.name.as_str());
        let counts = self.activity(token.place, &token.name, &token.activity, &token.experience, activity_name);
        if notification.click {
            counts.clicks += 1;
        } else {
            counts.impressions += 1;
        }
    }

    fn activity(&mut self, place: Place, mbox: &str, id: &str, experience: &str, name: &str) -> &mut ActivityCounts {
        let key = format!("{}\u{1f}{mbox}\u{1f}{id}\u{1f}{experience}", place.letter());
        let activities = &mut self.report.activities;
        let position = *self.activity_of.entry(key).or_insert_with(|| {
            activities.push(ActivityCounts {
                id: id.to_owned(),
                name: name.to_owned(),
                experience: experience.to_owned(),
                mbox: mbox.to_owned(),
                ..ActivityCounts::default()
            });
            activities.len() - 1
        });
        &mut activities[position]
    }
}

/// Where a notification says that it happened.
fn place_of<'v>(notification: &Notification<'v>) -> (Place, &'v str) {
    match (notification.mbox, notification.view, notification.page_load) {
        (Some(mbox), _, _) => (Place::Mbox, mbox),
        (None, Some(view), _) => (Place::View, view),
        (None, None, true) => (Place::PageLoad, PAGE_LOAD),
        (None, None, false) => (Place::Mbox, "(unknown)"),
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
    fn totals_go_on_beyond_the_bound_of_names() {
        let (mut tally, mut truncated) = (Tally::default(), false);
        for number in 0..=MAX_NAMES {
            assert!(!truncated);
            tally.add(&number.to_string(), &mut truncated);
        }
        tally.add("0", &mut truncated);
        assert!(truncated);
        assert_eq!((tally.total, tally.by_mbox.len(), tally.by_mbox["0"]), (MAX_NAMES as u64 + 2, MAX_NAMES, 2));
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
