//! All questions of one side, then all of the other: where one flag routes everybody, it cannot be
//! switched for each question.

use std::time::Instant;

use super::{Answer, Asker, is_silence, judge};
use crate::flag;
use crate::rows::Kept;
use cutover_evidence::drive::Side;
use cutover_ground::act::Event;
use cutover_ground::routing::Flag;
use cutover_scenario::Arrival;

/// Bytes of answers that are kept until the other side has been asked; what does not fit is not asked.
const MOST_BYTES: usize = 64 << 20;

/// A question with what was said to it, turn by turn.
struct Question {
    arrival: Arrival,
    row: Option<Kept>,
    answers: Vec<Answer>,
}

impl Asker<'_> {
    /// Asks all of legacy, all of the twin, and all of legacy again, the flag settled before each turn.
    pub(super) async fn in_turns(&mut self, flag: &Flag, questions: &[Arrival]) {
        let with_row = |arrival: &Arrival| {
            let row = self.row_for(arrival)?;
            Some(Question { arrival: *arrival, row, answers: Vec::new() })
        };
        let mut questions: Vec<Question> = questions.iter().filter_map(with_row).collect();
        for mode in [Side::Legacy, Side::Partitioned, Side::Legacy] {
            if !flag::settle(flag, mode, self.context).await {
                self.evidence.incomplete_reason =
                    format!("the platform's flag was not seen at {}", mode.as_str());
                break;
            }
            if !self.turn(mode, &mut questions).await {
                break;
            }
        }
        for question in questions {
            // What all three turns came to says something, even if others were not asked.
            if let [first, twin, again] = question.answers.as_slice() {
                let settled = judge(first, twin, again, &self.masks);
                self.count(&question.arrival, question.row.as_ref(), settled);
            }
        }
    }

    /// Asks everything of one side; false if that came to no end.
    async fn turn(&mut self, mode: Side, questions: &mut Vec<Question>) -> bool {
        let (began, mut bytes) = (Instant::now(), 0);
        for number in 0..questions.len() {
            if !self.goes_on(began) {
                return false;
            }
            let Question { arrival, row, answers } = &mut questions[number];
            let answer = self.worker.ask(arrival, mode, row.as_ref()).await;
            self.silent = if is_silence(&answer) { self.silent + 1 } else { 0 };
            bytes += answer.as_ref().map_or(0, bytes::Bytes::len);
            answers.push(answer);
            if answers.len() == 1 {
                self.context.emit(Event::Advanced(1));
                if bytes > MOST_BYTES {
                    questions.truncate(number + 1);
                    break;
                }
            } else if bytes > 4 * MOST_BYTES {
                let side = mode.as_str();
                self.evidence.incomplete_reason = format!("the answers of {side} are too large");
                return false;
            }
        }
        true
    }

    /// The row that a question is about, if it is about one; `None` if none is left.
    #[expect(clippy::option_option, reason = "no row is needed, or none is there")]
    fn row_for(&self, arrival: &Arrival) -> Option<Option<Kept>> {
        let operation = &self.shared.scenario.operations[usize::from(arrival.operation)];
        let Some(name) = operation.row else { return Some(None) };
        // Nobody else is at work any more: several questions may be about one row.
        let row = self.shared.rows.take(name)?;
        self.shared.rows.put(name, row.clone());
        Some(Some(row))
    }
}
