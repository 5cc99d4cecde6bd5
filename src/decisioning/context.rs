//! What a rule may ask about: the context of one request, each part made when a condition first asks for it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use super::allocation::{AllocationPrefix, Visitor};
use super::logic::{Val, VarPath, Variables};
use super::parameters::{self, Parameters};
use super::url::PageUrl;
use super::user_agent::{ClientHints, User, user};
use crate::javascript;
use crate::json::{Document, Kind, ObjectWriter, Strictness, Value, write_str};

/// A variable of the context, found once when a condition is compiled. Conditions carry the path as text too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Allocation,
    CurrentTimestamp,
    CurrentTime,
    CurrentDay,
    User(UserField),
    Page(UrlField),
    Referring(UrlField),
    Geo(GeoField),
    /// A parameter of the mbox; its name is the path behind `mbox.`.
    Mbox,
    /// None of the known ones: the path has to be walked.
    Other,
}

/// Variables below `user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserField {
    BrowserType,
    Platform,
    Locale,
    BrowserVersion,
}

/// Variables below `page` and `referring`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UrlField {
    Url,
    Path,
    Query,
    Fragment,
    Domain,
    Subdomain,
    TopLevelDomain,
    /// The twin in lower case of one of them, by its place in [`UrlField::TWINS`].
    Lower(u8),
}

/// Variables below `geo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GeoField {
    Country,
    Region,
    City,
    Latitude,
    Longitude,
}

impl Slot {
    /// The variable at a dotted path such as `page.url_lc`.
    pub(crate) fn of(path: &str) -> Slot {
        if path.starts_with("mbox.") {
            return Slot::Mbox;
        }
        let of_url = |place: fn(&UrlPaths) -> &'static str| {
            URL_PATHS.iter().find(|paths| place(paths) == path).map(|paths| paths.field)
        };
        match path.as_bytes().first() {
            Some(b'p') => of_url(|paths| paths.page).map(Slot::Page),
            Some(b'r') => of_url(|paths| paths.referring).map(Slot::Referring),
            _ => PATHS.iter().find(|(known, _)| *known == path).map(|(_, slot)| *slot),
        }
        .unwrap_or(Slot::Other)
    }

    /// The only path that leads to it. None: many do.
    pub(crate) fn path(self) -> Option<&'static str> {
        let of_url = |field| URL_PATHS.iter().find(|paths| paths.field == field);
        match self {
            Slot::Mbox | Slot::Other => None,
            Slot::Page(field) => of_url(field).map(|paths| paths.page),
            Slot::Referring(field) => of_url(field).map(|paths| paths.referring),
            slot => PATHS.iter().find(|(_, known)| *known == slot).map(|(path, _)| *path),
        }
    }
}

const PATHS: [(&str, Slot); 13] = [
    ("allocation", Slot::Allocation),
    ("current_timestamp", Slot::CurrentTimestamp),
    ("current_time", Slot::CurrentTime),
    ("current_day", Slot::CurrentDay),
    ("user.browserType", Slot::User(UserField::BrowserType)),
    ("user.platform", Slot::User(UserField::Platform)),
    ("user.locale", Slot::User(UserField::Locale)),
    ("user.browserVersion", Slot::User(UserField::BrowserVersion)),
    ("geo.country", Slot::Geo(GeoField::Country)),
    ("geo.region", Slot::Geo(GeoField::Region)),
    ("geo.city", Slot::Geo(GeoField::City)),
    ("geo.latitude", Slot::Geo(GeoField::Latitude)),
    ("geo.longitude", Slot::Geo(GeoField::Longitude)),
];

/// Where a part of both URLs is found.
struct UrlPaths {
    field: UrlField,
    page: &'static str,
    referring: &'static str,
}

