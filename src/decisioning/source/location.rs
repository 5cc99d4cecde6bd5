//! Where the artifact is, in which form, and what of its address may be shown.

use crate::config::{ArtifactFormat, CdnEnvironment, ClientConfig, DEFAULT_CDN};
use crate::cookies::push_encoded;

/// The location of an artifact that the caller has given.
pub(crate) const NOT_APPLICABLE: &str = "Not Applicable";

/// Where a client's artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub url: String,
    /// The URL without its query, which may be a signature: for events, logs, stats and traces.
    pub shown: String,
    pub format: ArtifactFormat,
}

impl Location {
    /// The location that a valid configuration names.
    pub(crate) fn of(config: &ClientConfig) -> Self {
        let url = config.artifact_location.clone().unwrap_or_else(|| derived(config));
        let shown = url.split('?').next().unwrap_or_default().to_owned();
        let by_name =
            if shown.to_ascii_lowercase().ends_with(".bin") { ArtifactFormat::Bin } else { ArtifactFormat::Json };
        Location { format: config.artifact_format.unwrap_or(by_name), url, shown }
    }
}

fn derived(config: &ClientConfig) -> String {
    let mut url = cdn_base(config);
    let environment = config.environment.to_lowercase();
    for segment in [&*config.client, &*environment, "v1"].into_iter().chain(config.property_token.as_deref()) {
        url.push('/');
        push_encoded(&mut url, segment);
    }
    url.push_str(match config.artifact_format {
        Some(ArtifactFormat::Bin) => "/rules.bin",
        _ => "/rules.json",
    });
    url
}

/// `scheme://host[:port][/path]` of artifact and geo look-up, without a slash at its end.
pub(crate) fn cdn_base(config: &ClientConfig) -> String {
    let base = match (&*config.cdn_base_path, config.cdn_environment) {
        (DEFAULT_CDN, CdnEnvironment::Staging) => "assets.staging.adobetarget.com",
        (DEFAULT_CDN, CdnEnvironment::Development) => "assets.development.adobetarget.com",
        (base, _) => base.trim_end_matches('/'),
    };
    match config.secure {
        _ if base.contains("://") => base.to_owned(),
        true => format!("https://{base}"),
        false => format!("http://{base}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(members: &str) -> Location {
        let text = format!(r#"{{"client":"acme","organization_id":"1@AdobeOrg"{members}}}"#);
        Location::of(&ClientConfig::from_json(&text).unwrap())
    }

    #[test]
    fn the_address_is_made_of_client_environment_and_property() {
        for (members, url) in [
            ("", "https://assets.adobetarget.com/acme/production/v1/rules.json"),
            (r#","environment":"Staging""#, "https://assets.adobetarget.com/acme/staging/v1/rules.json"),
            (r#","environment":"My Env/É""#, "https://assets.adobetarget.com/acme/my%20env%2F%C3%A9/v1/rules.json"),
            (r#","property_token":"a b""#, "https://assets.adobetarget.com/acme/production/v1/a%20b/rules.json"),
            (r#","artifact_format":"bin""#, "https://assets.adobetarget.com/acme/production/v1/rules.bin"),
            (r#","secure":false"#, "http://assets.adobetarget.com/acme/production/v1/rules.json"),
            (r#","cdn_base_path":"cdn.test:8080/a/""#, "https://cdn.test:8080/a/acme/production/v1/rules.json"),
            (r#","cdn_base_path":"http://cdn.test""#, "http://cdn.test/acme/production/v1/rules.json"),
            (r#","cdn_base_path":"https://cdn.test","secure":false"#, "https://cdn.test/acme/production/v1/rules.json"),
            (
                r#","cdn_base_path":"cdn.test","cdn_environment":"staging""#,
                "https://cdn.test/acme/production/v1/rules.json",
            ),
        ] {
            assert_eq!(location(members).url, url, "{members}");
        }
    }

    #[test]
    fn other_cdn_environments_have_hosts_of_their_own() {
        let hosts = ["production", "staging", "development"].map(|environment| {
            let url = location(&format!(r#","cdn_environment":"{environment}""#)).url;
            url.split('/').nth(2).unwrap().to_owned()
        });
        assert!(hosts.iter().all(|host| host.ends_with(".adobetarget.com")), "{hosts:?}");
        assert!(hosts[0] != hosts[1] && hosts[1] != hosts[2] && hosts[0] != hosts[2], "{hosts:?}");
    }

    #[test]
    fn a_whole_address_stands_as_it_is_and_its_query_is_not_shown() {
        let location = location(r#","artifact_location":"https://x.test/r.BIN?sig=secret","secure":false"#);
        assert_eq!(location.url, "https://x.test/r.BIN?sig=secret");
        assert_eq!(location.shown, "https://x.test/r.BIN");
    }

    #[test]
    fn the_form_is_that_of_the_name_unless_it_is_given() {
        for (members, format) in [
            ("", ArtifactFormat::Json),
            (r#","artifact_location":"https://x.test/rules.bin""#, ArtifactFormat::Bin),
            (r#","artifact_location":"https://x.test/rules.bin?a=.json""#, ArtifactFormat::Bin),
            (r#","artifact_location":"https://x.test/rules?a=.bin""#, ArtifactFormat::Json),
            (r#","artifact_location":"https://x.test/rules.bin","artifact_format":"json""#, ArtifactFormat::Json),
            (r#","artifact_location":"https://x.test/rules","artifact_format":"bin""#, ArtifactFormat::Bin),
        ] {
            assert_eq!(location(members).format, format, "{members}");
        }
    }
}
