//! The server itself: one thread for all clients, from which hyper serves what a router answers.
//!
//! No client can keep others out. A request has to arrive in time, and answers have to be taken; for a connection
//! that is one too many the oldest gives way that is no stream, and streams have a limit of their own.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use futures_util::future;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::limits::Limits;
use super::timed::timed;
use super::tls::{Accepted, Tls};

/// Longest request line and headers, in bytes.
const LONGEST: usize = 8 * 1024;
/// Connections that wait to be accepted, as far as the system allows: one more is tried again by its client after a second. Of `bind` it
/// would be 128, which a thousand clients at once exceed.
const BACKLOG: u32 = 4096;

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    runtime: Handle,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What is known of a client beside its request; handlers get it as an extension.
#[derive(Debug)]
pub(super) struct Client {
    /// The address of this computer that it reached.
    pub(super) local: IpAddr,
    /// Whether the connection is encrypted.
    pub(super) secure: bool,
    /// Its own address, or that of a proxy.
    pub(super) peer: IpAddr,
    /// Whether its answer is one without end.
    pub(super) is_stream: AtomicBool,
}

impl Server {
    /// Serves `router` at `address`, with `tls` by encrypted connections; port 0 is any free one.
    ///
    /// # Errors
    /// The system's, when the address cannot be had.
    pub(super) fn start(
        address: SocketAddr,
        router: Router,
        limits: Limits,
        tls: Option<Arc<Tls>>,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("http pictures")
            .max_blocking_threads(1)
            .build()?;
        let listener = runtime.block_on(async { listen(address) })?;
        let address = listener.local_addr()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(future::select(pin!(accept(listener, router, limits, tls)), stopped));
            // With the runtime all connections are dropped, that is closed.
        };
        let thread = thread::Builder::new().name("http".into()).spawn(serve)?;
        Ok(Self { address, runtime: handle, running: Some((stop, thread)) })
    }

    /// Runs `work` in the thread beside the server's; not any more once it has stopped.
    pub(super) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.runtime.spawn_blocking(work);
    }

    /// Where it listens, with the real port.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and waits for the thread.
    pub(super) fn stop(&mut self) {
        let Some((stop, thread)) = self.running.take() else { return };
        // Neither can fail but after a panic in the thread, which has been reported already.
        let _ = stop.send(());
        let _ = thread.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Listens at `address`.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows it would mean that others may listen at the same address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections, without end.
async fn accept(listener: TcpListener, router: Router, limits: Limits, tls: Option<Arc<Tls>>) {
    let mut connections = Connections::default();
    loop {
        let accepted = listener.accept().await.and_then(|(stream, peer)| Ok((stream.local_addr()?, peer, stream)));
        let Ok((local, peer, stream)) = accepted else {
            // Out of file descriptors, or a client that left already.
            connections.keep(limits.connections / 2);
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        connections.keep(limits.connections - 1);
        let (local, peer, secure) = (local.ip().to_canonical(), peer.ip().to_canonical(), tls.is_some());
        let client = Arc::new(Client { local, peer, secure, is_stream: AtomicBool::new(false) });
        let task = tokio::spawn(serve(stream, router.clone(), client.clone(), limits, tls.clone()));
        connections.0.push_back((task.abort_handle(), client));
    }
}

/// Connections from the oldest to the newest.
#[derive(Default)]
struct Connections(VecDeque<(AbortHandle, Arc<Client>)>);

impl Connections {
    /// Forgets those that ended, and closes the oldest until `most` are left; streams are not closed.
    fn keep(&mut self, most: usize) {
        self.0.retain(|(task, _)| !task.is_finished());
        let mut surplus = self.0.len().saturating_sub(most);
        self.0.retain(|(task, client)| {
            let gives_way = surplus > 0 && !client.is_stream.load(Ordering::Relaxed);
            if gives_way {
                task.abort();
                surplus -= 1;
            }
            !gives_way
        });
    }
}

/// Shakes hands where connections are encrypted, for which a client has as long as for its request, and serves the client.
async fn serve(stream: TcpStream, router: Router, client: Arc<Client>, limits: Limits, tls: Option<Arc<Tls>>) {
    let _ = stream.set_nodelay(true);
    let stream = timed(stream, limits);
    let Some(tls) = tls else { return speak(stream, router, client, limits).await };
    match tokio::time::timeout(limits.request, tls.accept(stream)).await {
        Ok(Ok(Accepted::Encrypted(stream))) => speak(stream, router, client, limits).await,
        Ok(Ok(Accepted::Plain(stream))) => {
            let words = "this port is for https: write https:// in front of the address\n";
            speak(stream, Router::new().fallback((StatusCode::BAD_REQUEST, words)), client, limits).await;
        }
        // What browsers say of certificates they do not know, among others.
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Reads one request and answers it. A failure is the end of the client, of which nobody needs to know.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    client: Arc<Client>,
    limits: Limits,
) {
    let router = TowerToHyperService::new(router);
    // A layer of the router would be put around each of its paths, for each connection.
    let answer = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        router.call(request)
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(LONGEST)
        .keep_alive(false)
        // Some readers of Motion JPEG know `Content-Type` only as it was written when they were.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn hundreds_of_clients_can_wait_to_be_accepted() {
        let most =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
        if most.is_none_or(|most: usize| most < 400) {
            eprintln!("SKIPPED: this system keeps no more than {most:?} connections waiting");
            return;
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(async { listen("127.0.0.1:0".parse().unwrap()) }).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
        let waiting: Result<Vec<_>, _> = (0..300).map(connect).collect();
        assert_eq!(waiting.unwrap().len(), 300);
    }
}
