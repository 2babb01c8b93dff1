//! Whom a client trusts when it connects with TLS.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Who vouches for servers: those whom this machine and browsers trust, and perhaps an authority of one's own.
#[derive(Clone, Debug, Default)]
pub struct Trust(Option<Arc<ClientConfig>>);

/// The certificates of an authority can't be had.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file can't be read, or isn't PEM.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// None of its certificates can be used.
    #[error("{0} holds no certificate of an authority")]
    Empty(PathBuf),
}

impl Trust {
    /// Whom this machine and browsers trust. As with OpenSSL, `SSL_CERT_FILE` and `SSL_CERT_DIR` name other places for the
    /// former.
    pub fn system() -> Self {
        Self::default()
    }

    /// Those, and the certificates in a PEM file.
    pub fn with_authority(path: &Path) -> Result<Self, TrustError> {
        let unreadable = |source| TrustError::File {
            path: path.to_owned(),
            source,
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(unreadable)?;
        let mut roots = system_roots();
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(TrustError::Empty(path.to_owned()));
        }
        Ok(Self(Some(client_config(roots))))
    }

    /// What rustls connects with. Reading whom the machine trusts takes a moment, and is done once.
    pub fn config(&self) -> Arc<ClientConfig> {
        static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let of_system = || SYSTEM.get_or_init(|| client_config(system_roots())).clone();
        self.0.clone().unwrap_or_else(of_system)
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what these versions of TLS need");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}
