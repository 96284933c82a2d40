//! Whom to trust: the system's certificate authorities, and one of the user's own.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use cutover_error::{Context, Error, Result};

/// How a TLS connection to one host is made.
#[derive(Clone)]
pub(super) struct Tls {
    pub connector: TlsConnector,
    pub server_name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").field("server_name", &self.server_name).finish()
    }
}

/// The certificate authorities that are trusted beside the system's.
#[derive(Debug, Clone, Default)]
pub struct TrustedRoots {
    own: Vec<CertificateDer<'static>>,
}

impl TrustedRoots {
    /// The system's authorities, and those of a PEM file if one is given.
    ///
    /// # Errors
    /// A usage error if the file cannot be read or holds no certificate.
    pub fn with_file(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let place = format!("[tls] ca_file {}", file.display());
        let hint = "give a PEM file with the certificate of your authority";
        let own = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| format!("{error:?}"))
            .or_usage(&place, hint)?;
        if own.is_empty() {
            return Err(Error::usage(format!("{place}: holds no certificate"), hint));
        }
        Ok(Self { own })
    }

    pub(super) fn connector(&self, host: &str) -> Result<Tls> {
        let mut roots = RootCertStore::empty();
        // A system without authorities is no error as long as nobody needs them: the handshake says.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in &self.own {
            roots
                .add(certificate.clone())
                .or_usage("[tls] ca_file", "it must be an authority's")?;
        }
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .or_run("TLS cannot be set up", "")?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name = ServerName::try_from(host.to_owned())
            .or_usage(format!("base URL: `{host}` is no name for a certificate"), "")?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), server_name })
    }
}
