//! The same input has the same answer, and rules that have nothing to do with each other may stand in any order.

use serde_json::{Map, Value, json};

use crate::written::{Numbers, allocated, artifact, contents, envelope, keyed, on_device, prefetch_for, rule};

const MBOXES: [&str; 4] = ["home", "cart", "target-global-mbox", "Ünïcode mbox"];

/// A condition of the kinds that artifacts have, nested now and then.
fn condition(numbers: &mut Numbers, depth: u64) -> Value {
    let parameter = json!({"var": format!("mbox.p{}", numbers.below(3))});
    let operand = |numbers: &mut Numbers| match numbers.below(4) {
        0 => json!(numbers.below(3)),
        1 => json!(numbers.below(3).to_string()),
        2 => json!("Text"),
        _ => Value::Null,
    };
    match numbers.below(if depth == 0 { 7 } else { 10 }) {
        0 => json!(true),
        1 => {
            let low = numbers.below(100);
            allocated(low, low + numbers.below(60))
        }
        2 => json!({"==": [parameter, operand(numbers)]}),
        3 => json!({"<": [parameter, operand(numbers)]}),
        4 => json!({"in": [operand(numbers), parameter]}),
        5 => json!({"in": ["acme", {"var": "page.domain_lc"}]}),
        6 => json!({">=": [{"var": "user.browserVersion"}, numbers.below(200)]}),
        7 => json!({"!": [condition(numbers, depth - 1)]}),
        8 => json!({"and": [condition(numbers, depth - 1), condition(numbers, depth - 1)]}),
        _ => json!({"or": [condition(numbers, depth - 1), condition(numbers, depth - 1)]}),
    }
}

fn any_artifact(numbers: &mut Numbers) -> Value {
    let mut activity = 0;
    artifact(MBOXES.map(|mbox| {
        let rules = (0..numbers.below(8)).map(|_| {
            activity += 1;
            let plain = rule(activity, condition(numbers, 3), json!({"activity": activity}));
            keyed(&format!("key {}", numbers.below(4)), plain)
        });
        (mbox, rules.collect())
    }))
}

fn any_request(numbers: &mut Numbers) -> Value {
    let mut request = prefetch_for(&format!("visitor {}", numbers.below(1000)), &MBOXES);
    for mbox in request["prefetch"]["mboxes"].as_array_mut().unwrap() {
        let mut parameters = Map::new();
        for key in ["p0", "p1", "p2"] {
            if numbers.below(3) > 0 {
                let value = if numbers.below(2) == 0 { json!(numbers.below(3).to_string()) } else { json!("Text") };
                parameters.insert(key.to_owned(), value);
            }
        }
        mbox["parameters"] = Value::Object(parameters);
    }
    request["prefetch"]["pageLoad"] = json!({});
    request["context"] = json!({
        "channel": "web",
        "address": {"url": format!("https://www.acme{}.com/?a=b", numbers.below(3))},
        "userAgent": format!("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/{}.0 Safari/537.36", numbers.below(150)),
    });
    if numbers.below(4) == 0 {
        request["trace"] = json!({"authorizationToken": "t"});
    }
    request
}

#[test]
fn the_same_input_has_the_same_answer_in_every_client_and_call() {
    for seed in 0..40 {
        let mut numbers = Numbers::new(seed);
        let artifact = any_artifact(&mut numbers);
        let (one, other) = (on_device(&artifact, json!({})), on_device(&artifact, json!({})));
        let requests: Vec<Value> = (0..20).map(|_| any_request(&mut numbers)).collect();
        let answers = |client| -> Vec<Value> {
            requests.iter().map(|request| envelope(client, request)["response"].clone()).collect()
        };
        let first = answers(&one);
        // In another client, and again in the first, which has answered other requests meanwhile.
        assert_eq!(answers(&other), first, "seed {seed}: {artifact}");
        assert_eq!(answers(&one), first, "seed {seed}: {artifact}");
    }
}

