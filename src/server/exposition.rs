// SPDX-License-Identifier: Apache-2.0
//! Figures as text, in the format that Prometheus collects (text exposition format 0.0.4).
//!
//! Owns: [`Exposition`]. Invariants: all values of a metric stand together under one HELP and TYPE
//! line; label values are escaped.
//! Runs on: the admin thread. Bounded by: what it is given.

use std::fmt::Write as _;

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises while the process lives.
    Counter,
    /// Quantiles, a sum and a count.
    Summary,
}

/// The text so far.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a metric.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) -> Metric<'_> {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Summary => "summary",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        push(
            &mut self.text,
            format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
        );
        Metric {
            text: &mut self.text,
            name: name.to_owned(),
        }
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

/// A metric that takes values.
pub struct Metric<'a> {
    text: &'a mut String,
    name: String,
}

impl Metric<'_> {
    /// A value under its labels.
    pub fn value(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.part("", labels, value);
    }

    /// A value of a part of the metric, like `_sum`.
    pub fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        push(self.text, format_args!("{}{suffix}", self.name));
        for (number, (name, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            push(
                self.text,
                format_args!("{before}{name}=\"{}\"", escaped(value)),
            );
        }
        let end = if labels.is_empty() { "" } else { "}" };
        push(self.text, format_args!("{end} {value}\n"));
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string grows");
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_prometheus() {
        let mut out = Exposition::default();
        out.metric("a_total", Kind::Counter, "What it is.\nReally.")
            .value(&[], 7);
        let mut quantiles = out.metric("b_seconds", Kind::Summary, "Time.");
        quantiles.value(&[("stage", "flush"), ("quantile", "0.5")], 0.25);
        quantiles.part("_sum", &[("stage", "a\"b\\c\nd")], 1.5);
        let expected = "# HELP a_total What it is.\\nReally.\n\
                        # TYPE a_total counter\n\
                        a_total 7\n\
                        # HELP b_seconds Time.\n\
                        # TYPE b_seconds summary\n\
                        b_seconds{stage=\"flush\",quantile=\"0.5\"} 0.25\n\
                        b_seconds_sum{stage=\"a\\\"b\\\\c\\nd\"} 1.5\n";
        assert_eq!(out.finish(), expected);
    }
}
