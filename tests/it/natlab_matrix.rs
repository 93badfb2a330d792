//! `callbox natlab matrix`: each pair of kinds finds the path that the RFCs predict.
//!
//! With `UPDATE=1` the table goes into `docs/testing.md`.

use std::{env, fs};

use callbox_natlab::{Cell, Table};

use crate::common::{callbox, run};

/// The page with the table, and the lines around it.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/testing.md");
const BEGIN: &str = "<!-- natlab matrix: begin -->\n";
const END: &str = "<!-- natlab matrix: end -->\n";

/// Pairs for which browsers need a relay, in each of the ways to one, and one for which two NATs
/// have to be opened at the same time.
const HARD: [[&str; 2]; 5] = [
    ["port-restricted", "carrier-grade"],
    ["symmetric", "symmetric"],
    ["symmetric", "udp-blocked"],
    ["tcp-443-only", "tcp-443-only"],
    ["http-proxy", "ipv6-firewall"],
];

/// Runs the command, and returns its output.
fn matrix(args: &[&str]) -> String {
    let output = run(&mut callbox(&[&["natlab", "matrix"], args].concat()));
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    output.stdout
}

fn cells(json: &str) -> Vec<Cell> {
    serde_json::from_str::<Table>(json).unwrap().cells().to_vec()
}

/// Checks that each cell is as predicted, and that few packets were lost.
fn check(cells: &[Cell]) {
    for cell in cells {
        assert_eq!(cell.path(), cell.predicted(), "{cell:?}");
        let (sent, lost) = cell.packets().unwrap();
        assert!(sent == 200 && lost <= 10, "{cell:?}");
        assert!(cell.connect_time().is_some(), "{cell:?}");
    }
}

/// Returns the page before the table, the table, and the rest.
fn split(page: &str) -> [&str; 3] {
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    [before, table, after]
}

#[test]
fn each_pair_of_kinds_finds_the_predicted_path() {
    let folder = tempfile::tempdir().unwrap();
    let json = matrix(&["--format", "json"]);
    let cells = cells(&json);
    assert!(cells.len() >= 55, "{} cells", cells.len());
    check(&cells);
    // The same table in the format of the page.
    let file = folder.path().join("table.json");
    fs::write(&file, &json).unwrap();
    let markdown = matrix(&["--show", file.to_str().unwrap(), "--format", "markdown"]);
    let page = fs::read_to_string(PAGE).unwrap();
    let [before, table, after] = split(&page);
    let made = format!("\n{markdown}\n");
    if env::var_os("UPDATE").is_some() {
        fs::write(PAGE, [before, BEGIN, &made, END, after].concat()).unwrap();
    } else {
        assert_eq!(table, made, "UPDATE=1 updates the table of docs/testing.md");
    }
}

#[test]
fn two_chromiums_find_the_predicted_path_for_hard_pairs() {
    let pairs = HARD.iter().flat_map(|[a, b]| ["--pair", a, b]);
    let args: Vec<_> =
        ["--with", "chromium", "--format", "json"].into_iter().chain(pairs).collect();
    let cells = cells(&matrix(&args));
    assert_eq!(cells.len(), HARD.len());
    check(&cells);
}

#[test]
fn programs_of_others_print_their_pair() {
    let exe = env!("CARGO_BIN_EXE_callbox");
    let peer = format!("exec {exe} natlab peer --packets 10");
    let a = format!("{peer} --controlling");
    let json = matrix(&[
        "--pair",
        "none",
        "tcp-443-only",
        "--format=json",
        "--on",
        "a",
        &a,
        "--on",
        "b",
        &peer,
    ]);
    let [cell] = &cells(&json)[..] else { panic!("{json}") };
    assert_eq!((cell.path(), cell.packets()), (cell.predicted(), Some((20, 0))));
    // Nothing but the types.
    let line = r#"{"local":{"type":"relay"},"remote":{"type":"prflx"}}"#;
    let json = matrix(&[
        "--pair",
        "symmetric",
        "ipv6",
        "--format=json",
        "--with",
        &format!("echo '{line}'"),
    ]);
    let [cell] = &cells(&json)[..] else { panic!("{json}") };
    assert_eq!((cell.path().to_string(), cell.packets()), ("relayed".to_owned(), None));
}

#[test]
fn a_program_that_fails_is_quoted() {
    let args =
        ["natlab", "matrix", "--pair", "none", "none", "--with", "echo no route >&2; exit 3"];
    let output = run(&mut callbox(&args));
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stdout.contains("none  none  failed  no route\n"), "{}", output.stdout);
    let complaint = "worse: none × none: failed (no route), and the prediction has direct\n";
    assert!(output.stderr.contains(complaint), "{}", output.stderr);
}

#[test]
fn a_table_is_compared_with_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let table = |name: &str, path: &str| {
        let cell = format!(r#"{{"a":"full-cone","b":"symmetric","path":"{path}"}}"#);
        let file = folder.path().join(name);
        fs::write(&file, format!(r#"{{"cells":[{cell}]}}"#)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (udp, tls) = (table("udp", "relayed (udp)"), table("tls", "relayed (tls)"));
    let compare = |now: &str, before: &str| {
        let args = ["natlab", "matrix", "--show", now, "--expect", before, "--format", "junit"];
        run(&mut callbox(&args))
    };
    let worse = compare(&tls, &udp);
    assert_eq!(worse.status, 1, "{}", worse.stderr);
    let complaint =
        "full-cone × symmetric: relayed (tls), and the expected table has relayed (udp)";
    assert_eq!(worse.stderr, format!("natlab: worse: {complaint}\n"));
    assert!(
        worse.stdout.contains(&format!("<failure message=\"{complaint}\"/>")),
        "{}",
        worse.stdout
    );
    for (now, before) in [(&udp, &tls), (&udp, &udp)] {
        let fine = compare(now, before);
        assert_eq!((fine.status, &*fine.stderr), (0, ""));
        assert!(fine.stdout.contains("failures=\"0\""), "{}", fine.stdout);
    }
    fs::write(folder.path().join("none"), "{}").unwrap();
    let none = compare(&udp, folder.path().join("none").to_str().unwrap());
    assert_eq!(none.status, 2);
    assert!(none.stderr.contains("none is no table; make one with"), "{}", none.stderr);
}

#[test]
fn wrong_arguments_are_named() {
    for (args, error) in [
        (&["--kinds", "none,symetric"][..], "--kinds: unknown kind `symetric`"),
        (&["--kinds", "none,symmetric,none"], "--kinds: `none` is in it twice"),
        (&["--on", "a", "true"], "there is no program for side b"),
        (&["--on", "c", "true"], "there is no side `c`"),
        (&["--with", "chromium", "--chromium", "/no/browser"], "there is no /no/browser"),
        (&["--expect", "/no/table"], "/no/table: No such file"),
    ] {
        let output = run(&mut callbox(&[&["natlab", "matrix"], args].concat()));
        assert_eq!((output.status, &*output.stdout), (2, ""), "{}", output.stderr);
        assert!(output.stderr.contains(error), "{args:?}: {}", output.stderr);
    }
}
