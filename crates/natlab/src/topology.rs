//! A lab that is described in a TOML file.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    error::{LabError, Tried},
    kind::{Access, Kind},
    plan::Plan,
    quality::{Change, Quality},
};

/// The contents of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    links: BTreeMap<String, LinkTable>,
    #[serde(default)]
    networks: BTreeMap<String, Spanned<NetworkTable>>,
    sides: BTreeMap<String, Spanned<SideTable>>,
}

/// A link of a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkTable {
    loss: Option<Spanned<String>>,
    delay: Option<Spanned<String>>,
    jitter: Option<Spanned<String>>,
    rate: Option<Spanned<String>>,
    mtu: Option<Spanned<u32>>,
}

/// A network with several sides, or with other networks, in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkTable {
    kind: Spanned<String>,
    behind: Option<Spanned<String>>,
}

/// A side.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SideTable {
    kind: Option<Spanned<String>>,
    behind: Option<Spanned<String>>,
    link: Option<Spanned<String>>,
}

/// Reads the description of a lab.
///
/// # Errors
/// The file cannot be read, or describes no lab; the error names the line.
pub(crate) fn read(path: &Path) -> Result<Plan, LabError> {
    let name = path.display();
    let text = fs::read_to_string(path).tried(format_args!("{name} cannot be read"))?;
    parse(&text).map_err(|error| {
        let line = text[..error.at.min(text.len())].matches('\n').count() + 1;
        LabError::new(format!("{name}, line {line}: {}", error.text))
    })
}

/// An error at a place of the text.
#[derive(Debug)]
struct At {
    at: usize,
    text: String,
}

impl At {
    fn new<T>(place: &Spanned<T>, text: impl ToString) -> Self {
        Self { at: place.span().start, text: text.to_string() }
    }
}

fn parse(text: &str) -> Result<Plan, At> {
    let file: File = toml::from_str(text).map_err(|error| At {
        at: error.span().map_or(0, |span| span.start),
        text: error.message().to_owned(),
    })?;
    let mut plan = Plan::new();
    let mut indices = BTreeMap::new();
    for (name, network) in &file.networks {
        add_network(&file, &mut plan, &mut indices, (name, network), &mut Vec::new())?;
    }
    for (name, side) in &file.sides {
        add_side(&file, &mut plan, &indices, name, side)?;
    }
    for (name, network) in &file.networks {
        let index = indices[name.as_str()];
        let (kind, members) = (plan.networks[index].kind, plan.members(index));
        if members == 0 {
            return Err(At::new(network, format!("nothing is in the network `{name}`")));
        }
        if members > 1 && kind.access() == Access::Public {
            return Err(At::new(
                &network.get_ref().kind,
                "a network of kind `none` has one public address: give each side a network of its own",
            ));
        }
    }
    Ok(plan)
}

/// Adds a network after the one that it is behind. `path` has those that wait for it.
fn add_network<'a>(
    file: &'a File,
    plan: &mut Plan,
    indices: &mut BTreeMap<&'a str, usize>,
    (name, network): (&'a str, &'a Spanned<NetworkTable>),
    path: &mut Vec<&'a str>,
) -> Result<usize, At> {
    if let Some(index) = indices.get(name) {
        return Ok(*index);
    }
    path.push(name);
    let table = network.get_ref();
    let kind = read_kind(&table.kind)?;
    let behind = match &table.behind {
        None => None,
        Some(other) => {
            let outer = find_network(file, other)?;
            if path.contains(&outer.0) {
                let way = path.join("` is behind `");
                let text = format!("a loop: `{way}` is behind `{}`", outer.0);
                return Err(At::new(other, text));
            }
            let index = add_network(file, plan, indices, outer, path)?;
            check_nesting(other, kind, plan.networks[index].kind)?;
            Some(index)
        }
    };
    plan.check_name(name).map_err(|error| At::new(network, error))?;
    let index = plan.push_network(name, kind, behind);
    indices.insert(name, index);
    Ok(index)
}

fn add_side(
    file: &File,
    plan: &mut Plan,
    indices: &BTreeMap<&str, usize>,
    name: &str,
    side: &Spanned<SideTable>,
) -> Result<(), At> {
    plan.check_name(name).map_err(|error| At::new(side, error))?;
    let table = side.get_ref();
    let (link, mtu) = match &table.link {
        None => (Quality::default(), None),
        Some(link) => read_link(file, link)?,
    };
    let behind = match &table.behind {
        None => None,
        Some(other) => {
            let (outer, _) = find_network(file, other)?;
            Some((other, indices[outer]))
        }
    };
    let network = match (&table.kind, behind) {
        (None, None) => {
            return Err(At::new(side, format!("side `{name}` needs `kind` or `behind`")));
        }
        (None, Some((_, network))) => network,
        (Some(kind), behind) => {
            let kind = read_kind(kind)?;
            if let Some((place, outer)) = behind {
                check_nesting(place, kind, plan.networks[outer].kind)?;
            }
            plan.push_network(name, kind, behind.map(|(_, outer)| outer))
        }
    };
    plan.push_side(name, network, link, mtu);
    Ok(())
}

/// Checks that a network of one kind can be behind one of another.
fn check_nesting(place: &Spanned<String>, inner: Kind, outer: Kind) -> Result<(), At> {
    if inner.nat().is_some() && outer.nat().is_some() {
        return Ok(());
    }
    let text = format!(
        "`{inner}` cannot be behind `{outer}`: both have to be NATs, since only a NAT's addresses \
         fit into another network"
    );
    Err(At::new(place, text))
}

