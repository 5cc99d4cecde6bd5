//! Visitors are spread evenly over experiences, independently for each activity, and as recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adobe_target::TargetClient;
use serde_json::{Value, json};

use crate::written::{allocated, artifact, contents, envelope, on_device, prefetch_for, rule};

const VISITORS: u64 = 100_000;

/// Rules of one activity that say in which of so many parts of equal size a visitor is.
fn parts(activity: u64, count: u64) -> Vec<Value> {
    let width = 100 / count;
    (0..count).map(|part| rule(activity, allocated(part * width, (part + 1) * width), json!(part))).collect()
}

/// The parts of the mboxes `one` and `other` that a visitor is in. Not by way of JSON values: this is done often.
fn parts_of(client: &TargetClient, visitor: u64) -> (usize, usize) {
    let options = format!(
        r#"{{"request":{{"id":{{"thirdPartyId":"visitor-{visitor}"}},"prefetch":{{"mboxes":[{{"name":"one"}},{{"name":"other"}}]}}}}}}"#
    );
    let answer = client.get_offers_json(&options).unwrap();
    let mut contents = answer.split("\"content\":").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        rest[..end].parse().unwrap()
    });
    (contents.next().unwrap(), contents.next().unwrap())
}

/// How far counts are from being equal.
fn chi_square(counts: &[u64]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum()
}

#[test]
fn visitors_are_spread_evenly_and_independently() {
    let client = on_device(&artifact([("one", parts(1, 20)), ("other", parts(2, 10))]), json!({}));
    let mut of_one = [0; 20];
    let mut of_both = [0; 100];
    for visitor in 0..VISITORS {
        let (one, other) = parts_of(&client, visitor);
        of_one[one] += 1;
        of_both[one / 2 * 10 + other] += 1;
    }
    assert_eq!(of_one.iter().sum::<u64>(), VISITORS);
    // 19 and 99 degrees of freedom: one in a million is beyond 67 and 178.
    let (one, both) = (chi_square(&of_one), chi_square(&of_both));
    assert!(one < 67.0, "{one}: {of_one:?}");
    assert!(both < 178.0, "{both}: {of_both:?}");
    // What is too even is not spread by chance either.
    assert!(one > 3.0 && both > 45.0, "{one}, {both}");
}

#[test]
fn a_visitor_stays_where_it_is_and_the_id_that_decides_is_the_first() {
    let client = on_device(&artifact([("one", parts(1, 20))]), json!({}));
    let part = |id: Value| {
        let request = json!({"id": id, "prefetch": {"mboxes": [{"name": "one"}]}});
        contents(&envelope(&client, &request)).remove(0)
    };
    let mut differing = 0;
    for visitor in 0..50 {
        let (one, other) = (format!("visitor-{visitor}"), format!("other-{visitor}"));
        let expected = part(json!({"thirdPartyId": one}));
        differing += u32::from(expected != part(json!({"thirdPartyId": other})));
        for id in [
            json!({"marketingCloudVisitorId": one, "tntId": other, "thirdPartyId": "x"}),
            json!({"tntId": format!("{one}.28_0"), "thirdPartyId": other}),
            json!({"marketingCloudVisitorId": " ", "tntId": one}),
        ] {
            assert_eq!(part(id.clone()), expected, "{id}");
        }
    }
    assert!(differing > 40, "{differing} of 50 pairs are in different parts");
}

#[test]
fn a_visitor_without_an_id_gets_one_that_decides_the_same_again() {
    let client = on_device(&artifact([("one", parts(1, 20))]), json!({}));
    let mut seen = Vec::new();
    for _ in 0..100 {
        let first = envelope(&client, &json!({"prefetch": {"mboxes": [{"name": "one"}]}}));
        let id = first["response"]["id"]["tntId"].as_str().unwrap();
        assert!(id.ends_with(".35_0"), "{id}");
        let again = json!({"id": {"tntId": id}, "prefetch": {"mboxes": [{"name": "one"}]}});
        assert_eq!(contents(&envelope(&client, &again)), contents(&first));
        seen.extend(contents(&first));
    }
    seen.sort_by_key(Value::as_u64);
    seen.dedup();
    assert!(seen.len() > 10, "{seen:?}");
}

/// The folder of recorded cases; None, and a loud word on stderr, where there is none.
fn recorded() -> Option<PathBuf> {
    let folder = std::env::var_os("ADOBE_TARGET_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"), PathBuf::from);
    let file = folder.join("golden/allocation.json");
    if !file.is_file() {
        eprintln!("\n*** recorded allocations were SKIPPED: no file {} ***\n", file.display());
        return None;
    }
    Some(file)
}

#[test]
fn allocations_are_those_recorded() {
    let Some(file) = recorded() else { return };
    let corpus: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // By client and activity: visitors and their allocations.
    let mut groups: BTreeMap<(String, String), Vec<(String, f64)>> = BTreeMap::new();
    for case in corpus["cases"].as_array().unwrap().iter().filter(|case| case["quirk"].is_null()) {
        let input = &case["input"];
        let (Some(client), Some(visitor)) = (input["clientId"].as_str(), input["visitorId"].as_str()) else { continue };
        let is_name = client.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || client.is_empty() || client.len() > 63 || visitor.trim().is_empty() || !input["salt"].is_null() {
            continue;
        }
        let group = groups.entry((client.to_owned(), input["activityId"].to_string())).or_default();
        group.push((visitor.to_owned(), case["expected"]["allocation"].as_f64().unwrap()));
    }
    let mut checked = 0;
    for ((name, activity), visitors) in groups {
        let mut rule = rule(1, json!(true), json!({}));
        rule["activityId"] = serde_json::from_str(&activity).unwrap();
        rule["meta"]["activity.id"] = rule["activityId"].clone();
        let client = on_device(&artifact([("home", vec![rule])]), json!({"client": name}));
        for (visitor, allocation) in visitors {
            let mut request = prefetch_for(&visitor, &["home"]);
            request["trace"] = json!({});
            let traced = &envelope(&client, &request)["response"]["prefetch"]["mboxes"][0]["trace"];
            let got = &traced["evaluatedCampaignTargets"][0]["context"]["allocation"];
            assert_eq!(got.as_f64(), Some(allocation), "{name} {activity} {visitor}");
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked} allocations");
}
