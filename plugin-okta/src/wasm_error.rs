//! What the host's error codes mean for a run, in words that people read (`wasi:http/types`, `error-code`).

use crate::host::TransportError;
use crate::okta_error::shown;
use crate::wasm::wasi::http::types::{ErrorCode, FieldSizePayload};

/// What each code means for a run.
pub(crate) fn transport_error(code: &ErrorCode) -> TransportError {
    let what = words(code);
    let broken = |text: &str| TransportError::Broken(format!("{text} ({what})"));
    match code {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            broken("the host's name could not be resolved")
        }
        ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout => broken("no connection could be made"),
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError => broken("the connection broke"),
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => broken("the connection stalled"),
        ErrorCode::ConnectionLimitReached => broken("too many connections are open"),
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => {
            broken("no secure connection could be made")
        }
        ErrorCode::InternalError(_) | ErrorCode::ConfigurationError => {
            broken("the request could not be made")
        }
        ErrorCode::HttpResponseBodySize(_) => TransportError::TooLarge(what),
        ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => TransportError::OverLimit(what),
        ErrorCode::DestinationIpProhibited
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid => {
            TransportError::AddressRefused(format!("the host does not allow this address ({what})"))
        }
        _ => TransportError::Refused(format!(
            "the host does not take the request or its answer ({what})"
        )),
    }
}

/// The code in words, as they read in brackets behind what became of the request. The names of `wasi:http` are for
/// programs: they mean nothing to an admin.
fn words(code: &ErrorCode) -> String {
    let text = match code {
        ErrorCode::DnsTimeout => "the name server did not answer in time",
        ErrorCode::DnsError(error) => {
            let said = error.rcode.as_deref().map(shown);
            let said = said.unwrap_or_else(|| "the name server answered with an error".to_owned());
            return match error.info_code {
                Some(number) => format!("{said}, code {number}"),
                None => said,
            };
        }
        ErrorCode::DestinationNotFound => "there is no such host",
        ErrorCode::DestinationUnavailable => "none of its addresses can be reached",
        ErrorCode::DestinationIpProhibited => "it is private or reserved",
        ErrorCode::DestinationIpUnroutable => "there is no route to it",
        ErrorCode::ConnectionRefused => "the other side refused it",
        ErrorCode::ConnectionTerminated => "it was closed before the answer was there",
        ErrorCode::ConnectionTimeout => "connecting took too long",
        ErrorCode::ConnectionReadTimeout => "nothing came for too long",
        ErrorCode::ConnectionWriteTimeout => "nothing could be sent for too long",
        ErrorCode::ConnectionLimitReached => "no more are allowed at once",
        ErrorCode::TlsProtocolError => "the other side does not speak TLS as it must",
        ErrorCode::TlsCertificateError => "the certificate is not trusted",
        ErrorCode::TlsAlertReceived(alert) => {
            let said = alert.alert_message.as_deref().map(shown);
            let number = alert.alert_id.map(|number| format!("TLS alert {number}"));
            let said: Vec<String> = said.into_iter().chain(number).collect();
            return if said.is_empty() {
                "the other side ended it".to_owned()
            } else {
                format!("the other side ended it: {}", said.join(", "))
            };
        }
        ErrorCode::HttpRequestDenied => "requests to it are denied",
        ErrorCode::HttpRequestLengthRequired => "the request must tell how long it is",
        ErrorCode::HttpRequestBodySize(size) => return sized("the body of the request is too large", *size),
        ErrorCode::HttpRequestMethodInvalid => "the method of the request is not allowed",
        ErrorCode::HttpRequestUriInvalid => "it is not valid",
        ErrorCode::HttpRequestUriTooLong => "the address of the request is too long",
        ErrorCode::HttpRequestHeaderSectionSize(size) => {
            return sized("the headers of the request are too large", *size);
        }
        ErrorCode::HttpRequestHeaderSize(field) => {
            return field_sized("a header of the request is too large", field.as_ref());
        }
        ErrorCode::HttpRequestTrailerSectionSize(size) => {
            return sized("the trailers of the request are too large", *size);
        }
        ErrorCode::HttpRequestTrailerSize(field) => {
            return field_sized("a trailer of the request is too large", Some(field));
        }
        ErrorCode::HttpResponseIncomplete => "the answer ended in the middle",
        ErrorCode::HttpResponseHeaderSectionSize(size) => {
            return sized("the headers of the answer are too large", *size);
        }
        ErrorCode::HttpResponseHeaderSize(field) => {
            return field_sized("a header of the answer is too large", Some(field));
        }
        ErrorCode::HttpResponseBodySize(size) => return sized("the body of the answer is too large", *size),
        ErrorCode::HttpResponseTrailerSectionSize(size) => {
            return sized("the trailers of the answer are too large", *size);
        }
        ErrorCode::HttpResponseTrailerSize(field) => {
            return field_sized("a trailer of the answer is too large", Some(field));
        }
        ErrorCode::HttpResponseTransferCoding(coding) => {
            return named("its transfer coding could not be undone", coding.as_deref());
        }
        ErrorCode::HttpResponseContentCoding(coding) => {
            return named("its compression could not be undone", coding.as_deref());
        }
        ErrorCode::HttpResponseTimeout => "the answer did not begin in time",
        ErrorCode::HttpUpgradeFailed => "changing to another protocol failed",
        ErrorCode::HttpProtocolError => "what came is not HTTP",
        ErrorCode::LoopDetected => "the request came back to where it had been before",
        ErrorCode::ConfigurationError => "the host is not set up for it",
        ErrorCode::InternalError(why) => return named("a fault of the host", why.as_deref()),
    };
    text.to_owned()
}

fn sized(text: &str, bytes: Option<impl Into<u64>>) -> String {
    match bytes {
        Some(bytes) => format!("{text}: {} bytes", bytes.into()),
        None => text.to_owned(),
    }
}

fn named(text: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{text}: {}", shown(name)),
        None => text.to_owned(),
    }
}

fn field_sized(text: &str, field: Option<&FieldSizePayload>) -> String {
    let Some(field) = field else {
        return text.to_owned();
    };
    sized(&named(text, field.field_name.as_deref()), field.field_size)
}
