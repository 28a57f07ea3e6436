// SPDX-License-Identifier: Apache-2.0
//! Rules that one file can keep or break by itself.

use crate::source::{Function, Source, first_names, is_word, words};

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The file.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The short name of the rule.
    pub rule: &'static str,
    /// What is wrong, in a few words.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}: {} [{}]",
            self.path, self.line, self.message, self.rule
        )
    }
}

/// A module below `src` and what it may import of the others. Layers look down only, siblings do
/// not see each other.
pub const IMPORTS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("model", &["limits"]),
    ("config", &["limits", "model"]),
    ("wire", &["limits", "model", "config"]),
    ("log", &["limits", "model", "config", "wire"]),
    ("replication", &["limits", "model", "config", "wire"]),
    ("group", &["limits", "model", "config", "wire"]),
    ("txn", &["limits", "model", "config", "wire"]),
    ("control", &["limits", "model", "config", "wire"]),
    ("quota", &["limits", "model", "config"]),
    (
        "partition",
        &[
            "limits",
            "model",
            "config",
            "wire",
            "log",
            "replication",
            "group",
            "txn",
            "control",
        ],
    ),
    (
        "shard",
        &[
            "limits",
            "model",
            "config",
            "wire",
            "log",
            "replication",
            "group",
            "txn",
            "control",
            "quota",
            "partition",
        ],
    ),
    ("io", &["limits", "model"]),
    (
        "server",
        &[
            "limits",
            "model",
            "config",
            "wire",
            "log",
            "replication",
            "group",
            "txn",
            "control",
            "quota",
            "partition",
            "shard",
            "io",
        ],
    ),
    (
        "cli",
        &[
            "limits",
            "model",
            "config",
            "wire",
            "log",
            "replication",
            "group",
            "txn",
            "control",
            "quota",
            "partition",
            "shard",
            "io",
            "server",
        ],
    ),
    (
        "bench",
        &[
            "limits",
            "model",
            "config",
            "wire",
            "log",
            "replication",
            "group",
            "txn",
            "control",
            "quota",
            "partition",
            "shard",
            "io",
            "server",
        ],
    ),
    ("main", &["config", "server", "cli", "bench"]),
];

/// The folders that touch the world. Everything else is the pure half.
pub const SHELL: &[&str] = &["io", "server", "cli", "bench", "main"];

/// Parts of `std` that the pure half does without.
const IMPURE_STD: &[&str] = &["env", "fs", "net", "process", "thread", "time"];

/// Words that the pure half does without.
const IMPURE_WORDS: &[&str] = &[
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "rand::",
    "Rc<RefCell",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "thread_local!",
];

/// Words of asynchronous code, at home in `io`, `server` and `bench` only.
const ASYNC_WORDS: &[&str] = &["async", ".await", "Future", "Waker"];

/// Names that say nothing about a module.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc",
];

const INTEGERS: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

/// Lines of production code above which a file is printed, and above which it is refused.
pub const FILE_LINES_SOFT_MAX: usize = 600;
const FILE_LINES_MAX: usize = 1000;
const INLINE_TEST_LINES_MAX: usize = 200;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 100;

/// Everything that is wrong with one file.
pub fn check(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |line: usize, rule: &'static str, message: String| {
        found.push(Violation {
            path: source.path.clone(),
            line,
            rule,
            message,
        });
    };
    head(source, &mut report);
    sizes(source, &mut report);
    functions(source, &mut report);
    banned_everywhere(source, &mut report);
    if let Some(module) = source.module() {
        imports(source, module, &mut report);
        production(source, module, &mut report);
        if !SHELL.contains(&module) {
            purity(source, &mut report);
            hash_iteration(source, &mut report);
        }
    }
    found
}

