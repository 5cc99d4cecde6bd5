use super::parser::MAX_DEPTH;
use super::*;

fn parse(text: &str) -> Result<Document<'_>, ParseError> {
    Document::parse(text, Strictness::Options)
}

/// The document as serde_json sees it, by way of our own index.
fn rebuilt(value: Value<'_>) -> serde_json::Value {
    match value.kind() {
        Kind::Object => serde_json::Value::Object(value.members().map(|(k, v)| (k.into_owned(), rebuilt(v))).collect()),
        Kind::Array => value.elements().map(rebuilt).collect(),
        Kind::String => value.as_str().map(|s| s.into_owned()).into(),
        _ => serde_json::from_str(value.raw()).expect("a scalar's own text is JSON"),
    }
}

/// Texts that are nearly JSON: a text with up to three bytes replaced, removed or inserted.
fn mutations_of(seed: &str, count: usize) -> impl Iterator<Item = String> {
    let alphabet = b"{}[]\",:\\u0d8nullte-+.1eE \x01";
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % bound
    };
    (0..count).filter_map(move |_| {
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = alphabet[random(alphabet.len())],
                1 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, alphabet[random(alphabet.len())]),
            }
        }
        String::from_utf8(bytes).ok()
    })
}

#[test]
fn agrees_with_serde_json_on_every_mutation_of_a_text() {
    let seed = r#" {"a":[1,-0.5e+3,true,false,null,"x\u00e9\n\ud83d\ude00"],"b":{"":{}, "c" : []},"long text with more than eight bytes":"é日本😀"} "#;
    let mut accepted = 0;
    for text in mutations_of(seed, 200_000) {
        let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
        match (parse(&text), theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(rebuilt(ours.root()), theirs, "{text}");
                accepted += 1;
            }
            (Err(_), Err(_)) => {}
            // A number beyond a double's range is grammatical; it passes through as text.
            (Ok(_), Err(e)) if e.to_string().contains("number out of range") => {}
            (ours, theirs) => panic!("{text}: ours {ours:?}, serde_json {theirs:?}"),
        }
    }
    assert!(accepted > 1000, "{accepted}");
}

/// Whether two values are the same in every respect, those of an outline being opened at its last level.
fn is_same(whole: Value<'_>, outlined: Value<'_>, levels: usize) -> bool {
    let facts = |value: Value<'_>| {
        (value.kind(), value.span(), value.is_too_deep(), value.has_huge_number(), value.has_null_member())
    };
    if levels == 0 {
        let mut opened = Document::closed();
        // What it held before must not show.
        opened.open(outlined);
        opened.open(outlined);
        return facts(whole) == facts(outlined)
            && (outlined.kind() != Kind::Object || outlined.members().next().is_none())
            && is_same(whole, opened.root(), usize::MAX);
    }
    let (mut members, mut elements) = (outlined.members(), outlined.elements());
    let same = facts(whole) == facts(outlined)
        && whole.members().all(|(key, value)| {
            members.next().is_some_and(|(other, outlined)| key == other && is_same(value, outlined, levels - 1))
        })
        && whole.elements().all(|value| elements.next().is_some_and(|outlined| is_same(value, outlined, levels - 1)));
    same && members.next().is_none() && elements.next().is_none()
}

