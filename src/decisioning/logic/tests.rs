use std::borrow::Cow;

use super::compile::{Comparison, MAX_LEVELS, MAX_VALUES, Node, Relation};
use super::value::Shown;
use super::*;
use crate::json::{Document, Strictness};

/// Variables that are one JSON value.
struct Data<'a>(Val<'a>);

impl Variables for Data<'_> {
    fn var(&self, path: &VarPath) -> Val<'_> {
        self.0.clone().walk(path.text())
    }

    fn whole(&self) -> Val<'_> {
        self.0.clone()
    }
}

fn compiled(rule: &str) -> Condition {
    let document = Document::parse(rule, Strictness::Answer).expect("a rule that is JSON");
    Condition::compile(document.root()).expect("a rule that compiles")
}

fn refusal(rule: &str) -> String {
    let document = Document::parse(rule, Strictness::Answer).expect("a rule that is JSON");
    Condition::compile(document.root()).expect_err("a rule that is refused")
}

/// The value as text, or the error's words.
fn value(rule: &str, data: &str) -> String {
    let document = Document::parse(data, Strictness::Answer).expect("data that is JSON");
    let (condition, data) = (compiled(rule), Data(Val::of_json(document.root())));
    condition.evaluate(&data).map_or_else(|error| error.to_string(), |value| Shown(&value).to_string())
}

fn matches(rule: &str, data: &str) -> Result<bool, LogicError> {
    let document = Document::parse(data, Strictness::Answer).expect("data that is JSON");
    compiled(rule).matches(&Data(Val::of_json(document.root())))
}

#[test]
fn conditions_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Condition>();
    shared::<LogicError>();
}

