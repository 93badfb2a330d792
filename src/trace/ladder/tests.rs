use super::*;
use crate::trace::{mermaid, testing::relayed_call};

#[test]
fn show() {
    println!("{}", ladder(&relayed_call(), 100));
    println!("{}", mermaid(&relayed_call()));
}
