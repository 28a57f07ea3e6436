// SPDX-License-Identifier: Apache-2.0
//! The rules are tried on snippets that break them: a rule that notices nothing is no rule.

use crate::exceptions::{Exception, judge};
use crate::file_rules::{self, Violation};
use crate::source::{Source, blank};
use crate::tree_rules::{self, Text};

const HEAD: &str = "// SPDX-License-Identifier: Apache-2.0\n\
    //! A file. Owns: x. Invariants: y. Runs on: z. Bounded by: w.\n";

/// What is said about a file with a proper head and this body.
fn complaints(path: &str, body: &str) -> Vec<String> {
    let source = Source::new(path, &format!("{HEAD}{body}"));
    file_rules::check(&source)
        .iter()
        .map(Violation::to_string)
        .collect()
}

#[track_caller]
fn says(path: &str, body: &str, expected: &str) {
    let found = complaints(path, body);
    assert_eq!(found, [expected], "for {body}");
}

#[track_caller]
fn is_silent(path: &str, body: &str) {
    assert_eq!(complaints(path, body), [""; 0], "for {body}");
}

#[test]
fn an_import_against_the_layers_is_refused() {
    says(
        "src/log/mod.rs",
        "use crate::io::ring;\n",
        "src/log/mod.rs:3: log may not import io [import]",
    );
    says(
        "src/log/segment.rs",
        "use crate::{limits::A, replication::{B, C}};\n",
        "src/log/segment.rs:3: log may not import replication [import]",
    );
    says(
        "src/log/segment.rs",
        "use super::super::shard::Shard;\n",
        "src/log/segment.rs:3: log may not import shard [import]",
    );
    says(
        "src/io/ring.rs",
        "use crate::wire::A;\n",
        "src/io/ring.rs:3: io may not import wire [import]",
    );
    says(
        "src/new/mod.rs",
        "",
        "src/new/mod.rs:1: new has no row in the import table [import]",
    );
    is_silent(
        "src/log/segment.rs",
        "use crate::{limits, model::{disk, ids}};\nuse super::io::A;\n",
    );
    is_silent(
        "src/log/segment.rs",
        "// crate::io\nconst A: &str = \"crate::io\";\n",
    );
    is_silent(
        "src/log/a.rs",
        "#[cfg(test)]\nmod tests {\n    use super::super::io::A;\n}\n",
    );
}

#[test]
fn the_pure_half_has_no_clock_no_files_and_no_threads() {
    let refuse = |body: &str, word: &str| {
        let expected = format!("src/log/a.rs:3: log is pure and may not use `{word}` [pure]");
        says("src/log/a.rs", body, &expected);
    };
    refuse("use std::fs::File;\n", "std::fs");
    refuse("use std::{fmt, time};\n", "std::time");
    refuse("fn now() { Instant::now(); }\n", "Instant");
    refuse("fn say() { println!(); }\n", "println!");
    refuse("struct A { b: Mutex<u8> }\n", "Mutex");
    is_silent("src/io/a.rs", "use std::fs::File;\n");
    is_silent(
        "src/log/a.rs",
        "#[cfg(test)]\nmod tests {\n    use std::fs::File;\n}\n",
    );
    says(
        "src/log/a.rs",
        "async fn a() {}\n",
        "src/log/a.rs:3: log may not use `async` [async]",
    );
}

#[test]
fn the_order_of_a_hash_map_decides_nothing() {
    let expected =
        "src/log/a.rs:4: `slots` is hashed: its order is not the same twice [hash-order]";
    says(
        "src/log/a.rs",
        "struct A { slots: HashMap<u8, u8> }\nfn a() { b.slots.iter(); }\n",
        expected,
    );
    says(
        "src/log/a.rs",
        "fn a() { let slots = HashMap::new();\nfor x in &slots {} }\n",
        expected,
    );
    is_silent(
        "src/log/a.rs",
        "struct A { slots: HashMap<u8, u8> }\nfn a() { b.slots.get(); }\n",
    );
}

