// SPDX-License-Identifier: Apache-2.0
//! Where two answers differ, and which of the differences are known.
//!
//! Owns: [`differences`], [`Known`]. Invariants: a difference that no line of `differences.toml`
//! names fails, and so does a line that names no difference that was seen; every line has a reason.
//! Runs on: the test's thread. Bounded by: the answers.

use std::collections::BTreeSet;

use crate::value::Value;

/// One field in which two answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The case.
    pub case: String,
    /// The field: the step of the case and the way through the answer.
    pub field: String,
    /// What Furlong says.
    pub furlong: String,
    /// What Kafka says.
    pub kafka: String,
}

/// What stands for a value that is not there.
const ABSENT: &str = "(absent)";

/// Compares two trees.
pub fn differences(
    case: &str,
    field: &str,
    furlong: Option<&Value>,
    kafka: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let children = |value: Option<&Value>| match value {
        Some(Value::List(elements) | Value::Struct(_, elements)) => Some(elements.clone()),
        _ => None,
    };
    let is_list = matches!(furlong, Some(Value::List(_)));
    let (Some(ours), Some(theirs)) = (children(furlong), children(kafka)) else {
        if furlong != kafka {
            let text = |value: Option<&Value>| value.map_or(ABSENT.to_owned(), Value::to_string);
            found.push(Difference {
                case: case.to_owned(),
                field: field.to_owned(),
                furlong: text(furlong),
                kafka: text(kafka),
            });
        }
        return;
    };
    let names: Vec<&String> = ours.iter().map(|one| &one.0).collect();
    let more = theirs.iter().map(|one| &one.0);
    let more = more.filter(|name| !names.contains(name));
    let get = |elements: &[(String, Value)], name: &str| {
        let found = elements.iter().find(|one| one.0 == name);
        found.map(|one| one.1.clone())
    };
    for name in names.iter().copied().chain(more) {
        let below = match is_list {
            true => format!("{field}[{name}]"),
            false => format!("{field}.{name}"),
        };
        let (one, other) = (get(&ours, name), get(&theirs, name));
        differences(case, &below, one.as_ref(), other.as_ref(), found);
    }
}

/// The known differences.
pub struct Known {
    lines: Vec<Line>,
}

/// One of them; `*` stands for any text in all four.
struct Line {
    cases: Vec<String>,
    field: String,
    furlong: String,
    kafka: String,
}

impl Known {
    /// Reads `differences.toml`.
    pub fn read(text: &str) -> Known {
        let table: toml::Table = text.parse().expect("differences.toml is TOML");
        let lines = table.get("difference").and_then(toml::Value::as_array);
        let lines = lines.into_iter().flatten().map(|line| {
            let get = |name: &str| match line.get(name) {
                Some(toml::Value::String(text)) => text.clone(),
                _ => panic!("differences.toml: {line:?} has no text {name}"),
            };
            let cases = match line.get("cases").and_then(toml::Value::as_array) {
                Some(cases) => cases
                    .iter()
                    .map(|case| case.as_str().expect("a text").to_owned())
                    .collect(),
                None => vec![get("case")],
            };
            let reason = get("reason");
            assert!(
                reason.split_whitespace().count() >= 4,
                "differences.toml: {line:?} gives no reason"
            );
            Line {
                cases,
                field: get("field"),
                furlong: get("furlong"),
                kafka: get("kafka"),
            }
        });
        Known {
            lines: lines.collect(),
        }
    }

    /// What is left to complain about.
    pub fn judge(&self, found: &[Difference]) -> Vec<String> {
        let mut used: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut complaints = Vec::new();
        for one in found {
            let known = self.lines_for(one);
            if known.is_empty() {
                complaints.push(format!(
                    "{}: {} is {} and with Kafka {}",
                    one.case, one.field, one.furlong, one.kafka
                ));
            }
            used.extend(known);
        }
        for (place, line) in self.lines.iter().enumerate() {
            for (case, name) in line.cases.iter().enumerate() {
                if !used.contains(&(place, case)) {
                    complaints.push(format!(
                        "differences.toml: {name}: {} no longer differs: take it out",
                        line.field
                    ));
                }
            }
        }
        complaints
    }

