//! coturn's own client against the whole server, over TCP and TLS.

use std::{net::SocketAddr, thread};

use crate::{common::Server, coturn_tools::uclient};

#[test]
fn clients_of_tcp_and_tls_reach_each_other() {
    let server = Server::with(&[
        "--user",
        "static:pass",
        "--listen",
        "[::1]:0",
        "--max-connections-per-address",
        "1000",
        "--workers",
        "2",
    ]);
    let uris = server.ready["turn"].as_array().unwrap();
    let of = |ip: &str| {
        let at = uris.iter().filter_map(|uri| uri.as_str()?.strip_prefix("turn:"));
        let mut at = at.filter_map(|at| at.strip_suffix("?transport=tcp"));
        let at = at.find(|at| at.starts_with(ip)).expect("a listener");
        at.parse::<SocketAddr>().unwrap()
    };
    // Each of them waits most of the time, so they run in parallel.
    thread::scope(|scope| {
        for (at, family) in [(of("127."), &[][..]), (of("[::1]"), &["-x"])] {
            for transport in [&["-t"][..], &["-t", "-S"]] {
                for how in [&[][..], &["-s"]] {
                    let user = ["-u", "static", "-w", "pass", "-y"];
                    let args = [&user[..], family, transport, how].concat();
                    scope.spawn(move || uclient(at, &args));
                }
            }
        }
    });
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}
