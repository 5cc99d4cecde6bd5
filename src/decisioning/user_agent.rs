//! stub
#[derive(Debug)]
pub(crate) struct User<'a>(Option<&'a str>);
impl User<'_> { pub(crate) fn browser_type(&self) -> &str { "" } pub(crate) fn platform(&self) -> &str { "" } pub(crate) fn browser_version(&self) -> f64 { 5.0 } }
pub(crate) struct ClientHints<'a> { pub mobile: Option<&'a str>, pub model: Option<&'a str>, pub platform: Option<&'a str>, pub browser_ua_with_major_version: Option<&'a str>, pub browser_ua_with_full_version: Option<&'a str>, pub platform_version: Option<&'a str>, pub architecture: Option<&'a str>, pub bitness: Option<&'a str> }
pub(crate) fn user<'a>(u: Option<&'a str>, _h: &ClientHints<'a>) -> User<'a> { User(u) }
