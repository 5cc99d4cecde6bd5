//! useragents.json: what rules see of user agent and client hints.

use adobe_target::unversioned;
use serde_json::{Value, json};

use crate::artifacts::OBJECT_MEMBERS;
use crate::compare::{Bindings, compare};
use crate::corpus::Case;
use crate::report::Verdict;
use crate::rules::{self, Rules};

const PROTOTYPE: &str = "quirk: a platform named like a member of Object.prototype is a name like others";

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    let user_agent = case.input["userAgent"].as_str();
    let hints = &case.input["clientHints"];
    let ours = unversioned::user_context(user_agent, hints);
    let mut expected = case.expected.clone();
    // No rule uses the one; the other is "en" whatever the input.
    if let Some(members) = expected.as_object_mut() {
        members.remove("deviceType");
    }
    let locale = expected["context"].as_object_mut().and_then(|context| context.remove("locale"));
    let mut rules = Rules::new();
    match hints["platform"].as_str() {
        Some("") => {
            rules.insert(rules::EMPTY_IS_ABSENT);
            let without = unversioned::user_context(user_agent, &Value::Null);
            expected["operatingSystem"] = without["operatingSystem"].clone();
            expected["context"]["platform"] = without["context"]["platform"].clone();
        }
        Some(platform) if OBJECT_MEMBERS.contains(&platform) => {
            rules.insert(PROTOTYPE);
            expected["context"]["platform"] = json!(platform);
        }
        _ => {}
    }
    let mut differences = compare("user", &expected, &ours, &mut Bindings::new(0));
    differences.extend(compare("locale", &json!("en"), &json!(locale), &mut Bindings::new(0)));
    Verdict::of(differences.iter().map(ToString::to_string).collect(), rules)
}
