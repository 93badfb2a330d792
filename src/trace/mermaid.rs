//! A trace as a sequence diagram of Mermaid, in the form of the diagram that specifies calls.

use std::fmt::Write;

use super::{
    document::CallTrace,
    drawing::{Arrow, Drawing, Item, Line, Mark, Place},
    text::{printable, seconds},
};

/// The characters of ASCII that have no meaning in the text of a label, for Mermaid or for HTML.
const PLAIN: &str = " .,:{}()/_-=+*?!@";

/// Returns a trace as a `sequenceDiagram`: each step as an arrow or a note with its time.
pub fn mermaid(trace: &CallTrace) -> String {
    let drawing = Drawing::new(trace);
    let mut text = "sequenceDiagram\n".to_owned();
    for place in &drawing.places {
        let name = match place {
            Place::User(index) => drawing.users.get(*index).map_or("", String::as_str),
            Place::Signaling => "Signaling Server",
            Place::Stun => "STUN Server",
            Place::Turn => "TURN Server",
        };
        line(&mut text, 1, format_args!("participant {} as {}", place.id(), plain(name)));
    }
    if trace.omitted > 0 {
        let over = over(Place::Signaling, Place::Signaling);
        line(&mut text, 1, format_args!("Note over {over}: {} steps are missing", trace.omitted));
    }
    let mut is_inside = false;
    for item in &drawing.items {
        let is_relayed = matches!(&item.mark, Mark::Arrow(arrow) if arrow.is_relayed);
        match (is_inside, is_relayed) {
            (false, true) => line(&mut text, 1, "alt P2P fails (NAT traversal issue)"),
            (true, false) => line(&mut text, 1, "end"),
            _ => {}
        }
        is_inside = is_relayed;
        line(&mut text, if is_inside { 2 } else { 1 }, of_item(item));
    }
    if is_inside {
        line(&mut text, 1, "end");
    }
    text
}

fn line(text: &mut String, depth: usize, line: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:1$}{line}", "", 4 * depth);
}

fn of_item(item: &Item) -> String {
    match &item.mark {
        Mark::Arrow(arrow) => of_arrow(arrow, item),
        Mark::Note(first, last, text) => {
            format!("Note over {}: {} · {}", over(*first, *last), plain(text), time(item))
        }
        Mark::Heading(first, last, text) => format!("Note over {}: {text}", over(*first, *last)),
    }
}

fn of_arrow(Arrow { from, to, line, label, .. }: &Arrow, item: &Item) -> String {
    let head = match line {
        Line::Solid => "->>",
        Line::Dashed => "-->>",
        Line::Broken => "-x",
    };
    let mut text = format!("{}{head}{}: {}{}", from.id(), to.id(), plain(&label.name), label.form);
    for detail in &label.details {
        text += " · ";
        text += &plain(detail);
    }
    if item.times > 1 {
        text += &format!(" ×{}", item.times);
    }
    text + " · " + &time(item)
}

fn time(item: &Item) -> String {
    let (first, last) = (seconds(item.at_ms), seconds(item.until_ms));
    match first == last {
        true => format!("{first} s"),
        false => format!("{first} to {last} s"),
    }
}

fn over(first: Place, last: Place) -> String {
    match first == last {
        true => first.id(),
        false => format!("{},{}", first.id(), last.id()),
    }
}

/// Returns a text that stands for itself in a label. Characters that Mermaid or HTML would obey
/// become those of the same shape and full width, and nothing can be built of these: entities such
/// as `#59;` would be exact, but Mermaid's expressions for styles find a `#` and a `;` in them.
fn plain(text: &str) -> String {
    let plain = |char: char| match char {
        _ if char.is_ascii_alphanumeric() || PLAIN.contains(char) => char,
        // '!' to '~' have such a form each, in the same order.
        '!'..='~' => char::from_u32(u32::from(char) + 0xfee0).unwrap_or('?'),
        // Mermaid itself writes entities by it.
        '\u{fb02}' => '?',
        _ if char.is_whitespace() => ' ',
        _ => char,
    };
    printable(text).chars().map(plain).collect()
}

#[cfg(test)]
mod tests;
