//! Key pairs: made here, sealed here, used here. Their private bytes go nowhere else.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use getrandom::SysRng;
use idsync_model::KeyAlgorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType,
    Jwk, KeyAlgorithm as JwkAlgorithm, PublicKeyUse, RSAKeyParameters, RSAKeyType, ThumbprintHash,
};
use rsa::BoxedUint;
use rsa::pkcs1::RsaPublicKeyRef;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use zeroize::Zeroizing;

use super::seal::{DirectorySealer, OpenError, Purpose};

/// Bits of an RSA modulus.
const RSA_BITS: usize = 2048;

/// Why a key pair could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyPairError {
    /// Its sealed half does not open.
    #[error("the directory's key can't be used")]
    Sealed(#[from] OpenError),
    /// It could not be made.
    #[error("a key could not be made: {0}")]
    NotMade(String),
    /// Its bytes are no key of the kind that they should be.
    #[error("the {what} is no key that can be used: {why}; make a new key for the directory")]
    Malformed {
        /// Which half.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// A new key pair, as it is stored.
pub struct NewKeyPair {
    /// Its id: the JWK's thumbprint (RFC 7638, SHA-256, base64url).
    pub kid: String,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// The public half as a JWK with `alg`, `use` and `kid`: JSON text.
    pub public_jwk: String,
    /// The private half (PKCS#8), sealed for its directory under [`Purpose::PrivateKey`] and its `kid`.
    pub sealed_private: Vec<u8>,
}

/// A key pair that can sign. It has no `Debug`, and lends its private half to nobody.
pub struct KeyPair {
    algorithm: KeyAlgorithm,
    kid: String,
    jwk: Jwk,
    private: PrivateHalf,
}

/// A private half that was read and checked once: doing so takes as long as a signature.
enum PrivateHalf {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl NewKeyPair {
    /// Makes a key pair and seals its private half. RSA takes a good part of a second of one core, and longer when
    /// luck has it, so do not call it on a thread that others wait for.
    pub fn generate(algorithm: KeyAlgorithm, sealer: &DirectorySealer) -> Result<Self, KeyPairError> {
        let private = match algorithm {
            KeyAlgorithm::Rs256 => generate_rsa()?,
            KeyAlgorithm::Es256 => generate_p256()?,
        };
        let pair = KeyPair::from_pkcs8(algorithm, &private)?;
        Ok(Self {
            sealed_private: sealer.seal(Purpose::PrivateKey, &pair.kid, &private),
            public_jwk: pair.public_jwk(),
            kid: pair.kid,
            algorithm,
        })
    }
}

impl KeyPair {
    /// Opens the pair that was kept as [`NewKeyPair`].
    pub fn unseal(
        algorithm: KeyAlgorithm,
        kid: &str,
        sealed_private: &[u8],
        sealer: &DirectorySealer,
    ) -> Result<Self, KeyPairError> {
        let private = sealer.open(Purpose::PrivateKey, kid, sealed_private)?;
        Self::from_pkcs8(algorithm, &private)
    }

    /// A new ES256 pair that is never stored.
    pub fn ephemeral() -> Result<Self, KeyPairError> {
        Self::from_pkcs8(KeyAlgorithm::Es256, &generate_p256()?)
    }

    fn from_pkcs8(algorithm: KeyAlgorithm, private: &[u8]) -> Result<Self, KeyPairError> {
        let malformed = |why: String| KeyPairError::Malformed {
            what: "private half",
            why,
        };
        let (private, public, jws) = match algorithm {
            KeyAlgorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(private).map_err(|e| malformed(e.to_string()))?;
                let public = rsa_parameters(pair.public_key().as_ref()).map_err(malformed)?;
                (PrivateHalf::Rsa(pair), public, JwkAlgorithm::RS256)
            }
            KeyAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private)
                    .map_err(|e| malformed(e.to_string()))?;
                let public = p256_parameters(pair.public_key().as_ref()).map_err(malformed)?;
                (PrivateHalf::P256(pair), public, JwkAlgorithm::ES256)
            }
        };
        let mut jwk = Jwk {
            common: CommonParameters {
                key_algorithm: Some(jws),
                public_key_use: Some(PublicKeyUse::Signature),
                ..CommonParameters::default()
            },
            algorithm: public,
        };
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|e| malformed(e.to_string()))?;
        jwk.common.key_id = Some(kid.clone());
        Ok(Self {
            algorithm,
            kid,
            jwk,
            private,
        })
    }

    /// How it signs.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Its id: the JWK's thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half with `alg`, `use` and `kid`: JSON text.
    pub fn public_jwk(&self) -> String {
        json_text(&self.jwk)
    }

    /// The public half with the members of its kind of key alone, as a `jwk` header carries it (RFC 9449, section
    /// 4.2).
    pub(super) fn bare_jwk(&self) -> Jwk {
        Jwk {
            common: CommonParameters::default(),
            algorithm: self.jwk.algorithm.clone(),
        }
    }

    /// The signature of a message as a JWS has it (RFC 7518, sections 3.3 and 3.4). Errs where the library has no
    /// random numbers.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match &self.private {
            PrivateHalf::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            PrivateHalf::P256(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
        }
    }
}

