use std::time::Duration;

use callbox_base::ids::UserId;
use callbox_turn::faults::{Injected, RequestFaults, Selector};
use proptest::prelude::*;

use super::{
    delay_queue::{MAX_DELAYED_BYTES, MAX_DELAYED_PACKETS},
    *,
};

const ID: AllocationId = AllocationId(7);
const ALICE: (&str, Option<CallId>) = ("alice", None);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A rule that changes nothing.
fn rule() -> PacketRule {
    PacketRule {
        selector: Selector::default(),
        direction: None,
        loss: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        reorder: 0.0,
        duplicate: 0.0,
        bandwidth: None,
    }
}

fn faults(seed: u64, packets: Vec<PacketRule>) -> (Box<PacketFaults>, Arc<Injected>) {
    let injected = Arc::new(Injected::default());
    let requests = Arc::new(RequestFaults::new(Vec::new(), injected.clone()));
    let plan = FaultPlan { seed, packets, requests, injected: injected.clone() };
    (PacketFaults::new(Arc::new(plan)).expect("there are rules"), injected)
}

fn routed(id: AllocationId) -> Routed {
    let way = Way::ToPeer { to: ([127, 0, 0, 1], 9).into(), dont_fragment: false };
    Routed { allocation: id, way, class: TrafficClass::DEFAULT }
}

/// Sends packets, one each millisecond. Returns the fate of each, in milliseconds from the start.
fn fates(faults: &mut PacketFaults, count: u64, direction: Direction) -> Vec<Option<(u64, bool)>> {
    let start = Instant::now();
    let after = |due: Instant| (due - start).as_millis() as u64;
    (0..count)
        .map(|n| match faults.judge(start + ms(n), ID, ALICE, direction, 1000) {
            Fate::Lost => None,
            Fate::Once(due) => Some((after(due), false)),
            Fate::Twice(due) => Some((after(due), true)),
        })
        .collect()
}

fn lossy(share: f64) -> PacketRule {
    PacketRule { loss: share, ..rule() }
}