/// Otherwise the test above would compare nothing with nothing.
#[test]
fn the_artifacts_of_these_tests_decide_now_this_and_now_that() {
    let mut seen = Vec::new();
    for seed in 0..40 {
        let mut numbers = Numbers::new(seed);
        let client = on_device(&any_artifact(&mut numbers), json!({}));
        for _ in 0..20 {
            seen.extend(contents(&envelope(&client, &any_request(&mut numbers))));
        }
    }
    let empty = seen.iter().filter(|content| content.is_null()).count();
    assert!(empty > seen.len() / 10 && empty < seen.len() * 9 / 10, "{empty} of {}", seen.len());
    seen.sort_by_key(Value::to_string);
    seen.dedup();
    assert!(seen.len() > 15, "{} different offers", seen.len());
}

#[test]
fn mboxes_of_others_change_nothing() {
    for seed in 0..40 {
        let mut numbers = Numbers::new(seed);
        let whole = any_artifact(&mut numbers);
        let client = on_device(&whole, json!({}));
        for mbox in MBOXES {
            let alone = artifact([(mbox, whole["rules"]["mboxes"][mbox].as_array().unwrap().clone())]);
            let client_of_one = on_device(&alone, json!({}));
            for _ in 0..5 {
                let mut request = any_request(&mut numbers);
                let mboxes = request["prefetch"]["mboxes"].as_array_mut().unwrap();
                mboxes.retain(|asked| asked["name"] == mbox);
                request["prefetch"].as_object_mut().unwrap().remove("pageLoad");
                let answer = |client| envelope(client, &request)["response"].clone();
                assert_eq!(answer(&client), answer(&client_of_one), "seed {seed}, {mbox}: {whole}");
            }
        }
    }
}

#[test]
fn mboxes_may_stand_in_any_order() {
    for seed in 0..40 {
        let mut numbers = Numbers::new(seed);
        let one = any_artifact(&mut numbers);
        let mut other = one.clone();
        let mut mboxes: Vec<(String, Value)> =
            one["rules"]["mboxes"].as_object().unwrap().clone().into_iter().collect();
        numbers.shuffle(&mut mboxes);
        other["rules"]["mboxes"] = Value::Object(mboxes.into_iter().collect());
        numbers.shuffle(other["localMboxes"].as_array_mut().unwrap());
        let (one, other) = (on_device(&one, json!({})), on_device(&other, json!({})));
        for _ in 0..10 {
            let request = any_request(&mut numbers);
            assert_eq!(envelope(&one, &request)["response"], envelope(&other, &request)["response"], "seed {seed}");
        }
    }
}

#[test]
fn rules_that_exclude_each_other_may_stand_in_any_order() {
    let mut numbers = Numbers::new(1);
    for _ in 0..20 {
        let of_plan = |plan: u64| rule(plan + 1, json!({"==": [{"var": "mbox.plan"}, plan]}), json!({"plan": plan}));
        let mut rules: Vec<Value> = (0..12).map(of_plan).collect();
        numbers.shuffle(&mut rules);
        let client = on_device(&artifact([("home", rules)]), json!({}));
        for plan in 0..13 {
            let mut request = prefetch_for("visitor", &["home"]);
            request["prefetch"]["mboxes"][0]["parameters"] = json!({"plan": plan.to_string()});
            let expected = if plan < 12 { json!({"plan": plan}) } else { Value::Null };
            assert_eq!(contents(&envelope(&client, &request)), [expected]);
        }
    }
}

#[test]
fn among_rules_that_fit_the_first_wins() {
    let rules = |order: [u64; 3]| order.map(|activity| rule(activity, json!(true), json!(activity))).to_vec();
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let client = on_device(&artifact([("home", rules(order))]), json!({}));
        assert_eq!(contents(&envelope(&client, &prefetch_for("visitor", &["home"]))), [json!(order[0])]);
    }
}
