//! The certificates of the org: a CA of its own, and one certificate for every name the org may have.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// A certificate authority. Orgs may share one, so that a client of many of them trusts one certificate.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Holds the certificate; removed at the end.
    folder: TempDir,
}

impl Authority {
    /// Makes a CA for the orgs of `host` and writes its certificate to a file.
    pub fn new(host: &str) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, format!("Simulated CA of {host}"));
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let folder = tempfile::Builder::new()
            .prefix("okta-sim-")
            .tempdir()
            .context("making a folder for the CA")?;
        let authority = Self { issuer, folder };
        let file = authority.file();
        std::fs::write(&file, authority.issuer.pem())
            .with_context(|| format!("writing the CA certificate to {}", file.display()))?;
        Ok(authority)
    }

    /// The file with the certificate, in PEM.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The TLS settings of a server for `host`.
    pub(crate) fn server(&self, host: &str) -> anyhow::Result<Arc<ServerConfig>> {
        server(host, &self.issuer)
    }
}

fn server(host: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> anyhow::Result<Arc<ServerConfig>> {
    let parent = host.split_once('.').map_or("localhost", |(_, parent)| parent);
    let names = [
        host,
        &format!("*.{parent}"),
        "*.localhost",
        "localhost",
        "127.0.0.1",
        "::1",
    ]
    .map(str::to_owned);
    let mut leaf = CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name.push(DnType::CommonName, host);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, authority)?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone(), authority.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
