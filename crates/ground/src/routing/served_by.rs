//! What an answer says of the side that served it.

use hyper::header::{HeaderMap, HeaderName};

use crate::config::RoutingConfig;
use cutover_error::{Context, Result};
use cutover_evidence::side::Side;

/// The header of an answer that names its side, and what stands there for each.
#[derive(Debug, Clone)]
pub struct ServedBy {
    header: HeaderName,
    words: [String; 2],
}

impl ServedBy {
    /// By the configuration; `None` if answers do not say.
    ///
    /// # Errors
    /// A usage error if the header's name is none.
    pub fn of(routing: &RoutingConfig) -> Result<Option<Self>> {
        let text = routing.served_by_header.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        let header = HeaderName::try_from(text)
            .or_usage(format!("[routing] served_by_header: `{text}` is not a header name"), "")?;
        let words = [routing.served_by.legacy.clone(), routing.served_by.partitioned.clone()];
        Ok(Some(Self { header, words }))
    }

    /// The side that served an answer; `None` if it names none.
    pub fn side(&self, answer: &HeaderMap) -> Option<Side> {
        let said = answer.get(&self.header)?.as_bytes();
        Side::BOTH.into_iter().find(|side| self.word(*side).as_bytes() == said)
    }

    /// What stands for a side.
    pub fn word(&self, side: Side) -> &str {
        &self.words[side as usize]
    }

    /// What an answer says, for people.
    pub fn told(&self, answer: &HeaderMap) -> String {
        match answer.get(&self.header) {
            Some(said) => format!("{}: {}", self.header, String::from_utf8_lossy(said.as_bytes())),
            None => format!("no {}", self.header),
        }
    }

    /// What it may say, for people.
    pub fn expected(&self) -> String {
        format!("{}: {} or {}", self.header, self.words[0], self.words[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SideWords;

    #[test]
    fn a_side_may_be_called_anything_and_another_word_is_none() {
        let words = SideWords { legacy: "pg-old".into(), partitioned: "pg-new".into() };
        let routing = RoutingConfig { served_by: words, ..RoutingConfig::default() };
        let served_by = ServedBy::of(&routing).expect("a header").expect("one is named");
        let answer = |word: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-routed-to", hyper::header::HeaderValue::from_static(word));
            headers
        };
        assert_eq!(served_by.side(&answer("pg-old")), Some(Side::Legacy));
        assert_eq!(served_by.side(&answer("pg-new")), Some(Side::Partitioned));
        assert_eq!(served_by.side(&answer("legacy")), None);
        assert_eq!(served_by.told(&answer("legacy")), "x-routed-to: legacy");
        assert_eq!(served_by.expected(), "x-routed-to: pg-old or pg-new");
        assert_eq!(served_by.told(&HeaderMap::new()), "no x-routed-to");
    }
}
