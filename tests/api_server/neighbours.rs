//! Together with other software in a real cluster: autoscalers, reloaders, admission, helm, and workloads of every kind.

mod health;
mod order;
mod ours;
mod pods;
mod stating;
mod status;
