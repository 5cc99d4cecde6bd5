//! Artifacts of a chosen size with the rules that Target exports: splits by allocation, and audiences by page, browser,
//! parameter, place and time. The same call makes the same text, so that figures of two machines can be compared.

use serde_json::{Map, Value, json};

pub const GLOBAL_MBOX: &str = "target-global-mbox";
/// Rules of each mbox of [`Artifact::Mboxes`].
pub const RULES_PER_MBOX: usize = 10;
/// Of so many activities on the global mbox one has an audience with the visitor of the benchmark in it.
const ONE_MATCHES_OF: usize = 20;

/// An artifact, by the rules in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Artifact {
    /// One mbox, one activity: two halves of its visitors.
    TwoRules,
    /// So many mboxes of ten rules. The last activity of each mbox has everyone in its audience.
    Mboxes(usize),
    /// A page made with the visual composer: two activities, 24 rules, five of them match.
    PageLoad,
    /// So many activities of two rules on the global mbox; one of twenty matches.
    Global(usize),
    /// Three views.
    Views,
}

impl Artifact {
    pub fn name(self) -> String {
        match self {
            Artifact::TwoRules => "2-rules".to_owned(),
            Artifact::Mboxes(count) => format!("{}-rules", count * RULES_PER_MBOX),
            Artifact::PageLoad => "page-load".to_owned(),
            Artifact::Global(count) => format!("{}-global-rules", count * 2),
            Artifact::Views => "views".to_owned(),
        }
    }

    /// The text as the CDN would serve it. `edition` tells otherwise equal artifacts apart, by their offers.
    pub fn json(self, edition: usize) -> String {
        let mut rules = Rules { edition, ..Default::default() };
        match self {
            Artifact::TwoRules => rules.add_two(),
            Artifact::Mboxes(count) => (0..count).for_each(|number| rules.add_mbox(number)),
            Artifact::PageLoad => rules.add_page_load(),
            Artifact::Global(count) => (0..count).for_each(|number| rules.add_global(number)),
            Artifact::Views => rules.add_views(),
        }
        rules.into_artifact().to_string()
    }
}

/// Name of the mbox with that number.
pub fn mbox(number: usize) -> String {
    format!("home-{number:04}")
}

#[derive(Default)]
struct Rules {
    edition: usize,
    mboxes: Map<String, Value>,
    views: Map<String, Value>,
}

/// Where a rule shows something: an mbox or view, and the how-many-th place in its activity.
struct Place<'a> {
    name: &'a str,
    kind: &'static str,
    location: usize,
}

impl Rules {
    fn add_two(&mut self) {
        let place = Place { name: &mbox(0), kind: "mbox", location: 0 };
        let audience = || {
            json!({"and": [
                {"!": {"in": ["/checkout", {"var": "page.path_lc"}]}},
                {"!": {"==": [{"var": "user.browserType"}, "ie"]}},
            ]})
        };
        for half in 0..2 {
            let condition = json!({"and": [split(half), audience()]});
            let rule = self.rule(&place, 120_000, half, condition, |offer| offer.json());
            self.put(&place, rule);
        }
    }

    /// Four activities whose audience the visitor of the benchmark is not in, then one for everybody.
    fn add_mbox(&mut self, number: usize) {
        let name = mbox(number);
        let place = Place { name: &name, kind: "mbox", location: 0 };
        for kind in 0..RULES_PER_MBOX / 2 {
            let activity = 130_000 + number * RULES_PER_MBOX + kind;
            for half in 0..2 {
                let audience = if kind < AUDIENCES { other_audience(kind, number) } else { any_time(number) };
                let condition = json!({"and": [split(half), audience]});
                let rule = self.rule(&place, activity, half, condition, |offer| match number % 10 {
                    9 => offer.html_with_macros(),
                    even if even % 2 == 0 => offer.json(),
                    _ => offer.html(),
                });
                self.put(&place, rule);
            }
        }
    }

    fn add_page_load(&mut self) {
        for (activity, locations) in [(125_900, 5), (125_903, 7)] {
            for location in 0..locations {
                let place = Place { name: GLOBAL_MBOX, kind: "view", location };
                for half in 0..2 {
                    let page = this_page();
                    let condition = match locations {
                        5 => json!({"and": [split(half), page]}),
                        _ => json!({"and": [split(half), {"==": ["correct", {"var": "mbox.greg"}]}, page]}),
                    };
                    let rule = self.rule(&place, activity, half, condition, |offer| offer.actions());
                    self.put(&place, rule);
                }
            }
        }
    }

