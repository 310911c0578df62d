//! A certificate authority that only those trust who are told to, and the certificates it gives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// An authority of a test's own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both in PEM, and whom its owner talks to.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// Only to those with a certificate of this authority, if there is one.
    clients: Option<String>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(parameters, key).expect("a certificate") }
    }

    /// Its own certificate, in PEM.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these host names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.sign(CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("host names"))
    }

    /// One that was good until 2001.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut parameters = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("host names");
        (parameters.not_before, parameters.not_after) = (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
        self.sign(parameters)
    }

    fn sign(&self, parameters: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem(), clients: None }
    }
}

impl Identity {
    /// Writes both to files in this directory: `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate).expect("writable");
        std::fs::write(&key, &self.key).expect("writable");
        (certificate, key)
    }

    /// Talks only to those who have a certificate of this authority.
    #[must_use]
    pub(crate) fn only_for(mut self, authority: &Authority) -> Identity {
        self.clients = Some(authority.certificate());
        self
    }

    /// How a server with this certificate speaks TLS.
    pub(super) fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions of TLS");
        let config = match &self.clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM")).expect("a certificate");
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("roots");
                config.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        Arc::new(config.with_single_cert(chain, key).expect("they belong together"))
    }
}
