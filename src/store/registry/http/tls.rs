//! TLS over whatever connection there is: the only file that knows rustls.
//!
//! A certificate is verified against the authorities that were given, or deliberately not at all; never is the answer to a failure of TLS to do without it.
//! Nothing older than TLS 1.2 is spoken.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter};

use crate::error::{Error, Result};
use crate::store::registry::settings::ClientCertificate;

/// What is demanded of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Demand {
    /// A certificate from an authority that is trusted, for the name that was asked for.
    Certificate,
    /// Nothing.
    Nothing,
}

/// Speaks TLS where the URL says `https`.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    demand: Demand,
}

impl Tls {
    /// Fails with kind `usage` where a certificate or key cannot be read.
    pub(super) fn new<'a>(demand: Demand, authorities: impl IntoIterator<Item = &'a [u8]>, client: Option<&ClientCertificate>) -> Result<Tls> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::usage("TLS cannot be set up").because(error))?;
        let builder = match demand {
            Demand::Nothing => builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider))),
            Demand::Certificate => {
                let mut roots = RootCertStore::empty();
                for pem in authorities {
                    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
                    let certificates = certificates.map_err(|error| Error::usage("a certificate authority is not in PEM").because(error))?;
                    // Old authorities in the list of a system may be in forms that nobody reads any more.
                    if roots.add_parsable_certificates(certificates).0 == 0 {
                        return Err(Error::usage("there is no certificate among the authorities that were given").hint("give a file in PEM"));
                    }
                }
                builder.with_root_certificates(roots)
            }
        };
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = client_certificate(client)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| Error::usage("the client certificate cannot be used").because(error))?
            }
        };
        Ok(Tls { config: Arc::new(config), demand })
    }
}

fn client_certificate(client: &ClientCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(&client.chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| Error::usage("the client certificate is not in PEM").because(error))?;
    if chain.is_empty() {
        return Err(Error::usage("there is no certificate in the client certificate that was given").hint("give a file in PEM"));
    }
    // What is wrong with a key is not told in detail: it might show some of it.
    let key = PrivateKeyDer::from_pem_slice(client.key.reveal().as_bytes())
        .map_err(|_| Error::usage("the key of the client certificate is no key in PEM").hint("give an unencrypted key in PEM"))?;
    Ok((chain, key))
}

/// What TLS has to say about a failure, where it is one of TLS.
pub(super) enum Verdict {
    /// The other side does not speak it.
    Unspoken,
    /// It cannot be trusted, or does not trust us: why, and what may help.
    Refused(String, &'static str),
}

/// That nothing came of a handshake. It is enough where TLS need not be.
#[derive(Debug)]
struct Unspoken;

impl fmt::Display for Unspoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing came of the handshake")
    }
}

impl std::error::Error for Unspoken {}

/// Reads the verdict out of an error.
pub(super) fn verdict(error: &std::io::Error) -> Option<Verdict> {
    use rustls::{AlertDescription, CertificateError, InvalidMessage};
    if error.get_ref()?.is::<Unspoken>() {
        return Some(Verdict::Unspoken);
    }
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let hint = match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => return Some(Verdict::Unspoken),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "give the certificate of its authority with --ca-file, or use --insecure where that is acceptable"
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "renew the certificate of the host, or look at the clock of this machine"
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "use the name that is in the certificate"
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate | AlertDescription::UnknownCA | AlertDescription::AccessDenied,
        ) => "give a certificate of your own that the host knows with --client-cert and --client-key",
        _ => "look at the TLS settings of the host, and of what stands before it",
    };
    Some(Verdict::Refused(error.to_string(), hint))
}

impl Tls {
    /// A failure of a handshake. Where nothing is demanded, silence and a connection that ends say as much as another protocol does.
    fn judged(&self, error: std::io::Error) -> std::io::Error {
        let is_about_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>() || inner.is::<Error>());
        if self.demand == Demand::Nothing && !is_about_tls { std::io::Error::other(Unspoken) } else { error }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| ureq::Error::Other(error.into()))?;
        let failed = |error: rustls::Error| ureq::Error::Io(std::io::Error::other(error));
        let mut connection = ClientConnection::new(self.config.clone(), name).map_err(failed)?;
        let mut adapter = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        adapter.set_timeout(details.timeout);
        connection.complete_io(&mut adapter).map_err(|error| self.judged(error))?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn: connection, sock: adapter } })))
    }
}

/// A connection inside of another.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
