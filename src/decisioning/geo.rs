//! Where an address is, asked of the CDN's geo service and remembered.
//!
//! A look-up is part of a call: it has a share of the call's time and never fails it. Calls that want the same
//! address wait for one request; while the service does not answer, calls do not wait for it either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::context::Geo;
use crate::error::TargetError;
use crate::events::{EventKind, Events};
use crate::json::{Document, Kind, ObjectWriter, Strictness};
use crate::stats::{Stats, count};
use crate::sync::lock;
use crate::transport::control::CallControl;
use crate::transport::fetch::fetch;
use crate::transport::{GetRequest, Transport};

/// Addresses remembered at the most.
const MAX_KNOWN: usize = 10_000;
/// How long an address stays where it was.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// A look-up has half of what is left of the call's time, and no more than this.
const LONGEST: Duration = Duration::from_millis(1000);
/// A service that did not answer within less than this may be well.
const TELLING: Duration = Duration::from_millis(100);
const MAX_ANSWER: u64 = 64 * 1024;
/// No name of a place is longer.
const MAX_TEXT: usize = 256;
/// Failures in a row after which the service is left alone for a while, which doubles up to the longest pause.
const PATIENCE: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// Where an address is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Located {
    pub geo: Geo,
    /// The address that the service answered for, or else the one that was asked for.
    pub ip_address: Option<String>,
}

impl Located {
    /// Reads the headers of an answer of the CDN, which knows where it was asked from.
    pub(crate) fn from_headers<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let text = |name: &str| header(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        Located::from_texts(text)
    }

    /// Reads the service's answer, whose members are named as the headers are.
    fn from_json(body: &[u8], asked: Option<&str>) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let document = Document::parse(text, Strictness::Answer).ok()?;
        if document.root().kind() != Kind::Object {
            return None;
        }
        let mut located = Located::from_texts(|name| {
            let value = document.root().get(name)?;
            match value.kind() {
                Kind::Number => Some(value.raw().to_owned()),
                _ => value.as_str().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            }
        });
        located.ip_address = located.ip_address.or_else(|| asked.map(str::to_owned));
        Some(located)
    }

    fn from_texts(text: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| text(name).filter(|text| text.len() <= MAX_TEXT);
        let number = |name: &str| text(name)?.parse().ok().filter(|number: &f64| number.is_finite());
        Located {
            geo: Geo {
                country: text("x-geo-country-code"),
                region: text("x-geo-region-code"),
                city: text("x-geo-city"),
                latitude: number("x-geo-latitude"),
                longitude: number("x-geo-longitude"),
            },
            ip_address: text("x-forwarded-for"),
        }
    }

    /// The event that tells it.
    pub(crate) fn announce(&self, events: &Events) {
        events.emit(EventKind::GeoLocationUpdated, |event| self.write(event.key("geo")));
    }

    /// Writes it as the Delivery API's `geo`.
    pub(crate) fn write(&self, out: &mut String) {
        let mut geo = ObjectWriter::begin(out);
        for (key, text) in [
            ("ipAddress", &self.ip_address),
            ("countryCode", &self.geo.country),
            ("stateCode", &self.geo.region),
            ("city", &self.geo.city),
        ] {
            if let Some(text) = text {
                geo.string(key, text);
            }
        }
        for (key, number) in [("latitude", self.geo.latitude), ("longitude", self.geo.longitude)] {
            // Finite, and so the same digits in JSON.
            if let Some(number) = number {
                geo.raw(key, &number.to_string());
            }
        }
        geo.end();
    }
}

/// The geo service as one client uses it.
pub(crate) struct GeoService {
    url: String,
    transport: Arc<dyn Transport>,
    events: Arc<Events>,
    stats: Arc<Stats>,
    state: Mutex<State>,
    longest: Duration,
    max_known: usize,
}

/// An address, or None for the machine's own.
type Key = Option<Box<str>>;

#[derive(Default)]
struct State {
    /// What was asked for lately, and what was asked for before that: when the first is full it becomes the
    /// second, and what nobody has asked for meanwhile goes.
    recent: HashMap<Key, Known>,
    older: HashMap<Key, Known>,
    running: HashMap<Key, Arc<LookUp>>,
    failures_in_a_row: u32,
    pause: Duration,
    paused_until: Option<Instant>,
}

#[derive(Clone)]
struct Known {
    located: Arc<Located>,
    at: Instant,
}

/// A request under way and those who wait for it.
#[derive(Default)]
struct LookUp {
    outcome: Mutex<Option<Outcome>>,
    waiting: Mutex<Vec<Arc<CallControl>>>,
}

#[derive(Clone)]
enum Outcome {
    Found(Arc<Located>),
    Failed,
    /// The call that asked was ended or had little time, which says nothing about the service.
    Abandoned,
}

impl GeoService {
    /// `cdn_base` is scheme, host and path without a slash at its end.
    pub(crate) fn new(cdn_base: &str, transport: Arc<dyn Transport>, events: Arc<Events>, stats: Arc<Stats>) -> Self {
        GeoService {
            url: format!("{cdn_base}/v1/geo"),
            transport,
            events,
            stats,
            state: Mutex::default(),
            longest: LONGEST,
            max_known: MAX_KNOWN,
        }
    }

