//! What calls see as now, and the local time zone.

use std::time::{SystemTime, UNIX_EPOCH};

/// The clock of decisions, cookies and timestamps: the system's, or one that stands still.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    pub fixed_ms: Option<i64>,
}

impl Clock {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(self) -> i64 {
        self.fixed_ms.unwrap_or_else(wall_ms)
    }
}

/// The system's clock whatever the configuration says, in milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// A time as `2023-11-14T22:13:20.000Z`.
pub(crate) fn iso_8601(ms: i64) -> String {
    use chrono::{DateTime, SecondsFormat};
    DateTime::from_timestamp_millis(ms).map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The offset of the local time zone at that time, in minutes east of UTC.
pub(crate) fn local_offset_minutes(now_ms: i64) -> i32 {
    use chrono::{Local, Offset, TimeZone};
    let at = Local.timestamp_millis_opt(now_ms).earliest();
    at.map_or(0, |at| at.offset().fix().local_minus_utc() / 60)
}
