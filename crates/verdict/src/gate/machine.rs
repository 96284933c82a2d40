//! What else the machine did, in words: if a measurement does not decide, that is often why.

use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::DriveEvidence;
use cutover_evidence::machine::MachinePoint;
use cutover_evidence::verdict::{Criterion, State};

/// Work of others below this share of the machine is that of any machine.
const OTHERS: f64 = 0.10;
/// Stolen time below this share is that of any guest.
const STOLEN: f64 = 0.02;
/// A machine so busy lets requests wait, whoever they are for.
const BUSY: f64 = 0.60;
/// The criteria that a busy machine spoils.
const SPOILED: [CriterionId; 4] = [
    CriterionId::P95Overall,
    CriterionId::SchedulingLag,
    CriterionId::GeneratorSound,
    CriterionId::Calibration,
];

/// Says beside criteria that are no pass what else the machine did; `rig` if this run started
/// all servers itself.
pub(super) fn explain(criteria: &mut [Criterion], drive: Option<&DriveEvidence>, rig: bool) {
    let Some(words) = drive.and_then(|drive| words(&drive.machine, rig)) else { return };
    let spoiled = |c: &&mut Criterion| SPOILED.contains(&c.id) && c.state != State::Pass;
    for criterion in criteria.iter_mut().filter(spoiled).filter(|c| c.measured.is_some()) {
        criterion.note = match criterion.note.as_str() {
            "" => words.clone(),
            note => format!("{note}; {words}"),
        };
    }
}

/// `None` if nothing stands out, or nobody looked.
fn words(seen: &[MachinePoint], rig: bool) -> Option<String> {
    if seen.is_empty() {
        return None;
    }
    let mean = |of: fn(&MachinePoint) -> f64| seen.iter().map(of).sum::<f64>() / seen.len() as f64;
    let (busy, own, stolen) =
        (mean(|s| s.busy_share), mean(|s| s.own_share), mean(|s| s.steal_share));
    let others = busy - own;
    let mut told = Vec::new();
    // What a target on this machine needs is not told from the work of others.
    if rig && others >= OTHERS {
        told.push(format!("other work took {:.0} % of this machine", others * 100.0));
    }
    if stolen >= STOLEN {
        told.push(format!("the hypervisor took {:.0} % of it for other guests", stolen * 100.0));
    }
    if busy >= BUSY {
        let own = own * 100.0;
        told.push(format!("it was {:.0} % busy, {own:.0} % of it this program's", busy * 100.0));
    }
    (!told.is_empty()).then(|| match rig && others >= OTHERS {
        true => told.join(", "),
        false => format!("this machine: {}", told.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::catalogue::criterion;

    fn seen(busy_share: f64, own_share: f64, steal_share: f64) -> Vec<MachinePoint> {
        vec![MachinePoint { busy_share, own_share, steal_share, ..MachinePoint::default() }; 3]
    }

    #[test]
    fn what_stands_out_is_said_and_nothing_else() {
        assert_eq!(words(&[], true), None);
        assert_eq!(words(&seen(0.35, 0.30, 0.01), true), None);
        let other = words(&seen(0.55, 0.14, 0.0), true).expect("words");
        assert_eq!(other, "other work took 41 % of this machine");
        // Servers that are not ours may be what was driven.
        assert_eq!(words(&seen(0.55, 0.14, 0.0), false), None);
        let stolen = words(&seen(0.3, 0.3, 0.05), true).expect("words");
        assert_eq!(stolen, "this machine: the hypervisor took 5 % of it for other guests");
        assert!(words(&seen(0.9, 0.1, 0.0), false).expect("words").contains("90 % busy"));
    }

    #[test]
    fn a_pass_needs_no_excuse() {
        let of = |state| {
            let measured = Some("+1 %".to_owned());
            let mut all = [Criterion { state, measured, ..criterion(CriterionId::P95Overall) }];
            let machine = seen(0.9, 0.1, 0.0);
            let drive = DriveEvidence { machine, ..DriveEvidence::default() };
            explain(&mut all, Some(&drive), true);
            all[0].note.clone()
        };
        assert!(of(State::Pass).is_empty() && of(State::Unknown).contains("other work took 80 %"));
    }
}
