//! stub
#[derive(Debug)]
pub(crate) struct AllocationPrefix;
impl AllocationPrefix { pub(crate) fn new(_c: &str, _a: &str) -> Self { AllocationPrefix } pub(crate) fn allocation(&self, _v: &str) -> f64 { 5.0 } }
pub(crate) fn allocation_id_of<'a>(m: Option<&'a str>, t: Option<&'a str>, p: Option<&'a str>) -> Option<&'a str> { m.or(t).or(p) }
