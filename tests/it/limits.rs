//! The fixed limits in `docs/security.md` equal those of the code.

use std::{fs, path::Path, time::Duration};

use regex::Regex;

/// Each row of the second table names a constant and its file.
#[test]
fn the_fixed_limits_are_those_of_the_code() {
    let page = read("docs/security.md");
    let (_, table) = page.split_once("### Limits that are fixed").expect("there is the table");
    let row =
        Regex::new(r"^\| (\w+) \| [^|]+ \| \[`([A-Z_]+)`\]\(\.\./((?:src|crates)/[^)]+)\) \|$")
            .unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 40, "{rows:?}");
    for line in rows {
        let parts = row.captures(line).unwrap_or_else(|| panic!("no row of this table: {line}"));
        let (text, name, file) = (&parts[1], &parts[2], &parts[3]);
        let constant = Regex::new(&format!(r"const {name}: \w+ =\s+([^;]+);")).unwrap();
        let code = read(file);
        let value = constant.captures(&code).unwrap_or_else(|| panic!("{file} has no {name}"));
        let value = Limit::of_code(&value[1]);
        assert_eq!(Limit::of_text(text), value, "docs/security.md says {text} of {name} in {file}");
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The value of a limit.
#[derive(Debug, PartialEq)]
enum Limit {
    Number(u64),
    Time(Duration),
}

impl Limit {
    /// Parses the notation of the page: `64`, `32KiB` or `20s`.
    fn of_text(text: &str) -> Self {
        let bytes = [("KiB", 1 << 10), ("MiB", 1 << 20)]
            .into_iter()
            .find_map(|(unit, bytes)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * bytes));
        match bytes.or_else(|| text.parse().ok()) {
            Some(number) => Self::Number(number),
            None => Self::Time(humantime::parse_duration(text).expect("a number or a time")),
        }
    }

    /// Parses the notation of the code: integers that are multiplied or shifted, of seconds for a
    /// duration.
    fn of_code(text: &str) -> Self {
        let seconds =
            text.strip_prefix("Duration::from_secs(").map(|text| text.trim_end_matches(')'));
        let whole = |text: &str| text.replace('_', "").parse::<u64>().expect("a whole number");
        let mut parts = seconds.unwrap_or(text).split(' ');
        let mut value = whole(parts.next().expect("splitting gives one part at least"));
        while let (Some(operator), Some(operand)) = (parts.next(), parts.next()) {
            let operand = whole(operand);
            value = match operator {
                "*" => value * operand,
                "<<" => value << operand,
                other => panic!("{text}: the operator {other} is not known here"),
            };
        }
        match seconds {
            Some(_) => Self::Time(Duration::from_secs(value)),
            None => Self::Number(value),
        }
    }
}
