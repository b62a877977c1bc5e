//! The budget against its promises, whatever is asked in whatever order.

use proptest::prelude::*;
use record::Priority::{Critical, High, Low, Normal};

use super::*;

fn room(size: usize, reserved: usize) -> Option<Room> {
    Some(Room { size, reserved })
}

/// Four lanes of 160 places each, 40 of which are reserved.
fn even() -> Budget {
    Budget::new([room(160, 40); 4]).unwrap()
}

fn lane() -> impl Strategy<Value = Option<Room>> {
    let room = (1..200_usize, 0..=100_usize).prop_map(|(size, reserved_pct)| Room {
        size,
        reserved: size * reserved_pct / 100,
    });
    prop::option::weighted(0.85, room)
}

#[derive(Clone, Debug)]
enum Step {
    /// A lane asks for so many places.
    Ask(Priority, usize),
    /// The lanes use such a part of their sizes now, and such a part of that is on loan.
    Use(PerClass<usize>, PerClass<usize>),
    GiveBack,
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(&LOWEST_FIRST[..]);
    let share_pct = || prop_oneof![Just(0), Just(100), 0..=100_usize];
    let shares_pct = || prop::array::uniform4(share_pct());
    prop_oneof![
        4 => (class, 0..300_usize).prop_map(|(class, wanted)| Step::Ask(class, wanted)),
        2 => (shares_pct(), shares_pct()).prop_map(|(used, lent)| Step::Use(used, lent)),
        1 => Just(Step::GiveBack),
    ]
}

/// What must hold after every move, whoever asked.
fn check_sizes(shares: &PerClass<Option<Room>>, budget: &Budget, moves: &Moves) {
    let sum = |sizes: PerClass<usize>| sizes.iter().sum::<usize>();
    let own = shares.map(|room| room.map_or(0, |room| room.size));
    assert_eq!(
        sum(budget.sizes()),
        sum(own),
        "the sum of the sizes changed"
    );
    for (size, room) in budget.sizes().into_iter().zip(shares) {
        let floor = room.map_or(0, |room| room.reserved.max(1));
        assert!(
            size >= floor,
            "a lane has {size} places and {floor} of its own"
        );
    }
    assert_eq!(budget.sizes(), moves.after);
    let mut sizes = moves.before;
    for (class, size) in moves.shrunk().chain(moves.grown()) {
        sizes[class as usize] = size;
        assert!(
            sum(sizes) <= sum(own),
            "more memory than there is while {class:?} moves"
        );
    }
    assert_eq!(sizes, moves.after, "the moves do not lead to the sizes");
}

/// What must hold after `class` has asked for `wanted` places.
fn check_room(
    budget: &Budget,
    moves: &Moves,
    class: Priority,
    wanted: usize,
    used: &[usize; 4],
    lent: &[usize; 4],
) {
    let gained = moves.after[class as usize] - moves.before[class as usize];
    let chunk = budget.own[class as usize].map_or(0, Room::chunk);
    assert!(gained <= wanted.max(chunk), "{gained} of {wanted} wanted");
    assert!(moves.grown().all(|(grown, _)| grown == class));
    let mut evicts = false;
    for (lender, size) in moves.shrunk() {
        let before = moves.before[lender as usize];
        let lost = used[lender as usize].min(before).saturating_sub(size);
        assert!(
            lost == 0 || lender < class,
            "{lender:?} loses {lost} used to {class:?}"
        );
        assert!(
            size >= lent[lender as usize],
            "{lender:?} has {size} places, and more on loan"
        );
        evicts |= lost > 0;
    }
    assert!(
        !evicts || gained <= wanted,
        "items are evicted that nobody needs the room of"
    );
    for lender in LOWEST_FIRST.into_iter().filter(|lender| *lender != class) {
        let Some(own) = budget.own[lender as usize] else {
            continue;
        };
        let size = budget.sizes()[lender as usize];
        let unused = size.saturating_sub(own.floor().max(used[lender as usize]));
        let in_use = size.saturating_sub(own.floor().max(lent[lender as usize]));
        if budget.own[class as usize].is_some() {
            assert!(
                unused == 0 || gained >= wanted,
                "{lender:?} has room that is not used"
            );
            assert!(
                unused == 0 || !evicts,
                "items are evicted though {lender:?} has room"
            );
            let lower = lender < class;
            assert!(
                !lower || in_use == 0 || gained >= wanted,
                "{lender:?} could yield more"
            );
        }
    }
}

