//! A TLS server on 127.0.0.1 and the certificate authority that vouches for it, both made by the test.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::net::{End, Wire, read_request};

/// A certificate with its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub certificate_pem: String,
    pub key_pem: String,
    key: Vec<u8>,
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// From which day to which, as year, month, day.
pub struct Validity((i32, u8, u8), (i32, u8, u8));

pub const VALID: Validity = Validity((2020, 1, 1), (2099, 1, 1));
pub const EXPIRED: Validity = Validity((2020, 1, 1), (2021, 1, 1));
pub const NOT_YET_VALID: Validity = Validity((2098, 1, 1), (2099, 1, 1));

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's certificate for that host name or address.
    pub fn server(&self, host: &str, validity: &Validity) -> Identity {
        self.issue(host, ExtendedKeyUsagePurpose::ServerAuth, validity)
    }

    pub fn client(&self) -> Identity {
        self.issue("client", ExtendedKeyUsagePurpose::ClientAuth, &VALID)
    }

    fn issue(&self, host: &str, usage: ExtendedKeyUsagePurpose, validity: &Validity) -> Identity {
        let params = params(host, usage, validity);
        let key = KeyPair::generate().unwrap();
        Identity::new(&params.signed_by(&key, &self.0).unwrap(), &key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

fn params(host: &str, usage: ExtendedKeyUsagePurpose, validity: &Validity) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![usage];
    let Validity(from, to) = *validity;
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params
}

/// A server's certificate that nobody vouches for but itself.
pub fn self_signed(host: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity::new(&params(host, ExtendedKeyUsagePurpose::ServerAuth, &VALID).self_signed(&key).unwrap(), &key)
}

impl Identity {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Identity {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
        }
    }
}

/// What a server asks of its clients.
pub struct Terms<'a> {
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// Whose clients are let in; everybody where there is none.
    pub clients_of: Option<&'a Authority>,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Terms { versions: rustls::ALL_VERSIONS, clients_of: None }
    }
}

pub fn server_config(identity: &Identity, terms: &Terms<'_>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(terms.versions).unwrap();
    let builder = match terms.clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(identity.key.clone()).unwrap();
    Arc::new(builder.with_single_cert(vec![identity.certificate.clone()], key).unwrap())
}

/// The server's end of a TLS connection.
pub type TlsStream<'a> = StreamOwned<ServerConnection, &'a TcpStream>;

/// A server that lets `serve` talk on each connection, numbered from 0.
pub fn tls_server(
    config: Arc<ServerConfig>,
    serve: impl Fn(&mut TlsStream<'_>, usize) -> End + Send + Sync + 'static,
) -> Wire {
    Wire::start(move |stream, number| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        serve(&mut StreamOwned::new(connection, stream), number)
    })
}

/// A server that answers every request, and how many it answered.
pub fn answering(config: Arc<ServerConfig>) -> (Wire, Arc<AtomicUsize>) {
    let answered = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&answered);
    let wire = tls_server(config, move |stream, _| {
        while read_request(stream).is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            if stream.write_all(super::net::ANSWER).is_err() {
                break;
            }
        }
        // The client sends its request right behind its certificate: closing with that unread would be a reset,
        // which may overtake the alert that says why.
        super::net::drain(&mut stream.sock);
        End::Close
    });
    (wire, answered)
}

/// A file that is there as long as the value.
pub struct File(PathBuf);

impl File {
    pub fn new(content: impl AsRef<[u8]>) -> Self {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let number = LAST.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("target-tls-{}-{number}.pem", std::process::id()));
        std::fs::write(&path, content).unwrap();
        File(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
