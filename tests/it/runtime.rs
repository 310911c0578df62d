//! Steps: what a command finds, what its changes are, and that nothing is left of it.

mod actor;
mod elsewhere;
mod ends;
mod finds;
mod leaves;
mod sample;
