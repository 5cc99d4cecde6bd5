//! Reads as much of YAML as the API's specification uses: maps and lists by indentation, flow lists of quoted texts,
//! block texts, quoted and plain scalars. What it does not know it panics over rather than read it wrongly.

use serde_json::{Map, Value};

pub fn read(text: &str) -> Value {
    let mut reader = Reader { lines: text.lines().map(Line::of).collect(), next: 0 };
    let value = reader.block(0);
    assert!(reader.peek().is_none(), "line {} of the YAML was not read", reader.next + 1);
    value
}

struct Line {
    indentation: usize,
    content: String,
}

impl Line {
    fn of(line: &str) -> Line {
        let content = line.trim();
        assert!(!line.starts_with('\t'), "YAML does not indent by tabs");
        Line { indentation: line.len() - line.trim_start().len(), content: content.to_owned() }
    }

    fn is_item(&self) -> bool {
        self.content == "-" || self.content.starts_with("- ")
    }
}

struct Reader {
    lines: Vec<Line>,
    next: usize,
}

impl Reader {
    /// The next line that says something.
    fn peek(&mut self) -> Option<&Line> {
        while self.lines.get(self.next).is_some_and(|line| line.content.is_empty() || line.content.starts_with('#')) {
            self.next += 1;
        }
        self.lines.get(self.next)
    }

    /// A map or a list whose lines have at least this indentation, all of them that of the first.
    fn block(&mut self, least: usize) -> Value {
        match self.peek() {
            Some(line) if line.indentation >= least => {
                let (indentation, is_item) = (line.indentation, line.is_item());
                if is_item { self.list(indentation) } else { self.map(indentation) }
            }
            _ => Value::Null,
        }
    }

    fn list(&mut self, indentation: usize) -> Value {
        let mut list = Vec::new();
        while self.peek().is_some_and(|line| line.indentation == indentation && line.is_item()) {
            let line = &mut self.lines[self.next];
            let rest = line.content[1..].trim_start();
            let inner = indentation + line.content.len() - rest.len();
            if key_of(rest).is_some() {
                // What follows the dash is the first line of a map.
                (line.content, line.indentation) = (rest.to_owned(), inner);
                list.push(self.map(inner));
            } else {
                list.push(scalar(rest));
                self.next += 1;
            }
        }
        Value::Array(list)
    }

    fn map(&mut self, indentation: usize) -> Value {
        let mut map = Map::new();
        while let Some(line) = self.peek().filter(|line| line.indentation == indentation && !line.is_item()) {
            let (key, rest) = key_of(&line.content).unwrap_or_else(|| panic!("no key in {}", line.content));
            let (key, rest) = (key.to_owned(), rest.to_owned());
            self.next += 1;
            let value = match &*rest {
                "" => match self.peek() {
                    Some(line) if line.indentation == indentation && line.is_item() => self.list(indentation),
                    _ => self.block(indentation + 1),
                },
                "|" | ">" => self.text(indentation),
                _ => scalar(&rest),
            };
            assert!(map.insert(key, value).is_none(), "a key twice");
        }
        Value::Object(map)
    }

    /// A block text; its line ends matter to nobody here.
    fn text(&mut self, indentation: usize) -> Value {
        let mut text = Vec::new();
        while let Some(line) = self.lines.get(self.next) {
            if !line.content.is_empty() && line.indentation <= indentation {
                break;
            }
            text.push(line.content.clone());
            self.next += 1;
        }
        Value::String(text.join("\n"))
    }
}

fn key_of(content: &str) -> Option<(&str, &str)> {
    let (key, rest) = content.split_once(':')?;
    let is_plain = !key.is_empty() && !key.contains(['"', '\'', ' ', '{', '[']);
    (is_plain && (rest.is_empty() || rest.starts_with(' '))).then(|| (key, rest.trim()))
}

fn scalar(text: &str) -> Value {
    if let Some(quoted) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return Value::String(quoted.replace("''", "'"));
    }
    match text.as_bytes().first() {
        Some(b'"' | b'[' | b'{') => serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")),
        Some(b'&' | b'*' | b'!' | b'%' | b'@' | b'`') => panic!("{text} is beyond this reader"),
        _ => serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| !value.is_string())
            .unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

#[test]
fn yaml_is_read() {
    let text = "openapi: \"3.0.0\"\n# said aside\nA:\n  allOf:\n  - $ref: \"./B.yaml#/B\"\n  - type: object\n    properties:\n      \
                one:\n        description: |\n          text: with\n\n            more\n        maxLength: 5 \n    enum: [\"a\", \"b\"]\n  \
                required:\n    - x\n    - y\n  pattern: 'it''s'\n  default: false\n  info: https://x.example/ and: more\n";
    let expected = serde_json::json!({"openapi": "3.0.0", "A": {
        "allOf": [
            {"$ref": "./B.yaml#/B"},
            {
                "type": "object",
                "properties": {"one": {"description": "text: with\n\nmore", "maxLength": 5}},
                "enum": ["a", "b"],
            },
        ],
        "required": ["x", "y"],
        "pattern": "it's",
        "default": false,
        "info": "https://x.example/ and: more",
    }});
    assert_eq!(read(text), expected);
}
