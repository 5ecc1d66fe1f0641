//! The registry behind HTTP.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::access::Login;
use crate::error::{Code, Error, Result};
use crate::route::{self, Query, Route};
use crate::storage::Storage;
use crate::{blob, catalog, manifest, page, referrer, tag, upload};

/// How long requests that run have to end after the server was told to stop. What is cut off then is an upload that can
/// be gone on with, or a download that can.
const DRAIN: Duration = Duration::from_secs(10);

/// A registry over a storage. Cheap to clone.
#[derive(Debug)]
pub struct Registry<S> {
    storage: Arc<S>,
    login: Option<Login>,
}

impl<S> Clone for Registry<S> {
    fn clone(&self) -> Self {
        Self { storage: Arc::clone(&self.storage), login: self.login.clone() }
    }
}

impl<S: Storage> Registry<S> {
    /// Serves what the storage keeps.
    pub fn new(storage: S) -> Self {
        Self { storage: Arc::new(storage), login: None }
    }

    /// Serves those only who know a login.
    #[must_use]
    pub fn with_login(self, login: Login) -> Self {
        Self { login: Some(login), ..self }
    }

    /// The registry as a service, to be put behind a listener or into another router.
    pub fn router(&self) -> Router {
        let registry = self.clone();
        // One handler for every path: `route` says why.
        Router::new().fallback(move |request: Request| {
            let registry = registry.clone();
            async move { registry.answer(request).await }
        })
    }

    /// Serves until `shutdown` is ready, and then until the requests that run have ended, ten seconds at most.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        // Without this the last small packet of an answer waits for an acknowledgement, 40 ms each.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("TCP_NODELAY: {error}");
            }
        });
        let (stopping, stopped) = oneshot::channel();
        let shutdown = async move {
            shutdown.await;
            let _ = stopping.send(()); // nobody listens when serving has ended by itself
        };
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown);
        tokio::select! {
            result = serving => result,
            () = async { let _ = stopped.await; tokio::time::sleep(DRAIN).await } => Ok(()),
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let started = Instant::now();
        let mut response = match self.dispatch(request).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        };
        let (status, elapsed) = (response.status().as_u16(), started.elapsed());
        tracing::debug!(%method, path, status, ?elapsed);
        let headers = response.headers_mut();
        // Clients of the time before the OCI tell a registry by this.
        headers.insert(
            HeaderName::from_static("docker-distribution-api-version"),
            HeaderValue::from_static("registry/2.0"),
        );
        // Content is whatever somebody pushed; no browser may take it for a page.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn dispatch(&self, request: Request) -> Result<Response> {
        if let Some(login) = &self.login {
            login.check(request.headers())?;
        }
        let storage = &*self.storage;
        let path = request.uri().path();
        let query = Query::new(request.uri().query());
        let method = request.method().clone();
        if !route::is_protocol(path) {
            return Ok(page::answer(storage, &method, path, &query, request.headers()).await);
        }
        let route = route::parse(path)?;
        match (route, method) {
            (Route::Ping, Method::GET | Method::HEAD) => Ok(json(StatusCode::OK, "{}".into())),
            (Route::Catalog, Method::GET | Method::HEAD) => catalog::list(storage, &query).await,
            (Route::Tags(name), Method::GET | Method::HEAD) => tag::list(storage, &name, &query).await,
            (Route::Manifest(name, target), Method::GET | Method::HEAD) => {
                manifest::get(storage, &name, &target, request.headers()).await
            }
            (Route::Manifest(name, target), Method::PUT) => {
                manifest::put(storage, &name, &target, &query, request).await
            }
            (Route::Manifest(name, target), Method::DELETE) => manifest::delete(storage, &name, &target).await,
            (Route::Blob(name, digest), Method::GET) => blob::get(storage, &name, &digest, request.headers()).await,
            (Route::Blob(name, digest), Method::HEAD) => blob::head(storage, &name, &digest).await,
            (Route::Blob(name, digest), Method::DELETE) => blob::delete(storage, &name, &digest).await,
            (Route::Uploads(name), Method::POST) => upload::start(storage, &name, &query, request).await,
            (Route::Upload(name, id), Method::GET | Method::HEAD) => upload::status(storage, &name, &id).await,
            (Route::Upload(name, id), Method::PATCH) => upload::append(storage, &name, &id, request).await,
            (Route::Upload(name, id), Method::PUT) => upload::finish(storage, &name, &id, &query, request).await,
            (Route::Upload(name, id), Method::DELETE) => upload::cancel(storage, &name, &id).await,
            (Route::Referrers(name, digest), Method::GET | Method::HEAD) => {
                referrer::list(storage, &name, &digest, &query).await
            }
            (route, method) => {
                let allowed = match route {
                    Route::Ping | Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET, HEAD",
                    Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
                    Route::Blob(..) => "GET, HEAD, DELETE",
                    Route::Uploads(_) => "POST",
                    Route::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
                };
                let detail = format!("{method} is not a method of this endpoint: it has {allowed}");
                Err(Error::new(Code::Unsupported, detail).with(header::ALLOW, allowed))
            }
        }
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Sets a header from text that is a header's value by construction: digests, numbers, checked names.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => _ = response.headers_mut().insert(name, value),
        Err(_) => tracing::error!("header {name} cannot hold {value:?}"),
    }
}

/// The header in which registries say a content's digest.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
