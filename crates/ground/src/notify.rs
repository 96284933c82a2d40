//! One message to a webhook: to a chat in Slack's language, or of any other form. The URL is a secret: whoever has it can
//! write into the channel, so no message of ours ever shows it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST};
use serde_json::{Value, json};
use url::Url;

use crate::http::{Client, Endpoint, TrustedRoots};
use cutover_error::foreign::tame;
use cutover_error::{Error, Result};

/// A webhook that takes longer is given up: nobody waits for a chat to hear a verdict.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Slack cuts longer texts.
const MOST_CHARACTERS: usize = 3000;

/// Where messages go.
#[derive(Debug, Clone)]
pub struct Webhook {
    endpoint: Endpoint,
    /// Path and query.
    target: String,
}

impl Webhook {
    /// Takes the URL apart; `option` is what named it.
    ///
    /// # Errors
    /// A usage error, which does not show the URL, if it is none that can be spoken to.
    pub fn new(option: &str, url: &str, roots: &TrustedRoots) -> Result<Self> {
        let refused = || {
            let what = format!(
                "{option}: this webhook's URL is none (it is secret, and therefore not shown)"
            );
            Error::usage(what, "write https://host/path, as Slack shows it")
        };
        let url = Url::parse(url.trim()).map_err(|_| refused())?;
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let target = format!("{}{query}", url.path());
        // The endpoint's own complaints would name the path.
        let endpoint = Endpoint::new(&url, roots).map_err(|_| refused())?;
        Ok(Self { endpoint, target })
    }

    /// Sends a text to a chat; foreign parts of it have to be escaped with [`escape`].
    ///
    /// # Errors
    /// Why it was not taken, in words that do not show the URL.
    pub async fn send(&self, text: &str) -> Result<(), String> {
        let text: String = text.chars().take(MOST_CHARACTERS).collect();
        self.post(&json!({ "text": text })).await
    }

    /// Sends any message.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn post(&self, message: &Value) -> Result<(), String> {
        let request = Request::post(&self.target)
            .header(HOST, self.endpoint.host_header.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(message.to_string())))
            .map_err(|_| "its path cannot be sent".to_owned())?;
        let mut client = Client::new(self.endpoint.clone(), 0, WEBHOOK_TIMEOUT);
        match client.send(request).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("it answered with status {}", answer.status)),
            Err(failure) => Err(format!("there was no answer ({})", failure.name())),
        }
    }
}

/// Foreign text as text: neither a link nor a call for everybody.
pub fn escape(text: &str) -> String {
    tame(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_complaint_shows_the_url() {
        for url in
            ["hooks.test/T0/B0/s3cret", "ftp://hooks.test/s3cret", "http://me:s3cret@h/s3cret"]
        {
            let error = Webhook::new("--webhook", url, &TrustedRoots::default()).expect_err(url);
            assert!(!format!("{error} {:?}", error.hint()).contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn nobody_is_called_and_nothing_becomes_a_link() {
        assert_eq!(
            escape("<!channel> & <http://evil|go>"),
            "&lt;!channel&gt; &amp; &lt;http://evil|go&gt;"
        );
    }
}
