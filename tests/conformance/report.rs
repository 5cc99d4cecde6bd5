//! Verdicts on cases and the table of their counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As recorded.
    Passed,
    /// Otherwise on purpose, as these rules say, and asserted.
    Deviation(BTreeSet<&'static str>),
    /// Not run, for this reason.
    Skipped(String),
    /// Neither; one line for each difference.
    Failed(Vec<String>),
}

impl Verdict {
    /// That of a case that ran under these rules with these differences.
    pub fn of(differences: Vec<String>, rules: BTreeSet<&'static str>) -> Self {
        if !differences.is_empty() {
            Verdict::Failed(differences)
        } else if rules.is_empty() {
            Verdict::Passed
        } else {
            Verdict::Deviation(rules)
        }
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    deviation: usize,
    skipped: usize,
    failed: usize,
}

/// The verdicts of all files.
#[derive(Default)]
pub struct Report {
    areas: Vec<(String, String, Counts)>,
    rules: BTreeMap<&'static str, usize>,
    reasons: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Report {
    pub fn add(&mut self, file: &str, area: &str, name: &str, verdict: Verdict) {
        let at = self.areas.iter().position(|(known, of, _)| known == file && of == area).unwrap_or_else(|| {
            self.areas.push((file.to_owned(), area.to_owned(), Counts::default()));
            self.areas.len() - 1
        });
        let counts = &mut self.areas[at].2;
        match verdict {
            Verdict::Passed => counts.passed += 1,
            Verdict::Deviation(rules) => {
                counts.deviation += 1;
                for rule in rules {
                    *self.rules.entry(rule).or_default() += 1;
                }
            }
            Verdict::Skipped(reason) => {
                counts.skipped += 1;
                *self.reasons.entry(format!("{file}: {reason}")).or_default() += 1;
            }
            Verdict::Failed(differences) => {
                counts.failed += 1;
                self.failures.push(format!("{name} ({file}, {area})\n    {}", differences.join("\n    ")));
            }
        }
    }

    /// One line for each failed case, and one for each of its differences.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Counts by file and area, the rules in use, the reasons of skips.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, counts: &Counts| {
            let Counts { passed, deviation, skipped, failed } = counts;
            let _ = writeln!(out, "{name:<46}{passed:>8}{deviation:>10}{skipped:>8}{failed:>8}");
        };
        let mut all = Counts::default();
        let mut files: Vec<&str> = self.areas.iter().map(|(file, ..)| file.as_str()).collect();
        files.dedup();
        for file in files {
            let mut sum = Counts::default();
            for (_, area, counts) in self.areas.iter().filter(|(of, ..)| of == file) {
                line(&format!("{file} / {area}"), counts);
                for total in [&mut sum, &mut all] {
                    total.passed += counts.passed;
                    total.deviation += counts.deviation;
                    total.skipped += counts.skipped;
                    total.failed += counts.failed;
                }
            }
            line(&format!("{file}, all"), &sum);
        }
        line("all", &all);
        let head = format!("{:<46}{:>8}{:>10}{:>8}{:>8}\n", "", "passed", "deviation", "skipped", "failed");
        let mut text = format!("\n{head}{out}\ndeviations, by rule (a case may have several):\n");
        for (rule, count) in &self.rules {
            let _ = writeln!(text, "{count:>5}  {rule}");
        }
        text.push_str("\nskipped, by reason:\n");
        for (reason, count) in &self.reasons {
            let _ = writeln!(text, "{count:>5}  {reason}");
        }
        text
    }
}
