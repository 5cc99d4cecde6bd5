//! The rule artifact: its two forms, its version, and its rules compiled.

use crate::config::ArtifactFormat;

/// A compiled artifact. Immutable; shared by all decisions made from it.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// `version`, such as `1.0.0`.
    pub version: String,
    /// Whether decisions want to know where the visitor is.
    pub geo_targeting_enabled: bool,
    /// Rules that cannot be used, each left out.
    pub skipped: Vec<SkippedRule>,
}

/// A rule that was left out when the artifact was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkippedRule {
    /// `ruleKey`, or a description of its place where it has none.
    pub rule_key: String,
    pub reason: String,
}

/// Why an artifact cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// Another major version; the words are the field's.
    #[error(
        "The decisioning artifact version ({0}) is not supported. This library is compatible with this major version: 1"
    )]
    UnsupportedVersion(String),
    /// No artifact at all: an HTML page, a truncated download, another structure.
    #[error("{0}")]
    Unusable(String),
}

impl Artifact {
    /// Reads and compiles an artifact of either form. `organization_id` unmasks the `bin` form.
    pub(crate) fn read(
        _bytes: Vec<u8>,
        _format: ArtifactFormat,
        _organization_id: &str,
    ) -> Result<Artifact, ArtifactError> {
        Err(ArtifactError::Unusable("not here yet".to_owned()))
    }
}
