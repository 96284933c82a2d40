//! Real services side by side: the rig, the reference platform, other people's platforms, deployment, the pages of the documentation.

mod deploy;
mod docs;
mod handbook;
mod init;
mod own_platform;
mod platform;
mod rig;
mod slurm;
#[path = "../support/mod.rs"]
mod support;
