//! What an org, or the network before it, can cause: each becomes an error code of `wasi:http` that the guest reads.

use std::error::Error as StdError;
use std::io;

use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload,
};

/// Why there is no connection. It is found again in the client's error by its type.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    /// The name does not resolve.
    #[error("the name could not be resolved: {0}")]
    Name(String),
    /// Every address of the host is inside, and the operator did not allow the host.
    #[error("every address of the host is prohibited")]
    Prohibited,
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
    /// The addresses could not be reached.
    #[error("no address of the host could be reached")]
    Unreachable(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] Box<dyn StdError + Send + Sync>),
}

/// Where in an exchange something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the answer's headers were there.
    Head,
    /// While its body came.
    Body,
}

/// The code for an error of the client.
pub(super) fn code_for(error: &(dyn StdError + 'static), phase: Phase) -> Error {
    if let Some(failure) = cause::<ConnectFailure>(error) {
        return for_connecting(failure);
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return for_tls(tls);
    }
    if let Some(hyper) = cause::<hyper::Error>(error) {
        if hyper.is_parse_too_large() {
            return Error::HttpResponseHeaderSectionSize(None);
        }
        if hyper.is_parse() {
            return Error::HttpProtocolError;
        }
        if hyper.is_timeout() {
            return Error::ConnectionReadTimeout;
        }
    }
    match phase {
        Phase::Head => Error::ConnectionTerminated,
        Phase::Body => Error::HttpResponseIncomplete,
    }
}

fn for_connecting(failure: &ConnectFailure) -> Error {
    match failure {
        ConnectFailure::Name(reason) => Error::DnsError {
            rcode: Some(reason.clone()),
            info_code: None,
        },
        ConnectFailure::Prohibited => Error::DestinationIpProhibited,
        ConnectFailure::Timeout => Error::ConnectionTimeout,
        ConnectFailure::Unreachable(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                Error::DestinationIpUnroutable
            }
            _ => Error::DestinationUnavailable,
        },
        ConnectFailure::Handshake(error) => match cause::<rustls::Error>(error.as_ref()) {
            Some(tls) => for_tls(tls),
            // The other side hung up in the middle of it.
            None => Error::ConnectionTerminated,
        },
    }
}

fn for_tls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Error::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: alert.as_str().map(in_words),
        },
        _ => Error::TlsProtocolError,
    }
}

/// The name of an alert in words: `HandshakeFailure` is what RFC 8446 (section 6) calls `handshake_failure`.
fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut follows_small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && follows_small {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
        follows_small = c.is_ascii_lowercase();
    }
    words
}

/// The first cause of this type. An `io::Error` hides what it wraps from `source`, so it is asked itself.
fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// The code of an error that a body's stream ended with. (`wasmtime-wasi-http` 48 hands out codes of failed requests
/// only: in a stream it puts its own `Error`, which its `http-error-code` does not know.)
pub(super) fn code_in(error: &wasmtime::Error) -> Option<ErrorCode> {
    if let Some(code) = error.downcast_ref::<ErrorCode>() {
        return Some(code.clone());
    }
    Some(match error.downcast_ref::<Error>()? {
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseContentCoding(coding) => ErrorCode::HttpResponseContentCoding(coding.clone()),
        Error::HttpResponseHeaderSectionSize(size) => ErrorCode::HttpResponseHeaderSectionSize(*size),
        Error::HttpResponseTrailerSize {
            field_name,
            field_size,
        } => ErrorCode::HttpResponseTrailerSize(FieldSizePayload {
            field_name: field_name.clone(),
            field_size: *field_size,
        }),
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::TlsAlertReceived {
            alert_id,
            alert_message,
        } => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: *alert_id,
            alert_message: alert_message.clone(),
        }),
        Error::DnsError { rcode, info_code } => ErrorCode::DnsError(DnsErrorPayload {
            rcode: rcode.clone(),
            info_code: *info_code,
        }),
        _ => ErrorCode::HttpProtocolError,
    })
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn an_alert_of_the_other_side_is_told_in_words() {
        let message = |alert| match for_tls(&rustls::Error::AlertReceived(alert)) {
            Error::TlsAlertReceived { alert_message, .. } => alert_message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            message(AlertDescription::HandshakeFailure).as_deref(),
            Some("handshake failure")
        );
        assert_eq!(
            message(AlertDescription::UnknownCA).as_deref(),
            Some("unknown ca")
        );
        assert_eq!(message(AlertDescription::Unknown(200)), None);
    }
}