type Report<'a> = &'a mut dyn FnMut(usize, &'static str, String);

fn head(source: &Source, report: Report) {
    let first = source.raw.first().map_or("", String::as_str);
    if first != "// SPDX-License-Identifier: Apache-2.0" {
        report(1, "head", "the first line must be the SPDX line".into());
    }
    let docs: Vec<&str> = source
        .raw
        .iter()
        .skip(1)
        .map(String::as_str)
        .take_while(|l| l.starts_with("//!"))
        .collect();
    if docs.is_empty() {
        report(
            2,
            "head",
            "the head must say in `//!` lines what the file owns".into(),
        );
    } else if source.module().is_some() && !source.is_test_file() && source.path != "src/lib.rs" {
        let words = docs
            .iter()
            .flat_map(|line| line.trim_start_matches("//!").split_whitespace());
        let docs = words.collect::<Vec<_>>().join(" ");
        let parts = ["Owns:", "Invariants:", "Runs on:", "Bounded by:"];
        let missing: Vec<&str> = parts
            .into_iter()
            .filter(|part| !docs.contains(part))
            .collect();
        if !missing.is_empty() {
            report(
                2,
                "head",
                format!("the head must say `{}`", missing.join("`, `")),
            );
        }
    }
}

fn sizes(source: &Source, report: Report) {
    let test_lines = source.is_test.iter().filter(|t| **t).count();
    let inline = if source.is_test_file() { 0 } else { test_lines };
    let lines = source.raw.len() - inline;
    if lines > FILE_LINES_MAX {
        report(
            1,
            "file-size",
            format!("{lines} lines, at most {FILE_LINES_MAX}"),
        );
    }
    if inline > INLINE_TEST_LINES_MAX {
        let message = format!(
            "{inline} lines of inline tests, at most {INLINE_TEST_LINES_MAX}; move them to tests.rs"
        );
        report(1, "inline-tests", message);
    }
    for (i, line) in source.raw.iter().enumerate() {
        let chars = line.chars().count();
        if chars > LINE_CHARS_MAX && !line.contains("://") {
            report(
                i + 1,
                "width",
                format!("{chars} characters, at most {LINE_CHARS_MAX}"),
            );
        }
    }
}

fn functions(source: &Source, report: Report) {
    for function in source.functions() {
        let lines = function.lines.len() - one_call_arms(source, &function);
        if lines > FUNCTION_LINES_MAX {
            let name = &function.name;
            let message = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            report(function.lines.start + 1, "function-size", message);
        }
    }
}

/// Lines of a function that are match arms of a single call. A dispatch may have any number of
/// them.
fn one_call_arms(source: &Source, function: &Function) -> usize {
    let lines = &source.code[function.lines.clone()];
    let (mut at, mut excused) = (0, 0);
    while at < lines.len() {
        let len = one_call_arm(&lines[at..]).unwrap_or(0);
        excused += len;
        at += len.max(1);
    }
    excused
}

/// How many lines the match arm has that starts here, if it is a single call, in braces or not.
fn one_call_arm(lines: &[String]) -> Option<usize> {
    let (_, first) = lines[0].split_once(" =>")?;
    let mut arm = String::new();
    let rest = std::iter::once(first).chain(lines[1..].iter().map(String::as_str));
    for (i, line) in rest.enumerate() {
        arm.push_str(line.trim());
        let count = |c: char| arm.matches(c).count();
        if count('(') != count(')') || count('{') != count('}') || !arm.ends_with([',', '}']) {
            continue;
        }
        let call = arm
            .trim_end_matches(',')
            .trim_start_matches('{')
            .trim_end_matches('}')
            .trim();
        let is_one = call.ends_with(')') && !call.contains(['{', ';']) && !call.contains("=>");
        return is_one.then_some(i + 1);
    }
    None
}

fn banned_everywhere(source: &Source, report: Report) {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let calls = [
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("db", "g!"),
    ];
    for (i, line) in source.raw.iter().enumerate() {
        for mark in marks
            .iter()
            .filter(|mark| words(line, mark).next().is_some())
        {
            report(
                i + 1,
                "unfinished",
                format!("`{mark}` is no way to leave code"),
            );
        }
    }
    for (i, line) in source.code.iter().enumerate() {
        for call in calls
            .iter()
            .filter(|call| words(line, call).next().is_some())
        {
            report(
                i + 1,
                "unfinished",
                format!("`{call}` is no way to leave code"),
            );
        }
        if words(line, "unsafe").next().is_some() && !may_be_unsafe(&source.path) {
            report(
                i + 1,
                "unsafe",
                "`unsafe` lives in src/io and src/wire/checksum.rs only".into(),
            );
        }
        for name in words(line, "mod").flat_map(|at| first_names(&line[at + 3..])) {
            if EMPTY_NAMES.contains(&name.as_str()) {
                report(
                    i + 1,
                    "empty-name",
                    format!("a module `{name}` says nothing"),
                );
            }
        }
    }
    let stem = source
        .path
        .rsplit('/')
        .next()
        .unwrap_or("")
        .trim_end_matches(".rs");
    if EMPTY_NAMES.contains(&stem) {
        report(1, "empty-name", format!("a file `{stem}` says nothing"));
    }
}

fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("src/io/") || path == "src/wire/checksum.rs"
}