    /// The lines that name a difference, each with the place of its case. Of the lines that fit
    /// case and field, those that name the field most exactly decide: beside a line for all fields
    /// of a case, one for its error code keeps the code fixed.
    fn lines_for(&self, one: &Difference) -> Vec<(usize, usize)> {
        let mut decisive: Vec<(usize, usize)> = Vec::new();
        let mut exactness = 0;
        for (place, line) in self.lines.iter().enumerate() {
            if line.field.len() < exactness || !fits(&line.field, &one.field) {
                continue;
            }
            for (case, name) in line.cases.iter().enumerate() {
                if !fits(name, &one.case) {
                    continue;
                }
                if line.field.len() > exactness {
                    decisive.clear();
                    exactness = line.field.len();
                }
                decisive.push((place, case));
            }
        }
        decisive.retain(|(place, _)| {
            let line = &self.lines[*place];
            fits(&line.furlong, &one.furlong) && fits(&line.kafka, &one.kafka)
        });
        decisive
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }
}

/// True if the text fits the pattern, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, fields: &[(&str, Value)]) -> Value {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Struct(name.to_owned(), fields.collect())
    }

    fn between(furlong: &Value, kafka: &Value) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        differences("case", "answer", Some(furlong), Some(kafka), &mut found);
        let shown = found
            .into_iter()
            .map(|one| (one.field, one.furlong, one.kafka));
        shown.collect()
    }

    #[test]
    fn every_field_that_differs_is_named() {
        let list = |names: &[&str]| {
            let elements = names
                .iter()
                .map(|name| ((*name).to_owned(), Value::leaf(*name)));
            Value::List(elements.collect())
        };
        let one = fields(
            "A",
            &[("code", Value::leaf("0")), ("list", list(&["x", "y"]))],
        );
        let other = fields(
            "A",
            &[("code", Value::leaf("3")), ("list", list(&["y", "z"]))],
        );
        let expected = [
            ("answer.code", "0", "3"),
            ("answer.list[x]", "x", ABSENT),
            ("answer.list[z]", ABSENT, "z"),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(between(&one, &other), expected);
        assert_eq!(between(&one, &one), []);
        let closed = Value::leaf("(closed)");
        assert_eq!(between(&closed, &one).len(), 1);
    }

    #[test]
    fn an_unknown_difference_and_a_stale_line_are_complaints() {
        let known = Known::read(
            "[[difference]]\ncase = \"a/*\"\nfield = \"*.code\"\nfurlong = \"0\"\n\
             kafka = \"3\"\nreason = \"as it must be here\"\n",
        );
        let difference = |case: &str, kafka: &str| Difference {
            case: case.to_owned(),
            field: "answer.code".to_owned(),
            furlong: "0".to_owned(),
            kafka: kafka.to_owned(),
        };
        assert_eq!(known.judge(&[difference("a/b", "3")]), Vec::<String>::new());
        let unknown = known.judge(&[difference("a/b", "3"), difference("a/b", "4")]);
        assert_eq!(unknown, ["a/b: answer.code is 0 and with Kafka 4"]);
        let stale = known.judge(&[]);
        assert_eq!(
            stale,
            ["differences.toml: a/*: *.code no longer differs: take it out"]
        );
    }

    #[test]
    fn the_line_that_names_a_field_most_exactly_decides() {
        let line = |field: &str, furlong: &str, kafka: &str| {
            format!(
                "[[difference]]\ncases = [\"a\", \"b\"]\nfield = \"{field}\"\n\
                 furlong = \"{furlong}\"\nkafka = \"{kafka}\"\nreason = \"as it must be here\"\n"
            )
        };
        let known = Known::read(&(line("*", "*", "*") + &line("*.code", "0", "3")));
        let difference = |field: &str, kafka: &str| Difference {
            case: "b".to_owned(),
            field: field.to_owned(),
            furlong: "0".to_owned(),
            kafka: kafka.to_owned(),
        };
        assert_eq!(known.lines_for(&difference("answer.name", "x")), [(0, 1)]);
        assert_eq!(known.lines_for(&difference("answer.code", "3")), [(1, 1)]);
        assert_eq!(known.lines_for(&difference("answer.code", "4")), []);
    }

    #[test]
    #[should_panic(expected = "gives no reason")]
    fn a_line_without_a_reason_is_refused() {
        let _ = Known::read(
            "[[difference]]\ncase = \"a\"\nfield = \"b\"\nfurlong = \"0\"\nkafka = \"1\"\n\
             reason = \"so\"\n",
        );
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*b*c", "axbyc"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*b", "ac"), ("*c", "cb"), ("a*b*c", "acb")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
