//! The smoke tests: the few requests that tell within seconds whether a platform is usable.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use url::Url;

use super::{item, now, platform, unknown};
use cutover_error::Result;
use cutover_evidence::checklist::{Checklist, Item};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::Config;
use cutover_ground::http::{Site, TrustedRoots};
use cutover_ground::routing::ServedBy;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes, reads, changes and removes a row of the test org, and asks every monitoring endpoint.
/// Needs no database.
///
/// # Errors
/// A usage error if a URL cannot be used; [`cutover_error::Error::Interrupted`].
pub async fn smoke(config: &Config, base_url: &Url, context: &ActContext) -> Result<Checklist> {
    context.started("smoke tests", None, "");
    let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
    let mut site = Site::new(base_url, &roots, ANSWER_TIMEOUT)?;
    site.limit_to(super::LIST_LIMIT);
    let mut items = Vec::new();
    for kind in ["revenue", "expense"] {
        context.check_stop()?;
        items.extend(row(&mut site, kind, config.preflight.test_org).await);
    }
    items.push(routing(config, &mut site).await);
    items.push(platform::endpoints(&mut site).await);
    context.emit(Event::Finished);
    Ok(Checklist { name: "smoke".into(), at: now(), items })
}

/// The life of one row.
async fn row(site: &mut Site, kind: &str, org: i64) -> Vec<Item> {
    let path = format!("/finance/{kind}");
    let body = format!(r#"{{"orgId": {org}, "amount": 100, "description": "Test"}}"#);
    let (made, row) = ask(site, Method::POST, &path, body).await;
    let id = row["id"].as_i64();
    let created = made == "201" && id.is_some();
    let mut items =
        vec![item(&format!("create_{kind}"), &format!("POST {path}"), created, made, ADVICE)];
    let Some(id) = id else { return items };
    let one = format!("{path}/{id}?orgId={org}");
    let mut step = |name: &str, title: String, holds: bool, seen: String| {
        items.push(item(&format!("{name}_{kind}"), &title, holds, seen, ADVICE));
    };
    let (seen, row) = ask(site, Method::GET, &one, String::new()).await;
    step("read", format!("GET {path}/ID"), seen == "200" && row["amount"] == "100.00", seen);
    let list = format!("{path}?orgId={org}&limit=50");
    let (seen, said) = ask(site, Method::GET, &list, String::new()).await;
    let listed = said["items"].as_array().is_some_and(|i| i.iter().any(|i| i["id"] == id));
    step("list", format!("GET {path} lists it"), seen == "200" && listed, seen);
    let body = format!(r#"{{"orgId": {org}, "amount": "250.00"}}"#);
    let (seen, row) = ask(site, Method::PATCH, &one, body).await;
    step("change", format!("PATCH {path}/ID"), seen == "200" && row["amount"] == "250.00", seen);
    // Whatever took so long, the row is not left.
    site.allow(ANSWER_TIMEOUT);
    let (seen, _) = ask(site, Method::DELETE, &one, String::new()).await;
    step("remove", format!("DELETE {path}/ID"), seen.starts_with('2'), seen);
    let (seen, _) = ask(site, Method::GET, &one, String::new()).await;
    step("gone", format!("GET {path}/ID after that"), seen == "404", seen);
    items
}

const ADVICE: &str = "see the platform's log; do not deploy further";

/// Status, or why there is none, and the JSON of the answer.
async fn ask(site: &mut Site, method: Method, path: &str, body: String) -> (String, Value) {
    match site.send(method, path, body, &[]).await {
        Ok(answer) => {
            let said = serde_json::from_slice(&answer.body).unwrap_or_default();
            (answer.status.to_string(), said)
        }
        Err(failure) => (failure.name().to_owned(), Value::Null),
    }
}

/// A read says which side it came from.
async fn routing(config: &Config, site: &mut Site) -> Item {
    let (id, title) = ("routing", "reads say which side they come from");
    let path = format!("/finance/revenue?orgId={}&limit=1", config.preflight.test_org);
    let Ok(Some(served_by)) = ServedBy::of(&config.routing) else {
        let advice = "name the header of an answer that does: [routing] served_by_header";
        return unknown(id, title, "served_by_header names none", advice);
    };
    match site.send(Method::GET, &path, "", &[]).await {
        Ok(answer) => {
            let holds = served_by.side(&answer.headers).is_some();
            let advice = format!("let answers say {}", served_by.expected());
            item(id, title, holds, served_by.told(&answer.headers), &advice)
        }
        Err(failure) => item(id, title, false, failure.name(), "is the platform up?"),
    }
}