fn imports(source: &Source, module: &str, report: Report) {
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
        if module != "lib" {
            report(
                1,
                "import",
                format!("{module} has no row in the import table"),
            );
        }
        return;
    };
    for (line, imported) in imported_modules(source) {
        let known = IMPORTS.iter().any(|(name, _)| *name == imported);
        if known && imported != module && !allowed.contains(&imported.as_str()) {
            report(
                line,
                "import",
                format!("{module} may not import {imported}"),
            );
        }
    }
}

/// Top-level modules that a file names, with the lines.
fn imported_modules(source: &Source) -> Vec<(usize, String)> {
    let text = source.code.join("\n");
    let line = |at: usize| crate::source::line_of(&text, at);
    let mut found = Vec::new();
    for root in ["crate::", "furlong::"] {
        for at in words(&text, root) {
            let names = first_names(&text[at + root.len()..]);
            found.extend(names.into_iter().map(|name| (line(at) + 1, name)));
        }
    }
    let depth = source.module_path().len();
    for at in words(&text, "super::").filter(|at| !text[..*at].ends_with("super::")) {
        let mut rest = &text[at..];
        let mut count = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, count) = (after, count + 1);
        }
        let inline_test = source.is_test[line(at)] && !source.is_test_file();
        if count == depth + usize::from(inline_test) {
            found.extend(
                first_names(rest)
                    .into_iter()
                    .map(|name| (line(at) + 1, name)),
            );
        }
    }
    found
}

fn production(source: &Source, module: &str, report: Report) {
    for (line, code) in source.production_lines() {
        if code.contains(".unwrap()") {
            report(
                line,
                "unwrap",
                "`unwrap()` says nothing; `expect` why it cannot fail".into(),
            );
        }
        let is_use = code
            .trim_start()
            .trim_start_matches("pub ")
            .starts_with("use ");
        if is_use && code.contains("::*") {
            report(
                line,
                "glob",
                "a glob import hides where names come from".into(),
            );
        }
        for integer in INTEGERS {
            let cast = format!("as {integer}");
            if words(code, &cast).any(|at| code[..at].ends_with(' ')) {
                let message = format!("`{cast}` may lose bits; use `from` or `try_from`");
                report(line, "integer-cast", message);
            }
        }
        for word in ASYNC_WORDS {
            let at_home = ["io", "server", "bench"].contains(&module);
            if !at_home && words(code, word).next().is_some() {
                report(line, "async", format!("{module} may not use `{word}`"));
            }
        }
    }
}

fn purity(source: &Source, report: Report) {
    for (line, code) in source.production_lines() {
        let module = source.module().unwrap_or_default();
        for at in words(code, "std::") {
            for name in first_names(&code[at + "std::".len()..]) {
                if IMPURE_STD.contains(&name.as_str()) {
                    report(
                        line,
                        "pure",
                        format!("{module} is pure and may not use `std::{name}`"),
                    );
                }
            }
        }
        for word in IMPURE_WORDS
            .iter()
            .filter(|word| words(code, word).next().is_some())
        {
            report(
                line,
                "pure",
                format!("{module} is pure and may not use `{word}`"),
            );
        }
    }
}

/// The order of a hash map differs from run to run, so no decision may depend on it.
fn hash_iteration(source: &Source, report: Report) {
    let mut names: Vec<String> = Vec::new();
    for (_, code) in source.production_lines() {
        for kind in ["HashMap", "HashSet"] {
            for at in words(code, kind) {
                let before = code[..at].trim_end().trim_end_matches("std::collections::");
                let before = before.trim_end().trim_end_matches(['=', ':']).trim_end();
                let name: String = before.chars().rev().take_while(|c| is_word(*c)).collect();
                names.extend(
                    Some(name.chars().rev().collect()).filter(|name: &String| !name.is_empty()),
                );
            }
        }
    }
    let walks = [
        ".iter()",
        ".iter_mut()",
        ".keys()",
        ".values()",
        ".values_mut()",
        ".drain()",
        ".into_iter()",
    ];
    for (line, code) in source.production_lines() {
        for name in &names {
            let walked = words(code, name).any(|at| {
                let after = &code[at + name.len()..];
                let is_loop = code[..at].contains(" in ") && after.trim_start().starts_with('{');
                is_loop || walks.iter().any(|walk| after.starts_with(walk))
            });
            if walked {
                report(
                    line,
                    "hash-order",
                    format!("`{name}` is hashed: its order is not the same twice"),
                );
            }
        }
    }
}