const URL_PATHS: [UrlPaths; 14] = {
    const fn part(field: UrlField, page: &'static str, referring: &'static str) -> UrlPaths {
        UrlPaths { field, page, referring }
    }
    [
        part(UrlField::Url, "page.url", "referring.url"),
        part(UrlField::Path, "page.path", "referring.path"),
        part(UrlField::Query, "page.query", "referring.query"),
        part(UrlField::Fragment, "page.fragment", "referring.fragment"),
        part(UrlField::Subdomain, "page.subdomain", "referring.subdomain"),
        part(UrlField::Domain, "page.domain", "referring.domain"),
        part(UrlField::TopLevelDomain, "page.topLevelDomain", "referring.topLevelDomain"),
        part(UrlField::Lower(0), "page.url_lc", "referring.url_lc"),
        part(UrlField::Lower(1), "page.path_lc", "referring.path_lc"),
        part(UrlField::Lower(2), "page.query_lc", "referring.query_lc"),
        part(UrlField::Lower(3), "page.fragment_lc", "referring.fragment_lc"),
        part(UrlField::Lower(4), "page.subdomain_lc", "referring.subdomain_lc"),
        part(UrlField::Lower(5), "page.domain_lc", "referring.domain_lc"),
        part(UrlField::Lower(6), "page.topLevelDomain_lc", "referring.topLevelDomain_lc"),
    ]
};

impl UrlField {
    const TWINS: [(&'static str, UrlField); 7] = [
        ("url", UrlField::Url),
        ("path", UrlField::Path),
        ("query", UrlField::Query),
        ("fragment", UrlField::Fragment),
        ("subdomain", UrlField::Subdomain),
        ("domain", UrlField::Domain),
        ("topLevelDomain", UrlField::TopLevelDomain),
    ];
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

impl Geo {
    /// `context.geo` of a request.
    pub(crate) fn of_request(geo: Option<Value<'_>>) -> Geo {
        let member = |key: &str| geo.and_then(|geo| geo.get(key));
        let text = |key: &str| member(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Cow::into_owned);
        let number = |key: &str| {
            member(key).filter(|value| value.kind() == Kind::Number).and_then(|value| value.raw().parse().ok())
        };
        Geo {
            country: text("countryCode"),
            region: text("stateCode"),
            city: text("city"),
            latitude: number("latitude"),
            longitude: number("longitude"),
        }
    }
}

/// The URLs of a page and of the one before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Address<'d> {
    url: Cow<'d, str>,
    referring_url: Cow<'d, str>,
}

impl<'d> Address<'d> {
    /// `address` of a request's context or of an mbox.
    pub(crate) fn of(address: Option<Value<'d>>) -> Address<'d> {
        let text = |key: &str| address.and_then(|address| address.get(key)).and_then(Value::as_str).unwrap_or_default();
        Address { url: text("url"), referring_url: text("referringUrl") }
    }
}

/// The texts of a request's context that rules may ask about.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextTexts<'d> {
    pub address: Address<'d>,
    user_agent: Option<Cow<'d, str>>,
    hints: [Option<Cow<'d, str>>; HINTS.len()],
}

/// The client hints that say something about browser and platform.
const HINTS: [&str; 3] = ["platform", "browserUAWithMajorVersion", "browserUAWithFullVersion"];

impl<'d> ContextTexts<'d> {
    /// Without client hints.
    pub(super) fn with(url: &'d str, referring_url: &'d str, user_agent: Option<&'d str>) -> ContextTexts<'d> {
        ContextTexts {
            address: Address { url: Cow::Borrowed(url), referring_url: Cow::Borrowed(referring_url) },
            user_agent: user_agent.map(Cow::Borrowed),
            hints: Default::default(),
        }
    }

    /// Of a request's `context`.
    pub(crate) fn of(context: Option<Value<'d>>) -> ContextTexts<'d> {
        let member = |key: &str| context.and_then(|context| context.get(key));
        let hints = member("clientHints");
        ContextTexts {
            address: Address::of(member("address")),
            user_agent: member("userAgent").and_then(Value::as_str),
            hints: HINTS.map(|hint| hints.and_then(|hints| hints.get(hint)).and_then(Value::as_str)),
        }
    }
}

/// One URL with its parts, made when they are asked for.
#[derive(Debug)]
struct Url<'c> {
    text: &'c str,
    parsed: OnceCell<PageUrl<'c>>,
    /// In lower case: url, path, query and fragment where they differ.
    lower: [OnceCell<Option<String>>; UrlField::TWINS.len()],
}

impl<'c> Url<'c> {
    fn new(text: &'c str) -> Self {
        Url { text, parsed: OnceCell::new(), lower: Default::default() }
    }

