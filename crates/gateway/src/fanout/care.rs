//! What is done about a connection that is silent, stalled, or does not say who it is. Knows no
//! clock and no socket.
//!
//! Whether a client is alive is judged by what was received of it, never by what was sent to it:
//! the system takes bytes for one that is long gone.

use std::time::Duration;

/// How long a client may be silent before it is asked, and before it is cut off.
const ASKED_AFTER: Duration = Duration::from_secs(20);
const SILENT_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// For how long things have been so with a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// That nothing was received.
    pub(super) silent: Duration,
    /// That it was not asked whether it is there.
    pub(super) unasked: Duration,
    /// That it took nothing, though there is something for it.
    pub(super) blocked: Duration,
    /// That it is not known who it is.
    pub(super) unknown: Option<Duration>,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    Nothing,
    /// It is asked whether it is there.
    Ask,
    CutOff,
    /// It is closed, since it does not say who it is.
    Close,
}

impl State {
    /// What is done, where a client may be blocked for so long.
    pub(super) fn care(self, blocked_max: Duration) -> Care {
        if self.blocked >= blocked_max || self.silent >= SILENT_MAX {
            Care::CutOff
        } else if self.unknown.is_some_and(|unknown| unknown >= HELLO_WITHIN) {
            Care::Close
        } else if self.silent >= ASKED_AFTER && self.unasked >= ASKED_AFTER {
            Care::Ask
        } else {
            Care::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn state(silent: u32, unasked: u32, blocked: u32) -> State {
        State {
            silent: silent * S,
            unasked: unasked * S,
            blocked: blocked * S,
            unknown: None,
        }
    }

    #[test]
    fn lesson_a_client_is_alive_by_what_it_says_and_not_by_what_it_is_sent() {
        let care = |state: State| state.care(10 * S);
        // It is sent something all the time, and says nothing.
        assert_eq!(care(state(19, 100, 0)), Care::Nothing);
        assert_eq!(care(state(20, 100, 0)), Care::Ask);
        assert_eq!(care(state(21, 1, 0)), Care::Nothing);
        assert_eq!(care(state(40, 20, 0)), Care::Ask);
        assert_eq!(care(state(60, 20, 0)), Care::CutOff);
    }

    #[test]
    fn who_takes_nothing_is_cut_off_though_it_talks_and_who_is_unknown_is_closed() {
        let care = |state: State| state.care(10 * S);
        assert_eq!(care(state(0, 0, 9)), Care::Nothing);
        assert_eq!(care(state(0, 0, 10)), Care::CutOff);
        let unknown = |seconds| State {
            unknown: Some(seconds * S),
            ..state(0, 0, 0)
        };
        assert_eq!(care(unknown(4)), Care::Nothing);
        assert_eq!(care(unknown(5)), Care::Close);
    }
}
