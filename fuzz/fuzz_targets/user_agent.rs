#![no_main]
//! User agent and client hints, separated by `|`: user agent, platform, brands with major versions, with full versions.

use adobe_target::unversioned::user_context;
use adobe_target_fuzz::{lengthened, text};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const HINTS: [&str; 3] = ["platform", "browserUAWithMajorVersion", "browserUAWithFullVersion"];

fuzz_target!(|data: &[u8]| {
    let text = text(data);
    let mut parts = text.split('|');
    let user_agent = parts.next().filter(|text| !text.is_empty());
    let mut hints = json!({});
    for (name, hint) in HINTS.into_iter().zip(parts) {
        hints[name] = Value::from(hint);
    }
    check(user_agent, &hints);
    if let Some(long) = lengthened(text) {
        user_context(Some(&long), &json!({}));
        user_context(None, &json!({"browserUAWithFullVersion": long}));
    }
});

fn check(user_agent: Option<&str>, hints: &Value) {
    let user = user_context(user_agent, hints);
    let (name, version) = (user["browser"]["name"].as_str().unwrap_or_default(), &user["browser"]["version"]);
    let known = ["chrome", "edge", "firefox", "ie", "mobile safari", "safari", "unknown"];
    let browser_type = name.to_ascii_lowercase();
    assert!(known.contains(&&*browser_type), "{user}");
    assert_eq!(user["context"]["browserType"], browser_type);
    // A number too large for a double has no JSON; it cannot be a version either.
    let number = version.as_f64().unwrap_or(f64::INFINITY);
    assert!(number >= -1.0 && (number.is_infinite() || number.fract() == 0.0), "{user}");

    let system = user["operatingSystem"].as_str().unwrap_or_default();
    let given = hints["platform"].as_str().filter(|platform| !platform.is_empty());
    assert!(given.is_none_or(|given| given == system) && !system.is_empty(), "{user} of {hints}");
    let platform = match system {
        "Windows" => "windows",
        "Macintosh" | "Mac OS" | "macOS" => "mac",
        "Linux" => "linux",
        other => other,
    };
    assert_eq!(user["context"]["platform"], platform);

    // What is empty counts as absent, and browsers are known in any case.
    let mut without_empty = hints.clone();
    if let Some(hints) = without_empty.as_object_mut() {
        hints.retain(|_, hint| hint != "");
    }
    assert_eq!(user_context(user_agent, &without_empty), user);
    let mut shouted = hints.clone();
    for name in HINTS.into_iter().skip(1) {
        if let Some(hint) = hints[name].as_str() {
            shouted[name] = Value::from(hint.to_ascii_lowercase());
        }
    }
    let shouting = user_context(user_agent.map(str::to_ascii_uppercase).as_deref(), &shouted);
    assert_eq!(shouting["browser"]["name"], user["browser"]["name"], "{user_agent:?} {hints}");
}