fn find_network<'a>(
    file: &'a File,
    name: &Spanned<String>,
) -> Result<(&'a str, &'a Spanned<NetworkTable>), At> {
    let found = file.networks.get_key_value(name.get_ref());
    let found = found.map(|(name, network)| (name.as_str(), network));
    found.ok_or_else(|| unknown(name, "network", file.networks.keys()))
}

fn unknown<'a>(name: &Spanned<String>, what: &str, all: impl Iterator<Item = &'a String>) -> At {
    let all: Vec<_> = all.map(String::as_str).collect();
    let all = match all.is_empty() {
        true => "there is none".to_owned(),
        false => format!("there are {}", all.join(", ")),
    };
    At::new(name, format!("unknown {what} `{}`; {all}", name.get_ref()))
}

fn read_kind(text: &Spanned<String>) -> Result<Kind, At> {
    text.get_ref().parse().map_err(|error| At::new(text, error))
}

/// Returns the quality and the MTU of a link.
fn read_link(file: &File, name: &Spanned<String>) -> Result<(Quality, Option<u32>), At> {
    let table = file.links.get(name.get_ref());
    let table = table.ok_or_else(|| unknown(name, "link", file.links.keys()))?;
    let mut quality = Quality::default();
    if let Some(loss) = &table.loss {
        let share = loss.get_ref().parse();
        quality.change(Change::Loss(share.map_err(|()| At::new(loss, "expected 0% to 100%"))?));
    }
    if let Some(delay) = &table.delay {
        quality.change(Change::Delay(read_time(delay)?));
    }
    if let Some(jitter) = &table.jitter {
        quality.change(Change::Jitter(read_time(jitter)?));
    }
    if let Some(rate) = &table.rate {
        let bits = rate.get_ref().parse();
        let wrong = |()| At::new(rate, "expected a rate such as 500kbit or 2mbit");
        quality.change(Change::Rate(bits.map_err(wrong)?));
    }
    let fits = |mtu: &&Spanned<u32>| !(68..=65535).contains(mtu.get_ref());
    if let Some(mtu) = table.mtu.as_ref().filter(fits) {
        return Err(At::new(mtu, "an MTU is 68 to 65535"));
    }
    Ok((quality, table.mtu.as_ref().map(|mtu| *mtu.get_ref())))
}

fn read_time(text: &Spanned<String>) -> Result<Duration, At> {
    humantime::parse_duration(text.get_ref())
        .map_err(|_| At::new(text, "expected a time such as 80ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAB: &str = r#"
[links.dsl]
delay = "20ms"
jitter = "5ms"
loss = "1%"
rate = "2mbit"
mtu = 1400

[networks.office]
kind = "symmetric"
behind = "building"

[networks.building]
kind = "full-cone,hairpin"

[sides.alice]
behind = "office"
link = "dsl"

[sides.bob]
behind = "office"

[sides.carol]
kind = "port-restricted"
behind = "building"

[sides.dave]
kind = "none"
"#;

    #[test]
    fn a_file_describes_networks_in_networks() {
        let plan = parse(LAB).unwrap();
        let names: Vec<_> = plan.networks.iter().map(|it| (it.name.as_str(), it.behind)).collect();
        let expected =
            [("building", None), ("office", Some(0)), ("carol", Some(0)), ("dave", None)];
        assert_eq!(names, expected);
        let sides: Vec<_> = plan.sides.iter().map(|it| (it.name.as_str(), it.network)).collect();
        assert_eq!(sides, [("alice", 1), ("bob", 1), ("carol", 2), ("dave", 3)]);
        let link = plan.sides[0].link.to_string();
        assert_eq!(link, "loss 1%, delay 20ms, jitter 5ms, rate 2mbit");
        assert_eq!((plan.sides[0].mtu, plan.members(0), plan.members(1)), (Some(1400), 2, 2));
    }

    /// Returns the error for the text in which one part is replaced, with its line.
    fn error(part: &str, by: &str) -> String {
        assert!(LAB.contains(part));
        let text = LAB.replacen(part, by, 1);
        let error = parse(&text).unwrap_err();
        format!("{}: {}", text[..error.at].matches('\n').count() + 1, error.text)
    }

    #[test]
    fn an_error_names_the_line() {
        for (part, by, expected) in [
            (
                "hairpin\"",
                "hairpin\"\nbehind = \"office\"",
                "11: a loop: `building` is behind `office` is behind `building`",
            ),
            ("link = \"dsl\"", "link = \"dls\"", "18: unknown link `dls`; there are dsl"),
            ("behind = \"office\"", "behind = \"ofice\"", "17: unknown network `ofice`"),
            ("\"port-restricted\"", "\"port-restrict\"", "24: unknown kind `port-restrict`"),
            ("loss = \"1%\"", "loss = \"1\"", "5: expected 0% to 100%"),
            ("mtu = 1400", "mtu = 14", "7: an MTU is 68 to 65535"),
            ("kind = \"none\"", "kind = \"none\"\nbehind = \"office\"", "29: `none` cannot be"),
            ("kind = \"none\"", "", "27: side `dave` needs `kind` or `behind`"),
            ("kind = \"symmetric\"", "kin = \"symmetric\"", "10: unknown field `kin`"),
            ("[sides.dave]", "[sides.office]", "27: there are two with the name `office`"),
            ("\"symmetric\"", "\"symmetric", "10: "),
        ] {
            let found = error(part, by);
            assert!(found.starts_with(expected), "{found}, not {expected}");
        }
    }
}
