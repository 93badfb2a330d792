//! A trace as a ladder for the terminal: a column for the time, one for each place, and the words
//! beside them.

use std::fmt::Write;

use super::{
    diagnosis::diagnosis,
    document::CallTrace,
    drawing::{Arrow, Drawing, Item, Line, Mark, Place},
    text::{columns, cut, printable, seconds, wrapped},
};

/// The width of the column of times, with the space before and after them.
const TIME: usize = 10;

/// The least and the greatest distance between two places.
const DISTANCE: (usize, usize) = (6, 10);

/// The space from the last place to the words, with the place itself.
const MARGIN: usize = 3;

/// The least width of the words, which a wider drawing would leave too little for.
const WORDS: usize = 32;

/// The shortest time, in milliseconds, between equal arrows that is told.
const LONG: f64 = 100.0;

/// The places of a drawing in columns.
struct Columns<'a> {
    drawing: &'a Drawing,
    distance: usize,
    /// The width of everything before the words.
    rails: usize,
    /// The width of the words.
    words: usize,
}

/// Returns a trace as text for a terminal with this number of columns: who the call is of, its
/// steps, and at the end its diagnosis. Lines are as long as the drawing needs where the terminal
/// is narrower.
pub fn ladder(trace: &CallTrace, width: usize) -> String {
    let drawing = Drawing::new(trace);
    let columns = Columns::new(&drawing, width);
    let mut text = header(trace, &drawing, width.max(WORDS));
    text.push('\n');
    line(&mut text, &columns.names());
    for item in &drawing.items {
        columns.draw(&mut text, item);
    }
    text.push('\n');
    let said = match trace.diagnosis.as_str() {
        "" => diagnosis(trace),
        said => printable(said),
    };
    for words in wrapped(&format!("Diagnosis: {said}"), width.max(WORDS)) {
        line(&mut text, &words);
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

/// Returns the lines that say which call it is.
fn header(trace: &CallTrace, drawing: &Drawing, width: usize) -> String {
    let mut users = drawing.users.iter().enumerate();
    let mut all = users.next().map(|(_, name)| format!("{name} (A)")).unwrap_or_default();
    for (index, name) in users {
        let and = if index + 1 == drawing.users.len() { " and" } else { "," };
        all += &format!("{and} {name} ({})", Place::User(index).id());
    }
    let last = trace.steps.last().map(|step| step.at_ms).unwrap_or_default();
    let state = if trace.is_over { "over" } else { "not over yet" };
    let omitted = match trace.omitted {
        0 => String::new(),
        omitted => format!(", {omitted} more in the middle are missing"),
    };
    let mut text = String::new();
    for words in wrapped(&format!("Call {} of {all}", trace.call_id), width) {
        line(&mut text, &words);
    }
    let steps = trace.steps.len();
    let facts = format!(
        "Began at {}, {state}; {steps} steps in {} s{omitted}.",
        trace.started_at,
        seconds(last)
    );
    for words in wrapped(&facts, width) {
        line(&mut text, &words);
    }
    text
}

impl<'a> Columns<'a> {
    fn new(drawing: &'a Drawing, width: usize) -> Self {
        let count = drawing.places.len();
        let distance = width.saturating_sub(TIME + WORDS) / count.max(1);
        let distance = distance.clamp(DISTANCE.0, DISTANCE.1);
        let rails = TIME + distance / 2 + count.saturating_sub(1) * distance + MARGIN;
        let words = width.saturating_sub(rails).max(WORDS);
        Self { drawing, distance, rails, words }
    }

    /// Returns the column of a place.
    fn at(&self, place: Place) -> usize {
        let index = self.drawing.places.iter().position(|other| *other == place);
        TIME + self.distance / 2 + index.unwrap_or_default() * self.distance
    }

    /// Returns the line with the names of the places.
    fn names(&self) -> String {
        let mut text = format!("{:>1$}", "seconds", TIME - 2);
        for place in &self.drawing.places {
            let name = self.name(*place);
            let begin = self.at(*place).saturating_sub(columns(&name) / 2);
            let gap = begin.saturating_sub(columns(&text));
            text.extend(std::iter::repeat_n(' ', gap));
            text += &name;
        }
        text
    }

    /// Returns a name that fits between its neighbours.
    fn name(&self, place: Place) -> String {
        let max = self.distance - 1;
        match place {
            Place::User(index) => match self.drawing.users.get(index) {
                Some(name) if columns(name) <= max => name.clone(),
                Some(name) if max > 6 => format!("{} {}", place.id(), cut(name, max - 2)),
                _ => place.id(),
            },
            Place::Signaling if max >= "signaling".len() => "signaling".to_owned(),
            Place::Signaling | Place::Stun | Place::Turn => place.id(),
        }
    }

    fn draw(&self, text: &mut String, item: &Item) {
        let mut row = self.rails();
        let (time, words) = match &item.mark {
            Mark::Arrow(arrow) => {
                self.arrow(&mut row, arrow);
                (seconds(item.at_ms), words(arrow, item))
            }
            Mark::Note(first, last, words) => {
                for place in [*first, *last] {
                    put(&mut row, self.at(place), '●');
                }
                (seconds(item.at_ms), printable(words))
            }
            Mark::Heading(.., words) => (String::new(), format!("— {words} —")),
        };
        for (index, words) in wrapped(&words, self.words.saturating_sub(2)).iter().enumerate() {
            let rails = if index == 0 { row.clone() } else { self.rails() };
            let rails: String = rails.into_iter().skip(TIME).collect();
            let (time, indent) = if index == 0 { (time.as_str(), "") } else { ("", "  ") };
            line(text, &format!("{time:>0$}  {rails}{indent}{words}", TIME - 2));
        }
    }

    /// Returns the vertical lines.
    fn rails(&self) -> Vec<char> {
        let mut row = vec![' '; self.rails];
        for place in &self.drawing.places {
            put(&mut row, self.at(*place), '│');
        }
        row
    }

    fn arrow(&self, row: &mut [char], arrow: &Arrow) {
        let (from, to) = (self.at(arrow.from), self.at(arrow.to));
        let stroke = if arrow.line == Line::Dashed { '╌' } else { '─' };
        for column in from.min(to) + 1..from.max(to) {
            put(row, column, stroke);
        }
        let (head, at) = match from < to {
            true => ('▶', to - 1),
            false => ('◀', to + 1),
        };
        put(row, at, if arrow.line == Line::Broken { '✗' } else { head });
    }
}

fn put(row: &mut [char], column: usize, char: char) {
    if let Some(place) = row.get_mut(column) {
        *place = char;
    }
}

fn words(Arrow { label, .. }: &Arrow, item: &Item) -> String {
    let mut text = label.name.clone();
    for detail in &label.details {
        text += " · ";
        text += detail;
    }
    if item.times > 1 {
        text += &format!(" ×{}", item.times);
    }
    if item.until_ms - item.at_ms >= LONG {
        text += &format!(" until {}", seconds(item.until_ms));
    }
    printable(&text)
}

#[cfg(test)]
mod tests;
