//! Answers delivery requests: validates, counts and writes the answer's JSON.

use std::io::Write;

use serde_json::{Map, Value};

use super::body;
use super::decide::{Decided, DecidedItem, DecidedPart, Surroundings, decide_from_artifact};
use super::fields::Refusal;
use super::issued::Issued;
use super::routes::Edge;
use super::scenario::{Offer, Place, Scenario};
use super::validate::{self, Delivery, Part};

/// The cluster that this edge says it is.
const CLUSTER_SUFFIX: &str = ".35_0";
const EDGE_HOST: &str = "mboxedge35.tt.omtrdc.net";

/// What a valid delivery request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// 200 with the body that was written.
    Body,
    /// 204.
    NoContent,
}

/// Validates a request, decides and counts it and writes the answer's body to `out`. The last `missed` notifications
/// are left unprocessed.
pub(super) fn answer(
    edge: &Edge,
    session: &str,
    body: &[u8],
    missed: usize,
    out: &mut Vec<u8>,
) -> Result<Answered, Refusal> {
    let body = body::read(body)?;
    let scenario = &edge.scenario;
    let delivery = validate::delivery(&body, &Issued { scenario, artifacts: &edge.artifacts })?;
    let tnt_id = tnt_id_of(&delivery);
    let decided = edge.artifacts.current().and_then(|artifact| {
        let client = edge.client();
        let surroundings =
            Surroundings { artifacts: &edge.artifacts, geo: &scenario.geo, client: &client, session, tnt_id: &tnt_id };
        decide_from_artifact(&artifact, &body, &surroundings)
    });
    edge.ledger.count(scenario, &delivery, decided.as_ref(), session, missed);
    if delivery.beacon {
        return Ok(Answered::NoContent);
    }
    Writer { scenario, decided: decided.as_ref(), session, trace: delivery.trace, out }
        .response(&delivery, &tnt_id, missed);
    Ok(Answered::Body)
}

/// The visitor's id with the cluster that holds the profile: the request's, or a new one.
fn tnt_id_of(delivery: &Delivery<'_>) -> String {
    match delivery.tnt_id {
        Some(id) if id.contains('.') => id.to_owned(),
        Some(id) => format!("{id}{CLUSTER_SUFFIX}"),
        None => format!("{}{CLUSTER_SUFFIX}", uuid(false)),
    }
}

/// How a scenario's offer, and what was decided, go into `execute` or `prefetch`.
#[derive(Clone, Copy)]
struct Reading {
    offer: fn(&Offer) -> &String,
    decided: fn(&Decided) -> &DecidedPart,
}

