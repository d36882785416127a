//! The rules of the house. There is no code here: `tests/` holds one test for each rule, with its reason.