    fn parsed(&self) -> &PageUrl<'c> {
        self.parsed.get_or_init(|| PageUrl::parse(self.text))
    }

    fn field(&self, field: UrlField) -> &str {
        match field {
            UrlField::Url => self.text,
            UrlField::Path => self.parsed().path(),
            UrlField::Query => self.parsed().query(),
            UrlField::Fragment => self.parsed().fragment(),
            UrlField::Domain => self.parsed().domain(),
            UrlField::Subdomain => self.parsed().subdomain(),
            UrlField::TopLevelDomain => self.parsed().top_level_domain(),
            UrlField::Lower(twin) => {
                let plain = UrlField::TWINS.get(usize::from(twin)).map_or("", |(_, field)| self.field(*field));
                let lower = self.lower.get(usize::from(twin)).and_then(|cell| {
                    cell.get_or_init(|| {
                        let is_lower = plain.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
                        (!is_lower).then(|| plain.to_lowercase())
                    })
                    .as_deref()
                });
                lower.unwrap_or(plain)
            }
        }
    }
}

fn write_url<'u>(out: &mut String, field: impl Fn(UrlField) -> &'u str) {
    let mut object = ObjectWriter::begin(out);
    for (at, (name, plain)) in UrlField::TWINS.into_iter().enumerate() {
        object.string(name, field(plain));
        write_str(object.foreign_key(&format!("{name}_lc")), field(UrlField::Lower(at as u8)));
    }
    object.end();
}

/// What is the same for all of a request.
#[derive(Debug)]
pub(crate) struct Context<'c> {
    texts: &'c ContextTexts<'c>,
    now_ms: i64,
    geo: Geo,
    page: Url<'c>,
    referring: Url<'c>,
    user: OnceCell<User<'c>>,
    time: OnceCell<String>,
}

impl<'c> Context<'c> {
    pub(crate) fn new(texts: &'c ContextTexts<'c>, geo: Geo, now_ms: i64) -> Self {
        Context {
            texts,
            now_ms,
            geo,
            page: Url::new(&texts.address.url),
            referring: Url::new(&texts.address.referring_url),
            user: OnceCell::new(),
            time: OnceCell::new(),
        }
    }

    pub(crate) fn geo(&self) -> &Geo {
        &self.geo
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The URL of the page, and its registrable domain.
    pub(super) fn page_and_domain(&self) -> (&str, &str) {
        (self.page.text, self.page.field(UrlField::Domain))
    }

    fn user(&self) -> &User<'c> {
        self.user.get_or_init(|| {
            let texts = self.texts;
            let hint = |at: usize| texts.hints.get(at).and_then(|hint| hint.as_deref());
            let hints = ClientHints {
                platform: hint(0),
                browser_ua_with_major_version: hint(1),
                browser_ua_with_full_version: hint(2),
            };
            user(texts.user_agent.as_deref(), &hints)
        })
    }

    /// `HHmm` in UTC.
    fn time(&self) -> &str {
        self.time.get_or_init(|| {
            let minutes = self.now_ms.div_euclid(60_000).rem_euclid(24 * 60);
            format!("{:02}{:02}", minutes / 60, minutes % 60)
        })
    }

    /// 1 is Monday, 7 is Sunday.
    fn day(&self) -> i64 {
        // The first of January 1970 was a Thursday.
        (self.now_ms.div_euclid(24 * 3_600_000) + 3).rem_euclid(7) + 1
    }
}

/// What is an mbox's, view's or page load's own.
#[derive(Debug, Default)]
pub(super) struct PlaceTexts<'d> {
    /// Replaces the request's.
    address: Option<Address<'d>>,
    parameters: Parameters<'d>,
}

