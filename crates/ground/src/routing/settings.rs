//! What a flag was made from, for whoever has to make it again.

use serde::{Deserialize, Serialize};

use crate::config::{RoutingConfig, TlsConfig};

/// The configuration of a flag.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Settings {
    pub routing: RoutingConfig,
    pub tls: TlsConfig,
}
