//! Traces of requests with several items: the recorded client gathers all that it evaluated so far in each of
//! them, ours is of its item alone.

use serde_json::{Value, json};

use crate::compare::{Bindings, Difference, compare};
use crate::play::play;
use crate::twins::canonical;

/// One item of a request that has a trace of its own.
struct Item {
    part: &'static str,
    key: &'static str,
    /// Where it stands in its list; 0 for a page load.
    at: usize,
}

/// The items of a request.
fn items(request: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    for part in ["execute", "prefetch"] {
        for key in ["pageLoad", "mboxes", "views"] {
            let place = &request[part][key];
            let count = place.as_array().map_or(usize::from(place.is_object()), Vec::len);
            items.extend((0..count).map(|at| Item { part, key, at }));
        }
    }
    items
}

/// Whether the recorded traces of a request show more than the item that they stand in: it has several, or one
/// that gives several entries.
pub fn are_shared(request: &Value, artifact: Option<&Value>) -> bool {
    let global = artifact.and_then(|artifact| artifact["globalMbox"].as_str()).filter(|name| !name.is_empty());
    let has_several = |item: &Item| match (item.key, request[item.part][item.key][item.at]["name"].as_str()) {
        ("views", name) => name.is_none(),
        ("mboxes", name) => name == Some(global.unwrap_or("target-global-mbox")),
        _ => false,
    };
    let items = items(request);
    !request["trace"].is_null() && (items.len() > 1 || items.iter().any(has_several))
}

/// Campaigns that the recorded client lists without their offer, although their rule has one.
pub fn list_offers(artifact: Option<&Value>, response: &mut Value) {
    let groups = artifact.into_iter().flat_map(|artifact| ["mboxes", "views"].map(|group| &artifact["rules"][group]));
    let lists = groups.filter_map(Value::as_object).flat_map(|lists| lists.values());
    let rules: Vec<&Value> = lists.filter_map(Value::as_array).flatten().collect();
    fill("", response, &|campaign| {
        let of_campaign = |rule: &&&Value| {
            let meta = &rule["meta"];
            meta["activity.id"] == campaign["id"] && meta["experience.id"] == campaign["branchId"]
        };
        rules.iter().find(of_campaign).map(|rule| rule["meta"]["offer.id"].clone()).filter(|offer| !offer.is_null())
    });
}

fn fill(key: &str, value: &mut Value, offer_of: &dyn Fn(&Value) -> Option<Value>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut().filter(|(key, _)| *key != "content") {
                fill(key, member, offer_of);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                if key == "campaigns" && element["offers"] == json!([]) {
                    element["offers"] = offer_of(element).into_iter().collect();
                }
                fill("", element, offer_of);
            }
        }
        _ => {}
    }
}

/// Takes the traces out of a response, with the paths where they stood.
pub fn take(response: &mut Value) -> Vec<(String, Value)> {
    let mut traces = Vec::new();
    take_from("response", response, &mut traces);
    traces
}

fn take_from(path: &str, value: &mut Value, traces: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            if let Some(trace) = members.shift_remove("trace") {
                traces.push((format!("{path}.trace"), trace));
            }
            for (key, member) in members.iter_mut().filter(|(key, _)| *key != "options") {
                take_from(&format!("{path}.{key}"), member, traces);
            }
        }
        Value::Array(elements) => {
            for (at, element) in elements.iter_mut().enumerate() {
                take_from(&format!("{path}[{at}]"), element, traces);
            }
        }
        _ => {}
    }
}

/// Ours have the recorded ones' frame and no campaign that they lack.
pub fn judge_frames(
    recorded: &[(String, Value)],
    ours: &[(String, Value)],
    bindings: &mut Bindings,
) -> Vec<Difference> {
    let paths = |traces: &[(String, Value)]| traces.iter().map(|(path, _)| path.as_str()).collect::<Value>();
    let mut differences = compare("traces", &paths(recorded), &paths(ours), bindings);
    for ((path, recorded), (_, ours)) in recorded.iter().zip(ours) {
        let mut expected = recorded.clone();
        for (key, id) in [("campaigns", "id"), ("evaluatedCampaignTargets", "campaignId")] {
            let own: Vec<&Value> = ours[key].as_array().into_iter().flatten().map(|entry| &entry[id]).collect();
            if let Some(list) = expected[key].as_array_mut() {
                list.retain(|entry| own.contains(&&entry[id]));
            }
        }
        // What the items before added to an entry is not known here; the twin tells.
        expected["evaluatedCampaignTargets"] = ours["evaluatedCampaignTargets"].clone();
        differences.extend(compare(path, &expected, ours, bindings));
    }
    differences
}

/// Each trace of a call is the one that its item has in a request of its own.
pub fn judge_alone(input: &Value, artifact: Option<&Value>, at: usize, response: &Value) -> Vec<Difference> {
    let call = &input["calls"][at];
    let options = usize::from(call["method"] == "getAttributes");
    let request = &call["args"][options]["request"];
    let mut differences = Vec::new();
    for item in items(request) {
        let mut alone = input.clone();
        let mut own = request.clone();
        for part in ["execute", "prefetch"] {
            own.as_object_mut().map(|request| request.shift_remove(part));
        }
        let asked = &request[item.part][item.key];
        let mut only = asked.as_array().and_then(|list| list.get(item.at)).unwrap_or(asked).clone();
        if item.key == "mboxes" && only["index"].is_null() {
            only["index"] = Value::from(item.at);
        }
        own[item.part] = if asked.is_array() { json!({item.key: [only]}) } else { json!({item.key: only}) };
        alone["calls"] = json!([call]);
        alone["calls"][0]["args"][options]["request"] = own;
        let played = play(&alone, artifact, false);
        let Some(Ok(envelope)) = played.results.first() else {
            differences.push(Difference::new("trace", "an answer to the item alone", "none"));
            continue;
        };
        let alone = entries(&envelope["response"], &item, &only);
        let ours = entries(response, &item, &only);
        let traces = |entries: &[Value]| entries.iter().map(|entry| canonical(&entry["trace"])).collect::<Value>();
        let path = format!("traces of {}.{}[{}]", item.part, item.key, item.at);
        differences.extend(compare(&path, &traces(&alone), &traces(&ours), &mut Bindings::new(0)));
    }
    differences
}

/// The entries of a response that answer an item.
fn entries(response: &Value, item: &Item, asked: &Value) -> Vec<Value> {
    let place = &response[item.part][item.key];
    let answers = |entry: &&Value| match item.key {
        "mboxes" => entry["index"] == asked["index"],
        _ => asked["name"].is_null() || entry["name"] == asked["name"],
    };
    place.as_array().map_or(std::slice::from_ref(place), Vec::as_slice).iter().filter(answers).cloned().collect()
}
