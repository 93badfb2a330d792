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