#[test]
fn what_is_no_rule_matches_when_javascript_takes_it_for_true() {
    for truthy in ["true", "1", "-1", "\"0\"", "[]", "[0]", "{}", r#"{"a":1,"b":2}"#, r#"{"filter":[[1],false]}"#] {
        assert_eq!(matches(truthy, "null"), Ok(true), "{truthy}");
    }
    for falsy in ["false", "null", "0", "-0", "\"\"", r#"{"+":["x"]}"#, r#"{"and":[]}"#, r#"{"!":[[1]]}"#] {
        assert_eq!(matches(falsy, "null"), Ok(false), "{falsy}");
    }
    // Inside a rule an empty list is false; as the rule's own value it is true again.
    assert_eq!(matches(r#"{"if":[[],true,false]}"#, "null"), Ok(false));
    assert_eq!(matches(r#"{"and":[[],true]}"#, "null"), Ok(true));
    assert_eq!(matches(r#"{"or":[false,[]]}"#, "null"), Ok(true));
}

#[test]
fn an_unknown_operator_fails_when_it_is_reached() {
    for reached in
        [r#"{"fubar":[1]}"#, r#"{"and":[true,{"fubar":1}]}"#, r#"{"!":{"fubar":1}}"#, r#"{"==":[1,1,{"fubar":1}]}"#]
    {
        assert_eq!(matches(reached, "{}"), Err(LogicError::UnknownOperator("fubar".into())), "{reached}");
    }
    for (skipped, expected) in [
        (r#"{"or":[true,{"fubar":1}]}"#, true),
        (r#"{"and":[false,{"fubar":1}]}"#, false),
        (r#"{"if":[false,{"fubar":1},true]}"#, true),
        (r#"{"some":[[1,2],{"if":[{"==":[{"var":""},1]},true,{"fubar":1}]}]}"#, true),
        (r#"{"none":[[],{"fubar":1}]}"#, true),
    ] {
        assert_eq!(matches(skipped, "{}"), Ok(expected), "{skipped}");
    }
    let name = format!("bad\n{}", "x".repeat(1000));
    let error = value(&serde_json::json!({ name: 1 }).to_string(), "{}");
    assert!(error.starts_with("unknown operator `bad\u{FFFD}xxx") && error.len() < 100, "{error}");
}

#[test]
fn an_operator_given_twice_is_one_and_the_last_counts() {
    assert_eq!(value(r#"{"==":[1,2],"==":[1,1]}"#, "{}"), "true");
    assert_eq!(value(r#"{"==":[1,2],"!=":[1,1]}"#, "{}"), r#"{"==":[1,2],"!=":[1,1]}"#);
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |levels: usize| format!("{}true{}", r#"{"!":"#.repeat(levels), "}".repeat(levels));
    assert_eq!(matches(&nested(MAX_LEVELS), "{}"), Ok(MAX_LEVELS.is_multiple_of(2)));
    let reason = "the condition is nested deeper than 100 levels";
    assert_eq!(refusal(&nested(MAX_LEVELS + 1)), reason);
    for (open, close, levels) in
        [("[", "]", 1), (r#"{"a":1,"b":"#, "}", 1), (r#"{"var":["#, "]}", 2), (r#"{"map":[[1],"#, "]}", 2)]
    {
        let repeats = MAX_LEVELS / levels + 1;
        assert_eq!(refusal(&format!("{}1{}", open.repeat(repeats), close.repeat(repeats))), reason, "{open}");
    }
    assert!(Document::parse(&r#"{"!":"#.repeat(10_000), Strictness::Answer).is_err());
    let list = |values: usize| format!(r#"{{"in":["b",[{}"a"]]}}"#, "\"a\",".repeat(values - 1));
    assert_eq!(matches(&list(MAX_VALUES - 3), "{}"), Ok(false));
    assert_eq!(refusal(&list(MAX_VALUES)), "the condition has more than 1000000 values");
}

#[test]
fn the_deepest_condition_needs_little_stack() {
    let deep = [
        format!("{}true{}", r#"{"!":"#.repeat(100), "}".repeat(100)),
        format!("{}true{}", r#"{"and":[1,"#.repeat(50), "]}".repeat(50)),
        format!("{}[1]{}", r#"{"map":[[1],"#.repeat(49), "]}".repeat(49)),
        format!("{}1{}", r#"{"substr":["abc",{"max":["#.repeat(24), "]}]}".repeat(24)),
    ];
    let thread = std::thread::Builder::new().stack_size(512 * 1024);
    let evaluated = thread.spawn(move || deep.iter().all(|rule| matches(rule, "{}") == Ok(true)));
    assert!(evaluated.expect("a thread").join().expect("no overflow"));
}

#[test]
fn work_is_bounded() {
    let hundred = format!("[{}1]", "1,".repeat(99));
    let squared = format!(r#"{{"map":[{hundred},{{"map":[{hundred},1]}}]}}"#);
    assert!(value(&squared, "{}").starts_with("[[1,1"));
    let too_much = LogicError::TooMuchWork.to_string();
    assert_eq!(too_much, "evaluation takes more than 1000000 steps");
    let fourth = format!(r#"{{"all":[{hundred},{{"all":[{hundred},{squared}]}}]}}"#);
    assert_eq!(value(&fourth, "{}"), too_much);

    let reduce = |body: &str, initial: &str| format!(r#"{{"reduce":[{hundred},{body},{initial}]}}"#);
    let accumulator = r#"{"var":"accumulator"}"#;
    let doubled = reduce(&format!(r#"{{"cat":[{accumulator},{accumulator}]}}"#), "\"x\"");
    assert_eq!(value(&doubled, "{}"), too_much);
    // A list that holds the one before twice: 100 levels are cheap to make, their text is endless.
    let twice = reduce(&format!("[{accumulator},{accumulator}]"), "1");
    assert_eq!(value(&format!(r#"{{"==":[{twice},1]}}"#), "{}"), too_much);
    assert!(value(&twice, "{}").ends_with('…'));

    let long = format!("[{}1]", "1,".repeat(999));
    let nested = format!(r#"{{"reduce":[{long},{{"merge":[[[{accumulator}]]]}},1]}}"#);
    assert_eq!(value(&nested, "{}"), "evaluation makes lists or objects nested deeper than 200 levels");
    assert_eq!(value(&format!(r#"{{"reduce":[{long},{{"var":""}},1]}}"#), "{}"), LogicError::TooDeep.to_string());
}

/// The node of a condition.
fn node(rule: &str) -> Node {
    compiled(rule).root
}

#[test]
fn bounds_of_one_variable_are_one_range() {
    let range = |rule: &str| match node(rule) {
        Node::Within(range) => (range.path.text().to_owned(), range.bounds.low, range.bounds.high),
        other => panic!("{rule}: {other:?}"),
    };
    let allocation = |low, high| ("allocation".to_owned(), low, high);
    assert_eq!(
        range(r#"{"and":[{"<=":[0,{"var":"allocation"}]},{">=":[50,{"var":"allocation"}]}]}"#),
        allocation(0.0, 50.0)
    );
    assert_eq!(
        range(r#"{"and":[{"<":[{"var":"allocation"},75.5]},{"<":[50,{"var":"allocation"}]}]}"#),
        allocation(50.0_f64.next_up(), 75.5_f64.next_down())
    );
    assert_eq!(range(r#"{"<=":[0,{"var":["allocation"]},50]}"#), allocation(0.0, 50.0));
    let three = r#"{"and":[{"<=":[0,{"var":"a"}]},{"==":[{"var":"b"},"x"]},{">=":[50,{"var":"a"}]}]}"#;
    assert!(matches!(node(three), Node::And(nodes) if nodes.len() == 3), "only neighbours fold");
    assert!(matches!(
        node(r#"{"<":[{"var":"a"},1e999]}"#),
        Node::Compare(compare) if matches!(*compare, Comparison { relation: Relation::Less, .. })
    ));
}

#[test]
fn an_and_in_an_and_is_one_list_of_the_same_value() {
    assert!(matches!(
        node(r#"{"and":[{"and":[{"var":"a"},{"and":[{"var":"b"},{"var":"c"}]}]},{"or":[{"var":"d"},{"var":"e"}]}]}"#),
        Node::And(nodes) if nodes.len() == 4
    ));
    let values = ["null", "true", "0", "7", "[]", "[0]", r#""""#, r#""x""#];
    for outer in ["and", "or"] {
        for inner in ["and", "or"] {
            for arguments in
                [r#"INNER,{"var":"c"}"#, r#"{"var":"c"},INNER"#, r#"{"var":"c"},INNER,{"var":"b"}"#, "INNER"]
            {
                for arguments_within in [r#"{"var":"a"},{"var":"b"}"#, r#"{"var":"a"}"#, ""] {
                    let plain = format!(r#"{{"{inner}":[{arguments_within}]}}"#);
                    let rule = |inner: &str| format!(r#"{{"{outer}":[{}]}}"#, arguments.replace("INNER", inner));
                    // The value of `if` is its branch's, and it is opened by nobody.
                    let (nested, kept) = (rule(&plain), rule(&format!(r#"{{"if":[true,{plain}]}}"#)));
                    for (a, b, c) in values.iter().flat_map(|a| values.iter().zip(values).map(move |(b, c)| (a, b, c)))
                    {
                        for (b, c) in [(b, &c), (&c, b), (b, a)] {
                            let data = format!(r#"{{"a":{a},"b":{b},"c":{c}}}"#);
                            assert_eq!(value(&nested, &data), value(&kept, &data), "{nested} {data}");
                            assert_eq!(matches(&nested, &data), matches(&kept, &data), "{nested} {data}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_text_is_looked_for_in_a_variable_of_any_kind() {
    assert!(matches!(node(r#"{"in":["a",{"var":"b"}]}"#), Node::Contains(_)));
    for (part, whole) in [("a", r#""xax""#), ("", r#""x""#), ("a", r#"["b","a"]"#), ("é", r#""caf\u00e9""#)] {
        let rule = format!(r#"{{"in":["{part}",{{"var":"b"}}]}}"#);
        assert_eq!(matches(&rule, &format!(r#"{{"b":{whole}}}"#)), Ok(true), "{rule} {whole}");
    }
    for whole in [r#""xbx""#, r#""""#, r#"["ab"]"#, r#"{"a":1}"#, "null", "5"] {
        let rule = r#"{"in":["a",{"var":"b"}]}"#;
        assert_eq!(matches(rule, &format!(r#"{{"b":{whole}}}"#)), Ok(false), "{whole}");
    }
    assert_eq!(matches(r#"{"in":["",{"var":"b"}]}"#, r#"{"b":""}"#), Ok(false));
}

/// Texts, numbers and the rest, as a rule may compare them.
const VALUES: [&str; 21] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "50",
    "50.5",
    "-1e300",
    "1e999",
    "\"\"",
    "\"50\"",
    "\" 0x32 \"",
    "\"x\"",
    "\"NaN\"",
    "[]",
    "[50]",
    "[1,2]",
    "[[]]",
    "{}",
    r#"{"a":1,"b":2}"#,
];

#[test]
fn shortcuts_answer_as_the_long_way_does() {
    for left in VALUES {
        for right in VALUES {
            for relation in ["==", "!=", "===", "!==", "<", "<=", ">", ">="] {
                let data = format!(r#"{{"a":{left},"b":{right}}}"#);
                // The long way: both sides are variables.
                let long = value(&format!(r#"{{"{relation}":[{{"var":"a"}},{{"var":"b"}}]}}"#), &data);
                let shortcut = value(&format!(r#"{{"{relation}":[{{"var":"a"}},{right}]}}"#), &data);
                assert_eq!(shortcut, long, "{left} {relation} {right}");
                let shortcut = value(&format!(r#"{{"{relation}":[{left},{{"var":"b"}}]}}"#), &data);
                assert_eq!(shortcut, long, "{left} {relation} {right}");
            }
            for relations in [["<", "<"], ["<=", ">="], [">", "<="]] {
                let [first, second] = relations;
                let data = format!(r#"{{"a":{left},"low":1,"high":50}}"#);
                let rule = |low: &str, high: &str| {
                    format!(r#"{{"and":[{{"{first}":[{low},{{"var":"a"}}]}},{{"{second}":[{high},{{"var":"a"}}]}}]}}"#)
                };
                let long = value(&rule(r#"{"var":"low"}"#, r#"{"var":"high"}"#), &data);
                assert_eq!(value(&rule("1", "50"), &data), long, "{left} {relations:?}");
            }
        }
    }
}

#[test]
fn real_conditions_borrow_their_texts() {
    let document = Document::parse(r#"{"page":{"url_lc":"https://www.acme.com"}}"#, Strictness::Answer).expect("JSON");
    let data = Data(Val::of_json(document.root()));
    for rule in [r#"{"var":"page.url_lc"}"#, r#"{"substr":[{"var":"page.url_lc"},0,5]}"#, r#""a literal""#] {
        let condition = compiled(rule);
        assert!(matches!(condition.evaluate(&data), Ok(Val::Text(Cow::Borrowed(_)))), "{rule}");
    }
    assert!(size_of::<Val<'_>>() <= 24);
    assert!(size_of::<Node>() <= 32);
}

#[test]
fn variables_are_looked_up_by_any_path() {
    let data = r#"{"":{"":7},"a":{"b":[10,{"c":"text"}]},"n":null,"0":"zero","true":1}"#;
    for (rule, expected) in [
        (r#"{"var":"a.b.1.c"}"#, "\"text\""),
        (r#"{"var":"a.b.1.c.length"}"#, "4"),
        (r#"{"var":"a.b.1.c.3"}"#, "\"t\""),
        (r#"{"var":"a.b.01"}"#, "null"),
        (r#"{"var":"a.b.99999999999999999999"}"#, "null"),
        (r#"{"var":["a.x","default"]}"#, "\"default\""),
        (r#"{"var":["a.x",{"var":"a.b.0"}]}"#, "10"),
        (r#"{"var":["n","default"]}"#, "null"),
        (r#"{"var":0}"#, "\"zero\""),
        (r#"{"var":true}"#, "1"),
        (r#"{"var":[[]]}"#, r#"{"":7}"#),
        (r#"{"var":"."}"#, "7"),
        (r#"{"var":{"cat":["a",".b.0"]}}"#, "10"),
        (r#"{"var":"constructor"}"#, "null"),
        (r#"{"var":"a.b.push"}"#, "null"),
    ] {
        assert_eq!(value(rule, data), expected, "{rule}");
    }
    assert_eq!(value(r#"{"var":[{"var":"n"}]}"#, data), value(r#"{"var":""}"#, data));
}

#[test]
fn lists_and_objects_equal_themselves_alone() {
    let data = r#"{"l":[[1],[]],"o":{"a":1}}"#;
    for (rule, expected) in [
        (r#"{"==":[[1],[1]]}"#, "false"),
        (r#"{"==":[[],[]]}"#, "false"),
        (r#"{"==":[{"var":"l.1"},{"var":"l.1"}]}"#, "true"),
        (r#"{"===":[{"var":"o"},{"var":"o"}]}"#, "true"),
        (r#"{"in":[{"var":"l.0"},{"var":"l"}]}"#, "true"),
        (r#"{"in":[[1],{"var":"l"}]}"#, "false"),
    ] {
        assert_eq!(value(rule, data), expected, "{rule}");
    }
}

#[test]
fn halves_of_pairs_are_told_apart_and_join_again() {
    for (rule, expected) in [
        (r#"{"==":[{"substr":["😀",0,1]},"\ud83d"]}"#, "true"),
        (r#"{"==":[{"substr":["😀",1]},"\ud83d"]}"#, "false"),
        (r#"{"in":["\ud83d","a😀"]}"#, "true"),
        (r#"{"in":["\ud83e","a😀"]}"#, "false"),
        (r#"{"==":[{"cat":["\ud83d","\\","\n"]},"\ud83d\\\n"]}"#, "true"),
        (r#"{"cat":[{"substr":["😀",0,1]},{"var":"t.1"}]}"#, "\"😀\""),
        (r#"{"==":["\ufffd","\ud83d"]}"#, "false"),
    ] {
        assert_eq!(value(rule, r#"{"t":"😀"}"#), expected, "{rule}");
    }
}

#[test]
fn a_negative_length_leaves_the_end_out() {
    for (rule, expected) in [
        (r#"{"substr":["jsonlogic",4,-2]}"#, "\"log\""),
        (r#"{"substr":["jsonlogic",-5,-2]}"#, "\"log\""),
        (r#"{"substr":["jsonlogic",8,-5]}"#, "\"\""),
        (r#"{"substr":["jsonlogic",20,-1]}"#, "\"\""),
        (r#"{"substr":["jsonlogic",1.9,2.9]}"#, "\"so\""),
        (r#"{"substr":["jsonlogic",-1e300,1e300]}"#, "\"jsonlogic\""),
        (r#"{"substr":["jsonlogic",1,"-2"]}"#, "\"\""),
    ] {
        assert_eq!(value(rule, "{}"), expected, "{rule}");
    }
}

/// Random rules over every operator: nested, with too few and too many arguments of the wrong kinds.
#[test]
fn no_rule_panics_and_both_ways_to_evaluate_agree() {
    const OPERATORS: [&str; 37] = [
        "==",
        "===",
        "!=",
        "!==",
        "<",
        "<=",
        ">",
        ">=",
        "!",
        "!!",
        "and",
        "or",
        "if",
        "?:",
        "var",
        "missing",
        "missing_some",
        "in",
        "cat",
        "substr",
        "merge",
        "+",
        "-",
        "*",
        "/",
        "%",
        "min",
        "max",
        "map",
        "filter",
        "all",
        "none",
        "some",
        "reduce",
        "log",
        "fubar",
        "var",
    ];
    const LEAVES: [&str; 14] = [
        "\"a\"",
        "\"b.0\"",
        "\"😀é\"",
        "\"\\ud83d\"",
        "\"accumulator\"",
        "\"current\"",
        "-1",
        "2",
        "1e400",
        r#"{"var":"a"}"#,
        r#"{"var":"b"}"#,
        r#"{"var":""}"#,
        r#"{"x":1,"y":[]}"#,
        "\"12\"",
    ];
    fn rule(random: &mut impl FnMut(usize) -> usize, depth: usize) -> String {
        let some = |random: &mut dyn FnMut(usize) -> usize, values: &[&str]| values[random(values.len())].to_owned();
        match random(if depth == 0 { 2 } else { 9 }) {
            0 => some(random, &VALUES),
            1 => some(random, &LEAVES),
            2 => {
                let items: Vec<String> = (0..random(4)).map(|_| rule(random, depth - 1)).collect();
                format!("[{}]", items.join(","))
            }
            kind => {
                let operator = some(random, &OPERATORS);
                if kind == 3 {
                    return format!(r#"{{"{operator}":{}}}"#, rule(random, depth - 1));
                }
                let arguments: Vec<String> = (0..random(5)).map(|_| rule(random, depth - 1)).collect();
                format!(r#"{{"{operator}":[{}]}}"#, arguments.join(","))
            }
        }
    }

    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let document =
        Document::parse(r#"{"a":"é😀","b":[3,[1,"2"],null,{"q":1}],"":0}"#, Strictness::Answer).expect("JSON");
    let data = Data(Val::of_json(document.root()));
    let (mut values, mut errors) = (0, 0);
    for _ in 0..30_000 {
        let text = rule(&mut random, 5);
        let condition = compiled(&text);
        match (condition.evaluate(&data), condition.matches(&data)) {
            (Ok(value), Ok(matched)) => {
                assert_eq!(matched, Truth::of(&value) != Truth::False, "{text}");
                values += 1;
            }
            (Err(_), Err(_)) => errors += 1,
            (value, matched) => panic!("{text}: {value:?}, {matched:?}"),
        }
    }
    assert!(values > 10_000 && errors > 1_000, "{values} values, {errors} errors");
}