    /// Where an address is, or with None the machine itself; None when the service does not say. Takes a share of
    /// the call's time, unless it is known.
    pub(crate) fn look_up(&self, address: Option<&str>, control: &Arc<CallControl>) -> Option<Arc<Located>> {
        let key: Key = address.map(Into::into);
        let share = control.remaining().map_or(Duration::ZERO, |left| (left / 2).min(self.longest));
        let until = Instant::now() + share;
        loop {
            let (look_up, is_ours) = {
                let mut state = lock(&self.state);
                if let Some(located) = state.known(&key, self.max_known) {
                    count(&self.stats.geo_cache_hits);
                    return Some(located);
                }
                match state.running.get(&key) {
                    Some(running) => (Arc::clone(running), false),
                    None if state.is_paused() => {
                        count(&self.stats.geo_failures);
                        return None;
                    }
                    None => {
                        let look_up = Arc::<LookUp>::default();
                        state.running.insert(key.clone(), Arc::clone(&look_up));
                        (look_up, true)
                    }
                }
            };
            if is_ours {
                let leading = Leading { service: self, key: &key, look_up: &look_up };
                let left = until.saturating_duration_since(Instant::now());
                return match leading.request(address, control, left) {
                    Outcome::Found(located) => Some(located),
                    _ => None,
                };
            }
            lock(&look_up.waiting).push(Arc::clone(control));
            let is_over = control.wait_until(Some(until), || lock(&look_up.outcome).is_some());
            if !is_over {
                lock(&look_up.waiting).retain(|waiting| !Arc::ptr_eq(waiting, control));
            }
            let outcome = lock(&look_up.outcome).clone();
            match outcome {
                Some(Outcome::Found(located)) => {
                    count(&self.stats.geo_cache_hits);
                    return Some(located);
                }
                Some(Outcome::Abandoned) if Instant::now() < until && control.end().is_none() => {}
                _ => {
                    count(&self.stats.geo_failures);
                    return None;
                }
            }
        }
    }

    fn ask(&self, address: Option<&str>, control: &Arc<CallControl>, time: Duration) -> Result<Located, TargetError> {
        let _limited = control.limit(time, None);
        let headers: Vec<(&'static str, &str)> =
            address.map(|address| ("x-forwarded-for", address)).into_iter().collect();
        let request = GetRequest { url: &self.url, headers: &headers, max_bytes: MAX_ANSWER };
        let answer = fetch(&*self.transport, &request, control)?;
        if answer.status != 200 {
            return Err(TargetError::invalid_response(format!("the geo service answered {}", answer.status)));
        }
        Located::from_json(&answer.body, address)
            .ok_or_else(|| TargetError::invalid_response("the geo service's answer is no JSON object"))
    }
}

/// The call that makes the request for all that wait. Whatever happens to it, they learn of it.
struct Leading<'s> {
    service: &'s GeoService,
    key: &'s Key,
    look_up: &'s LookUp,
}

impl Leading<'_> {
    fn request(self, address: Option<&str>, control: &Arc<CallControl>, time: Duration) -> Outcome {
        let service = self.service;
        count(&service.stats.geo_look_ups);
        let outcome = match service.ask(address, control, time) {
            Ok(located) => {
                located.announce(&service.events);
                Outcome::Found(Arc::new(located))
            }
            Err(error) => {
                count(&service.stats.geo_failures);
                crate::log::warn(format_args!("geo look-up failed, decided without: {error}"));
                let was_short = time < TELLING && matches!(error, TargetError::Timeout(_));
                if was_short || control.end().is_some() { Outcome::Abandoned } else { Outcome::Failed }
            }
        };
        let mut state = lock(&service.state);
        match &outcome {
            Outcome::Found(located) => state.found(self.key, located, service.max_known),
            Outcome::Failed => state.failed(),
            Outcome::Abandoned => {}
        }
        drop(state);
        *lock(&self.look_up.outcome) = Some(outcome.clone());
        outcome
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        lock(&self.service.state).running.remove(self.key);
        lock(&self.look_up.outcome).get_or_insert(Outcome::Abandoned);
        for control in lock(&self.look_up.waiting).drain(..) {
            control.notify();
        }
    }
}

impl State {
    fn known(&mut self, key: &Key, max_known: usize) -> Option<Arc<Located>> {
        let is_fresh = |known: &&Known| known.at.elapsed() < MAX_AGE;
        if let Some(known) = self.recent.get(key).filter(is_fresh) {
            return Some(Arc::clone(&known.located));
        }
        let known = self.older.remove(key)?;
        if known.at.elapsed() >= MAX_AGE {
            return None;
        }
        let located = Arc::clone(&known.located);
        self.keep(key, known, max_known);
        Some(located)
    }

    fn keep(&mut self, key: &Key, known: Known, max_known: usize) {
        if self.recent.len() >= max_known / 2 {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key.clone(), known);
    }

    fn found(&mut self, key: &Key, located: &Arc<Located>, max_known: usize) {
        self.failures_in_a_row = 0;
        self.paused_until = None;
        self.keep(key, Known { located: Arc::clone(located), at: Instant::now() }, max_known);
    }

    fn failed(&mut self) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.failures_in_a_row >= PATIENCE {
            let is_first = self.failures_in_a_row == PATIENCE;
            self.pause = if is_first { FIRST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
            self.paused_until = Instant::now().checked_add(self.pause);
        }
    }

    /// While the service does not answer, one call at a time tries it after each pause.
    fn is_paused(&self) -> bool {
        let is_tried = self.failures_in_a_row >= PATIENCE && !self.running.is_empty();
        is_tried || self.paused_until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests;
