//! TLS settings: roots, own certificate authorities and a client certificate, read from files once.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::config::{TlsRoots, TlsSettings};
use crate::error::TargetError;

/// Where systems keep their bundle: Debian, Fedora, openSUSE, RHEL, Alpine and the BSDs.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(crate) fn tls_config(settings: &TlsSettings) -> Result<TlsConfig, TargetError> {
    // On this agent alone: the process-wide default belongs to the host program.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match (&settings.ca_file, settings.roots) {
        (Some(file), _) => authorities("tls.ca_file", file)?,
        (None, TlsRoots::Bundled) => RootCerts::WebPki,
        (None, TlsRoots::System) => {
            let bundle = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.is_file()).ok_or_else(|| {
                let message = "`tls.roots`: no bundle of certificate authorities in any of the usual places";
                TargetError::invalid_options("tls.roots", message)
            })?;
            authorities("tls.roots", bundle)?
        }
    };
    let client = match (&settings.client_certificate_file, &settings.client_key_file) {
        (Some(certificate), Some(key)) => Some(client_certificate(certificate, key, &provider)?),
        _ => None,
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(roots)
        .client_cert(client)
        .build())
}

/// ureq passes over what it cannot use, so that a useless file would show in the first handshake only.
fn authorities(field: &str, file: &Path) -> Result<RootCerts, TargetError> {
    let certificates = certificates(field, file)?;
    let ders = certificates.iter().map(|certificate| CertificateDer::from(certificate.der()));
    if RootCertStore::empty().add_parsable_certificates(ders).0 == 0 {
        let message = format!("`{field}`: {} holds no certificate of an authority that can be used", file.display());
        return Err(TargetError::invalid_options(field, message));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// ureq panics in the first request where certificate and key do not go together.
fn client_certificate(
    certificate: &Path,
    key: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientCert, TargetError> {
    const KEY_FIELD: &str = "tls.client_key_file";
    let chain = certificates("tls.client_certificate_file", certificate)?;
    let private_key = private_key(KEY_FIELD, key)?;
    let ders = chain.iter().map(|certificate| CertificateDer::from(certificate.der()).into_owned()).collect();
    let refuse = |error: &dyn std::fmt::Display| {
        let (key, certificate) = (key.display(), certificate.display());
        let message = format!("`{KEY_FIELD}`: the key in {key} cannot serve the certificate in {certificate}: {error}");
        TargetError::invalid_options(KEY_FIELD, message)
    };
    let key_der = PrivateKeyDer::try_from(private_key.der().to_vec()).map_err(|error| refuse(&error))?;
    rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(RootCertStore::empty()).with_client_auth_cert(ders, key_der))
        .map_err(|error| refuse(&error))?;
    Ok(ClientCert::new_with_certs(&chain, private_key))
}

fn read(field: &str, file: &Path) -> Result<Vec<u8>, TargetError> {
    std::fs::read(file).map_err(|error| {
        TargetError::invalid_options(field, format!("`{field}`: {} cannot be read: {error}", file.display()))
    })
}

fn certificates(field: &str, file: &Path) -> Result<Vec<Certificate<'static>>, TargetError> {
    let pem = read(field, file)?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => {
                let message = format!("`{field}`: {} is not valid PEM", file.display());
                return Err(TargetError::invalid_options(field, message));
            }
        }
    }
    if certificates.is_empty() {
        let message = format!("`{field}`: {} holds no PEM certificate", file.display());
        return Err(TargetError::invalid_options(field, message));
    }
    Ok(certificates)
}

fn private_key(field: &str, file: &Path) -> Result<PrivateKey<'static>, TargetError> {
    PrivateKey::from_pem(&read(field, file)?).map_err(|_| {
        TargetError::invalid_options(field, format!("`{field}`: {} holds no PEM private key", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_serve_are_named() {
        let missing = TlsSettings { ca_file: Some("/nonexistent/ca.pem".into()), ..Default::default() };
        let error = tls_config(&missing).unwrap_err();
        assert_eq!(error.details().field.as_deref(), Some("tls.ca_file"));
        let no_pem = TlsSettings { ca_file: Some("Cargo.toml".into()), ..Default::default() };
        assert!(tls_config(&no_pem).unwrap_err().to_string().contains("holds no PEM certificate"));
    }
}
