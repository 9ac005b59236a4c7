//! The store from outside: what it promises, on a real directory.

mod basics;
mod corrupt;
mod crash;
mod followers;
mod large;
mod model;
mod nth_failure;
mod purges;
mod space;
mod support;