#[test]
fn code_that_hides_a_failure_is_refused() {
    let unwrap = "src/io/a.rs:3: `unwrap()` says nothing; `expect` why it cannot fail [unwrap]";
    says("src/io/a.rs", "fn a() { b.unwrap(); }\n", unwrap);
    is_silent(
        "src/io/a.rs",
        "#[cfg(test)]\nmod tests {\n    fn a() { b.unwrap(); }\n}\n",
    );
    let cast = "src/io/a.rs:3: `as u32` may lose bits; use `from` or `try_from` [integer-cast]";
    says("src/io/a.rs", "fn a() { b as u32; }\n", cast);
    let glob = "src/io/a.rs:3: a glob import hides where names come from [glob]";
    says("src/io/a.rs", "use crate::limits::*;\n", glob);
    let place = "src/log/a.rs:3: `unsafe` lives in src/io and src/wire/checksum.rs only [unsafe]";
    says("src/log/a.rs", "fn a() { unsafe { b() } }\n", place);
    is_silent("src/io/a.rs", "fn a() { unsafe { b() } }\n");
}

#[test]
fn unfinished_code_is_refused() {
    for word in [concat!("to", "do!"), concat!("db", "g!")] {
        let expected = format!("src/io/a.rs:3: `{word}` is no way to leave code [unfinished]");
        says(
            "src/io/a.rs",
            &format!("fn a() {{ {word}() }}\n"),
            &expected,
        );
    }
    let mark = concat!("FIX", "ME");
    let expected = format!("src/io/a.rs:3: `{mark}` is no way to leave code [unfinished]");
    says("src/io/a.rs", &format!("// {mark} later\n"), &expected);
    says(
        "src/io/util.rs",
        "",
        "src/io/util.rs:1: a file `util` says nothing [empty-name]",
    );
    says(
        "src/io/a.rs",
        "mod helpers;\n",
        "src/io/a.rs:3: a module `helpers` says nothing [empty-name]",
    );
}

#[test]
fn a_file_without_a_head_is_refused() {
    let source = Source::new("src/log/a.rs", "//! Owns: x. Invariants: y. Runs on: z.\n");
    let found: Vec<String> = file_rules::check(&source)
        .iter()
        .map(Violation::to_string)
        .collect();
    assert_eq!(
        found[0],
        "src/log/a.rs:1: the first line must be the SPDX line [head]"
    );
    let text = "// SPDX-License-Identifier: Apache-2.0\n//! Owns: x. Invariants: y. Runs on: z.\n";
    let found = file_rules::check(&Source::new("src/log/a.rs", text));
    let found: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert_eq!(
        found,
        ["src/log/a.rs:2: the head must say `Bounded by:` [head]"]
    );
}

#[test]
fn sizes_are_bounded() {
    let long = "    b();\n".repeat(69);
    let expected = "src/io/a.rs:3: `a` has 71 lines, at most 70 [function-size]";
    says("src/io/a.rs", &format!("fn a() {{\n{long}}}\n"), expected);
    let arms = "        X => handle(x),\n".repeat(90);
    is_silent(
        "src/io/a.rs",
        &format!("fn a() {{\n    match b {{\n{arms}    }}\n}}\n"),
    );
    let arms = "        X => {\n            handle(x)\n        }\n".repeat(30);
    is_silent(
        "src/io/a.rs",
        &format!("fn a() {{\n    match b {{\n{arms}    }}\n}}\n"),
    );
    let arms = "        X => {\n            x += 1;\n        }\n".repeat(30);
    let expected = "src/io/a.rs:3: `a` has 94 lines, at most 70 [function-size]";
    says(
        "src/io/a.rs",
        &format!("fn a() {{\n    match b {{\n{arms}    }}\n}}\n"),
        expected,
    );
    let expected = "src/io/a.rs:3: 103 characters, at most 100 [width]";
    says(
        "src/io/a.rs",
        &format!("// {}\n", "x".repeat(100)),
        expected,
    );
    let expected = "src/io/a.rs:1: 1001 lines, at most 1000 [file-size]";
    says("src/io/a.rs", &"\n".repeat(999), expected);
    let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"\n".repeat(200) + "}\n";
    let expected = "src/io/a.rs:1: 203 lines of inline tests, at most 200; move them to tests.rs \
    [inline-tests]";
    says("src/io/a.rs", &tests, expected);
}