impl<'d> PlaceTexts<'d> {
    pub(super) fn of(detail: Option<Value<'d>>) -> PlaceTexts<'d> {
        let own = detail.and_then(|detail| detail.get("address")).filter(|value| value.kind() == Kind::Object);
        PlaceTexts { address: own.map(|own| Address::of(Some(own))), parameters: Parameters::of(detail) }
    }

    /// Of an mbox that has parameters and nothing else of its own.
    pub(super) fn with(parameters: Parameters<'d>) -> PlaceTexts<'d> {
        PlaceTexts { address: None, parameters }
    }
}

/// The context of the rules of one mbox, view or page load.
pub(super) struct Scope<'s, 'c> {
    context: &'s Context<'c>,
    own: Option<(Url<'s>, Url<'s>)>,
    parameters: Parameters<'c>,
    activities: &'s [AllocationPrefix],
    visitor: &'s Visitor<'s>,
    activity: u32,
    /// Of the activity whose number stands with it.
    allocation: Cell<Option<(u32, f64)>>,
    /// The parameters nested, for what asks for more than one of them.
    tree: OnceCell<Val<'static>>,
    /// Everything, for what asks in an unusual way.
    whole: OnceCell<Val<'static>>,
}

impl<'s, 'c> Scope<'s, 'c> {
    pub(super) fn new(
        context: &'s Context<'c>,
        place: &'s PlaceTexts<'c>,
        activities: &'s [AllocationPrefix],
        visitor: &'s Visitor<'s>,
    ) -> Self {
        let own = |address: &'s Address<'c>| (Url::new(&address.url), Url::new(&address.referring_url));
        Scope {
            context,
            own: place.address.as_ref().map(own),
            parameters: place.parameters,
            activities,
            visitor,
            activity: 0,
            allocation: Cell::new(None),
            tree: OnceCell::new(),
            whole: OnceCell::new(),
        }
    }

    /// Whose rule is asked next.
    pub(super) fn set_activity(&mut self, activity: u32) {
        if self.activity != activity {
            self.activity = activity;
            if self.whole.get().is_some() {
                self.whole.take();
            }
        }
    }

    fn page(&self, field: UrlField) -> &str {
        match &self.own {
            Some((page, _)) => page.field(field),
            None => self.context.page.field(field),
        }
    }

    fn referring(&self, field: UrlField) -> &str {
        match &self.own {
            Some((_, referring)) => referring.field(field),
            None => self.context.referring.field(field),
        }
    }

    fn tree(&self) -> &Val<'static> {
        self.tree.get_or_init(|| self.parameters.tree())
    }

    /// Of the visitor in the activity, in percent.
    pub(super) fn allocation(&self) -> f64 {
        match self.allocation.get() {
            Some((activity, allocation)) if activity == self.activity => allocation,
            _ => {
                let prefix = self.activities.get(self.activity as usize);
                let allocation = prefix.map_or(0.0, |prefix| prefix.allocation(self.visitor));
                self.allocation.set(Some((self.activity, allocation)));
                allocation
            }
        }
    }

    /// The context as traces show it.
    pub(super) fn write(&self, out: &mut String) {
        let context = self.context;
        let mut object = ObjectWriter::begin(out);
        object.number("current_timestamp", context.now_ms);
        object.string("current_time", context.time());
        object.number("current_day", context.day());
        let mut user = ObjectWriter::begin(object.key("user"));
        user.string("browserType", context.user().browser_type());
        user.string("platform", context.user().platform());
        user.string("locale", LOCALE);
        push_json_number(user.key("browserVersion"), context.user().browser_version());
        user.end();
        write_url(object.key("page"), |field| self.page(field));
        write_url(object.key("referring"), |field| self.referring(field));
        let geo = &context.geo;
        let mut place = ObjectWriter::begin(object.key("geo"));
        for (key, text) in [("country", &geo.country), ("region", &geo.region), ("city", &geo.city)] {
            if let Some(text) = text {
                place.string(key, text);
            }
        }
        for (key, number) in [("latitude", geo.latitude), ("longitude", geo.longitude)] {
            if let Some(number) = number {
                push_json_number(place.key(key), number);
            }
        }
        place.end();
        self.parameters.write_tree(object.key("mbox"));
        javascript::push_number(object.key("allocation"), self.allocation());
        object.end();
    }
}

/// A number as JSON; null stands for what is none there, such as a version too large for a double.
fn push_json_number(out: &mut String, number: f64) {
    if number.is_finite() { javascript::push_number(out, number) } else { out.push_str("null") }
}

/// What rules see as the visitor's language, whatever the browser says.
const LOCALE: &str = "en";

impl Variables for Scope<'_, '_> {
    fn var(&self, path: &VarPath) -> Val<'_> {
        match path.slot() {
            Slot::Mbox => {
                let name = path.text().strip_prefix("mbox.").unwrap_or("");
                self.parameters.find(name).unwrap_or_else(|| self.tree().clone().walk(name))
            }
            Slot::Other => self.everything().clone().walk(path.text()),
            _ => match (self.number(path), self.text(path)) {
                (Some(number), _) => Val::Number(number),
                (None, Some(text)) => Val::Text(Cow::Borrowed(text)),
                // A place that is not known.
                (None, None) => Val::Undefined,
            },
        }
    }

