//! Real services side by side: the rig, the reference platform, other people's platforms, deployment, the pages of the documentation.

mod deploy;
mod docs;
mod ends;
mod handbook;
mod init;
mod own_platform;
mod own_want;
mod platform;
mod pooled;
mod rig;
mod slurm;
#[path = "../support/mod.rs"]
mod support;
