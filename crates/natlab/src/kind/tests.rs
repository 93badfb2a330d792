use std::time::Duration;

use super::*;

#[test]
fn each_named_kind_is_read_and_written_alike() {
    for name in Kind::named() {
        let kind: Kind = name.parse().unwrap();
        assert_eq!(kind.to_string(), *name);
    }
}

#[test]
fn the_old_names_are_those_of_rfc_3489() {
    use Behavior::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    for (name, mapping, filtering) in [
        ("full-cone", EndpointIndependent, EndpointIndependent),
        ("address-restricted", EndpointIndependent, AddressDependent),
        ("port-restricted", EndpointIndependent, AddressAndPortDependent),
        ("symmetric", AddressAndPortDependent, AddressAndPortDependent),
    ] {
        let kind: Kind = name.parse().unwrap();
        assert_eq!((kind.mapping(), kind.filtering()), (Some(mapping), Some(filtering)));
        let long: Kind = format!("mapping={mapping},filtering={filtering}").parse().unwrap();
        assert_eq!(long, kind);
    }
}

#[test]
fn settings_change_the_behavior() {
    let kind: Kind = "port-restricted, hairpin, timeout=5s".parse().unwrap();
    let nat = kind.nat().unwrap();
    assert!(nat.hairpin());
    assert_eq!((nat.timeout(), nat.ports()), (Duration::from_secs(5), Ports::Preserved));
    let kind: Kind = "full-cone,mapping=address-dependent".parse().unwrap();
    assert_eq!(kind.nat().unwrap().ports(), Ports::Random);
    assert_eq!("symmetric,hairpin=off".parse(), "symmetric".parse::<Kind>());
}

#[test]
fn an_error_names_the_nearest_kind_and_the_reason() {
    for (text, error) in [
        ("symetric", "unknown kind `symetric`: there is no `symetric`; did you mean `symmetric`?"),
        ("full_cone", "did you mean `full-cone`?"),
        ("", "unknown kind ``"),
        ("symmetric,hairpn", "there is no `hairpn`; did you mean `hairpin`?"),
        ("symmetric,ports=odd", "`ports` cannot be `odd`; expected preserved, parity or random"),
        ("symmetric,timeout=0s", "`timeout` cannot be `0s`; expected whole seconds"),
        ("symmetric,ports=preserved", "a NAT that preserves ports has one mapping"),
        ("ipv6,hairpin", "`ipv6` has no NAT, so it takes no settings"),
    ] {
        let found = text.parse::<Kind>().unwrap_err().to_string();
        assert!(found.contains(error), "{text}: {found}");
    }
}