struct Writer<'a> {
    scenario: &'a Scenario,
    decided: Option<&'a Decided>,
    session: &'a str,
    trace: bool,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn response(&mut self, delivery: &Delivery<'_>, tnt_id: &str, missed: usize) {
        self.raw("{\"status\":200,\"requestId\":");
        match delivery.request_id.filter(|id| !id.is_empty()) {
            Some(id) => self.text(id),
            None => self.text(&uuid(true)),
        }
        self.raw(",\"client\":");
        self.text(&self.scenario.client);
        self.raw(",\"id\":");
        self.visitor_id(delivery, tnt_id);
        self.raw(",\"edgeHost\":\"");
        self.raw(EDGE_HOST);
        self.raw("\"");
        if let Some(part) = &delivery.execute {
            self.raw(",\"execute\":");
            self.part(part, Reading { offer: |offer| &offer.executed, decided: |decided| &decided.execute });
        }
        if let Some(part) = &delivery.prefetch {
            self.raw(",\"prefetch\":");
            self.part(part, Reading { offer: |offer| &offer.prefetched, decided: |decided| &decided.prefetch });
        }
        if let Some(notifications) = &delivery.notifications {
            self.raw(",\"notifications\":");
            let processed = notifications.get(..notifications.len().saturating_sub(missed)).unwrap_or_default();
            self.list(processed, |writer, notification| {
                writer.raw("{\"id\":");
                writer.text(notification.id);
                writer.trace("[]");
                writer.raw("}");
            });
        }
        self.raw("}");
    }

    /// The ids of the request, with a `tntId` that names the cluster.
    fn visitor_id(&mut self, delivery: &Delivery<'_>, tnt_id: &str) {
        let mut id = Map::new();
        id.insert("tntId".to_owned(), Value::from(tnt_id));
        for (name, value) in delivery.id.into_iter().flatten().filter(|(name, _)| *name != "tntId") {
            id.insert(name.clone(), value.clone());
        }
        self.json(&id);
    }

    fn part(&mut self, part: &Part<'_>, reading: Reading) {
        let scenario = self.scenario;
        let decided = self.decided;
        let decided_part = decided.map(reading.decided);
        let is_decided = |place, name: &str| decided.is_some_and(|decided| decided.names(place, name));
        let mut separator = "{";
        if part.page_load {
            self.raw("{\"pageLoad\":");
            match decided_part.and_then(|part| part.page_load.as_ref()) {
                Some(page_load) => self.raw(page_load),
                None => {
                    self.raw("{");
                    self.offer(scenario.page_load.as_ref(), reading.offer, true);
                    self.raw("}");
                }
            }
            separator = ",";
        }
        if let Some(mboxes) = &part.mboxes {
            self.raw(separator);
            self.raw("\"mboxes\":");
            let mut decided_mboxes = decided_part.into_iter().flat_map(|part| &part.mboxes).peekable();
            let mut items = Vec::with_capacity(mboxes.len());
            for mbox in mboxes {
                if is_decided(Place::Mbox, mbox.name) {
                    // The global mbox may have none or several entries, every other mbox has one.
                    let several = decided.is_some_and(|decided| decided.is_global(mbox.name));
                    while let Some(entry) = decided_mboxes.next_if(|entry| entry.name == mbox.name) {
                        items.push(Item::Decided(entry));
                        if !several {
                            break;
                        }
                    }
                } else {
                    items.push(Item::OfScenario(mbox));
                }
            }
            self.list(&items, |writer, item| match item {
                Item::Decided(entry) => writer.raw(&entry.text),
                Item::OfScenario(mbox) => {
                    writer.raw("{\"index\":");
                    writer.json(&mbox.index);
                    writer.raw(",\"name\":");
                    writer.text(mbox.name);
                    writer.offer(scenario.mboxes.get(mbox.name), reading.offer, false);
                    writer.raw("}");
                }
            });
            separator = ",";
        }
        if let Some(names) = &part.views {
            self.raw(separator);
            self.raw("\"views\":");
            let all = names.contains(&None);
            let wanted = |offer: &&Offer| {
                (all || names.contains(&Some(offer.name.as_str()))) && !is_decided(Place::View, &offer.name)
            };
            let decided_views = decided_part.into_iter().flat_map(|part| &part.views).map(Item::Decided);
            let items: Vec<Item<'_, Offer>> =
                decided_views.chain(scenario.views.values().filter(wanted).map(Item::OfScenario)).collect();
            self.list(&items, |writer, item| match item {
                Item::Decided(entry) => writer.raw(&entry.text),
                Item::OfScenario(view) => {
                    writer.raw("{\"name\":");
                    writer.text(&view.name);
                    if let Some(key) = &view.key {
                        writer.raw(",\"key\":");
                        writer.text(key);
                    }
                    writer.offer(Some(view), reading.offer, false);
                    writer.raw("}");
                }
            });
            separator = ",";
        }
        self.raw(if separator == "{" { "{}" } else { "}" });
    }

    /// Members of a place that was asked for, each led by a comma unless they are the `first` of their object.
    fn offer(&mut self, offer: Option<&Offer>, members_of: fn(&Offer) -> &String, first: bool) {
        let start = self.out.len();
        if let Some(offer) = offer {
            self.raw(members_of(offer));
        }
        self.trace(offer.map_or("[]", |offer| &offer.campaigns));
        if first && self.out.len() > start {
            self.out.remove(start);
        }
    }

    fn trace(&mut self, campaigns: &str) {
        if !self.trace {
            return;
        }
        self.raw(",\"trace\":{\"clientCode\":");
        self.text(&self.scenario.client);
        self.raw(",\"request\":{\"sessionId\":");
        self.text(self.session);
        self.raw("},\"campaigns\":");
        self.raw(campaigns);
        self.raw("}");
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.json(text);
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        // Writing texts, integers and JSON values to memory cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, value);
    }
}

/// One element of a list in an answer.
enum Item<'a, T> {
    Decided(&'a DecidedItem),
    OfScenario(&'a T),
}

/// A random UUID, with or without its hyphens.
fn uuid(hyphens: bool) -> String {
    let mut bytes = [0u8; 16];
    // Without the system's generator ids of this test edge are merely not random.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = Vec::with_capacity(36);
    for (position, byte) in bytes.iter().enumerate() {
        if hyphens && matches!(position, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    String::from_utf8(text).unwrap_or_default()
}
