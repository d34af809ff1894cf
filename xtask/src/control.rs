//! The simulated org's control API, as far as the demo needs it: plain HTTP/1.1 on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

/// Sends one request to the control API at `base` (`http://127.0.0.1:PORT`), and answers the body.
pub fn request(base: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let address = base
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .with_context(|| format!("the simulated org names `{base}` as its control address"))?;
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("connecting to the control API at {address}"))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .with_context(|| format!("sending {method} {path}"))?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("reading the answer to {method} {path}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("{method} {path} was answered with something that is no HTTP"))?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{method} {path} was answered with {status}: {body}");
    }
    Ok(body.to_owned())
}
