pub(crate) fn push_number(out: &mut String, number: f64) { out.push_str(&number.to_string()) }
