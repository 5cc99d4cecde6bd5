//! The library as the cases call it: JSON in, JSON or an error out.

use std::sync::{Arc, Mutex, PoisonError};

use adobe_target::{ClientConfig, LogLevel, TargetClient, TargetError, set_logger};
use serde_json::{Map, Value, json};

use crate::corpus;
use crate::mock::{Mock, PLACE, first_tunnel};

/// How a case's configuration is completed for the test.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Where the mock listens.
    pub host: &'a str,
    pub now: i64,
    /// All hosts are the mock; false connects directly.
    pub through_proxy: bool,
}

/// The recorded configuration with what a test needs besides; one that is no object stays as it is.
pub fn config(recorded: &Value, setting: Setting<'_>) -> Value {
    let Value::Object(given) = recorded else { return recorded.clone() };
    let host = setting.host;
    let mut config = Map::new();
    for (key, value) in given {
        let value = match value.as_str() {
            Some(text) => Value::from(text.replace(PLACE, host)),
            None => value.clone(),
        };
        config.insert(key.clone(), value);
    }
    // The mock has no TLS; what is no boolean is refused and has to stay.
    if config.get("secure").is_none_or(|given| given.is_boolean() || given.is_null()) {
        config.insert("secure".to_owned(), Value::from(false));
    }
    // The recorded client has it on unless told otherwise.
    if config.get("telemetryEnabled").is_none_or(Value::is_null) {
        config.insert("telemetryEnabled".to_owned(), Value::from(true));
    }
    let proxy = if setting.through_proxy { format!("http://{host}") } else { "none".to_owned() };
    let mut add = |key: &str, value: Value| {
        config.entry(key).or_insert(value);
    };
    add("proxy", Value::from(proxy));
    add("fixed_clock_ms", Value::from(setting.now));
    add("retry", json!({"base_delay": 0, "max_delay": 0}));
    if setting.through_proxy {
        add("edge_affinity", Value::from(true));
    }
    Value::Object(config)
}

/// Where a call's first request would go with `secure` as recorded: `host:port`. Nothing answers it.
pub fn destination(recorded: &Value, mock: &Mock, method: &str, args: &[Value]) -> String {
    first_tunnel(|proxy| {
        let setting = Setting { host: &mock.host(), now: 0, through_proxy: true };
        let mut config = config(recorded, setting);
        config["proxy"] = Value::from(format!("http://{proxy}"));
        config["retry"] = json!({"max_attempts": 1});
        config["secure"] = recorded["secure"].clone();
        if let Ok(client) = create(&config) {
            let _ = call(&client, method, args);
        }
    })
}

/// What the library logs meanwhile, down to debug. The logger is the whole process's, so one at a time; other
/// threads' lines may be among them.
pub fn logged<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LOGGER: Mutex<()> = Mutex::new(());
    let _alone = LOGGER.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let keep = move |_: LogLevel, line: &str| kept.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    set_logger(Some((LogLevel::Debug, Box::new(keep))));
    let result = run();
    set_logger(None);
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    (result, lines)
}

/// An error by its JSON form.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub field: String,
    pub facts: Box<Value>,
}

impl Failure {
    fn of(error: &TargetError) -> Self {
        let facts: Value = serde_json::from_str(&error.to_json()).expect("an error in its JSON form");
        let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
        Failure { code: text("code"), message: text("message"), field: text("field"), facts: Box::new(facts) }
    }

    fn unreadable(envelope: String) -> Self {
        Failure {
            code: "an envelope that is no JSON".to_owned(),
            message: envelope,
            field: String::new(),
            facts: Box::default(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}` (field `{}`)", self.code, self.message, self.field)
    }
}

/// Makes a client.
pub fn create(config: &Value) -> Result<TargetClient, Failure> {
    ClientConfig::from_json(&corpus::to_text(config)).and_then(TargetClient::new).map_err(|error| Failure::of(&error))
}

/// Makes a recorded call. An argument that is not there is JavaScript's undefined; we know `null` alone.
pub fn call(client: &TargetClient, method: &str, args: &[Value]) -> Result<Value, Failure> {
    let text = |at: usize, absent: &str| args.get(at).map_or_else(|| absent.to_owned(), corpus::to_text);
    let result = match method {
        "getOffers" => client.get_offers_json(&text(0, "null")),
        "sendNotifications" => client.send_notifications_json(&text(0, "null")),
        "getAttributes" => client.get_attributes_json(&text(0, "null"), &text(1, "{}")),
        other => panic!("no such method: {other}"),
    };
    match result {
        Ok(text) => corpus::parse_lossy(&text).ok_or_else(|| Failure::unreadable(text)),
        Err(error) => Err(Failure::of(&error)),
    }
}
