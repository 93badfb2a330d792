//! Requests of all clients, in a window that slides: the server sets the pace.

use std::{
    io,
    time::{Duration, Instant},
};

use mio::Events;

use super::{
    client::{Outcome, Step},
    clients::Clients,
};

/// The number of clients that wait for an answer at a time.
const WINDOW: usize = 64;

/// The interval at which lost requests are looked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// Takes every client through the steps, one after the other.
pub(super) fn run(clients: &mut Clients, steps: &[Step]) -> anyhow::Result<()> {
    let count = clients.len();
    let mut events = Events::with_capacity(2 * WINDOW);
    let (mut begun, mut done) = (0, 0);
    let mut buffer = [0; 2048];
    while done < count {
        while begun < count && begun - done < WINDOW {
            clients.ask(begun, steps[0])?;
            begun += 1;
        }
        clients.poll(&mut events, INTERVAL)?;
        for event in &events {
            let index = event.token().0;
            // Messages of the peer wait.
            while index < count
                && let Some(len) = receive(clients.get(index).socket(), &mut buffer)
            {
                // Anything but a STUN message is data that comes late.
                if buffer[0] & 0xc0 != 0 {
                    continue;
                }
                let Outcome::Done(step) = clients.answer(index, &buffer[..len])? else { continue };
                let next = steps.iter().skip_while(|s| **s != step).nth(1);
                match next {
                    Some(next) => clients.ask(index, *next)?,
                    None => done += 1,
                }
                // That was the answer; another datagram makes a new event.
                break;
            }
        }
        clients.send_again(Instant::now())?;
    }
    Ok(())
}

/// Returns the length of the next datagram. An error is that of a datagram that was sent, which is
/// sent again in time.
fn receive(socket: &mio::net::UdpSocket, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match socket.recv(buffer) {
            Ok(len) => return Some(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
}
