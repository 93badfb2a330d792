use callbox_natlab_peer::{Outcome, Transport};

use super::{report::Format, *};
use crate::kind::Kind;

fn kind(text: &str) -> Kind {
    text.parse().unwrap()
}

fn cell(a: &str, b: &str, outcomes: [&str; 2]) -> Cell {
    let outcomes = outcomes.map(|text| serde_json::from_str::<Outcome>(text).unwrap());
    Cell::new([kind(a), kind(b)], outcomes)
}

const DIRECT: &str =
    r#"{"local":{"type":"host"},"remote":{"type":"host"},"connect_ms":120,"sent":100,"lost":1}"#;
const OVER_TLS: &str = r#"{"local":{"type":"relay","relay":"tls"},"remote":{"type":"relay"}}"#;
const FAILED: &str = r#"{"failed":"no <pair>"}"#;

#[test]
fn paths_are_predicted_by_mapping_and_filtering() {
    let path = |text: &str| text.parse::<Path>().unwrap();
    for (a, b, expected) in [
        ("none", "none", "direct"),
        ("none", "symmetric", "direct"),
        ("full-cone", "symmetric", "direct"),
        ("address-restricted", "symmetric", "direct"),
        ("port-restricted", "port-restricted", "direct"),
        ("port-restricted", "symmetric", "relayed (udp)"),
        ("symmetric", "symmetric", "relayed (udp)"),
        ("carrier-grade", "port-restricted", "direct"),
        ("carrier-grade", "symmetric", "relayed (udp)"),
        ("carrier-grade,filtering=endpoint-independent", "symmetric", "relayed (udp)"),
        ("symmetric", "symmetric,filtering=endpoint-independent", "direct"),
        ("symmetric,filtering=address-dependent", "symmetric", "relayed (udp)"),
        ("udp-blocked", "none", "relayed (tcp)"),
        ("tcp-443-only", "none", "relayed (tls)"),
        ("tcp-443-only", "udp-blocked", "relayed (tls)"),
        ("http-proxy", "symmetric", "relayed (tcp)"),
        ("ipv6", "ipv6-firewall", "direct"),
        ("ipv6-firewall", "ipv6-firewall", "direct"),
        ("ipv6", "none", "relayed (udp)"),
    ] {
        assert_eq!(predict(&kind(a), &kind(b)), path(expected), "{a} × {b}");
        assert_eq!(predict(&kind(b), &kind(a)), path(expected), "{b} × {a}");
    }
}

#[test]
fn a_path_has_the_last_transport_of_both_sides() {
    let over_udp = r#"{"local":{"type":"host"},"remote":{"type":"relay","relay":"udp"}}"#;
    let found = cell("tcp-443-only", "none", [OVER_TLS, over_udp]);
    assert_eq!(found.path(), Path::Relayed(Some(Transport::Tls)));
    assert!(Path::Direct < Path::Relayed(Some(Transport::Udp)) && found.path() < Path::Failed);
    let unnamed = r#"{"local":{"type":"relay"},"remote":{"type":"host"}}"#;
    assert_eq!(cell("none", "none", [unnamed, unnamed]).path(), Path::Relayed(None));
}

#[test]
fn a_cell_that_got_worse_is_named() {
    let (a, b) = ("port-restricted", "full-cone");
    let before = Table::new(vec![cell(a, b, [OVER_TLS, OVER_TLS])]);
    let now = Table::new(vec![cell(b, a, [FAILED, FAILED])]);
    assert_eq!(
        now.complaints(Some(&before)),
        [
            "full-cone × port-restricted: failed (no <pair>), and the expected table has relayed (tls)"
        ]
    );
    assert!(before.complaints(Some(&before)).is_empty());
    assert_eq!(
        before.complaints(None),
        ["port-restricted × full-cone: relayed (tls), and the prediction has direct"]
    );
    let better = Table::new(vec![cell(a, b, [DIRECT, DIRECT])]);
    assert!(better.complaints(Some(&before)).is_empty());
}

#[test]
fn each_format_has_every_cell() {
    let table = Table::new(vec![
        cell("none", "none", [DIRECT, DIRECT]),
        cell("none", "symmetric", [FAILED, DIRECT]),
        cell("symmetric", "symmetric", [OVER_TLS, OVER_TLS]),
    ]);
    let show = |format: Format| format.show(&table, None).unwrap();
    assert_eq!(
        show(Format::Text),
        "a          b          path           candidates     connected  lost\n\
         none       none       direct         host – host    120 ms     2 of 200\n\
         none       symmetric  failed         a: no <pair>\n\
         symmetric  symmetric  relayed (tls)  relay – relay\n"
    );
    assert_eq!(
        show(Format::Markdown),
        "| | 1 | 2 |\n\
         |---|---|---|\n\
         | 1 `none` | direct | failed |\n\
         | 2 `symmetric` | | relayed (tls) |\n"
    );
    let json = show(Format::Json);
    assert_eq!(serde_json::from_str::<Table>(&json).unwrap(), table);
    let junit = show(Format::Junit);
    assert!(junit.contains("tests=\"3\" failures=\"2\""), "{junit}");
    assert!(junit.contains("<failure message=\"none × symmetric: failed (a: no &lt;pair&gt;)"));
}
