//! Requests, prepared as far as they can be before the first is sent.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};

use cutover_evidence::drive::Side;
use cutover_ground::routing::Switch;
use cutover_scenario::{Operation, Scenario, Template, Values};

/// What all requests of one operation in one mode have in common.
pub(super) struct Prepared {
    method: Method,
    /// Path and query if they hold no blank.
    uri: Option<Uri>,
    base_path: String,
    path: Template,
    body: Option<Template>,
    /// Headers without a blank.
    headers: HeaderMap,
    blank_headers: Vec<(HeaderName, Template)>,
}

/// A request could not be built: a blank was filled with what no URL or header may hold.
#[derive(Debug)]
pub(super) struct Unsendable;

/// The requests of a scenario by mode and operation.
pub(super) struct Requests {
    legacy: Vec<Prepared>,
    partitioned: Vec<Prepared>,
}

impl Requests {
    pub(super) fn new(scenario: &Scenario, switch: &Switch) -> Arc<Self> {
        let of = |mode| {
            scenario.operations.iter().map(|o| Prepared::new(o, switch, mode)).collect::<Vec<_>>()
        };
        Arc::new(Self { legacy: of(Side::Legacy), partitioned: of(Side::Partitioned) })
    }

    pub(super) fn of(&self, mode: Side, operation: usize) -> &Prepared {
        match mode {
            Side::Legacy => &self.legacy[operation],
            Side::Partitioned => &self.partitioned[operation],
        }
    }
}

impl Prepared {
    fn new(operation: &Operation, switch: &Switch, mode: Side) -> Self {
        let endpoint = switch.endpoint(mode);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, endpoint.host_header.clone());
        if let Some((name, value)) = switch.header(mode) {
            headers.insert(name, value);
        }
        let mut blank_headers = Vec::new();
        for (name, value) in &operation.headers {
            match value.fixed().map(HeaderValue::try_from) {
                Some(Ok(value)) => drop(headers.insert(name.clone(), value)),
                _ => blank_headers.push((name.clone(), value.clone())),
            }
        }
        let fixed = operation.path.fixed();
        let uri = fixed.and_then(|path| format!("{}{path}", endpoint.base_path).parse().ok());
        Self {
            method: operation.method.clone(),
            uri,
            base_path: endpoint.base_path.clone(),
            path: operation.path.clone(),
            body: operation.body.clone(),
            headers,
            blank_headers,
        }
    }

    /// Fills the blanks; the body once more by itself, for whoever notes what is sent.
    pub(super) fn fill(
        &self,
        values: &Values<'_>,
    ) -> Result<(Request<Full<Bytes>>, Bytes), Unsendable> {
        let uri = match &self.uri {
            Some(uri) => uri.clone(),
            None => {
                let mut text = String::with_capacity(self.base_path.len() + 128);
                text.push_str(&self.base_path);
                self.path.fill_into(&mut text, values);
                Uri::from_maybe_shared(Bytes::from(text)).map_err(|_| Unsendable)?
            }
        };
        let mut headers = self.headers.clone();
        for (name, value) in &self.blank_headers {
            let value = Bytes::from(value.fill(values));
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| Unsendable)?;
            headers.insert(name.clone(), value);
        }
        let body = self.body.as_ref().map(|body| Bytes::from(body.fill(values)));
        let body = body.unwrap_or_default();
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok((request, body))
    }
}