    fn number(&self, path: &VarPath) -> Option<f64> {
        let context = self.context;
        match path.slot() {
            Slot::Allocation => Some(self.allocation()),
            Slot::CurrentTimestamp => Some(context.now_ms as f64),
            Slot::CurrentDay => Some(context.day() as f64),
            Slot::User(UserField::BrowserVersion) => Some(context.user().browser_version()),
            Slot::Geo(GeoField::Latitude) => context.geo.latitude,
            Slot::Geo(GeoField::Longitude) => context.geo.longitude,
            _ => None,
        }
    }

    fn text(&self, path: &VarPath) -> Option<&str> {
        let context = self.context;
        match path.slot() {
            Slot::Page(field) => Some(self.page(field)),
            Slot::Referring(field) => Some(self.referring(field)),
            Slot::User(UserField::BrowserType) => Some(context.user().browser_type()),
            Slot::User(UserField::Platform) => Some(context.user().platform()),
            Slot::User(UserField::Locale) => Some(LOCALE),
            Slot::CurrentTime => Some(context.time()),
            Slot::Geo(GeoField::Country) => context.geo.country.as_deref(),
            Slot::Geo(GeoField::Region) => context.geo.region.as_deref(),
            Slot::Geo(GeoField::City) => context.geo.city.as_deref(),
            _ => None,
        }
    }

    fn whole(&self) -> Val<'_> {
        self.everything().clone()
    }
}

impl Scope<'_, '_> {
    fn everything(&self) -> &Val<'static> {
        self.whole.get_or_init(|| {
            let mut text = String::with_capacity(1024);
            self.write(&mut text);
            match Document::parse(&text, Strictness::Answer) {
                Ok(document) => parameters::owned(document.root()),
                // It was written by this module.
                Err(_) => Val::Null,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_paths_belong_together() {
        for (path, slot) in PATHS {
            assert_eq!((Slot::of(path), slot.path()), (slot, Some(path)));
        }
        for UrlPaths { field, page, referring } in URL_PATHS {
            assert_eq!((Slot::of(page), Slot::Page(field).path()), (Slot::Page(field), Some(page)));
            assert_eq!((Slot::of(referring), Slot::Referring(field).path()), (Slot::Referring(field), Some(referring)));
            let (url, name) = page.split_once('.').unwrap();
            assert_eq!((url, referring), ("page", &*format!("referring.{name}")));
            let twin = match field {
                UrlField::Lower(at) => format!("{}_lc", UrlField::TWINS[usize::from(at)].0),
                plain => UrlField::TWINS.iter().find(|(_, field)| *field == plain).unwrap().0.to_owned(),
            };
            assert_eq!(name, twin);
        }
        for (path, slot) in [
            ("mbox.a", Slot::Mbox),
            ("mbox.a.b_lc", Slot::Mbox),
            ("mbox.", Slot::Mbox),
            ("mbox", Slot::Other),
            ("page", Slot::Other),
            ("page.", Slot::Other),
            ("page.Url", Slot::Other),
            ("page.url_lc_lc", Slot::Other),
            ("page.url.length", Slot::Other),
            ("user.language", Slot::Other),
            ("geo", Slot::Other),
            ("", Slot::Other),
        ] {
            assert_eq!((Slot::of(path), slot.path()), (slot, None), "{path}");
        }
    }
}
