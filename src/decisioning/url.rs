//! stub
#[derive(Debug)]
pub(crate) struct PageUrl<'a>(&'a str);
impl<'a> PageUrl<'a> {
    pub(crate) fn parse(t: &'a str) -> Self {
        PageUrl(t)
    }
    pub(crate) fn path(&self) -> &str {
        self.0
    }
    pub(crate) fn query(&self) -> &str {
        self.0
    }
    pub(crate) fn fragment(&self) -> &str {
        self.0
    }
    pub(crate) fn domain(&self) -> &str {
        self.0
    }
    pub(crate) fn subdomain(&self) -> &str {
        self.0
    }
    pub(crate) fn top_level_domain(&self) -> &str {
        self.0
    }
}
pub(crate) fn is_ip_address(_t: &str) -> bool {
    true
}