proptest! {
    #[test]
    fn the_share_of_lost_packets_is_that_of_the_rule(seed: u64, percent in 1..=99_u32) {
        let share = f64::from(percent) / 100.0;
        let (mut lossy, injected) = faults(seed, vec![lossy(share)]);
        let lost = fates(&mut lossy, 10_000, Direction::Up).iter().filter(|f| f.is_none()).count();
        // Six standard deviations.
        let deviation = (10_000.0 * share * (1.0 - share)).sqrt() * 6.0;
        prop_assert!((lost as f64 - 10_000.0 * share).abs() <= deviation, "{lost} of {share}");
        prop_assert_eq!(injected.get(Injection::PacketLost), lost as u64);
    }

    #[test]
    fn the_same_seed_has_the_same_fates_on_each_worker(seed: u64) {
        let rule = PacketRule {
            delay: ms(30), jitter: ms(20), reorder: 0.1, duplicate: 0.1, ..lossy(0.2)
        };
        let (mut first, _) = faults(seed, vec![rule.clone()]);
        let (mut again, _) = faults(seed, vec![rule.clone()]);
        let (mut other, _) = faults(seed.wrapping_add(1), vec![rule]);
        // Packets of others, and in the other direction, change nothing.
        for n in 0..50 {
            again.judge(Instant::now(), AllocationId(n), ("bob", None), Direction::Up, 9);
        }
        let of_down = fates(&mut again, 300, Direction::Down);
        let of_first = fates(&mut first, 300, Direction::Up);
        again.forget(ID);
        prop_assert_eq!(&of_first, &fates(&mut again, 300, Direction::Up));
        prop_assert_ne!(&of_first, &of_down);
        prop_assert_ne!(&of_first, &fates(&mut other, 300, Direction::Up));
    }

    #[test]
    fn delay_with_jitter_keeps_the_order_and_its_bounds(seed: u64, jitter in 0..=50_u64) {
        let rule = PacketRule { delay: ms(50), jitter: ms(jitter), ..rule() };
        let (mut late, _) = faults(seed, vec![rule]);
        let dues: Vec<_> =
            fates(&mut late, 500, Direction::Down).into_iter().map(|f| f.unwrap().0).collect();
        prop_assert!(dues.is_sorted());
        for (sent, due) in dues.iter().enumerate() {
            let took = due - sent as u64;
            prop_assert!((50 - jitter..=50 + jitter + 1).contains(&took), "{took} ms");
        }
    }

    #[test]
    fn packets_leave_when_they_are_due_in_the_order_of_their_times(
        delays in prop::collection::vec(0..20_u64, 1..200)
    ) {
        let (mut faults, _) = faults(1, vec![rule()]);
        let start = Instant::now();
        for (n, delay) in delays.iter().enumerate() {
            faults.hold(start + ms(*delay), routed(ID), &(n as u64).to_be_bytes());
        }
        let mut expected: Vec<_> = delays.iter().enumerate().map(|(n, at)| (*at, n)).collect();
        expected.sort();
        let mut got = Vec::new();
        while let Some(due) = faults.next_due() {
            prop_assert!(faults.pop(due - ms(1)).is_none());
            while let Some((_, bytes)) = faults.pop(due) {
                let n = u64::from_be_bytes((*bytes).try_into().unwrap()) as usize;
                got.push(((due - start).as_millis() as u64, n));
            }
        }
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn some_packets_overtake_and_some_come_twice() {
    let rule = PacketRule { delay: ms(40), reorder: 0.25, duplicate: 0.5, ..rule() };
    let (mut faults, injected) = faults(3, vec![rule]);
    let fates: Vec<_> =
        fates(&mut faults, 1000, Direction::Up).into_iter().map(|fate| fate.unwrap()).collect();
    let early = fates.iter().enumerate().filter(|(n, (due, _))| *due == *n as u64).count();
    let twice = fates.iter().filter(|(_, twice)| *twice).count();
    assert!((150..350).contains(&early), "{early}");
    assert!((400..600).contains(&twice), "{twice}");
    assert_eq!(injected.get(Injection::PacketReordered), early as u64);
    assert_eq!(injected.get(Injection::PacketDelayed), 1000 - early as u64);
    assert_eq!(injected.get(Injection::PacketDuplicated), twice as u64);
}

#[test]
fn a_link_of_limited_bandwidth_sends_at_its_rate_and_drops_what_waits_too_long() {
    // A packet of 1000 bytes takes 4 ms, and one comes each millisecond.
    let rule = PacketRule { bandwidth: Some(2_000_000), ..rule() };
    let (mut faults, injected) = faults(1, vec![rule]);
    let fates = fates(&mut faults, 2000, Direction::Up);
    let dues: Vec<_> = fates.iter().flatten().map(|(due, _)| *due).collect();
    assert!(dues.windows(2).all(|pair| pair[1] - pair[0] == 4), "{:?}", &dues[..10]);
    assert_eq!(fates.iter().position(Option::is_none), Some(334));
    let lost = fates.iter().filter(|fate| fate.is_none()).count() as u64;
    assert_eq!(injected.get(Injection::PacketOverflowed), lost);
}

#[test]
fn the_first_rule_for_a_user_and_a_direction_applies() {
    let alice = Selector { user_id: UserId::new("alice").ok(), call_id: None };
    let up = PacketRule { selector: alice, direction: Some(Direction::Up), ..lossy(1.0) };
    let (mut faults, _) = faults(1, vec![up, PacketRule { delay: ms(5), ..rule() }]);
    let now = Instant::now();
    let mut judge = |id, user, direction| faults.judge(now, AllocationId(id), user, direction, 9);
    assert_eq!(judge(1, ALICE, Direction::Up), Fate::Lost);
    assert_eq!(judge(1, ALICE, Direction::Down), Fate::Once(now + ms(5)));
    assert_eq!(judge(2, ("bob", None), Direction::Up), Fate::Once(now + ms(5)));
}

#[test]
fn what_is_held_back_is_bounded_and_ends_with_its_allocation() {
    let (mut by_number, injected) = faults(1, vec![rule()]);
    let now = Instant::now();
    for _ in 0..MAX_DELAYED_PACKETS + 5 {
        by_number.hold(now, routed(ID), b"x");
    }
    assert_eq!(injected.get(Injection::PacketOverflowed), 5);
    let (mut by_bytes, injected) = faults(1, vec![rule()]);
    let packet = vec![0; 1 << 16];
    for n in 0..(MAX_DELAYED_BYTES >> 16) as u32 + 3 {
        by_bytes.hold(now, routed(AllocationId(n % 2)), &packet);
    }
    assert_eq!(injected.get(Injection::PacketOverflowed), 3);
    by_bytes.forget(AllocationId(0));
    let mut left = 0;
    while let Some((packet, _)) = by_bytes.pop(now) {
        assert_eq!(packet.allocation, AllocationId(1));
        left += 1;
    }
    assert_eq!((left, by_bytes.next_due()), (MAX_DELAYED_BYTES >> 17, None));
    by_bytes.hold(now, routed(ID), &packet);
    assert!(by_bytes.pop_any().is_some());
}
