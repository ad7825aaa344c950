//! The bytes below a connection: a TCP stream without Nagle's delay that counts what it has taken, and the same under
//! TLS from the first byte.
//!
//! The count is how a lane knows, after an error, whether the final dot can have reached the server. Encryption only
//! adds bytes, so a count below the dot's place in the plain text proves there too that it was not written.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::{AsyncTokioStream, TlsParameters};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream that counts the bytes it has taken.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    written: Arc<AtomicU64>,
}

impl Wire {
    /// Wraps `stream`; `written` grows with every byte the kernel takes.
    pub(crate) fn new(stream: TcpStream, written: Arc<AtomicU64>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, written })
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.stream).poll_write(task, bytes))?;
        self.written.fetch_add(taken as u64, Ordering::Relaxed);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

/// A [`Wire`] under TLS from the first byte. lettre can make one itself only together with the TCP stream, which then
/// has Nagle's delay and does not count; so its TLS stream is wrapped here, and there is one TLS policy for both ways.
#[derive(Debug)]
#[expect(deprecated, reason = "lettre offers no other way to put its TLS over a stream of ours before the greeting")]
pub(crate) struct TlsWire(lettre::transport::smtp::client::AsyncNetworkStream);

#[expect(deprecated, reason = "see `TlsWire`")]
impl TlsWire {
    /// Shakes hands.
    pub(crate) async fn connect(wire: Wire, parameters: TlsParameters) -> Result<Self, lettre::transport::smtp::Error> {
        let mut stream = lettre::transport::smtp::client::AsyncNetworkStream::use_existing_tokio1(Box::new(wire));
        stream.upgrade_tls(parameters).await?;
        Ok(Self(stream))
    }
}

impl AsyncRead for TlsWire {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let unfilled = buffer.initialize_unfilled();
        let count = ready!(futures::io::AsyncRead::poll_read(Pin::new(&mut self.0), task, unfilled))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsWire {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        futures::io::AsyncWrite::poll_write(Pin::new(&mut self.0), task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures::io::AsyncWrite::poll_close(Pin::new(&mut self.0), task)
    }
}

impl AsyncTokioStream for TlsWire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}
