//! TEMPORARY
pub(crate) fn depth() -> u32 {
    0
}
