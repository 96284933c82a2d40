//! Looks at the platform's monitoring endpoint once a second while the load runs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HOST;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use cutover_evidence::observation::Observation;
use cutover_ground::http::{Client, Endpoint, Failure};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// After this a monitoring endpoint counts as silent.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Observes until `stop`; an endpoint that is silent or talks nonsense is an observation too.
pub(super) async fn observe(
    endpoint: Endpoint,
    start: Instant,
    stop: CancellationToken,
) -> Vec<Observation> {
    let mut client = Client::new(endpoint.clone(), 0, SAMPLE_TIMEOUT);
    let mut observations = Vec::new();
    loop {
        observations.extend(look(&mut client, &endpoint, start).await);
        tokio::select! {
            () = stop.cancelled() => {
                observations.extend(look(&mut client, &endpoint, start).await);
                return observations;
            }
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// `None` if this process could not ask.
async fn look(client: &mut Client, endpoint: &Endpoint, start: Instant) -> Option<Observation> {
    let at_s = start.elapsed().as_secs_f64();
    let request = Request::builder()
        .uri(format!("{}/monitoring/unified/metrics", endpoint.base_path))
        .header(HOST, endpoint.host_header.clone())
        .body(Full::new(Bytes::new()));
    let answer = match request {
        Ok(request) => match client.send(request).await {
            Err(Failure::Local) => return None,
            answer => answer.map_err(|failure| failure.name().to_owned()),
        },
        Err(error) => Err(error.to_string()),
    };
    let read = answer.and_then(|answer| match answer.status {
        200 => serde_json::from_slice::<Value>(&answer.body).map_err(|e| e.to_string()),
        status => Err(format!("http_{status}")),
    });
    Some(match read {
        Ok(metrics) => Observation { at_s, ..interpret(&metrics) },
        Err(error) => Observation { at_s, error: Some(error), ..Observation::default() },
    })
}

/// Picks out what the criteria need; what is not there stays `None`.
fn interpret(metrics: &Value) -> Observation {
    let count = |pointer: &str| metrics.pointer(pointer).and_then(Value::as_u64);
    let number = |pointer: &str| metrics.pointer(pointer).and_then(Value::as_f64);
    let (pool_in_use, pool_max) = fullest_pool(metrics).unzip();
    Observation {
        at_s: 0.0,
        pool_in_use,
        pool_max,
        system_status: metrics.pointer("/system/status").and_then(Value::as_str).map(Into::into),
        cache_hits: count("/cache/hits"),
        cache_lookups: count("/cache/lookups"),
        cache_available: metrics.pointer("/cache/available").and_then(Value::as_bool),
        cache_hit_rate_percent: number("/cache/hitRate"),
        replica_lag_s: number("/database/maxReplicaLag"),
        critical_alerts: count("/alerts/critical"),
        warning_alerts: count("/alerts/warning"),
        error: None,
    }
}

/// Of the pools that are named, the one with the largest share in use: (in use, at most).
fn fullest_pool(metrics: &Value) -> Option<(u64, u64)> {
    let pools = metrics.pointer("/database/pool")?.as_object()?;
    let figures = pools.values().filter_map(|pool| {
        let (in_use, max) = (pool.get("inUse")?.as_u64()?, pool.get("max")?.as_u64()?);
        (max > 0).then_some((in_use, max))
    });
    figures.max_by(|a, b| (a.0 as f64 / a.1 as f64).total_cmp(&(b.0 as f64 / b.1 as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_pool_counts() {
        let metrics = serde_json::json!({ "database": { "pool": {
            "primary": { "inUse": 3, "max": 20 },
            "replica": { "inUse": 5, "max": 10 },
            "none": null,
        } } });
        let seen = interpret(&metrics);
        assert_eq!((seen.pool_in_use, seen.pool_max), (Some(5), Some(10)));
    }

    #[test]
    fn nonsense_becomes_an_observation_without_figures() {
        for text in ["null", "[]", "{}", r#"{"cache":{"hits":"many"},"alerts":{"critical":-1}}"#] {
            let metrics = serde_json::from_str(text).expect("valid JSON");
            assert_eq!(interpret(&metrics), Observation::default(), "{text}");
        }
    }
}
