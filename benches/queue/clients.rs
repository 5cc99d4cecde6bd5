//! What is enqueued, and clients that it is enqueued with.

use std::ffi::CString;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::library::{Client, Library};
use crate::measure::complain;

/// Sessions that take turns.
pub const SESSIONS: usize = 200;

/// What is in a call besides its notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// A display with tokens, a session, a cookie, and a context with address and user agent.
    Full,
    /// A display without anything around it but a session.
    Bare,
}

impl Case {
    pub const ALL: [Case; 2] = [Case::Full, Case::Bare];

    pub fn name(self) -> &'static str {
        match self {
            Case::Full => "full",
            Case::Bare => "bare",
        }
    }

    /// The options of the call with that number.
    pub fn options(self, number: usize) -> CString {
        let session = number % SESSIONS;
        let value = match self {
            Case::Full => json!({
                "request": {
                    "context": {
                        "channel": "web",
                        "timeOffsetInMinutes": 60,
                        "address": {
                            "url": "https://www.example.com/shoes/running?sort=price&page=2",
                            "referringUrl": "https://www.example.com/shoes",
                        },
                        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                                      Chrome/126.0.0.0 Safari/537.36",
                    },
                    "notifications": [Self::display(number)],
                },
                "target_cookie": format!(
                    "session#7f3c2a10b5d94e6f8a1b2c3d4e5f{session:04}#4000000000|\
                     PC#9a8b7c6d5e4f30211203f4e5d6c7{session:04}.35_0#4000000000"
                ),
                "session_id": format!("7f3c2a10b5d94e6f8a1b2c3d4e5f{session:04}"),
            }),
            Case::Bare => json!({
                "request": {"notifications": [Self::display(number)]},
                "session_id": format!("session-{session}"),
            }),
        };
        CString::new(value.to_string()).expect("JSON has no NUL")
    }

    fn display(number: usize) -> Value {
        json!({
            "id": format!("notification-{number:08}"),
            "type": "display",
            "timestamp": 1_750_000_000_000_u64 + number as u64,
            "mbox": {"name": "home-page-hero"},
            "tokens": ["IbG2Jz2xmHaqX7Ml/YRxRGqipfsIHvVzTQxHolz2IpSCnQ9Y9OaLL2gsdrWQTvE54PwSz67rmXWmSnkXpSSS2Q=="],
        })
    }

    pub fn many(self, count: usize) -> Vec<CString> {
        (0..count).map(|number| self.options(number)).collect()
    }
}

/// An edge that gives no answer.
#[derive(Debug)]
pub enum Down {
    /// Nobody listens there.
    Refusing(u16),
    /// The system takes connections, and nobody reads from them.
    Silent(TcpListener),
}

impl Down {
    pub fn refusing() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        Down::Refusing(listener.local_addr().expect("it is bound").port())
    }

    pub fn silent() -> Self {
        Down::Silent(TcpListener::bind("127.0.0.1:0").expect("a port is free"))
    }

    pub fn host(&self) -> String {
        match self {
            Down::Refusing(port) => format!("127.0.0.1:{port}"),
            Down::Silent(listener) => listener.local_addr().expect("it is bound").to_string(),
        }
    }
}

/// A client whose queue is configured so; None and a complaint if there is none.
pub fn create(library: Library, host: &str, notifications: &Value) -> Option<Client> {
    let config = json!({
        "client": "demo", "organization_id": "0123456789ABCDEF01234567@AdobeOrg", "server_domain": host,
        "secure": false, "proxy": "none", "close_timeout": 1, "notifications": notifications,
    });
    let config = CString::new(config.to_string()).expect("JSON has no NUL");
    library.client(&config).map_err(|error| complain(&format!("target_client_create: {error}"))).ok()
}

/// A count of the client's queue.
pub fn count(client: &Client, name: &str) -> u64 {
    let stats: Value = serde_json::from_str(&client.stats()).unwrap_or_default();
    stats["notifications"][name].as_u64().unwrap_or_default()
}
