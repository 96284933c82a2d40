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

pub use {
    cutover_diff as diff, cutover_discover as discover, cutover_drill as drill,
    cutover_drive as drive, cutover_platform as platform, cutover_preflight as preflight,
    cutover_rig as rig, cutover_seed as seed, cutover_watch as watch,
};

pub use cutover_verdict::{gate, report};

pub use cutover_error as error;
pub use cutover_evidence as evidence;
pub use cutover_ground::{act, config, http, notify, own_file, pg, routing, run_folder};
pub use cutover_scenario as scenario;
