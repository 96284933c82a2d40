//! `cutover` rehearses the move of live finance tables onto partitioned twins, proves that not one
//! row differs, and gives a go/no-go that can be defended.
//!
//! Read the modules in this order; it is the order in which the floors stand on each other, from
//! the top down. A module uses what is below it, never its neighbours and never what is above.
//!
//! | floor | modules | what it may know |
//! | --- | --- | --- |
//! | commands | [`cli`] | arguments, printing, exit codes |
//! | order of the acts | [`rehearsal`] | every act and judge, and nothing of their insides |
//! | acts | [`rig`] · [`platform`] · [`discover`] · [`preflight`] · [`seed`] · [`drive`] · [`diff`] · [`drill`] · [`watch`] | the world: processes, network, database |
//! | judges | [`gate`] · [`report`] | evidence, and nothing else |
//! | ground | [`act`] · [`run_folder`] · [`routing`] · [`scenario`] · [`http`] · [`notify`] · [`pg`] · [`config`] · [`evidence`] · [`error`] | what everyone shares |

pub mod cli;
pub mod rehearsal;

pub mod diff;
pub mod discover;
pub mod drill;
pub mod drive;
pub mod platform;
pub mod preflight;
pub mod rig;
pub mod seed;
pub mod watch;

pub mod gate;
pub mod report;

pub mod act;
pub mod config;
pub mod error;
pub mod evidence;
pub mod http;
pub mod notify;
pub mod pg;
pub mod routing;
pub mod run_folder;
pub mod scenario;
