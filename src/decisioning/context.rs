//! What a rule may ask about: the context of one request, each part made when a condition first asks for it.

/// A variable of the context, found once when a condition is compiled. Conditions carry the path as text too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// None of the known ones: the path has to be walked.
    Other,
}

impl Slot {
    /// The variable at a dotted path such as `page.url_lc`.
    pub(crate) fn of(_path: &str) -> Slot {
        Slot::Other
    }
}

/// Where the visitor is, as rules see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Geo {
    pub country: Option<String>,
    /// `stateCode` of the Delivery API, `region` for rules.
    pub region: Option<String>,
    pub city: Option<String>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
}