proptest! {
    #[test]
    fn law_2_sizes_are_conserved_and_no_used_room_of_an_equal_or_higher_lane_is_taken(
        shares in prop::array::uniform4(lane()),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut budget = Budget::new(shares).unwrap();
        let (mut used, mut lent) = ([0; 4], [0; 4]);
        for step in steps {
            match step {
                Step::Use(used_pct, lent_pct) => {
                    used = std::array::from_fn(|at| budget.sizes()[at] * used_pct[at] / 100);
                    lent = std::array::from_fn(|at| used[at] * lent_pct[at] / 100);
                }
                Step::Ask(class, wanted) => {
                    let moves = budget.make_room(class, wanted, used, lent);
                    check_sizes(&shares, &budget, &moves);
                    check_room(&budget, &moves, class, wanted, &used, &lent);
                    // What was evicted is not used any more.
                    used = std::array::from_fn(|at| used[at].min(budget.sizes()[at]));
                    let here = wanted == 0 || shares[class as usize].is_none();
                    prop_assert!(!here || moves.is_empty());
                }
                Step::GiveBack => {
                    let moves = budget.give_back(used);
                    check_sizes(&shares, &budget, &moves);
                    for (class, size) in moves.shrunk() {
                        let own = shares[class as usize].unwrap().size;
                        prop_assert!(size >= own.max(2 * used[class as usize]));
                    }
                    for (class, size) in moves.grown() {
                        prop_assert!(size <= shares[class as usize].unwrap().size);
                    }
                    prop_assert!(budget.give_back(used).is_empty(), "it returns in one step");
                }
            }
        }
        // Idle lanes are whole again after one call.
        drop_moves(budget.give_back([0; 4]));
        let own = shares.map(|room| room.map_or(0, |room| room.size));
        prop_assert_eq!(budget.sizes(), own);
    }

    #[test]
    fn asking_again_and_again_ends(
        shares in prop::array::uniform4(lane()),
        used_pct in prop::array::uniform4(0..=100_usize),
        wanted in 1..50_usize,
    ) {
        let mut budget = Budget::new(shares).unwrap();
        // Whatever is given is filled at once, as in an overload of all lanes.
        let mut used: PerClass<usize> =
            std::array::from_fn(|at| budget.sizes()[at] * used_pct[at] / 100);
        let total: usize = budget.sizes().iter().sum();
        let mut moves_left = 4 * total + 4;
        loop {
            let mut any = false;
            for class in LOWEST_FIRST {
                let moves = budget.make_room(class, wanted, used, [0; 4]);
                any |= !moves.is_empty();
                let sizes = budget.sizes();
                used = std::array::from_fn(|at| used[at].min(sizes[at]));
                used[class as usize] = sizes[class as usize];
            }
            if !any {
                break;
            }
            moves_left -= 1;
            prop_assert!(moves_left > 0, "room goes round and round");
        }
    }
}

fn drop_moves(moves: Moves) {
    let _ = moves;
}

fn check(moves: &Moves, shrunk: &[(Priority, usize)], grown: &[(Priority, usize)]) {
    assert_eq!(moves.shrunk().collect::<Vec<_>>(), shrunk);
    assert_eq!(moves.grown().collect::<Vec<_>>(), grown);
}

#[test]
fn unused_room_goes_first_the_least_urgent_lane_s_before_others() {
    let mut budget = even();
    // Unused are 60 places of normal, 100 of high, and 120 of critical beside those reserved.
    let used = [160, 100, 60, 0];
    check(
        &budget.make_room(Low, 70, used, [0; 4]),
        &[(Normal, 100), (High, 150)],
        &[(Low, 230)],
    );
    check(
        &budget.make_room(Low, 1_000, used, [0; 4]),
        &[(High, 60), (Critical, 40)],
        &[(Low, 440)],
    );
    assert!(
        budget
            .make_room(Low, 1, [440, 100, 60, 0], [0; 4])
            .is_empty(),
        "low takes from nobody"
    );
}

#[test]
fn a_chunk_moves_at_once_where_it_is_free_and_only_there() {
    let mut budget = even();
    let used = [150, 160, 160, 160];
    check(
        &budget.make_room(Normal, 1, used, [0; 4]),
        &[(Low, 150)],
        &[(Normal, 170)],
    );
    let used = [150, 170, 160, 160];
    check(
        &budget.make_room(Normal, 1, used, [0; 4]),
        &[(Low, 149)],
        &[(Normal, 171)],
    );
}

#[test]
fn used_room_is_taken_from_the_lowest_lane_down_to_its_reservation_and_then_from_the_next() {
    let mut budget = even();
    let used = [160; 4];
    check(
        &budget.make_room(Critical, 130, used, [0; 4]),
        &[(Low, 40), (Normal, 150)],
        &[(Critical, 290)],
    );
    assert!(
        budget
            .make_room(Low, 50, [40, 150, 160, 290], [0; 4])
            .is_empty(),
        "low gets nothing back"
    );
    let moves = budget.make_room(High, 1_000, [40, 150, 160, 290], [0; 4]);
    check(&moves, &[(Normal, 40)], &[(High, 270)]);
}

#[test]
fn what_is_on_loan_is_taken_from_nobody() {
    let mut budget = even();
    check(
        &budget.make_room(Critical, 200, [160; 4], [150, 0, 0, 0]),
        &[(Low, 150), (Normal, 40), (High, 90)],
        &[(Critical, 360)],
    );
}

#[test]
fn what_was_borrowed_returns_when_it_is_needed_no_more() {
    let mut budget = even();
    drop_moves(budget.make_room(Critical, 240, [160; 4], [0; 4]));
    assert_eq!(budget.sizes(), [40, 40, 160, 400]);
    assert!(
        budget.give_back([40, 40, 160, 300]).is_empty(),
        "it is in use"
    );
    assert!(
        budget.give_back([40, 40, 160, 196]).is_empty(),
        "less than a chunk is not worth it"
    );
    let moves = budget.give_back([40, 40, 160, 100]);
    check(&moves, &[(Critical, 200)], &[(Low, 120), (Normal, 160)]);
}

#[test]
fn a_setting_that_cannot_be_is_named_with_its_value_and_its_limit() {
    let check = |shares, expected: &str| {
        assert_eq!(Budget::new(shares).unwrap_err().to_string(), expected);
    };
    let shares = [room(0, 0), None, None, None];
    check(shares, "low.size is 0, but must be at least 1");
    let shares = [None, None, room(10, 11), None];
    check(shares, "high.reserved is 11, but must be at most 10");
    let shares = [room(1, 0), room(usize::MAX, 0), None, None];
    let expected = format!(
        "normal.size is {}, but must be at most {}",
        usize::MAX,
        usize::MAX - 1
    );
    check(shares, &expected);
}