    fn add_global(&mut self, number: usize) {
        let place = Place { name: GLOBAL_MBOX, kind: "view", location: 0 };
        for half in 0..2 {
            let audience = if number.is_multiple_of(ONE_MATCHES_OF) {
                this_page()
            } else {
                other_audience(number % AUDIENCES, number)
            };
            let condition = json!({"and": [split(half), audience]});
            let rule = self.rule(&place, 140_000 + number, half, condition, |offer| offer.actions());
            self.put(&place, rule);
        }
    }

    fn add_views(&mut self) {
        for (view, activity) in [("home", 126_000), ("product", 126_001), ("contact", 126_002)] {
            for location in 0..4 {
                let place = Place { name: view, kind: "view", location };
                for half in 0..2 {
                    let condition = json!({"and": [split(half), this_page()]});
                    let rule = self.rule(&place, activity, half, condition, |offer| offer.actions());
                    self.put(&place, rule);
                }
            }
        }
    }

    fn rule(
        &self,
        place: &Place<'_>,
        activity: usize,
        experience: usize,
        condition: Value,
        option: impl FnOnce(&Offer) -> Value,
    ) -> Value {
        let offer = Offer { edition: self.edition, activity, experience, location: place.location };
        let letter = if experience == 0 { "A" } else { "B" };
        let mut meta = json!({
            "activity.id": activity,
            "activity.name": format!("Spring campaign {activity} on {}", place.name),
            "activity.type": "ab",
            "experience.id": experience,
            "experience.name": format!("Experience {letter}"),
            "location.name": place.name,
            "location.type": place.kind,
            "location.id": place.location,
            "audience.ids": [1_821_000 + activity],
            "option.id": experience + 2,
            "option.name": format!("Offer{}", experience + 2),
        });
        let by_composer = place.kind == "view";
        if !by_composer {
            meta["offer.id"] = json!(246_000 + activity * 2 + experience);
            meta["offer.name"] =
                json!(format!("/spring/experiences/{experience}/pages/0/zones/0/16123{activity:08}{experience}"));
        }
        let metrics = if by_composer {
            json!([{"type": "click", "selector": "#hero > A:nth-of-type(1)", "eventToken": offer.token(22, "click")}])
        } else {
            json!([])
        };
        json!({
            "ruleKey": if by_composer { format!("{activity}-{}", place.location) } else { activity.to_string() },
            "activityId": activity,
            "meta": meta,
            "condition": condition,
            "consequence": {"name": place.name, "options": [option(&offer)], "metrics": metrics},
        })
    }

    fn put(&mut self, place: &Place<'_>, rule: Value) {
        let of_a_view = place.kind == "view" && place.name != GLOBAL_MBOX;
        let all = if of_a_view { &mut self.views } else { &mut self.mboxes };
        let list = all.entry(place.name).or_insert_with(|| json!([]));
        list.as_array_mut().expect("lists alone are put there").push(rule);
    }

    fn into_artifact(self) -> Value {
        let mut local_mboxes: Vec<&str> = self.mboxes.keys().map(String::as_str).collect();
        if !self.mboxes.contains_key(GLOBAL_MBOX) {
            local_mboxes.push(GLOBAL_MBOX);
        }
        json!({
            "version": "1.0.0",
            "meta": {"clientCode": "demo", "environment": "production", "generatedAt": "2026-01-15T10:00:00.000Z"},
            "globalMbox": GLOBAL_MBOX,
            "geoTargetingEnabled": true,
            "responseTokens": [
                "activity.id", "activity.name", "experience.id", "experience.name", "geo.city", "geo.country",
                "geo.state", "offer.id", "offer.name", "option.id", "option.name",
            ],
            "remoteMboxes": ["account-recommendations"],
            "remoteViews": [],
            "localMboxes": local_mboxes,
            "localViews": self.views.keys().collect::<Vec<_>>(),
            "rules": {"mboxes": self.mboxes, "views": self.views},
        })
    }
}

/// The first or the second half of an activity's visitors.
fn split(half: usize) -> Value {
    match half {
        0 => json!({"and": [{"<=": [0, {"var": "allocation"}]}, {">=": [50, {"var": "allocation"}]}]}),
        _ => json!({"and": [{"<": [50, {"var": "allocation"}]}, {">=": [100, {"var": "allocation"}]}]}),
    }
}

