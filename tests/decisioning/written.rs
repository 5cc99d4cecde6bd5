//! Artifacts and requests as the tests write them, and clients that decide from them.

use adobe_target::local_edge::LocalEdge;
use adobe_target::{ClientConfig, TargetClient, TargetError};
use serde_json::{Map, Value, json};

use crate::support::{NOW, ORGANIZATION, parsed};

/// A rule of an activity whose offer is that JSON.
pub fn rule(activity: u64, condition: Value, content: Value) -> Value {
    json!({
        "ruleKey": activity.to_string(),
        "activityId": activity,
        "meta": {
            "activity.id": activity,
            "activity.name": format!("activity {activity}"),
            "activity.type": "ab",
            "experience.id": 0,
            "offer.id": activity * 10,
        },
        "condition": condition,
        "consequence": {
            "options": [{"type": "json", "eventToken": format!("token-{activity}"), "content": content}],
            "metrics": [],
        },
    })
}

/// The same with a key of its own: one match for each key counts.
pub fn keyed(key: &str, mut rule: Value) -> Value {
    rule["ruleKey"] = Value::from(key);
    rule
}

/// An artifact of these mboxes and their rules.
pub fn artifact<'m>(mboxes: impl IntoIterator<Item = (&'m str, Vec<Value>)>) -> Value {
    let mut rules = Map::new();
    for (name, list) in mboxes {
        let of_mbox = |mut rule: Value| {
            if rule["consequence"].is_object() {
                rule["consequence"]["name"] = Value::from(name);
            }
            rule
        };
        rules.insert(name.to_owned(), list.into_iter().map(of_mbox).collect());
    }
    let names: Vec<&String> = rules.keys().collect();
    json!({
        "version": "1.0.0",
        "meta": {"clientCode": "acme", "environment": "production", "generatedAt": "2023-11-14T22:13:20.000Z"},
        "globalMbox": "target-global-mbox",
        "geoTargetingEnabled": false,
        "responseTokens": ["activity.id"],
        "remoteMboxes": [],
        "localMboxes": names,
        "remoteViews": [],
        "localViews": [],
        "rules": {"mboxes": rules, "views": {}},
    })
}

/// `low ≤ allocation < high`.
pub fn allocated(low: u64, high: u64) -> Value {
    json!({"and": [{"<=": [low, {"var": "allocation"}]}, {"<": [{"var": "allocation"}, high]}]})
}

/// A client that decides from that artifact and asks nobody.
pub fn on_device(artifact: &Value, more: Value) -> TargetClient {
    try_on_device(&json!({"artifact_payload": artifact}), more).unwrap_or_else(|error| panic!("{error}"))
}

/// A client that gets its artifact and everything else from a local edge.
pub fn served_by(edge: &LocalEdge, more: Value) -> TargetClient {
    let from = json!({"cdn_base_path": edge.host(), "server_domain": edge.host()});
    try_on_device(&from, more).unwrap_or_else(|error| panic!("{error}"))
}

pub fn try_on_device(from: &Value, more: Value) -> Result<TargetClient, TargetError> {
    let mut config = json!({
        "client": "acme",
        "organization_id": ORGANIZATION,
        "decisioning_method": "on-device",
        "polling_interval": 0,
        "maximum_wait_ready": 30_000,
        "target_location_hint": "35",
        "timeout": 30_000,
        "secure": false,
        "proxy": "none",
        "fixed_clock_ms": NOW,
    });
    for (key, value) in [from, &more].into_iter().flat_map(|members| members.as_object()).flatten() {
        config[key] = value.clone();
    }
    TargetClient::new(ClientConfig::from_json(&config.to_string())?)
}

/// Prefetches these mboxes for a visitor: no impressions, so nothing is sent.
pub fn prefetch_for(visitor: &str, mboxes: &[&str]) -> Value {
    let mboxes: Vec<Value> = mboxes.iter().map(|name| json!({"name": name})).collect();
    json!({"requestId": "request-1", "id": {"thirdPartyId": visitor}, "prefetch": {"mboxes": mboxes}})
}

/// The envelope of a call.
pub fn envelope(client: &TargetClient, request: &Value) -> Value {
    let options = json!({"session_id": "session-1", "request": request}).to_string();
    parsed(&client.get_offers_json(&options).unwrap_or_else(|error| panic!("{error}: {options}")))
}

/// The content of the first option of each prefetched mbox, null where there is none.
pub fn contents(envelope: &Value) -> Vec<Value> {
    let mboxes = envelope["response"]["prefetch"]["mboxes"].as_array();
    mboxes.into_iter().flatten().map(|mbox| mbox["options"][0]["content"].clone()).collect()
}

/// What that visitor is offered in one mbox.
pub fn offered(client: &TargetClient, visitor: &str, mbox: &str) -> Value {
    contents(&envelope(client, &prefetch_for(visitor, &[mbox]))).remove(0)
}

/// The events that came, by type.
pub fn events(client: &TargetClient, kind: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while let Ok(event) = client.next_event(crate::support::AT_ONCE) {
        events.push(parsed(&event));
    }
    events.retain(|event| event["type"] == kind);
    events
}

/// Numbers that are the same in every run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below that one.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}
