//! The report: what the edge counted, in the form in which it is shown.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::artifact::{Form, Loaded};
use super::faults::Route;
use super::scenario::PAGE_LOAD;
use super::subject::Subject;

/// Names of mboxes and activities come from requests and could be without end.
pub(super) const MAX_NAMES: usize = 10_000;
/// Of a larger artifact only what was counted is listed.
const MAX_LISTED: usize = 1000;

/// A total and its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// All of them.
    pub total: u64,
    /// By name of the mbox or view; page loads are counted under `target-global-mbox`.
    pub by_mbox: BTreeMap<String, u64>,
}

/// The notifications that were processed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessedNotifications {
    /// How many, each repetition included.
    pub processed: u64,
    /// How many different ids.
    pub distinct: u64,
    /// How often each id was processed. Empty in a report without ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ids: BTreeMap<String, u64>,
    /// How often each id was counted: as an impression, a visit or a click. Less often than it was processed where an
    /// `impressionId` had been seen. Empty in a report without ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, u64>,
}

/// The counts of one experience of one activity in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ActivityCounts {
    /// The activity's id.
    pub id: String,
    /// The activity's name; empty for a token of an activity that the scenario does not have.
    pub name: String,
    /// The experience's id; empty for the scenario's, which have none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub experience_id: String,
    /// The experience's name; empty for clicks of which only the activity is known.
    pub experience: String,
    /// The mbox or view, `target-global-mbox` for page loads.
    pub mbox: String,
    /// Impressions counted.
    pub impressions: u64,
    /// Clicks counted.
    pub clicks: u64,
    /// Whether it is the scenario's and not an artifact's.
    #[serde(skip)]
    pub(super) of_scenario: bool,
}

/// The requests of one route that is no delivery call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RouteCounts {
    /// Those whose head and body were read, whatever they were answered.
    pub requests: u64,
    /// Answers, by status. A request that got none, or garbage, is not among them.
    pub by_status: BTreeMap<u16, u64>,
}

impl RouteCounts {
    /// How many were answered with this status.
    pub fn status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or_default()
    }
}

/// What an edge has counted since it started or was reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Delivery requests whose head and body were read, whatever they were answered.
    pub requests: u64,
    /// Connections accepted since the edge started.
    pub connections: u64,
    /// Delivery requests that were answered with a status from 400 on, by status.
    pub errors: BTreeMap<u16, u64>,
    /// Displayed content: of `execute`, and of `display` notifications with tokens. Once per `impressionId`.
    pub impressions: Tally,
    /// `click` notifications, each time they come.
    pub clicks: Tally,
    /// `display` notifications without tokens. Once per `impressionId`.
    pub visits: Tally,
    /// Orders of `execute` and of notifications, each time they come.
    pub orders: u64,
    /// Impressions and visits that were not counted because their `impressionId` had been seen.
    pub duplicate_impressions: u64,
    /// The notifications that were processed.
    pub notifications: ProcessedNotifications,
    /// By activity, experience and mbox: those of the scenario, then those of the artifact, then those of former
    /// artifacts. What nobody has seen is listed with zeros, unless there are more than a thousand of them.
    pub activities: Vec<ActivityCounts>,
    /// The entity tag of the artifact's plain JSON form, without quotes; `None` when none is served.
    pub artifact_etag: Option<String>,
    /// Requests for the artifact.
    pub artifact_requests: RouteCounts,
    /// Requests to the geo service.
    pub geo_requests: RouteCounts,
    /// Different session ids.
    pub sessions: u64,
    /// The most delivery requests that were being answered at the same time.
    pub concurrent_max: u64,
    /// The most delivery requests of a single session that were being answered at the same time.
    pub session_concurrent_max: u64,
    /// A bound on memory was met: totals are right, names, ids and sessions are incomplete.
    pub truncated: bool,
}

impl Report {
    /// The report as JSON, as `/report.json` has it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The counts of one experience in one place, zeros when nothing was counted. Page loads are counted under the
    /// name of the global mbox.
    pub fn counts(&self, activity: &str, experience: &str, mbox: &str) -> ActivityCounts {
        let fits = |one: &&ActivityCounts| one.id == activity && one.experience == experience && one.mbox == mbox;
        self.activities.iter().find(fits).cloned().unwrap_or_default()
    }

    /// The counts of a route that has its own.
    pub(super) fn route(&mut self, route: Route) -> Option<&mut RouteCounts> {
        match route {
            Route::Delivery => None,
            Route::Artifact => Some(&mut self.artifact_requests),
            Route::Geo => Some(&mut self.geo_requests),
        }
    }

