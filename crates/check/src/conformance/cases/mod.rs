//! The cases, one file a family. A new one is a function and a line in its family's table.

mod allocate;
mod auth;
mod channel;
mod data;
mod discovery;
mod features;
mod framing;
mod indication;
mod integrity;
mod lifetime;
mod permission;
mod ports;
mod refresh;
mod stun;
mod tcp;
mod tokens;
mod tolerance;

use super::case::Case;

/// Every case, in the order in which they are run.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    let families: [&'static [Case]; 14] = [
        stun::CASES,
        tolerance::CASES,
        auth::CASES,
        integrity::CASES,
        features::CASES,
        allocate::CASES,
        lifetime::CASES,
        ports::CASES,
        refresh::CASES,
        permission::CASES,
        indication::CASES,
        channel::CASES,
        data::CASES,
        framing::CASES,
    ];
    families.into_iter().chain(tcp::PARTS).chain([discovery::CASES, tokens::CASES]).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// `tests/interop/conformance --write` writes it.
    const DOCUMENTED: &str = include_str!("../../../../../docs/conformance.md");

    #[test]
    fn each_case_is_documented() {
        for case in all() {
            let row = format!("| `{}` | {} | {} |", case.name, case.section, case.must);
            assert!(DOCUMENTED.contains(&row), "{row}: run tests/interop/conformance --write");
        }
    }

    #[test]
    fn each_case_has_a_name_of_its_own_and_a_section() {
        let mut names = HashSet::new();
        for case in all() {
            assert!(names.insert(case.name), "{}", case.name);
            assert!(case.name.split_once('/').is_some_and(|(_, name)| !name.is_empty()));
            let (rfc, section) = case.section.split_once(" §").expect("a section");
            let rfcs = ["RFC 8489", "RFC 8656", "RFC 6062", "RFC 5780", "RFC 7635"];
            assert!(rfcs.contains(&rfc), "{}", case.section);
            assert!(section.starts_with(|c: char| c.is_ascii_digit()), "{}", case.section);
            assert!(case.must.ends_with(|c: char| c != '.'), "{}", case.must);
        }
    }
}
