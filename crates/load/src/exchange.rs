//! Requests of all clients, in a window that slides: it is the server that sets the pace.

use std::{io, time::Duration};

use mio::Events;

use super::client::{Clients, Heard, Step};

/// How many clients wait for an answer at a time.
const WINDOW: usize = 64;

/// How often it is looked for what has to be sent again.
const LOOK: Duration = Duration::from_millis(50);

/// Takes every client through the steps, one after the other.
pub(super) fn all(clients: &mut Clients, steps: &[Step]) -> anyhow::Result<()> {
    let count = clients.all.len();
    let mut events = Events::with_capacity(2 * WINDOW);
    let (mut begun, mut done) = (0, 0);
    let mut buffer = [0; 2048];
    while done < count {
        while begun < count && begun - done < WINDOW {
            clients.ask(begun, steps[0])?;
            begun += 1;
        }
        match clients.poll.poll(&mut events, Some(LOOK)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let at = event.token().0;
            // The peer is heard later.
            while at < count
                && let Some(len) = receive(&clients.all[at].socket, &mut buffer)
            {
                // What is no STUN message is data that comes late.
                if buffer[0] & 0xc0 != 0 {
                    continue;
                }
                let Heard::Step(step) = clients.answer(at, &buffer[..len])? else { continue };
                let next = steps.iter().skip_while(|s| **s != step).nth(1);
                match next {
                    Some(next) => clients.ask(at, *next)?,
                    None => done += 1,
                }
                // That was the one; another makes a new event.
                break;
            }
        }
        clients.send_again(std::time::Instant::now())?;
    }
    Ok(())
}

/// The next datagram. An error is that of one that was sent, and is seen to by sending it again.
fn receive(socket: &mio::net::UdpSocket, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match socket.recv(buffer) {
            Ok(len) => return Some(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
}
