//! Writes that fail because of the trigger that is to carry them: then nobody can write.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::probe::{Carried, Coverage, Refusal};
use cutover_ground::pg::catalog::Trigger;

/// SQLSTATEs of what never ends: out of time, or too deep in the stack, whichever comes first.
const OUT_OF_TIME: &str = "57014";
const TOO_DEEP: &str = "54001";
/// The SQLSTATE of RAISE EXCEPTION.
const RAISED: &str = "P0001";
/// A function that stands so often in the stack of calls calls itself.
const LOOPS_FROM: usize = 3;

/// What fails, and why: an event, or a column of an UPDATE that is carried otherwise.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Refused {
    /// Reasons by event, each with the function it came up in.
    pub(super) events: BTreeMap<&'static str, String>,
    /// Reasons by column.
    pub(super) columns: BTreeMap<String, String>,
}

impl Refused {
    /// Whether a reason for not knowing is told by it already.
    pub(super) fn tells(&self, what: &str) -> bool {
        self.events.contains_key(what)
            || self.columns.contains_key(what)
            || self.events.contains_key("UPDATE") && !["INSERT", "DELETE"].contains(&what)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.columns.is_empty()
    }

    /// In words: each reason once, with what it stops.
    pub(super) fn words(&self) -> String {
        let mut by_reason: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (event, why) in &self.events {
            by_reason.entry(why).or_default().insert((*event).to_owned());
        }
        for (column, why) in &self.columns {
            by_reason.entry(why).or_default().insert(format!("{column} (UPDATE)"));
        }
        let told = by_reason.into_iter().map(|(why, what)| {
            format!("{}: {why}", what.into_iter().collect::<Vec<_>>().join(", "))
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

/// Which writes fail in a function of the triggers that carry. Pure.
///
/// A value that we made up may be one that the application never writes: that a trigger fails over it counts
/// only if the error is about no value.
pub(super) fn refused(carriers: &[&Trigger], coverage: &Coverage) -> Refused {
    let mut refused = Refused::default();
    for refusal in &coverage.refusals {
        let endless = endless_call(&refusal.code, &refusal.context);
        let function = carriers.iter().find_map(|trigger| raised_in(refusal, trigger));
        // Without end is without end, whoever calls.
        let why = match (endless, function) {
            (Some(call), _) => format!("without end: {call}"),
            (None, Some(function)) => format!("{}, in {function}", refusal.why),
            (None, None) => continue,
        };
        if refusal.made_up && is_about_values(&refusal.code) {
            continue;
        }
        let none_passed = matches!(coverage.events.get(refusal.event), Some(Carried::Unknown(_)));
        match &refusal.column {
            None => {
                refused.events.insert(refusal.event, why);
            }
            Some(_) if none_passed => {
                refused.events.entry(refusal.event).or_insert(why);
            }
            // It may have been raised over the value.
            Some(_) if refusal.code == RAISED => {}
            Some(column) => {
                refused.columns.insert(column.clone(), why);
            }
        }
    }
    refused
}

/// The call that a statement was ended in because it came again and again: the line that stands most often, and
/// at least three times, in the stack of calls; of a function rather than of a statement in it. Pure.
pub(super) fn endless_call<'c>(code: &str, context: &'c str) -> Option<&'c str> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for line in context.lines() {
        *times.entry(line).or_default() += 1;
    }
    let again = times.into_iter().filter(|(_, times)| *times >= LOOPS_FROM);
    let is_function = |line: &str| line.contains("()");
    let most = again.max_by_key(|(line, times)| (is_function(line), *times, *line));
    most.map(|(line, _)| line).filter(|_| [OUT_OF_TIME, TOO_DEEP].contains(&code))
}

/// Classes 22 (data) and 23 (integrity): another value may pass.
fn is_about_values(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23")
}

/// The trigger's function, if the error came up in it.
fn raised_in<'t>(refusal: &Refusal, trigger: &'t Trigger) -> Option<&'t str> {
    let function = trigger.function.as_str();
    let plain = function.split('(').next().unwrap_or(function);
    let plain = plain.rsplit('.').next().unwrap_or(plain).trim_matches('"');
    // The server may speak any language; the name stands there as it is called.
    let (called, quoted) = (format!("{plain}("), format!("\"{plain}\""));
    let is_it = |line: &&str| {
        let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        line.contains(&quoted) || line.match_indices(&called).any(|(at, _)| begins(at))
    };
    // What ran out of time there may have waited for something else.
    let counts =
        refusal.code != OUT_OF_TIME || endless_call(&refusal.code, &refusal.context).is_some();
    (counts && refusal.context.lines().any(|line| is_it(&line))).then_some(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger() -> Trigger {
        Trigger {
            name: "carry".into(),
            enabled: "A".into(),
            kind: 0,
            conditional: false,
            function: "carry".into(),
            source: String::new(),
            columns: Vec::new(),
        }
    }

    fn coverage(refusals: Vec<Refusal>, update: Carried) -> Coverage {
        let unknown = |why: &str| Carried::Unknown(why.into());
        Coverage {
            events: [("INSERT", unknown("")), ("UPDATE", update), ("DELETE", Carried::Yes)].into(),
            lost: BTreeMap::new(),
            unknown: BTreeMap::new(),
            swallows: false,
            refusals,
            forms: BTreeSet::new(),
        }
    }

    fn refusal(event: &'static str, column: Option<&str>, code: &str, context: &str) -> Refusal {
        let column = column.map(str::to_owned);
        Refusal {
            event,
            made_up: column.is_some(),
            column,
            code: code.into(),
            why: "no".into(),
            context: context.into(),
        }
    }

    const HERE: &str = "PL/pgSQL function public.carry() line 4 at SQL statement\nSQL statement";

    #[test]
    fn an_error_of_the_carrying_function_is_told_and_one_of_another_is_not() {
        let (trigger, yes) = (trigger(), Carried::Yes);
        let of = |refusal: Refusal, update: &Carried| {
            refused(&[&trigger], &coverage(vec![refusal], update.clone()))
        };
        assert!(!of(refusal("INSERT", None, "42703", HERE), &yes).is_empty());
        let other = "PL/pgSQL function audit() line 2 at RAISE";
        assert!(of(refusal("INSERT", None, "P0001", other), &yes).is_empty());
        assert!(of(refusal("INSERT", None, "23514", ""), &yes).is_empty());
        let no_partition = refusal("INSERT", None, "23514", HERE);
        assert!(!of(no_partition.clone(), &yes).is_empty());
        assert!(of(Refusal { made_up: true, ..no_partition }, &yes).is_empty());
        // A value of ours that the twin has no partition for stops no write of the application's.
        assert!(of(refusal("UPDATE", Some("region"), "23514", HERE), &yes).is_empty());
        let column = of(refusal("UPDATE", Some("note"), "42703", HERE), &yes);
        assert!(column.columns.contains_key("note") && column.events.is_empty());
        assert!(of(refusal("UPDATE", Some("note"), RAISED, HERE), &yes).is_empty());
        let german = "PL/pgSQL-Funktion carry() Zeile 4 bei SQL-Anweisung";
        assert!(!of(refusal("INSERT", None, "42703", german), &yes).is_empty());
        let longer = "PL/pgSQL function miscarry() line 4 at RAISE";
        assert!(of(refusal("INSERT", None, "42703", longer), &yes).is_empty());
        let none = Carried::Unknown("no".into());
        let event = of(refusal("UPDATE", Some("note"), "42703", HERE), &none);
        assert!(event.events.contains_key("UPDATE") && event.tells("note"));
    }

    #[test]
    fn a_function_that_calls_itself_until_its_time_is_over_is_a_loop() {
        let trigger = trigger();
        let of = |code: &str, times: usize| {
            let context = [HERE].repeat(times).join("\n");
            let refusals = vec![refusal("INSERT", None, code, &context)];
            refused(&[&trigger], &coverage(refusals, Carried::Yes))
        };
        assert!(of(OUT_OF_TIME, 1).is_empty());
        assert!(
            of(OUT_OF_TIME, 9).words().contains("without end: PL/pgSQL function public.carry()")
        );
        assert!(of(TOO_DEEP, 9).words().contains("without end"));
        let others = ["PL/pgSQL function own() line 1\nSQL statement \"x\""].repeat(5).join("\n");
        let refusals = vec![refusal("UPDATE", None, TOO_DEEP, &format!("{others}\n{HERE}"))];
        let words = refused(&[&trigger], &coverage(refusals, Carried::Yes)).words();
        assert!(words.contains("without end: PL/pgSQL function own()"), "{words}");
        let deep = of(TOO_DEEP, 1).words();
        assert!(!deep.contains("without end") && deep.contains("carry"), "{deep}");
    }
}
