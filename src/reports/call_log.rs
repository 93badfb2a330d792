//! The log line for each ended call: its users, its duration, its path, and the reason why it
//! ended. It answers the questions that users ask an operator, and contains neither media nor
//! addresses.

use callbox_signaling::CallReport;

/// The number of relayed bytes above which they are media, and not only the connectivity checks of
/// ICE.
const MEDIA: u64 = 32 * 1024;

/// Writes the line.
pub(super) fn log(report: &CallReport) {
    let call = &report.call;
    let users: Vec<_> = call.participants.iter().map(|side| side.user_id.as_str()).collect();
    let (path, relay) = (path(report), &call.relay);
    let reason = call.reason.map(tracing::field::display);
    let ended_by = call.ended_by.as_ref().map(|user| user.as_str());
    // Seconds until the call was accepted, if it was.
    let rang = call.started_at.map(|at| at.0.saturating_sub(call.created_at.0));
    let rang = rang.map(|time| time.as_millis() as f64 / 1000.0);
    match &call.room_id {
        None => tracing::info!(
            call = %call.id,
            kind = %call.kind,
            caller = users.first(),
            callee = users.get(1),
            reason,
            ended_by,
            rang,
            duration = call.duration,
            path,
            allocations = relay.allocations,
            bytes_up = relay.bytes_up,
            bytes_down = relay.bytes_down,
            "call ended"
        ),
        Some(room) => tracing::info!(
            call = %call.id,
            kind = %call.kind,
            room = room.as_str(),
            participants = ?users,
            reason,
            ended_by,
            duration = call.duration,
            path,
            allocations = relay.allocations,
            bytes_up = relay.bytes_up,
            bytes_down = relay.bytes_down,
            "room ended"
        ),
    }
}

/// Returns the path of the media: as reported by the sides, or else as far as the relay can tell.
fn path(report: &CallReport) -> &'static str {
    let relayed = report.call.relay.bytes_up.saturating_add(report.call.relay.bytes_down);
    match report.call.says_it_is_relayed() {
        Some(true) => "relayed",
        Some(false) => "direct",
        None if relayed >= MEDIA => "relayed",
        None if report.was_connected => "direct",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::testing::ended;

    #[test]
    fn a_path_is_logged_as_far_as_it_is_known() {
        let path = |was_connected, bytes_up| {
            let mut report = ended(1);
            report.was_connected = was_connected;
            report.call.relay.bytes_up = bytes_up;
            path(&report)
        };
        assert_eq!(path(false, 0), "none");
        assert_eq!(path(false, MEDIA - 1), "none");
        assert_eq!(path(true, MEDIA - 1), "direct");
        assert_eq!(path(true, MEDIA), "relayed");
    }
}
