//! Which proxy a scheme's requests go through: from the configuration, or from the environment once.

use std::net::{IpAddr, Ipv6Addr};

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
    let is_http = matches!(parsed.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    if !is_http || parsed.host().is_empty() || !has_sound_port(&parsed) {
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
        if host.parse::<Ipv6Addr>().is_ok() {
            builder = builder.no_proxy(&format!("[{host}]"));
        } else if !host.starts_with(['.', '*']) && !host.ends_with(['.', '*']) && host.parse::<IpAddr>().is_err() {
            // Everywhere else a name stands for what is below it too.
            builder = builder.no_proxy(&format!(".{host}"));
        }
    }
    builder.build().map_err(|_| RULE)
}

/// ureq takes the default for a port that is no number.
fn has_sound_port(proxy: &Proxy) -> bool {
    let Some(authority) = proxy.uri().authority() else { return false };
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    match host_and_port.strip_prefix(authority.host()).map(|rest| rest.strip_prefix(':')) {
        Some(None) => true,
        Some(Some(port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
        None => false,
    }
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
    fn an_exempt_name_stands_for_what_is_below_it_and_an_address_for_itself() {
        let found = environment(&[("http_proxy", "http://a:1"), ("no_proxy", "example.com,::1,10.*,1.2.3.4")]).unwrap();
        let proxy = found.http.unwrap();
        for exempt in ["example.com", "X.Example.com", "[::1]:80", "10.0.0.1", "1.2.3.4"] {
            assert!(proxy.is_no_proxy(&format!("http://{exempt}/").parse().unwrap()), "{exempt}");
        }
        for other in ["anexample.com", "example.com.org", "[::2]", "11.0.0.1", "0.1.2.3.4"] {
            assert!(!proxy.is_no_proxy(&format!("http://{other}/").parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn credentials_are_read_and_never_repeated() {
        let found = proxies(&ProxySetting::Url("http://user:secret@p:8080".into()), |_| None).unwrap();
        assert_eq!(found.https.unwrap().password(), Some("secret"));
        let bad_ports = ["http://user:secret@p:x", "http://user:secret@p:99999", "http://user:secret@[::1]:0"];
        for bad in ["socks5://user:secret@p:1080", "http://user:secret@:x/"].into_iter().chain(bad_ports) {
            let error = proxies(&ProxySetting::Url(bad.into()), |_| None).unwrap_err();
            assert_eq!(error.details().field.as_deref(), Some("proxy"));
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
