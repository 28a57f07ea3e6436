// SPDX-License-Identifier: Apache-2.0
//! A decoded answer as a tree of names, lists and texts.
//!
//! Owns: [`Value`], the reading of what `derive(Debug)` writes. Invariants: every message of the
//! decoder is read whole or not at all: a text that is not understood is an error, never a guess;
//! tagged fields that nobody knows are kept if there are any.
//! Runs on: the test's thread. Bounded by: the answer.

use std::fmt;

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, a string with its quotes, `null`, or another word.
    Leaf(String),
    /// An array, each element under its name: its place, or its key where the order has no meaning.
    List(Vec<(String, Value)>),
    /// A struct with its name and its fields.
    Struct(String, Vec<(String, Value)>),
}

impl Value {
    /// A value that is one word.
    pub fn leaf(text: impl Into<String>) -> Value {
        Value::Leaf(text.into())
    }

    /// The text of a leaf; nothing for all else.
    pub fn text(&self) -> &str {
        match self {
            Value::Leaf(text) => text,
            Value::List(_) | Value::Struct(..) => "",
        }
    }

    /// A field of a struct.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(_, fields) => fields.iter().find(|one| one.0 == name).map(|one| &one.1),
            _ => None,
        }
    }

    /// The tree of a value that can be shown.
    pub fn of(shown: &impl fmt::Debug) -> Value {
        let text = format!("{shown:?}");
        parse(&text).unwrap_or_else(|place| {
            let rest: String = text.chars().skip(place).take(80).collect();
            panic!("this is not understood: {rest}")
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, elements: &[(String, Value)]| {
            for (place, (name, value)) in elements.iter().enumerate() {
                let comma = if place == 0 { "" } else { ", " };
                write!(f, "{comma}{name}: {value}")?;
            }
            Ok(())
        };
        match self {
            Value::Leaf(text) => f.write_str(text),
            Value::List(elements) => {
                f.write_str("[")?;
                fields(f, elements)?;
                f.write_str("]")
            }
            Value::Struct(_, elements) => {
                f.write_str("{")?;
                fields(f, elements)?;
                f.write_str("}")
            }
        }
    }
}

/// Reads what `derive(Debug)` has written, or says at which character it is not understood.
fn parse(text: &str) -> Result<Value, usize> {
    let characters: Vec<char> = text.chars().collect();
    let mut parser = Parser {
        characters: &characters,
        place: 0,
    };
    match parser.value() {
        Some(value) if parser.place == characters.len() => Ok(value),
        _ => Err(parser.place),
    }
}

struct Parser<'a> {
    characters: &'a [char],
    place: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.place).copied()
    }

    /// Takes these characters if they are next.
    fn take(&mut self, words: &str) -> bool {
        let end = self.place + words.chars().count();
        let is_next = self
            .characters
            .get(self.place..end)
            .is_some_and(|next| next.iter().copied().eq(words.chars()));
        if is_next {
            self.place = end;
        }
        is_next
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            '[' => self.list(),
            '{' => self
                .take("{}")
                .then(|| Value::leaf("{}"))
                .or_else(|| self.map()),
            '"' => self.quoted().map(Value::Leaf),
            'b' if self.characters.get(self.place + 1) == Some(&'"') => {
                self.place += 1;
                Some(Value::Leaf(format!("b{}", self.quoted()?)))
            }
            _ => self.named(),
        }
    }

    fn list(&mut self) -> Option<Value> {
        self.take("[").then_some(())?;
        let mut elements = Vec::new();
        while !self.take("]") {
            let value = self.value()?;
            elements.push((elements.len().to_string(), value));
            self.take(", ");
        }
        Some(Value::List(elements))
    }

    /// Tagged fields that the decoder does not know.
    fn map(&mut self) -> Option<Value> {
        self.take("{").then_some(())?;
        let mut entries = Vec::new();
        while !self.take("}") {
            let key = self.value()?;
            self.take(": ").then_some(())?;
            entries.push((key.text().to_owned(), self.value()?));
            self.take(", ");
        }
        Some(Value::List(entries))
    }

    fn quoted(&mut self) -> Option<String> {
        let mut text = String::from(self.peek()?);
        self.place += 1;
        loop {
            let next = self.peek()?;
            text.push(next);
            self.place += 1;
            match next {
                '"' => return Some(text),
                '\\' => {
                    text.push(self.peek()?);
                    self.place += 1;
                }
                _ => {}
            }
        }
    }

    /// A word: a number, a struct, an option.
    fn named(&mut self) -> Option<Value> {
        let start = self.place;
        while self
            .peek()
            .is_some_and(|c| c.is_alphanumeric() || "_-.".contains(c))
        {
            self.place += 1;
        }
        let word: String = self.characters[start..self.place].iter().collect();
        if word.is_empty() {
            return None;
        }
        if self.take(" { ") {
            return self.fields(word);
        }
        if self.take("(") {
            let value = self.value()?;
            return self.take(")").then_some(value);
        }
        Some(Value::Leaf(match word.as_str() {
            "None" => "null".to_owned(),
            _ => word,
        }))
    }

    fn fields(&mut self, name: String) -> Option<Value> {
        let mut fields = Vec::new();
        while !self.take(" }") {
            let start = self.place;
            while self.peek()? != ':' {
                self.place += 1;
            }
            let field: String = self.characters[start..self.place].iter().collect();
            self.take(": ").then_some(())?;
            let value = self.value()?;
            if field != "unknown_tagged_fields" || value != Value::leaf("{}") {
                fields.push((field, value));
            }
            self.take(", ");
        }
        Some(Value::Struct(name, fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[allow(dead_code, reason = "only shown")]
    struct Inner {
        name: &'static str,
        size: Option<i32>,
    }

    #[derive(Debug)]
    #[allow(dead_code, reason = "only shown")]
    struct Outer {
        unknown_tagged_fields: std::collections::BTreeMap<i32, i32>,
        list: Vec<Inner>,
        nothing: Vec<i32>,
        ratio: f64,
        bytes: bytes::Bytes,
    }

    #[test]
    fn what_debug_writes_is_read_back() {
        let inner = |name, size| Inner { name, size };
        let value = Value::of(&Outer {
            unknown_tagged_fields: [].into(),
            list: vec![inner("a \"quoted\" }, one", Some(-3)), inner("", None)],
            nothing: Vec::new(),
            ratio: 0.5,
            bytes: bytes::Bytes::from_static(b"\x00\"x"),
        });
        let leaf = |text: &str| Value::leaf(text);
        assert_eq!(value.field("unknown_tagged_fields"), None);
        assert_eq!(value.field("ratio"), Some(&leaf("0.5")));
        assert_eq!(value.field("bytes"), Some(&leaf("b\"\\0\\\"x\"")));
        assert_eq!(value.field("nothing"), Some(&Value::List(Vec::new())));
        let Some(Value::List(list)) = value.field("list") else {
            panic!("{value:?}")
        };
        assert_eq!(
            list[0].1.field("name"),
            Some(&leaf("\"a \\\"quoted\\\" }, one\""))
        );
        assert_eq!(list[0].1.field("size"), Some(&leaf("-3")));
        assert_eq!(list[1].1.field("size"), Some(&leaf("null")));
        assert_eq!(list[1].0, "1");
        assert_eq!(list[1].1.to_string(), "{name: \"\", size: null}");
    }

    #[test]
    fn unknown_tagged_fields_are_not_lost() {
        let value = Value::of(&Outer {
            unknown_tagged_fields: [(7, 1)].into(),
            list: Vec::new(),
            nothing: Vec::new(),
            ratio: 1.0,
            bytes: bytes::Bytes::new(),
        });
        assert!(value.field("unknown_tagged_fields").is_some());
    }

    #[test]
    fn a_text_that_is_not_understood_is_an_error() {
        assert_eq!(parse("Some(1"), Err(6));
        assert!(parse("Name { field: }").is_err());
        assert!(parse("1 2").is_err());
    }
}