#[test]
fn an_outline_is_the_same_document_with_parts_that_are_opened_later() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let seed = [
        r#"{"a":[1,{"b":null,"c":[[],{"d":"x\ud800\n","":[1e999]},{}]},"e"],"f":{"f":{"f":1,"f":{"g":[true]}}},"h":"#,
        &deep,
        "}",
    ]
    .concat();
    let mut accepted = 0;
    for text in mutations_of(&seed, 3_000).chain([seed.clone()]) {
        for strictness in [Strictness::Options, Strictness::Answer, Strictness::Artifact] {
            let whole = Document::parse(&text, strictness);
            for levels in 0..6 {
                match (&whole, Document::outline(&text, strictness, levels)) {
                    (Ok(whole), Ok(outline)) => {
                        assert!(is_same(whole.root(), outline.root(), levels), "{levels} levels of {text}");
                        accepted += 1;
                    }
                    (Err(expected), Err(error)) => assert_eq!(error, *expected, "{text}"),
                    (whole, outline) => panic!("{levels} levels of {text}: {outline:?} instead of {whole:?}"),
                }
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
}

#[test]
fn members_are_found_together_as_they_are_alone() {
    let document = parse(r#"{"a":1,"b":2,"\u0061":3,"c":{"a":4}}"#).unwrap();
    let found = document.root().get_each(["c", "x", "a"]).map(|value| value.map(Value::raw));
    assert_eq!(found, [Some(r#"{"a":4}"#), None, Some("3")]);
    assert_eq!(document.root().get("a").map(Value::raw), Some("3"));
    assert!(parse("[1,2]").unwrap().root().get_each(["a"]).iter().all(Option::is_none));
}

#[test]
fn errors_name_the_path() {
    let error = parse(r#"{"request":{"notifications":[{"id":"1"},{"timestamp":NaN}]}}"#).unwrap_err();
    assert_eq!(error.path, "request.notifications[1].timestamp");
    assert_eq!(error.reason, "expected a JSON value");
    assert_eq!(parse(r#"[[1,"#).unwrap_err().path, "[0][1]");
}

#[test]
fn depth_is_limited_where_serde_json_limits_it() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH)).is_ok());
    assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH + 1)).is_err());
    let error = parse(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.reason, "nested deeper than 127 levels");
    assert!(parse(&"[".repeat(10_000_000)).is_err());
}

#[test]
fn what_is_too_deep_in_an_artifact_is_checked_and_left_out() {
    fn parse(text: &str) -> Result<Document<'_>, ParseError> {
        Document::parse(text, Strictness::Artifact)
    }
    let deep = format!(r#"{{"a":{}{{"k":[true,{{}}],"l":"x"}}{},"b":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let document = parse(&deep).unwrap();
    assert!(document.root().get("a").unwrap().is_too_deep());
    assert!(document.root().is_too_deep());
    assert!(!document.root().get("b").unwrap().is_too_deep());
    assert_eq!(document.root().get("b").unwrap().as_i64(), Some(1));
    for broken in ["[{]}", "[{\"a\" 1}]", "[1 2]", "[,]", "[1,]", "[{\"a\":}]", "[tru]", "[{1:2}]", "["] {
        let text = format!("{}{broken}{}", "[".repeat(200), "]".repeat(200));
        assert!(parse(&text).is_err(), "{broken}");
    }
    for whole in ["[]", "{}", "[[],{}]", "{\"a\":{\"b\":[1,2]},\"c\":null}", "\"x\"", "5"] {
        let text = format!("{}{whole}{}", "[".repeat(200), "]".repeat(200));
        assert!(parse(&text).is_ok(), "{whole}");
    }
}

#[test]
fn half_surrogate_pairs_are_refused_in_options_and_replaced_in_answers() {
    let text = r#"{"a":"x\ud800y"}"#;
    assert_eq!(parse(text).unwrap_err().path, "a");
    let answer = Document::parse(text, Strictness::Answer).unwrap();
    assert_eq!(answer.root().get("a").unwrap().as_str().unwrap(), "x\u{FFFD}y");
}

#[test]
fn integers_are_read_in_every_spelling() {
    let number = |text: &'static str| parse(text).unwrap().root().as_i64();
    assert_eq!(number("1621530726000"), Some(1_621_530_726_000));
    assert_eq!(number("1.6215307e12"), Some(1_621_530_700_000));
    assert_eq!(number("5.0"), Some(5));
    assert_eq!(number("-1"), Some(-1));
    assert_eq!(number("5.5"), None);
    assert_eq!(number("1e400"), None);
    assert_eq!(number("\"5\""), None);
}

#[test]
fn a_null_member_is_known_from_outside() {
    let document = parse(r#"{"a":{"b":[{"c":null}]},"d":{"e":[null]}}"#).unwrap();
    let root = document.root();
    assert!(root.has_null_member());
    assert!(root.get("a").unwrap().has_null_member());
    assert!(!root.get("d").unwrap().has_null_member());
}
