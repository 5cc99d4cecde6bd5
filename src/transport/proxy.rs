//! Which proxy a scheme's requests go through: from the configuration, or from the environment once.

use ureq::{Proxy, ProxyProtocol};

use crate::config::ProxySetting;
use crate::error::TargetError;

/// A proxy for each scheme, or none.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Proxies {
    pub http: Option<Proxy>,
    pub https: Option<Proxy>,
}

/// Reads the setting; the environment through `variable`.
pub(crate) fn proxies(
    setting: &ProxySetting,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Proxies, TargetError> {
    match setting {
        ProxySetting::None => Ok(Proxies::default()),
        ProxySetting::Url(url) => {
            let proxy = Some(build(url, None).map_err(|reason| {
                // The URL may hold credentials: it is not repeated.
                TargetError::invalid_options("proxy", format!("`proxy` {reason}"))
            })?);
            Ok(Proxies { http: proxy.clone(), https: proxy })
        }
        ProxySetting::Env => {
            let first = |names: &[&'static str]| {
                names
                    .iter()
                    .find_map(|name| variable(name).filter(|value| !value.is_empty()).map(|value| (*name, value)))
            };
            let exempt = first(&["no_proxy", "NO_PROXY"]).map(|(_, hosts)| hosts);
            let of = |names: &[&'static str]| match first(names) {
                None => Ok(None),
                Some((name, url)) => build(&url, exempt.as_deref()).map(Some).map_err(|reason| {
                    TargetError::invalid_options("proxy", format!("environment variable {name} {reason}"))
                }),
            };
            Ok(Proxies {
                // HTTP_PROXY in capitals can be set by a CGI client's header.
                http: of(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
                https: of(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            })
        }
    }
}

const RULE: &str = "must be a URL such as http://user:password@proxy.example.com:3128 (http or https)";

fn build(url: &str, exempt: Option<&str>) -> Result<Proxy, &'static str> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let parsed = Proxy::new(&url).map_err(|_| RULE)?;
    if !matches!(parsed.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) || parsed.host().is_empty() {
        return Err(RULE);
    }
    let mut builder = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in exempt.unwrap_or("").split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(|_| RULE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&str, &str)]) -> Result<Proxies, TargetError> {
        proxies(&ProxySetting::Env, |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_is_read_by_scheme() {
        let found = environment(&[("http_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2")]).unwrap();
        assert_eq!(found.http.unwrap().host(), "a");
        assert_eq!(found.https.unwrap().port(), 2);
        let found = environment(&[("ALL_PROXY", "c:3")]).unwrap();
        assert_eq!((found.http.unwrap().host(), found.https.unwrap().host()), ("c", "c"));
        assert_eq!(environment(&[("HTTP_PROXY", "http://evil:1")]).unwrap(), Proxies::default());
    }

    #[test]
    fn exempt_hosts_go_directly() {
        let found = environment(&[("http_proxy", "http://a:1"), ("no_proxy", "localhost, .example.com")]).unwrap();
        let proxy = found.http.unwrap();
        assert!(proxy.is_no_proxy(&"http://localhost/".parse().unwrap()));
        assert!(proxy.is_no_proxy(&"http://x.example.com/".parse().unwrap()));
        assert!(!proxy.is_no_proxy(&"http://example.org/".parse().unwrap()));
    }

    #[test]
    fn credentials_are_read_and_never_repeated() {
        let found = proxies(&ProxySetting::Url("http://user:secret@p:8080".into()), |_| None).unwrap();
        assert_eq!(found.https.unwrap().password(), Some("secret"));
        for bad in ["socks5://user:secret@p:1080", "http://user:secret@:x/"] {
            let error = proxies(&ProxySetting::Url(bad.into()), |_| None).unwrap_err();
            assert_eq!(error.details().field.as_deref(), Some("proxy"));
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