fn tree_complaints(files: &[(&str, &str)], texts: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files
        .iter()
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let texts: Vec<Text> = texts
        .iter()
        .map(|(path, text)| Text {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    tree_rules::check(&sources, &texts)
        .iter()
        .map(Violation::to_string)
        .collect()
}

#[test]
fn the_map_names_what_is_there() {
    let lib = "//! * `limits.rs`: bounds\n//! * `gone/`: nothing\npub mod limits;\npub mod log;\n";
    let files = [
        ("src/lib.rs", lib),
        ("src/limits.rs", ""),
        ("src/log/mod.rs", ""),
    ];
    let found = tree_complaints(&files, &[("Cargo.toml", "")]);
    let expected = [
        "src/lib.rs:1: the code map must name `log/` [map]",
        "src/lib.rs:1: `gone/` is named but not there [map]",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_nobody_declares_is_found() {
    let files = [
        ("tests/a/main.rs", "mod b;\n"),
        ("tests/a/b.rs", ""),
        ("tests/a/c.rs", ""),
    ];
    let found = tree_complaints(&files, &[("Cargo.toml", "path = \"tests/a/main.rs\"")]);
    assert_eq!(
        found,
        ["tests/a/c.rs:1: no file declares this one [dead-file]"]
    );
}

#[test]
fn names_of_tests_and_of_machines_are_watched() {
    let file = "#[test]\nfn reads_back() {}\n#[test]\nfn works() {}\n";
    let again = "#[test]\nfn reads_back() {}\n";
    let files = [
        ("src/a/tests.rs", file),
        ("src/b/a.rs", again),
        ("src/a/c.rs", again),
    ];
    let manifest = (
        "Cargo.toml",
        "\"src/a/tests.rs\" \"src/b/a.rs\" \"src/a/c.rs\"",
    );
    let place = concat!("/ho", "me/");
    let found = tree_complaints(&files, &[manifest, ("a.md", &format!("{place}me\n"))]);
    let expected = [
        "src/a/tests.rs:4: the test `works` must say what it holds [test-name]".to_owned(),
        "src/b/a.rs:2: a test `a::reads_back` is in src/a/tests.rs too [test-name]".to_owned(),
        format!("a.md:1: `{place}` is a place on one machine [machine]"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_exception_may_only_shrink() {
    let violation = |line| Violation {
        path: "src/a.rs".into(),
        line,
        rule: "unwrap",
        message: "no".into(),
    };
    let exception = |count| {
        [Exception {
            path: "src/a.rs",
            rule: "unwrap",
            count,
            reason: "it is here for the test",
        }]
    };
    assert_eq!(
        judge(vec![violation(1), violation(2)], &exception(2)),
        [""; 0]
    );
    let shrink = "src/a.rs: the exception from [unwrap] allows 2 but 1 are left: shrink it";
    assert_eq!(judge(vec![violation(1)], &exception(2)), [shrink]);
    assert_eq!(
        judge(vec![violation(1), violation(2)], &exception(1)).len(),
        3
    );
    assert_eq!(judge(vec![violation(7)], &[]), ["src/a.rs:7: no [unwrap]"]);
}

#[test]
fn literals_and_comments_are_not_code() {
    let text =
        "a /* b /* c */ d */ e \"f \\\" g\" h r#\"i \" j\"# k 'l' m '\\'' n 'o: b'p' // q\nr";
    let code = blank(text);
    let left: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    assert_eq!(left, "aehkmn'o:br");
    assert_eq!(code.chars().count(), text.chars().count());
}