    /// Lists what the artifact can show, in its order, and leaves out what the scenario would show in its stead.
    pub(super) fn list(&mut self, artifact: &Loaded) {
        self.artifact_etag = Some(artifact.etag(Form::Json, false));
        let counted = std::mem::take(&mut self.activities);
        let (scenario, others): (Vec<_>, Vec<_>) = counted.into_iter().partition(|one| one.of_scenario);
        let shadowed = |one: &ActivityCounts| {
            let name = if one.mbox == PAGE_LOAD { artifact.global_mbox() } else { &one.mbox };
            one.impressions == 0 && one.clicks == 0 && artifact.has_rules(name)
        };
        self.activities.extend(scenario.into_iter().filter(|one| !shadowed(one)));
        let mut others: Vec<Option<ActivityCounts>> = others.into_iter().map(Some).collect();
        let mut position_of: HashMap<[String; 4], usize> = HashMap::new();
        for (position, one) in others.iter().flatten().enumerate() {
            let key = [&one.mbox, &one.id, &one.experience_id, &one.experience].map(String::clone);
            position_of.insert(key, position);
        }
        let list_all = artifact.subjects.len() <= MAX_LISTED;
        for subject in &artifact.subjects {
            let key =
                [&subject.name, &subject.activity, &subject.experience_id, &subject.experience].map(String::clone);
            let counted = position_of.get(&key).and_then(|position| others.get_mut(*position)?.take());
            self.activities.extend(counted.or_else(|| list_all.then(|| ActivityCounts::of(subject, false))));
        }
        self.activities.extend(others.into_iter().flatten());
    }
}

impl ActivityCounts {
    /// Zeros for a subject.
    pub(super) fn of(subject: &Subject, of_scenario: bool) -> Self {
        Self {
            id: subject.activity.clone(),
            name: subject.activity_name.clone(),
            experience_id: subject.experience_id.clone(),
            experience: subject.experience.clone(),
            mbox: subject.name.clone(),
            impressions: 0,
            clicks: 0,
            of_scenario,
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, name: &str, truncated: &mut bool) {
        self.total += 1;
        if let Some(count) = self.by_mbox.get_mut(name) {
            *count += 1;
        } else if self.by_mbox.len() < MAX_NAMES {
            self.by_mbox.insert(name.to_owned(), 1);
        } else {
            *truncated = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_edge::artifact::Artifacts;
    use serde_json::{Value, json};

    #[test]
    fn totals_go_on_beyond_the_bound_of_names() {
        let (mut tally, mut truncated) = (Tally::default(), false);
        for number in 0..=MAX_NAMES {
            assert!(!truncated);
            tally.add(&number.to_string(), &mut truncated);
        }
        tally.add("0", &mut truncated);
        assert!(truncated);
        assert_eq!((tally.total, tally.by_mbox.len(), tally.by_mbox["0"]), (MAX_NAMES as u64 + 2, MAX_NAMES, 2));
    }

    fn row(mbox: &str, experience: &str, impressions: u64, of_scenario: bool) -> ActivityCounts {
        ActivityCounts {
            id: "1".to_owned(),
            experience: experience.to_owned(),
            mbox: mbox.to_owned(),
            impressions,
            of_scenario,
            ..ActivityCounts::default()
        }
    }

    fn listed(rows: Vec<ActivityCounts>, artifact: &Value) -> Vec<(String, String, u64)> {
        let mut report = Report { activities: rows, ..Report::default() };
        report.list(&Artifacts::default().set(artifact.to_string()).unwrap());
        report.activities.into_iter().map(|one| (one.mbox, one.experience, one.impressions)).collect()
    }

    #[test]
    fn the_artifact_is_listed_in_its_order() {
        let rule = |experience: &str| json!({"activityId": 1, "meta": {"experience.name": experience}});
        let artifact = json!({"rules": {"mboxes": {"m": [rule("A"), rule("B")], "target-global-mbox": [rule("A")]}}});
        let rows = vec![
            row("m", "scenario, seen", 3, true),
            row("m", "scenario", 0, true),
            row(PAGE_LOAD, "scenario", 0, true),
            row("other", "scenario", 0, true),
            row("m", "former", 1, false),
            row("m", "B", 2, false),
        ];
        let expected = [
            ("m", "scenario, seen", 3),
            ("other", "scenario", 0),
            ("m", "A", 0),
            ("m", "B", 2),
            (PAGE_LOAD, "A", 0),
            ("m", "former", 1),
        ];
        assert_eq!(
            listed(rows, &artifact),
            expected.map(|(mbox, name, count)| (mbox.to_owned(), name.to_owned(), count))
        );
    }

    #[test]
    fn of_a_large_artifact_only_what_was_counted_is_listed() {
        let rules: Vec<Value> = (0..=MAX_LISTED)
            .map(|number| json!({"activityId": 1, "meta": {"experience.name": number.to_string()}}))
            .collect();
        let artifact = json!({"rules": {"mboxes": {"m": rules}}});
        assert_eq!(listed(vec![row("m", "5", 1, false)], &artifact), [("m".to_owned(), "5".to_owned(), 1)]);
    }
}
