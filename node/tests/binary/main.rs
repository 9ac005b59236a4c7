//! The real binary: its flags and files, its life from start to end.

mod check;
mod demo;
mod life;
mod load;
mod offline;
mod reload;

use larder_tests::Recipe;

/// The binary under test, as cargo built it for this test.
const LARDER: &str = env!("CARGO_BIN_EXE_larder");

/// A recipe that starts the binary under test.
fn recipe(origin: &larder_tests::Origin) -> Recipe {
    Recipe::new(origin).binary(LARDER)
}
