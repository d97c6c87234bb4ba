//! The configurations in the README, which are the ones that are tested.

/// The block of code with this in it.
pub(crate) fn block(text: &str) -> &'static str {
    // Between two fences there is code and text by turns.
    let mut blocks = include_str!("../../README.md").split("```").skip(1).step_by(2);
    let block =
        blocks.find(|block| block.contains(text)).unwrap_or_else(|| panic!("not in the README: {text}"));
    // Behind the fence there may be a language.
    block.split_once('\n').unwrap().1
}