/// Kinds of [`other_audience`].
const AUDIENCES: usize = 4;

/// An audience that the visitor of the benchmark is not in.
fn other_audience(kind: usize, number: usize) -> Value {
    match kind {
        0 => json!({"and": [
            {"or": [{"==": ["GERMANY", {"var": "geo.country"}]}, {"==": ["DE", {"var": "geo.country"}]}]},
            {"or": [{"==": ["BAVARIA", {"var": "geo.region"}]}, {"==": ["BY", {"var": "geo.region"}]}]},
            {"!": {"==": [format!("MUNICH {number}"), {"var": "geo.city"}]}},
        ]}),
        1 => json!({"and": [
            {"or": [{"==": [{"var": "user.browserType"}, "firefox"]}, {"==": [{"var": "user.browserType"}, "safari"]}]},
            {"==": [{"var": "user.platform"}, "mac"]},
            {">=": [{"var": "user.browserVersion"}, 60 + number % 40]},
        ]}),
        2 => json!({"and": [
            {"==": [format!("segment-{number}"), {"var": "mbox.segment_lc"}]},
            {">": [{"var": "mbox.cart.total"}, 100]},
        ]}),
        _ => json!({"or": [
            {"and": [
                {"==": [format!("brand-{number}.com"), {"var": "page.domain_lc"}]},
                {"==": ["com", {"var": "page.topLevelDomain_lc"}]},
            ]},
            {"in": [format!("/campaign-{number}/"), {"var": "page.url_lc"}]},
            {"in": [format!("source={number}"), {"var": "referring.query_lc"}]},
        ]}),
    }
}

/// An audience with everybody in it, now.
fn any_time(number: usize) -> Value {
    if number.is_multiple_of(2) {
        // From 2020 to 2100.
        return json!({"<=": [1_577_836_800_000_u64, {"var": "current_timestamp"}, 4_102_444_800_000_u64]});
    }
    let days: Vec<Value> = (1..=7).map(|day| json!({"==": [{"var": "current_day"}, day.to_string()]})).collect();
    json!({"and": [{"or": days}, {"<=": ["0000", {"var": "current_time"}, "2359"]}]})
}

/// The page of the requests that have one.
fn this_page() -> Value {
    json!({"and": [
        {"==": ["example.co.uk", {"var": "page.domain"}]},
        {"in": ["/products/", {"var": "page.path_lc"}]},
    ]})
}

/// What a rule shows.
struct Offer {
    edition: usize,
    activity: usize,
    experience: usize,
    location: usize,
}

impl Offer {
    /// Base64 without a meaning, of the length that Target's have.
    fn token(&self, length: usize, purpose: &str) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut state = (self.activity as u64) << 24 | (self.location as u64) << 8 | self.experience as u64;
        state ^= (purpose.len() as u64) << 56;
        let mut text: String = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ALPHABET[(state >> 58) as usize] as char
            })
            .collect();
        text.push_str("==");
        text
    }

    fn option(&self, kind: &str, content: Value) -> Value {
        json!({"type": kind, "eventToken": self.token(86, "display"), "content": content})
    }

    fn json(&self) -> Value {
        let content = json!({
            "headline": format!("Edition {} of campaign {}", self.edition, self.activity),
            "layout": if self.experience == 0 { "wide" } else { "narrow" },
            "discount": 15,
            "showBanner": true,
        });
        self.option("json", content)
    }

    fn html(&self) -> Value {
        let content = format!(
            "<div class=\"hero\"><h1>Edition {} of campaign {}</h1>\n<a href=\"/spring?e={}\">Look</a></div>",
            self.edition, self.activity, self.experience
        );
        self.option("html", json!(content))
    }

    fn html_with_macros(&self) -> Value {
        let content = format!(
            "<div class=\"hero\" data-edition=\"{}\" data-activity=\"${{activity.id}}\"><h1>${{campaign.name}}</h1>\n\
             <p>${{campaign.recipe.name}} for ${{mbox.name}}, ${{mbox.segment}}</p></div>",
            self.edition
        );
        self.option("html", json!(content))
    }

    fn actions(&self) -> Value {
        let selector = format!("HTML > BODY > DIV:nth-of-type({}) > H1:nth-of-type(1)", self.location + 1);
        let content = json!([{
            "type": "setHtml",
            "selector": selector,
            "cssSelector": selector,
            "content": format!("Edition {} of campaign {}-{}", self.edition, self.activity, self.experience),
        }]);
        self.option("actions", content)
    }
}