/// The public half of an RSA key (RFC 7518, section 6.3.1), of its DER (RFC 8017, appendix A.1.1).
fn rsa_parameters(der: &[u8]) -> Result<AlgorithmParameters, String> {
    let key = RsaPublicKeyRef::try_from(der).map_err(|e| e.to_string())?;
    Ok(AlgorithmParameters::RSA(RSAKeyParameters {
        key_type: RSAKeyType::RSA,
        n: BASE64_URL_SAFE_NO_PAD.encode(key.modulus.as_bytes()),
        e: BASE64_URL_SAFE_NO_PAD.encode(key.public_exponent.as_bytes()),
    }))
}

/// The public half of a P-256 key (RFC 7518, section 6.2.1), of its uncompressed point (SEC 1, section 2.3.3).
fn p256_parameters(point: &[u8]) -> Result<AlgorithmParameters, String> {
    let [4, coordinates @ ..] = point else {
        return Err("its point is not uncompressed".to_owned());
    };
    let Some((x, y)) = coordinates.split_at_checked(32).filter(|(_, y)| y.len() == 32) else {
        return Err("its point is no point of P-256".to_owned());
    };
    Ok(AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
        key_type: EllipticCurveKeyType::EC,
        curve: EllipticCurve::P256,
        x: BASE64_URL_SAFE_NO_PAD.encode(x),
        y: BASE64_URL_SAFE_NO_PAD.encode(y),
    }))
}

pub(super) fn json_text(jwk: &Jwk) -> String {
    serde_json::to_string(jwk).expect("a public key of plain strings can be written as JSON")
}

fn generate_rsa() -> Result<Zeroizing<Vec<u8>>, KeyPairError> {
    let not_made = |error: &dyn std::fmt::Display| KeyPairError::NotMade(error.to_string());
    let key = rsa::PrivateKey::new(&mut SysRng, RSA_BITS).map_err(|e| not_made(&e))?;
    let der = key.to_pkcs8_der().map_err(|e| not_made(&e))?;
    Ok(der.to_bytes())
}

fn generate_p256() -> Result<Zeroizing<Vec<u8>>, KeyPairError> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .map_err(|e| KeyPairError::NotMade(e.to_string()))?;
    let der = key
        .to_pkcs8v1()
        .map_err(|e| KeyPairError::NotMade(e.to_string()))?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// The public half of a JWK as PEM (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7).
pub fn public_pem(public_jwk: &str) -> Result<String, KeyPairError> {
    let malformed = |why: String| KeyPairError::Malformed {
        what: "public half",
        why,
    };
    let jwk: Jwk = serde_json::from_str(public_jwk).map_err(|e| malformed(e.to_string()))?;
    let number = |text: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|e| malformed(e.to_string()))
    };
    match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            let modulus = BoxedUint::from_be_slice_vartime(&number(&key.n)?);
            let exponent = BoxedUint::from_be_slice_vartime(&number(&key.e)?);
            let key = rsa::PublicKey::new(modulus, exponent).map_err(|e| malformed(e.to_string()))?;
            key.to_public_key_pem(LineEnding::LF)
                .map_err(|e| malformed(e.to_string()))
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            let (x, y) = (number(&key.x)?, number(&key.y)?);
            if x.len() != 32 || y.len() != 32 {
                return Err(malformed("its point is no point of P-256".to_owned()));
            }
            Ok(pem(&[P256_SPKI_PREFIX, &x, &y].concat()))
        }
        _ => Err(malformed("it is neither RSA nor P-256".to_owned())),
    }
}

/// What stands before the coordinates in the SubjectPublicKeyInfo of an uncompressed point of P-256 (RFC 5480,
/// section 2): the two algorithm ids, the bit string's head, and 4 for "uncompressed".
const P256_SPKI_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// PEM of a public key (RFC 7468, section 13).
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let body = BASE64_STANDARD.encode(der);
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END PUBLIC KEY-----\n");
    text
}
