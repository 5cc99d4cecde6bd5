//! Answers delivery requests: validates, counts and writes the answer's JSON.

use std::io::Write;

use serde_json::{Map, Value};

use super::report::Ledger;
use super::scenario::{Offer, Scenario};
use super::validate::{self, Delivery, Part, Refusal};

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

/// Validates a request, counts it and writes the answer's body to `out`. The last `missed` notifications are left
/// unprocessed.
pub(super) fn answer(
    scenario: &Scenario,
    ledger: &Ledger,
    session: &str,
    body: &[u8],
    missed: usize,
    out: &mut Vec<u8>,
) -> Result<Answered, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("request is not valid JSON: {error}")))?;
    let delivery = validate::delivery(&body, scenario.accept_any_token)?;
    ledger.count(scenario, &delivery, missed);
    if delivery.beacon {
        return Ok(Answered::NoContent);
    }
    Writer { scenario, session, trace: delivery.trace, out }.response(&delivery, missed);
    Ok(Answered::Body)
}

struct Writer<'a> {
    scenario: &'a Scenario,
    session: &'a str,
    trace: bool,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn response(&mut self, delivery: &Delivery<'_>, missed: usize) {
        self.raw("{\"status\":200,\"requestId\":");
        match delivery.request_id.filter(|id| !id.is_empty()) {
            Some(id) => self.text(id),
            None => self.text(&uuid(true)),
        }
        self.raw(",\"client\":");
        self.text(&self.scenario.client);
        self.raw(",\"id\":");
        self.visitor_id(delivery);
        self.raw(",\"edgeHost\":\"");
        self.raw(EDGE_HOST);
        self.raw("\"");
        if let Some(part) = &delivery.execute {
            self.raw(",\"execute\":");
            self.part(part, |offer| &offer.executed);
        }
        if let Some(part) = &delivery.prefetch {
            self.raw(",\"prefetch\":");
            self.part(part, |offer| &offer.prefetched);
        }
        if let Some(notifications) = &delivery.notifications {
            self.raw(",\"notifications\":");
            let processed = &notifications[..notifications.len().saturating_sub(missed)];
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
    fn visitor_id(&mut self, delivery: &Delivery<'_>) {
        let tnt_id = match delivery.tnt_id {
            Some(id) if id.contains('.') => id.to_owned(),
            Some(id) => format!("{id}{CLUSTER_SUFFIX}"),
            None => format!("{}{CLUSTER_SUFFIX}", uuid(false)),
        };
        let mut id = Map::new();
        id.insert("tntId".to_owned(), Value::from(tnt_id));
        for (name, value) in delivery.id.into_iter().flatten().filter(|(name, _)| *name != "tntId") {
            id.insert(name.clone(), value.clone());
        }
        self.json(&id);
    }

    fn part(&mut self, part: &Part<'_>, members_of: fn(&Offer) -> &String) {
        let scenario = self.scenario;
        let mut separator = "{";
        if part.page_load {
            self.raw("{\"pageLoad\":{");
            self.offer(scenario.page_load.as_ref(), members_of, true);
            self.raw("}");
            separator = ",";
        }
        if let Some(mboxes) = &part.mboxes {
            self.raw(separator);
            self.raw("\"mboxes\":");
            self.list(mboxes, |writer, mbox| {
                writer.raw("{\"index\":");
                writer.json(&mbox.index);
                writer.raw(",\"name\":");
                writer.text(mbox.name);
                writer.offer(scenario.mboxes.get(mbox.name), members_of, false);
                writer.raw("}");
            });
            separator = ",";
        }
        if let Some(names) = &part.views {
            self.raw(separator);
            self.raw("\"views\":");
            let all = names.contains(&None);
            let wanted = |offer: &&Offer| all || names.contains(&Some(offer.name.as_str()));
            let views: Vec<&Offer> = scenario.views.values().filter(wanted).collect();
            self.list(&views, |writer, view| {
                writer.raw("{\"name\":");
                writer.text(&view.name);
                if let Some(key) = &view.key {
                    writer.raw(",\"key\":");
                    writer.text(key);
                }
                writer.offer(Some(view), members_of, false);
                writer.raw("}");
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
