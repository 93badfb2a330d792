//! A test case for each pair, in the XML of JUnit.

use super::super::{Table, table::Judged};

/// Returns the report.
pub(super) fn show(table: &Table, earlier: Option<&Table>) -> String {
    let judged = table.judge(earlier);
    let failures = judged.iter().filter(|judged| judged.is_worse()).count();
    let cases: String = judged.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n\
         <testsuite name=\"callbox natlab matrix\" tests=\"{}\" failures=\"{failures}\">\n\
         {cases}</testsuite>\n\
         </testsuites>\n",
        judged.len(),
    )
}

fn case(judged: &Judged<'_>) -> String {
    let cell = judged.cell;
    let name = escape(&cell.name());
    let time = cell.connect_time().unwrap_or_default().as_secs_f64();
    let start = format!("<testcase classname=\"natlab.matrix\" name=\"{name}\" time=\"{time}\"");
    match judged.is_worse() {
        true => {
            let message = escape(&judged.complaint());
            format!("{start}><failure message=\"{message}\"/></testcase>\n")
        }
        false => {
            let path = escape(&cell.path().to_string());
            format!("{start}><system-out>{path}</system-out></testcase>\n")
        }
    }
}

/// Escapes a text for an attribute or an element.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            // XML 1.0 has no other control characters.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
